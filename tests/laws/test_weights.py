"""Laws of model files: nothing unverified is loaded, and a manifest is the files it names."""

import json

import onnxruntime
import pytest

from vision import weights
from vision.errors import BackendError, WeightsError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "card.json").write_text(json.dumps({"schema": weights.CARD_SCHEMA}))
    (tmp_path / "model" / "model.onnx").write_bytes(b"some bytes")
    weights.write_manifest(tmp_path)
    return tmp_path


def test_a_model_loads_when_its_files_are_those_of_the_manifest(root):
    model = weights.load("model", root)
    assert model.file("model.onnx").read_bytes() == b"some bytes"


def test_one_changed_byte_is_refused(root):
    (root / "model" / "model.onnx").write_bytes(b"same bytes")
    with pytest.raises(WeightsError) as caught:
        weights.load("model", root).file("model.onnx")
    assert caught.value.code == "wrong_checksum"


def test_a_changed_card_is_refused(root):
    (root / "model" / "card.json").write_text("{}")
    with pytest.raises(WeightsError) as caught:
        weights.load("model", root)
    assert caught.value.code == "wrong_checksum"


@pytest.mark.parametrize("name", ["other", "mod"])
def test_a_model_that_the_manifest_does_not_name_is_missing(root, name):
    with pytest.raises(WeightsError) as caught:
        weights.load(name, root)
    assert caught.value.code == "missing"


def test_a_file_outside_the_manifest_is_not_given(root):
    (root / "model" / "stray.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError) as caught:
        weights.load("model", root).file("stray.onnx")
    assert caught.value.code == "missing"


def test_a_card_of_another_schema_is_refused(root):
    (root / "model" / "card.json").write_text(json.dumps({"schema": "vision.card/9"}))
    weights.write_manifest(root)
    with pytest.raises(WeightsError) as caught:
        weights.load("model", root)
    assert caught.value.code == "unknown_card"


@pytest.mark.parametrize("text", ["no json", "[]", '{"files": 3}'])
def test_a_broken_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WeightsError) as caught:
        weights.read_manifest(tmp_path)
    assert caught.value.code == "unknown_card"


def test_the_manifest_keeps_up_with_a_model_beside_it(root):
    (root / "model" / "model.onnx").write_bytes(b"other bytes")
    weights.note_shipped(root / "model")
    assert weights.load("model", root).file("model.onnx").read_bytes() == b"other bytes"


def test_a_manifest_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "manifest.json").write_text('{"name": "shop", "icons": []}')
    assert not weights.is_shipped(tmp_path / "model")
    weights.note_shipped(tmp_path / "model")
    assert (tmp_path / "manifest.json").read_text() == '{"name": "shop", "icons": []}'


def test_bytes_that_are_no_model_are_refused(root):
    with pytest.raises(WeightsError) as caught:
        weights.session(root / "model" / "model.onnx", device="cpu")
    assert caught.value.code == "unknown_card"


def test_an_unknown_device_is_refused(root):
    with pytest.raises(BackendError) as caught:
        weights.session(root / "model" / "model.onnx", device="abacus")
    assert caught.value.code == "no_device"


@pytest.mark.parametrize("device", ["cuda:x", "cudas", "cuda:", "CUDA"])
def test_what_is_no_device_is_refused_whatever_onnxruntime_has(root, monkeypatch, device):
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(BackendError) as caught:
        weights.session(root / "model" / "model.onnx", device=device)
    assert caught.value.code == "no_device"


def test_a_gpu_that_cannot_be_used_is_no_device(monkeypatch):
    """onnxruntime lists CUDA without a driver, and then computes on the processor."""
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    made = onnxruntime.InferenceSession
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *a, providers: made(*a, providers=providers[-1:]))
    model = weights.load("detector").file("model.onnx")
    with pytest.raises(BackendError) as caught:
        weights.session(model, device="cuda")
    assert caught.value.code == "no_device"
    assert weights.session(model, device="auto").get_providers() == ["CPUExecutionProvider"]
