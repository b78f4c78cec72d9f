"""Pictures made byte by byte or by Pillow, ordinary and odd ones, for the tests of reading and finding. Nothing is random."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image, ImageCms

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def colours(width: int = 48, height: int = 32) -> np.ndarray:
    """(height, width, 3) uint8: a smooth picture without any symmetry, so that a wrong turn or channel order shows."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 180 * x / width
    green = 30 + 200 * y / height
    blue = 220 - 150 * x * y / (width * height)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_png_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + png_chunk(kind, content) + png[at:]


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims that size, with hardly any pixels after it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def tiff(pixels: bytes, width: int, height: int, **tags: int) -> bytes:
    """A little-endian, uncompressed TIFF of one strip. tags: bits, photometric, samples, and t<number> for any other."""
    values = {
        256: width,
        257: height,
        258: tags.pop("bits", 8),
        259: 1,
        262: tags.pop("photometric", 1),
        273: 0,
        277: tags.pop("samples", 1),
        278: height,
        279: len(pixels),
    } | {int(name[1:]): value for name, value in tags.items()}
    values[273] = 8 + 2 + 12 * len(values) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + b"\0\0\0\0" + pixels


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG without its Adobe segment (APP14)."""
    at = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg[:at] + jpeg[at + 2 + length :]


def with_jpeg_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


@cache
def ordinary() -> dict[str, bytes]:
    """One small file of each format and of each path through the decoder, all of the same colours."""
    image = Image.fromarray(colours())
    grey = image.convert("L")
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - colours())]}
    return {
        "jpeg": encoded(image, "JPEG", quality=90, exif=exif_with(6), icc_profile=SRGB_PROFILE),
        "progressive jpeg": encoded(image, "JPEG", quality=90, progressive=True),
        "grey jpeg": encoded(grey, "JPEG", quality=90),
        "cmyk jpeg": encoded(image.convert("CMYK"), "JPEG", quality=90),
        "png": encoded(image, "PNG", exif=exif_with(3), icc_profile=SRGB_PROFILE),
        "palette png": encoded(image.quantize(16), "PNG", transparency=3),
        "16-bit png": encoded(Image.fromarray(np.arange(1536, dtype=np.uint16).reshape(32, 48) * 40), "PNG"),
        "webp": encoded(image, "WEBP", quality=90, exif=exif_with(6)),
        "lossless webp": encoded(image, "WEBP", lossless=True),
        "moving webp": encoded(image, "WEBP", lossless=True, **frames),
        "gif": encoded(image, "GIF", **frames),
        "bmp": encoded(image, "BMP"),
        "palette bmp": encoded(image.quantize(200), "BMP"),
        "tiff": encoded(image, "TIFF", exif=exif_with(8)),
        "lzw tiff": encoded(image, "TIFF", compression="tiff_lzw"),
        "jpeg tiff": encoded(image, "TIFF", compression="jpeg"),
        "float tiff": encoded(Image.fromarray(colours()[..., 0].astype(np.float32)), "TIFF"),
        "avif": encoded(image, "AVIF", quality=90),
    }
