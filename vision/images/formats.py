"""The first bytes of a file become the picture format that it is in; the suffix of its name decides nothing.

Only the formats named here are ever opened: Pillow knows forty more, old and rarely attacked. A plugin is called directly, so
its own error arrives (`Image.open` keeps it back), and the pixel budget is ours: `Image.open` warns and raises on its own one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from vision.errors import PictureError, install_hint

# Enough for the brands of an ISO media file and for the first element of an SVG drawing or web page.
HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Format:
    """One format that is decoded. open: reads the header of a seekable file and decodes nothing yet."""

    name: str
    open: Callable[[BinaryIO], Image.Image]


def _open_heif(file: BinaryIO) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(
            "unsupported",
            "HEIC pictures need pillow-heif, which is not installed",
            hint=install_hint("heic"),
        ) from None
    opened: Image.Image = pillow_heif.HeifImageFile(file)
    return opened


# A JPEG with several pictures (MPO: depth maps, gain maps) is opened as its first one, which is the photo.
JPEG = Format("JPEG", JpegImagePlugin.JpegImageFile)
PNG = Format("PNG", PngImagePlugin.PngImageFile)
GIF = Format("GIF", GifImagePlugin.GifImageFile)
WEBP = Format("WebP", WebPImagePlugin.WebPImageFile)
BMP = Format("BMP", BmpImagePlugin.BmpImageFile)
TIFF = Format("TIFF", TiffImagePlugin.TiffImageFile)
AVIF = Format("AVIF", AvifImagePlugin.AvifImageFile)
HEIF = Format("HEIC", _open_heif)

_BEGINNINGS = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
)
# Two letters alone would take "BMW is a brand" for a picture: the size of the second header must be one that exists.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})

# Pictures of other kinds and well-known kinds of other files, so that a message can say what was found instead.
_OTHER_PICTURES = (
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\1\0", "an icon file"),
    (b"qoif", "a QOI picture"),
    (b"v/1\1", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"DDS ", "a DirectDraw texture"),
    (b"FUJIFILMCCD-RAW", "a raw camera file"),
)
_OTHER_FILES = (
    (b"%pdf", "a PDF document"),
    (b"%!ps", "a PostScript document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG drawing"),
    (b"pk\3\4", "a ZIP archive"),
    (b"version https://git-lfs", "a Git LFS pointer: the picture itself was not fetched"),
)


def recognise(head: bytes) -> Format:
    """The format that begins with these bytes (`HEAD_BYTES` of them, or fewer when the file has no more).

    Raises PictureError: empty; unsupported for pictures of a kind that is not decoded; not_an_image for anything else.
    """
    if not head:
        raise PictureError("empty", "the file has no bytes")
    for beginning, found in _BEGINNINGS:
        if head.startswith(beginning):
            return found
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if head[4:8] == b"ftyp":
        return _recognise_iso_media(head)
    for beginning, name in _OTHER_PICTURES:
        if head.startswith(beginning):
            raise PictureError("unsupported", f"{name} is not decoded", hint="save it as JPEG or PNG")
    raise PictureError("not_an_image", f"this is {_kind_of_file(head)}")


def _recognise_iso_media(head: bytes) -> Format:
    """AVIF, HEIC, videos and some raw files share one container; the brands in its first box tell them apart."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(size, len(head)) - 3, 4))}
    if brands & _AVIF_BRANDS:
        return AVIF
    if brands & _HEIF_BRANDS:
        return HEIF
    if b"crx " in brands:
        raise PictureError("unsupported", "a raw camera file is not decoded", hint="save it as JPEG or PNG")
    raise PictureError("not_an_image", "this is a video or sound file")


def _kind_of_file(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in _OTHER_FILES:
        if start.startswith(beginning):
            return name
    if start.startswith((b"<?xml", b"<!--", b"<!doctype")):
        return "an SVG drawing" if b"<svg" in start else "an XML document"
    return "no picture that is known here"
