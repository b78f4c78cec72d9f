"""Laws of the result row and of the errors."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision import errors, values
from vision.values import Candidate, CopyClaim, Failure, Finding, Fingerprint, Reading, Result

shares = st.floats(0, 1)
boxes = st.tuples(*[st.floats(0, 5000)] * 4)
candidates = st.builds(Candidate, st.text(min_size=1), st.floats(-1, 1), shares, st.text(min_size=1))
findings = st.builds(
    Finding,
    st.sampled_from(values.KINDS),
    boxes,
    shares,
    st.sampled_from(["known", "ambiguous", "unknown"]),
    st.none() | st.text(),
    st.none() | st.text(),
    shares,
    st.lists(candidates, max_size=5).map(tuple),
    st.none() | st.builds(Reading, st.text(), shares),
)
claims = st.builds(
    CopyClaim,
    st.text(),
    st.text(),
    st.text(),
    st.integers(0, 256),
    shares,
    st.none() | boxes,
    st.none() | boxes,
    st.none() | st.text(),
    st.none() | st.text(),
)
results = st.builds(
    Result,
    st.text(),
    st.none() | st.text(),
    st.none() | st.integers(1, 9999),
    st.none() | st.integers(1, 9999),
    st.sampled_from(["ok", "failed"]),
    st.none() | st.builds(Failure, st.sampled_from(sorted(errors.PictureError.codes)), st.text()),
    st.lists(findings, max_size=3).map(tuple),
    st.lists(claims, max_size=3).map(tuple),
    st.dictionaries(st.text(), st.floats(0, 1e6), max_size=3),
    st.none() | st.builds(Fingerprint, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 100)),
    st.lists(st.text(), max_size=2).map(tuple),
)


@given(results)
def test_a_result_survives_its_row(result):
    assert Result.from_dict(result.to_dict()) == result


def test_a_row_of_another_schema_is_refused():
    row = Result("a", None, None, None, "ok").to_dict() | {"schema": "vision.result/2"}
    with pytest.raises(ValueError, match=r"vision\.result/2"):
        Result.from_dict(row)


def test_detections_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="belong together"):
        values.Detections(np.zeros((2, 4), np.float32), ("logo",), np.zeros(1, np.float32))


def test_every_error_is_of_the_family_and_has_codes():
    family = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.VisionError)]
    assert len(family) == 7
    for kind in family:
        for code in kind.codes:
            raised = kind(code, "what happened", path="file", hint="do this")
            assert str(raised) == "file: what happened (do this)"
            assert raised.exit_code in {1, 2, 3}
        with pytest.raises(ValueError, match="no_such_code"):
            kind("no_such_code", "what")


def test_findings_become_detections_of_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=dict))
    made = values.Result.to_supervision(
        Result("a.jpg", None, 90, 60, "ok", findings=tuple(
            Finding(kind, (1.0, 2.0, 30.0, 40.0), 0.5, verdict, brand, None, 0.75)
            for kind, verdict, brand in [("product", "unknown", None), ("image", "known", "Acme"), ("logo", "known", "Acme")]
        ))
    )  # fmt: skip
    assert made["xyxy"].shape == (3, 4) and made["xyxy"].dtype == np.float32
    assert made["class_id"].tolist() == [1, 2, 0]
    assert made["data"]["class_name"].tolist() == ["product", "image", "logo"]
    assert made["data"]["brand"].tolist() == ["", "Acme", "Acme"]
    assert made["data"]["probability"].tolist() == [0.75] * 3
    nothing = Result("a.jpg", None, 90, 60, "ok").to_supervision()
    assert (nothing["xyxy"].shape, nothing["class_id"].dtype.kind) == ((0, 4), "i")


def test_without_supervision_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(errors.BackendError, match="supervision"):
        Result("a.jpg", None, 90, 60, "ok").to_supervision()
