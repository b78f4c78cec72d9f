"""What all HTML pages share: templates that escape, pictures as data addresses, files that appear whole or not at all.

A page is one file and fetches nothing: styles, script and pictures are inside, and its content policy forbids all else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import jinja2
import numpy as np

from vision.files import appears_whole
from vision.report.lettering import printable
from vision.values import Pixels


@cache
def text(name: str) -> str:
    """A file of this package: a template, a script, a style sheet."""
    return resources.files("vision.report").joinpath(name).read_text(encoding="utf-8")


@cache
def environment() -> jinja2.Environment:
    """Templates of this package; all text is escaped, and `| line` makes one line of a name that can be shown."""
    found = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(text),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["line"] = lambda value: printable(str(value))
    return found


def script_digest(script: str) -> str:
    """What a page's content policy calls the one script that it admits."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write_whole(out: Path, chunks: Iterable[str]) -> None:
    """Write a page chunk by chunk; `out` appears whole or not at all."""
    with (
        appears_whole(out) as fresh,
        fresh.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as page,
    ):
        page.writelines(chunks)


def data_address(data: bytes) -> str:
    """An encoded picture (JPEG, PNG or WebP) as a data address."""
    kind = "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_address(pixels: Pixels, quality: int) -> str:
    """(h, w, 3) uint8 RGB as the data address of a JPEG."""
    written, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise ValueError(f"no JPEG of a picture of shape {pixels.shape}")
    return data_address(data.tobytes())
