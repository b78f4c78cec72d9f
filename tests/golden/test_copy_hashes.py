"""Frozen hashes of three drawn pictures: indexes on users' disks hold such hashes, and a moved bit makes them find less."""

import json

import numpy as np
from make_copy_hashes import ANSWERS, answers

from vision.copies.index import hamming


def bits(digits):
    return np.frombuffer(bytes.fromhex(digits), dtype=np.uint8)


def test_hashes_are_what_they_were():
    expected, found = json.loads(ANSWERS.read_text(encoding="utf-8")), answers()
    assert found["hashing"] == expected["hashing"], "hashed another way: run tests/golden/make_copy_hashes.py"
    assert found["pictures"].keys() == expected["pictures"].keys()
    for name, values in expected["pictures"].items():
        now = found["pictures"][name]
        assert (now["quality"], now["plain"]) == (values["quality"], values["plain"]), name
        for part in ("pdq", "turned", "content"):
            # processors round differently, which swaps at most the two coefficients around the median
            assert hamming(bits(now[part]), bits(values[part])) <= 2, f"{name}: {part}"
