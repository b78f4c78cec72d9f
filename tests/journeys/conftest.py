"""The real program in a child process, and a small folder of pictures for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "datasets" / "samples" / "images"


@pytest.fixture(scope="session")
def run():
    """`run("scan", "folder")` runs `vision scan folder`; stdout and stderr are text."""

    def call(*arguments, cwd=None, stdin=None, env=None):
        return subprocess.run(
            [sys.executable, "-c", "from vision.cli.main import entry; entry()", *map(str, arguments)],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | (env or {}),
            timeout=240,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A folder as sellers leave it: good pictures, a copy, and some that cannot be read."""
    folder = tmp_path_factory.mktemp("pictures") / "shop"
    (folder / "sub").mkdir(parents=True)
    names = sorted(p.name for p in SAMPLES.iterdir())[:6]
    for name in names:
        shutil.copy(SAMPLES / name, folder / name)
    shutil.copy(SAMPLES / names[0], folder / "sub" / "again ✂.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.png").write_text("<html>not found</html>")
    whole = (SAMPLES / names[1]).read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "sub" / "new\nline.png")
    return folder
