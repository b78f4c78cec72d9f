"""Model files on disk: where they are, what their card says, and that they are the bytes that were measured.

A model is a folder `weights/<name>/` with its files and a `card.json`; `weights/manifest.json` holds the sha256 of each file.
Every file is checked against the manifest before it is loaded, and nothing here ever unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.errors import BackendError, WeightsError, install_hint
from vision.files import write_atomically

CARD_SCHEMA = "vision.card/1"
MANIFEST = "manifest.json"


def shipped() -> Path:
    """The folder with the models that came with this installation.

    `VISION_WEIGHTS` names another one; else the copy inside the installed package, else `weights/` of a source checkout.
    Raises WeightsError (missing) when there is none.
    """
    package = Path(__file__).resolve().parent
    named = os.environ.get("VISION_WEIGHTS")
    for folder in [Path(named)] if named else [package / "_shipped" / "weights", package.parent / "weights"]:
        if (folder / MANIFEST).is_file():
            return folder
    raise WeightsError(
        "missing",
        "no model files found",
        path=named or str(package.parent / "weights"),
        hint="reinstall, or set VISION_WEIGHTS",
    )


@dataclass(frozen=True, slots=True)
class Model:
    """One model folder whose files were verified. `card` is the parsed card.json."""

    folder: Path
    card: dict[str, Any]
    checksums: dict[str, str]

    def file(self, name: str) -> Path:
        """Path of a file that the manifest names, verified now. Raises WeightsError (missing, wrong_checksum)."""
        path = self.folder / name
        if name not in self.checksums:
            raise WeightsError("missing", "the manifest does not name this file", path=str(path))
        verify(path, self.checksums[name])
        return path


def load(name: str, root: Path | None = None) -> Model:
    """The model `weights/<name>/`, its card verified. Raises WeightsError (missing, wrong_checksum, unknown_card)."""
    root = shipped() if root is None else root
    manifest = read_manifest(root)
    checksums = {key.removeprefix(f"{name}/"): value for key, value in manifest.items() if key.startswith(f"{name}/")}
    card_path = root / name / "card.json"
    if "card.json" not in checksums:
        raise WeightsError("missing", f"there is no model {name!r} in the manifest", path=str(root / MANIFEST))
    verify(card_path, checksums["card.json"])
    card = json.loads(card_path.read_text(encoding="utf-8"))
    if card.get("schema") != CARD_SCHEMA:
        raise WeightsError(
            "unknown_card", f"card of schema {card.get('schema')!r}", path=str(card_path), hint="update this package"
        )
    return Model(root / name, card, checksums)


def load_folder(folder: Path) -> Model:
    """A model folder outside the shipped weights, checked against the sha256 of each file that its own card lists.

    Raises WeightsError (missing, unknown_card).
    """
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError("missing", "there is no card.json", path=str(path)) from None
    except ValueError as error:
        raise WeightsError("unknown_card", f"no JSON: {error}", path=str(path)) from None
    if not isinstance(card, dict) or card.get("schema") != CARD_SCHEMA or not isinstance(card.get("files"), dict):
        raise WeightsError("unknown_card", "no card that this version knows", path=str(path))
    return Model(folder, card, dict(card["files"]))


def read_manifest(root: Path) -> dict[str, str]:
    """`{"detector/model.onnx": sha256, …}`. Raises WeightsError (missing, unknown_card)."""
    path = root / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError("missing", "no manifest", path=str(path)) from None
    except ValueError as error:
        raise WeightsError("unknown_card", f"the manifest is no JSON: {error}", path=str(path)) from None
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict):
        raise WeightsError("unknown_card", "the manifest lists no files", path=str(path))
    return {str(key): str(value) for key, value in files.items()}


def write_manifest(root: Path) -> dict[str, str]:
    """Note the sha256 of every file under `root` in its manifest.json, replaced in one step; the files' digests by name."""
    paths = sorted(
        p
        for p in root.rglob("*")
        if p.is_file() and p.name not in {MANIFEST, "README.md"} and not p.name.startswith(".")
    )
    files = {p.relative_to(root).as_posix(): digest(p) for p in paths}
    write_atomically(root / MANIFEST, (json.dumps({"files": files}, indent=1) + "\n").encode())
    return files


def is_shipped(folder: Path) -> bool:
    """Whether a model folder lies beside a manifest of checksums; a user's own folder lists its files in its card."""
    try:
        read_manifest(folder.resolve().parent)
    except WeightsError:  # none, or somebody else's file of that name
        return False
    return True


def note_shipped(folder: Path) -> None:
    """Bring the manifest up to date after a write to a model folder, where that is a shipped one."""
    if is_shipped(folder):
        write_manifest(folder.resolve().parent)


def digest(path: Path) -> str:
    """sha256 of a file as hex."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def verify(path: Path, expected: str) -> None:
    """Raise WeightsError unless the file is there and has that sha256."""
    if not path.is_file():
        raise WeightsError("missing", "the file is not there", path=str(path), hint="reinstall the package")
    found = digest(path)
    if found != expected:
        raise WeightsError(
            "wrong_checksum",
            f"sha256 is {found[:12]}…, the manifest says {expected[:12]}…",
            path=str(path),
            hint="restore the file",
        )


def session(path: Path, *, threads: int = 1, device: str = "auto") -> Any:
    """An onnxruntime session for a verified ONNX file.

    threads: intra-op threads; one per worker and as many workers as cores is fastest (no spinning against each other).
    device: "auto" | "cpu" | "cuda" | "cuda:i". "auto" takes CUDA when onnxruntime has it.
    Raises BackendError (no_device) when CUDA is asked for and absent, WeightsError (unknown_card) when it is no ONNX model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = onnxruntime.get_available_providers()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "auto" and "CUDAExecutionProvider" in available:
        providers.insert(0, "CUDAExecutionProvider")
    elif asked := re.fullmatch(r"cuda(?::(\d+))?", device):
        if "CUDAExecutionProvider" not in available:
            raise BackendError("no_device", f"onnxruntime has no {device}", hint=install_hint("gpu"))
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(asked[1] or 0)}))
    elif device not in {"auto", "cpu"}:
        raise BackendError("no_device", f"unknown device {device!r}", hint="auto, cpu, cuda or cuda:0")
    try:
        made = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own unexported classes
        raise WeightsError("unknown_card", f"onnxruntime cannot load it: {error}", path=str(path)) from error
    if device.startswith("cuda") and "CUDAExecutionProvider" not in made.get_providers():
        # listed, but without a driver or its libraries: onnxruntime takes the processor then and says nothing
        raise BackendError(
            "no_device", f"onnxruntime cannot use {device}", hint="check the CUDA driver, or --device cpu"
        )
    return made
