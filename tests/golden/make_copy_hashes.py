"""Remakes copy_hashes.json: python tests/golden/make_copy_hashes.py. Only with a new way of hashing, the part of `HASHING` in
vision/copies/segments.py before "+": the indexes on users' disks were made with these hashes."""

import json
from pathlib import Path

import numpy as np

ANSWERS = Path(__file__).with_name("copy_hashes.json")


def drawn_pictures():
    """Three pictures made by numpy alone, so that nothing but the hashing can move a bit."""
    y, x = np.mgrid[:300, :420].astype(np.float64)
    waves = 127 + 60 * np.sin(x / 23 + y / 61) + 60 * np.cos(y / 17 - (x / 90) ** 2)
    blocks = np.kron(np.arange(35).reshape(5, 7) * 37 % 251, np.ones((40, 30)))
    page = np.full((400, 400), 255.0)
    page[60:130, 210:300] = np.where((x[:70, :90] // 15 + y[:70, :90] // 10) % 3 == 0, 30, 160)
    large = np.kron(blocks, np.ones((5, 5)))
    return {
        "waves": np.stack([waves, waves[::-1], 255 - waves], axis=2),
        "page": np.repeat(page[..., None], 3, axis=2),
        "large": np.repeat(large[..., None], 3, axis=2),
    }


def answers():
    from dataclasses import asdict

    from vision.copies.hashes import hash_whole
    from vision.copies.segments import HASHING
    from vision.images import read_picture

    found = {}
    for name, pixels in drawn_pictures().items():
        whole = hash_whole(read_picture(pixels.astype(np.uint8)))
        found[name] = asdict(whole.fingerprint) | {"turned": whole.hashes[5].tobytes().hex()}
    return {"hashing": HASHING.split("+")[0], "pictures": found}


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(answers(), indent=1) + "\n", encoding="utf-8")
