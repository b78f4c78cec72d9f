"""Bytes become a Picture: upright, sRGB, alpha laid on a plain ground, size bounded before anything is decoded.

One decoder for training, scanning, hashing and the report. Ordinary JPEGs go through libjpeg-turbo, straight into the array
and without Python's lock; everything else, and every JPEG that it complains about, goes through Pillow.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from vision.errors import PictureError, UsageError
from vision.images.colour import profile_transform, to_srgb
from vision.images.files import read_file
from vision.images.formats import HEAD_BYTES, JPEG, PNG, TIFF, WEBP, recognise
from vision.values import Picture, Pixels

# Pictures are shared out among workers, one a core. OpenCV's own threads on top wait for each other: a description then took a
# quarter more of the processor and no less time.
cv2.setNumThreads(1)

MAX_PIXELS = 100_000_000
# A progressive JPEG may pass over the whole picture in each of any number of scans of a few bytes: hours from a small file.
# libjpeg-turbo's own guard against this (TJPARAM_SCANLIMIT, its fuzzers) stops at 500; encoders write about ten.
MAX_SCANS = 500

_ORIENTATION = 0x0112
_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
_DNG_VERSION = 50706
_END_OF_JPEG = b"\xff\xd9"

# Pillow's plugins meet damaged files in their parsers, and what escapes is what a parser raises: OSError and SyntaxError on
# purpose; struct.error, IndexError, KeyError, TypeError, EOFError where bytes ran out; ValueError, OverflowError,
# ZeroDivisionError where a number is absurd; AttributeError, RuntimeError, AssertionError where a part is missing. They are
# caught around calls into Pillow only, so a fault of ours is not mistaken for a bad file. UserWarning is among them for
# programs that turn warnings into errors.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    EOFError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    AssertionError,
    UserWarning,
)
# The words by which Pillow says that a file is whole but of a kind that it does not read.
_NOT_READ = re.compile(
    r"unsupported|not supported|not available|not installed|not implemented|cannot handle"
    r"|unknown (?:pixel mode|compression|data organization)|samples per pixel|too large for",
    re.IGNORECASE,
)
# Damaged metadata beside a sound picture is no news for standard error; Pillow warns of it from these modules.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Tiff|Jpeg|Png|Gif)ImagePlugin")

_ROTATIONS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {2: 1, 4: 0}


def read_picture(source: Any, *, max_pixels: int = MAX_PIXELS, reduce_to: int | None = None) -> Picture:
    """Decode a path, encoded bytes, PIL image, uint8 RGB array (H, W, 3) or Picture (returned as it is).

    reduce_to: decode smaller where that is cheaper, never below this longest side: JPEGs at the smallest of 1/1, 1/2, 1/4 and
    1/8, anything still twice as large or more by averaging whole blocks. `Picture.width` and `height` stay those of the full
    upright picture. (libjpeg's other eighths, 3/8 to 7/8, have no SIMD code and cost more than the next larger halving.)
    max_pixels: pictures that say they are larger fail before a pixel is decoded. Animations and documents of several pages
    give the first of them, and `Picture.more_frames` says that there are others.
    An array is taken as it is, not copied when contiguous; a PIL image keeps its frame, mode and profile.
    Raises PictureError: not_found, not_readable, empty, not_an_image, truncated (cut short or damaged), too_many_pixels,
    unsupported; UsageError (bad_option) for limits below 1.
    """
    if max_pixels < 1 or (reduce_to is not None and reduce_to < 1):
        raise UsageError("bad_option", f"max_pixels {max_pixels} and reduce_to {reduce_to} must be at least 1")
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels, reduce_to)
    if isinstance(source, Image.Image):
        return _from_pil(source, max_pixels, reduce_to)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), "bytes", max_pixels, reduce_to)
    if not isinstance(source, str | os.PathLike):
        raise PictureError(
            "unsupported",
            f"a {type(source).__name__} is no picture",
            hint="a path, bytes, PIL image or uint8 RGB array",
        )
    path = os.fsdecode(source)
    try:
        return _from_bytes(read_file(path), path, max_pixels, reduce_to)
    except PictureError as error:
        error.path = path
        raise


def read_size(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of the upright picture of a file, as `read_picture` gives them, without decoding where that can be.

    A file whose header is sound may still be cut short. Raises PictureError.
    """
    try:
        data = read_file(path)
        kind = recognise(data[:HEAD_BYTES])
        if kind not in (JPEG, WEBP, PNG):  # the others settle their size or their orientation when they are decoded
            whole = _from_bytes(data, os.fsdecode(path), max_pixels, None)
            return whole.width, whole.height
        with _pillow_errors(kind.name), _pillow_limit.lifted_for(max_pixels // 2):
            image = kind.open(io.BytesIO(data))
            _check_size(image.width, image.height, max_pixels)
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except PictureError as error:
        error.path = os.fsdecode(path)
        raise


def _from_bytes(data: bytes, origin: str, max_pixels: int, reduce_to: int | None) -> Picture:
    kind = recognise(data[:HEAD_BYTES])
    # Pillow's WebP plugin refuses canvases over twice its own limit when it opens them
    with _pillow_errors(kind.name), _pillow_limit.lifted_for(max_pixels // 2):
        image = kind.open(io.BytesIO(data))
    _check_size(image.width, image.height, max_pixels)
    width, height = image.size
    pixels = None
    with _pillow_errors(kind.name), _pillow_limit.lifted_for(width * height):
        if kind is JPEG:
            _check_scans(image, data)
            pixels = _turbo(data, image, reduce_to)
            if pixels is None and not data.endswith(_END_OF_JPEG) and _tells_what_is_lost(data):
                pixels = _turbo(data + _END_OF_JPEG, image, reduce_to)
            if pixels is None and reduce_to is not None:
                factor = max(1, max(width, height) // reduce_to)
                image.draft(image.mode, (max(1, width // factor), max(1, height // factor)))
        elif kind is TIFF:
            _refuse_raw(image)
        if pixels is None:
            image.load()
            pixels = np.array(to_srgb(image, reduce_to))
        orientation = _orientation(image)
    if kind is not JPEG:
        width, height = image.size  # HEIF and GIF settle it only now; Pillow has turned TIFFs upright
    if orientation >= 5:
        width, height = height, width
    digest = hashlib.sha256(data).hexdigest()
    upright = _upright(pixels, orientation)
    return Picture(upright, width, height, digest, origin, _luma_steps(image), _has_more_frames(image))


def _has_more_frames(image: Image.Image) -> bool:
    """Whether a decoded file goes on after its first frame or page; looking for the next one leaves the image useless."""
    try:
        return bool(getattr(image, "is_animated", False))
    except _DAMAGE:  # what comes next is damaged: nothing to look at
        return False


def _luma_steps(image: Image.Image) -> tuple[int, ...] | None:
    """The quantisation table of the first component, as Pillow read it when it opened the JPEG; None for other formats."""
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    table = tables.get(layers[0][3] if layers else 0, [])
    return tuple(table) if len(table) == 64 else None


def _tells_what_is_lost(data: bytes) -> bool:
    """Whether a decoder that gets the marker at the end of a JPEG complains of every pixel that is missing before it.

    It does where one scan of Huffman codes holds all components (ITU T.81, B.2). Of several scans whole ones may be missing, and
    arithmetic codes go on for ever.
    """
    at, components = 2, 0
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a byte that fills
            at += 1
            continue
        if marker in (0xC0, 0xC1):
            components = data[at + 9]
        elif marker == 0xDA:
            return 0 < components == data[at + 4]
        elif 0xC2 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return False
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _turbo(data: bytes, image: Image.Image, reduce_to: int | None) -> Pixels | None:
    """A colour or grey JPEG decoded by libjpeg-turbo, or None when that is Pillow's to judge: inks, or anything suspicious.

    Strict decoding refuses truncated data, but harmless oddities too, such as stray bytes between segments.
    """
    if image.mode not in ("RGB", "L"):
        return None
    least: dict[str, int] = {}
    if reduce_to is not None:
        side = max(image.size)
        halvings = next((n for n in (8, 4, 2) if -(-side // n) >= reduce_to), 1)
        if halvings > 1:
            least = {"min_width" if image.width >= image.height else "min_height": -(-side // halvings)}
    profiled = profile_transform(image.info.get("icc_profile"), image.mode) is not None
    try:
        decoded: Pixels = simplejpeg.decode_jpeg(
            data, "GRAY" if profiled and image.mode == "L" else "RGB", strict=True, **least
        )
    except ValueError:
        return None
    if not profiled and (reduce_to is None or max(decoded.shape) < 2 * reduce_to):
        return decoded
    plain = Image.fromarray(decoded[:, :, 0] if decoded.shape[2] == 1 else decoded)
    plain.info["icc_profile"] = image.info.get("icc_profile")
    return np.array(to_srgb(plain, reduce_to))


def _from_pil(image: Image.Image, max_pixels: int, reduce_to: int | None) -> Picture:
    if min(image.size) < 1:
        raise PictureError("empty", "the PIL image has no pixels")
    _check_size(image.width, image.height, max_pixels)
    with _pillow_errors(image.format or "PIL"), _pillow_limit.lifted_for(image.width * image.height):
        image.load()
        pixels = _upright(np.array(to_srgb(image)), _orientation(image))
    return _whole(pixels, "PIL", reduce_to)


def _from_array(array: np.ndarray[Any, Any], max_pixels: int, reduce_to: int | None) -> Picture:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise PictureError(
            "unsupported",
            f"an array of shape {array.shape} and type {array.dtype} is no picture",
            hint="uint8 RGB of shape (height, width, 3); PIL.Image.fromarray reads grey and RGBA arrays",
        )
    if not array.size:
        raise PictureError("empty", f"the array has no pixels: shape {array.shape}")
    _check_size(array.shape[1], array.shape[0], max_pixels)
    return _whole(np.ascontiguousarray(array), "array", reduce_to)


def _whole(pixels: Pixels, origin: str, reduce_to: int | None) -> Picture:
    """A Picture of pixels that were never a file. Its digest covers the size too: plain pictures differ in nothing else."""
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(b"%d x %d\n" % (width, height))
    digest.update(pixels.data)
    if reduce_to is not None and max(width, height) >= 2 * reduce_to:
        pixels = np.array(to_srgb(Image.fromarray(pixels), reduce_to))
    return Picture(pixels, width, height, digest.hexdigest(), origin)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureError(
            "too_many_pixels",
            f"{width} x {height} pixels are more than {max_pixels}",
            hint="--max-pixels raises the limit",
        )


def _check_scans(image: Image.Image, data: bytes) -> None:
    # FF DA cannot occur within coded data, where FF is followed by 00; only progressive files have scans without data
    if image.info.get("progressive") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise PictureError("unsupported", f"a progressive JPEG of {scans} scans, more than {MAX_SCANS}")


def _refuse_raw(image: Image.Image) -> None:
    """Raw camera files are TIFFs whose first picture is a thumbnail: decoding that would hide what was not looked at."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    subfile = tags.get(_NEW_SUBFILE_TYPE, 0)
    if _DNG_VERSION in tags or (isinstance(subfile, int) and subfile & _REDUCED):
        raise PictureError(
            "unsupported", "a raw camera file, or a TIFF that begins with a thumbnail", hint="save it as JPEG or PNG"
        )


def _orientation(image: Image.Image) -> int:
    """How the pixels must be turned, 1 to 8 as in EXIF; 1 where nothing, or nothing sensible, is said."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:  # the picture is decoded: broken metadata only costs its orientation
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """(h, w, 3) pixels turned by an EXIF orientation, C-contiguous."""
    if orientation in _FLIPS:
        return np.asarray(cv2.flip(pixels, _FLIPS[orientation]), np.uint8)
    if orientation in _ROTATIONS:
        return np.asarray(cv2.rotate(pixels, _ROTATIONS[orientation]), np.uint8)
    if orientation in (5, 7):
        turned = cv2.transpose(pixels)
        return np.asarray(turned if orientation == 5 else cv2.rotate(turned, cv2.ROTATE_180), np.uint8)
    return pixels


@contextmanager
def _pillow_errors(kind: str) -> Iterator[None]:
    """What Pillow raises on a bad file, as a PictureError."""
    try:
        yield
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # only where a plugin learns a size late: a frame that reaches beyond the screen of its GIF
        raise PictureError("too_many_pixels", str(error)) from error
    except MemoryError as error:
        raise PictureError("too_many_pixels", f"this {kind} needs more memory than there is") from error
    except _DAMAGE as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, KeyError) or (isinstance(error.__cause__, KeyError) and not _NOT_READ.search(words)):
            # a number that a plugin's tables lack: "unsupported mode", as Pillow's own source says where it catches them
            words = f"unsupported value {words}"
        if isinstance(error, NotImplementedError) or _NOT_READ.search(words):
            raise PictureError("unsupported", f"this {kind} is of a kind that is not decoded: {words}") from error
        raise PictureError("truncated", f"this {kind} is cut short or damaged: {words}") from error


class _PillowLimit:
    """Pillow's own limit on pixels, put aside while any thread reads a picture that is above it but within our budget."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readers = 0
        self.limit: int | None = None

    @contextmanager
    def lifted_for(self, pixels: int) -> Iterator[None]:
        """Nothing for pictures below the limit; above it, Pillow would warn, and raise above twice the limit.

        Plugins look at a module variable, so programs around us see it change for that time, and come back.
        """
        with self.lock:
            limit = self.limit if self.readers else Image.MAX_IMAGE_PIXELS
            above = limit is not None and pixels > limit
            if above:
                self.limit, Image.MAX_IMAGE_PIXELS = limit, None
                self.readers += 1
        try:
            yield
        finally:
            if above:
                with self.lock:
                    self.readers -= 1
                    if not self.readers:
                        Image.MAX_IMAGE_PIXELS = self.limit


_pillow_limit = _PillowLimit()
