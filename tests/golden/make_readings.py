"""Remakes readings.json: python tests/golden/make_readings.py. Only when the shipped reader was changed on purpose."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "laws"))
from reading_scenes import FACES, lines_drawn, ring_drawn

from vision.text import TextReader
from vision.values import TextLine

ANSWERS = Path(__file__).with_name("readings.json")
SURE = 0.95


def drawn_crops() -> dict[str, np.ndarray]:
    """Words in letters that OpenCV carries with it, so that no font of the machine can move the answers."""
    grey = lines_drawn(["Westmark"], face=FACES[1], ink=(110, 110, 110), ground=150)
    return {
        "two lines": lines_drawn(["NIVEA", "Creme 250"], face=FACES[0]),
        "faint": grey,
        "small": grey[::3, ::3],
        "turned": np.ascontiguousarray(np.rot90(lines_drawn(["Kodak"], face=FACES[2]))),
        "digits": lines_drawn(["7UP 4711"], face=FACES[1], ink=(250, 250, 250), ground=30),
    }


def answers() -> dict:
    """The reader's checksum, and what it surely says of each crop in each way; the rest hangs on a processor's last bits."""
    reader, crops = TextReader.load(device="cpu"), drawn_crops()
    found = {
        way: {name: _told(read([crop])[0]) for name, crop in crops.items()}
        for way, read in (("lines", reader.read), ("whole", reader.read_whole))
    }
    found["ring"] = {"seal": _told(reader.read_ring([ring_drawn("STARLIGHT", "COFFEE")])[0])}
    return {"reader": reader.checksum, "readings": found}


def _told(lines: tuple[TextLine, ...]) -> list[dict]:
    return [
        {
            "string": line.string,
            "confidence": round(line.confidence, 3),
            "box": [round(v, 1) for v in line.box],
            "height": round(line.height, 1),
        }
        for line in lines
        if line.confidence > SURE
    ]


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(answers(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
