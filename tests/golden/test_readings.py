"""The shipped reader reads drawn words as it did: what a scan says of old pictures must not drift unnoticed."""

from __future__ import annotations

import json

import pytest
from make_readings import ANSWERS, answers


def test_readings_are_what_they_were():
    expected, found = json.loads(ANSWERS.read_text(encoding="utf-8")), answers()
    assert found["reader"] == expected["reader"], "another reader: run tests/golden/make_readings.py"
    for way, crops in expected["readings"].items():
        for name, lines in crops.items():
            now = found["readings"][way][name]
            assert [line["string"] for line in now] == [line["string"] for line in lines], (way, name)
            for was, line in zip(lines, now, strict=True):
                # processors differ in the last bits, which may move an edge by a pixel of the network's map
                assert line["confidence"] == pytest.approx(was["confidence"], abs=0.03), (way, name)
                assert line["box"] == pytest.approx(was["box"], abs=3), (way, name)
                assert line["height"] == pytest.approx(was["height"], abs=3), (way, name)
