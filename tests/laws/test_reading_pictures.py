"""Every kind of picture ends as upright sRGB, and what cannot be read says why with the right code."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import odd_pictures as odd
import pytest
from PIL import Image, ImageCms

import vision
from vision.errors import PictureError, UsageError
from vision.images import decode, read_picture
from vision.images.decode import _PillowLimit
from vision.images.files import read_file
from vision.values import Picture

COLOURS = odd.colours()


def apart(a: np.ndarray, b: np.ndarray) -> int:
    """The largest difference of any channel of any pixel."""
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def code_of(source: object, **options: int) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(source, **options)
    return caught.value.code


def grey_of(source: bytes) -> np.ndarray:
    """The levels of a picture that must be grey."""
    pixels = read_picture(source).pixels
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


# What every picture becomes


@pytest.mark.parametrize("name", sorted(odd.ordinary()))
def test_every_format_ends_as_contiguous_rgb_bytes_with_its_full_size(name: str) -> None:
    data = odd.ordinary()[name]
    picture = read_picture(data)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == (picture.height, picture.width, 3)
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    assert {picture.width, picture.height} == {48, 32}
    assert picture.origin == "bytes"


@pytest.mark.parametrize("name", ["progressive jpeg", "lossless webp", "moving webp", "bmp", "lzw tiff", "avif", "gif"])
def test_the_colours_of_every_format_are_those_that_were_saved(name: str) -> None:
    tolerance = {"progressive jpeg": 16, "avif": 16, "gif": 40}.get(name, 0)
    assert apart(read_picture(odd.ordinary()[name]).pixels, COLOURS) <= tolerance


def test_the_digest_is_that_of_the_encoded_bytes(tmp_path: Path) -> None:
    import hashlib

    data = odd.ordinary()["png"]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert read_picture(data).sha256 == read_picture(path).sha256 == hashlib.sha256(data).hexdigest()


def test_the_suffix_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(odd.ordinary()["png"])
    assert read_picture(path).width == 48
    assert read_picture(str(path)).origin == str(path)


def test_orientations_turn_corners_to_where_exif_says() -> None:
    corners = np.array([[10, 60], [120, 250]], np.uint8)  # top left, top right; bottom left, bottom right
    image = Image.fromarray(np.stack([corners] * 3, axis=-1))
    upright = {
        1: [[10, 60], [120, 250]],
        2: [[60, 10], [250, 120]],
        3: [[250, 120], [60, 10]],
        4: [[120, 250], [10, 60]],
        5: [[10, 120], [60, 250]],
        6: [[120, 10], [250, 60]],
        7: [[250, 60], [120, 10]],
        8: [[60, 250], [10, 120]],
    }
    for orientation, wanted in upright.items():
        data = odd.encoded(image, "PNG", exif=odd.exif_with(orientation))
        assert grey_of(data).tolist() == wanted, orientation


def test_a_broken_orientation_is_ignored() -> None:
    plain = odd.encoded(Image.fromarray(COLOURS), "JPEG", quality=90)
    for orientation in (0, 9, 65535):
        data = odd.encoded(Image.fromarray(COLOURS), "JPEG", quality=90, exif=odd.exif_with(orientation))
        assert apart(read_picture(data).pixels, read_picture(plain).pixels) == 0
    garbage = odd.with_jpeg_segment(plain, 0xE1, b"Exif\0\0no TIFF header at all")
    assert apart(read_picture(garbage).pixels, read_picture(plain).pixels) == 0


# Modes


def test_cmyk_jpegs_of_adobe_are_not_inverted() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    red = read_picture(odd.encoded(inks, "JPEG", quality=95)).pixels[8, 8]
    assert red[0] > 240
    assert red[1:].max() < 15
    assert b"Adobe" in odd.encoded(inks, "JPEG")
    # without the marker the inks are inverted too, as all programs that write such files do
    assert read_picture(odd.without_adobe(odd.encoded(inks, "JPEG", quality=95))).pixels[8, 8, 0] > 240


def test_ycck_jpegs_come_out_as_their_inks() -> None:
    # Pillow writes CMYK only, but four planes whose Adobe marker says YCCK are one in every respect. Adobe stores inks
    # inverted, and libjpeg inverts once more from YCC: ink is the colour itself. No cyan, all magenta and yellow is red.
    stored = (179, 171, 1, 255)  # (0, 255, 255) as Y, Cb, Cr; no black
    planes = Image.merge("CMYK", [Image.new("L", (16, 16), 255 - level) for level in stored])
    data = bytearray(odd.encoded(planes, "JPEG", quality=98))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    pixel = read_picture(bytes(data)).pixels[8, 8]
    assert pixel[0] > 240
    assert pixel[1:].max() < 15
    import cv2

    assert cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)[8, 8, 2] > 240  # BGR: red there too


def test_transparency_is_laid_on_white() -> None:
    half = Image.new("RGBA", (4, 4), (200, 0, 100, 128))
    assert read_picture(odd.encoded(half, "PNG")).pixels[0, 0].tolist() == [227, 127, 177]
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    for kind in ("PNG", "WEBP", "TIFF", "AVIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert (read_picture(odd.encoded(clear, kind, **options)).pixels == 255).all(), kind


def test_grey_with_alpha_is_laid_on_white() -> None:
    assert grey_of(odd.encoded(Image.new("LA", (3, 3), (50, 0)), "PNG")).max() == 255
    assert grey_of(odd.encoded(Image.new("LA", (3, 3), (50, 255)), "PNG")).max() == 50


def test_artwork_for_dark_grounds_is_laid_on_black() -> None:
    drawn = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    drawn.paste((255, 255, 255, 255), (5, 5, 15, 15))
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        grey = grey_of(odd.encoded(drawn, kind, **options))
        assert (grey[0, 0], grey[10, 10]) == (0, 255), kind
    grey = grey_of(odd.encoded(drawn.convert("LA"), "PNG"))
    assert (grey[0, 0], grey[10, 10]) == (0, 255)
    large = drawn.resize((800, 800), Image.Resampling.NEAREST)
    for options in ({}, {"reduce_to": 100}):
        assert read_picture(odd.encoded(large, "PNG"), **options).pixels[0, 0].tolist() == [0, 0, 0]
    large.paste(
        (200, 30, 30, 255), (300, 300, 330, 330)
    )  # print, half a per cent of the ink: the rest can be seen on white
    for options in ({}, {"reduce_to": 100}):
        assert read_picture(odd.encoded(large, "PNG"), **options).pixels[0, 0].tolist() == [255, 255, 255]
    opaque = Image.new("RGBA", (4, 4), (255, 255, 255, 255))
    assert grey_of(odd.encoded(opaque, "PNG")).min() == 255


def test_palettes_with_transparency_are_laid_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    one = odd.encoded(palette, "PNG", transparency=0)
    assert read_picture(one).pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]
    each = odd.encoded(palette, "PNG", transparency=bytes([255, 128]))  # an alpha for every colour
    assert read_picture(each).pixels.tolist() == [[[255, 0, 0], [127, 127, 255]]]
    gif = odd.encoded(palette, "GIF", transparency=0)
    assert read_picture(gif).pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_one_colour_declared_transparent_becomes_white() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (1, 2, 3))
    data = odd.encoded(image, "PNG", transparency=(1, 2, 3))
    assert read_picture(data).pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    deep = odd.encoded(Image.fromarray(np.array([[7, 65535, 30000]], np.uint16)), "PNG")
    deep = odd.with_png_chunk(deep, b"tRNS", struct.pack(">H", 7))
    assert grey_of(deep).tolist() == [[255, 255, 117]]


def test_two_colour_pictures_are_black_and_white() -> None:
    image = Image.new("1", (9, 2))
    image.putpixel((3, 1), 1)
    assert sorted(np.unique(grey_of(odd.encoded(image, "PNG")))) == [0, 255]
    assert grey_of(odd.encoded(image, "TIFF", compression="group4"))[1, 3] == 255


def test_sixteen_bits_are_scaled_over_their_whole_range() -> None:
    values = np.array([[0, 128, 257, 32768, 65407, 65535]], np.uint16)
    wanted = [[0, 0, 1, 128, 255, 255]]
    assert grey_of(odd.encoded(Image.fromarray(values), "PNG")).tolist() == wanted
    assert grey_of(odd.encoded(Image.fromarray(values), "TIFF")).tolist() == wanted
    big_endian = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    assert grey_of(odd.encoded(big_endian, "TIFF")).tolist() == wanted
    assert grey_of(odd.tiff(values.tobytes(), 6, 1, bits=16)).tolist() == wanted
    assert grey_of(odd.tiff(values.tobytes(), 6, 1, bits=16, photometric=0)).tolist() == [[255, 255, 254, 127, 0, 0]]


def test_twelve_bits_are_scaled_over_their_own_range() -> None:
    packed = bytes([0xFF, 0xF8, 0x00, 0x00, 0x00, 0x00])  # 4095, 2048, 0, 0
    assert grey_of(odd.tiff(packed, 4, 1, bits=12)).tolist() == [[255, 128, 0, 0]]


def test_floats_are_light_or_bytes_or_stretched() -> None:
    def levels(values: list[float]) -> list[int]:
        image = Image.fromarray(np.array([values], np.float32))
        return grey_of(odd.encoded(image, "TIFF"))[0].tolist()

    assert levels([0.0, 0.5, 1.0]) == [0, 128, 255]
    assert levels([0.0, 0.25, 0.5]) == [0, 64, 128]
    assert levels([0.0, 7.0, 200.0]) == [0, 7, 200]
    assert levels([-1.0, 0.0, 1.0]) == [0, 128, 255]
    assert levels([1000.0, 1500.0, 2000.0]) == [0, 128, 255]
    assert levels([np.nan, np.inf, -np.inf, 0.5]) == [0, 255, 0, 128]
    assert levels([np.nan, np.nan]) == [0, 0]
    assert levels([-5.0, -5.0]) == [0, 0]


def test_pictures_of_many_blocks_are_as_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    floats = random.normal(0, 300, (37, 23)).astype(np.float32)
    floats[3, 4], floats[20, 1], floats[36, 22] = np.nan, np.inf, -np.inf
    wide = random.integers(-(2**31), 2**31, (37, 23), dtype=np.int64).astype(np.int32)
    deep = random.integers(0, 65536, (37, 23), dtype=np.uint16)
    images = [odd.encoded(Image.fromarray(values), "TIFF") for values in (floats, wide, deep)]
    whole = [grey_of(image).tolist() for image in images]
    monkeypatch.setattr("vision.images.colour._BLOCK", 50)
    assert [grey_of(image).tolist() for image in images] == whole
    assert len({v for row in whole[0] for v in row}) > 100


def test_wide_integers_are_bytes_or_16_bits_or_stretched() -> None:
    def levels(values: list[int]) -> list[int]:
        return grey_of(odd.encoded(Image.fromarray(np.array([values], np.int32)), "TIFF"))[0].tolist()

    assert levels([0, 7, 200]) == [0, 7, 200]
    assert levels([0, 257, 65535]) == [0, 1, 255]
    assert levels([-1000, 0, 1000]) == [0, 128, 255]
    assert levels([0, 2**30, 2**31 - 1]) == [0, 128, 255]


def test_lab_becomes_srgb() -> None:
    lab = Image.new("LAB", (4, 4), (0, 0, 0))
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = transform.apply(Image.new("RGB", (4, 4), (180, 60, 90)))
    assert apart(read_picture(odd.encoded(lab, "TIFF")).pixels[:1, :1], np.array([[[180, 60, 90]]])) <= 2


def test_animations_give_their_first_frame_and_say_that_they_go_on() -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    for kind, options in {
        "GIF": {},
        "WEBP": {"lossless": True},
        "PNG": {},
        "TIFF": {},
        "AVIF": {"quality": 100},
    }.items():
        moving = read_picture(odd.encoded(first, kind, save_all=True, append_images=[second], **options))
        still = read_picture(odd.encoded(first, kind, **options))
        for picture in (moving, still):
            assert apart(picture.pixels[4:5, 4:5], np.array([[[255, 0, 0]]])) <= 3, kind
        assert (moving.more_frames, still.more_frames) == (True, False), kind


def test_phone_photos_with_a_second_picture_inside_give_the_photo() -> None:
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    data = odd.encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert apart(read_picture(data).pixels, COLOURS) <= 12
    assert not read_picture(data).more_frames


# Profiles


def wide_gamut_profile() -> bytes:
    """sRGB with the columns of red and green exchanged: a valid profile under which red is green."""
    profile = bytearray(odd.SRGB_PROFILE)
    count = int.from_bytes(profile[128:132], "big")
    at = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_profiles_are_followed_into_srgb(kind: str) -> None:
    image = Image.new("RGB", (16, 16), (255, 0, 0))
    options = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 100}, "WEBP": {"lossless": True}}[kind]
    data = odd.encoded(image, kind, icc_profile=wide_gamut_profile(), **options)
    assert apart(read_picture(data).pixels[8:9, 8:9], np.array([[[0, 255, 0]]])) <= 4


@pytest.mark.parametrize("profile", [b"", b"no profile", odd.SRGB_PROFILE[:200], b"\xff" * 3000])
def test_broken_profiles_are_ignored(profile: bytes) -> None:
    for kind in ("JPEG", "PNG"):
        plain = read_picture(odd.encoded(Image.fromarray(COLOURS), kind))
        tagged = read_picture(odd.encoded(Image.fromarray(COLOURS), kind, icc_profile=profile))
        assert apart(tagged.pixels, plain.pixels) == 0


def test_profiles_of_another_colour_space_are_ignored() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    tagged = odd.encoded(inks, "JPEG", quality=95, icc_profile=odd.SRGB_PROFILE)
    assert apart(read_picture(tagged).pixels, read_picture(odd.encoded(inks, "JPEG", quality=95)).pixels) == 0


def test_srgb_by_its_own_profile_changes_nothing() -> None:
    plain = odd.encoded(Image.fromarray(COLOURS), "JPEG", quality=90)
    tagged = odd.encoded(Image.fromarray(COLOURS), "JPEG", quality=90, icc_profile=odd.SRGB_PROFILE)
    assert apart(read_picture(tagged).pixels, read_picture(plain).pixels) == 0


# Reduced decoding


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turned", [1, 6])
def test_a_reduced_picture_stays_above_its_bound_and_knows_its_full_size(kind: str, turned: int) -> None:
    large = odd.colours(401, 239)
    data = odd.encoded(Image.fromarray(large), kind, exif=odd.exif_with(turned))
    full = read_picture(data)
    for bound in (1, 30, 50, 100, 101, 200, 201, 400, 401, 1000):
        small = read_picture(data, reduce_to=bound)
        assert (small.width, small.height) == (full.width, full.height)
        assert max(small.pixels.shape) >= min(bound, 401)
        assert max(small.pixels.shape) < 2 * bound or max(small.pixels.shape) <= 401 // 8 + 1
        assert small.sha256 == full.sha256
        if max(small.pixels.shape) > 40:
            shrunk = Image.fromarray(full.pixels).resize(small.pixels.shape[1::-1], Image.Resampling.BOX)
            assert np.abs(small.pixels.astype(float) - np.asarray(shrunk)).mean() < 3


def test_transparent_pixels_do_not_bleed_into_a_reduced_picture() -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))  # clear black
    image.paste((200, 30, 30, 255), (0, 0, 33, 64))
    edge = read_picture(odd.encoded(image, "PNG"), reduce_to=32).pixels[10, 16]
    assert apart(edge[None, None], np.array([[[228, 142, 142]]])) <= 2  # half red, half white; not half black


def test_an_array_and_a_pil_image_are_reduced_alike() -> None:
    large = odd.colours(400, 240)
    from_array, from_pil = read_picture(large, reduce_to=100), read_picture(Image.fromarray(large), reduce_to=100)
    assert from_array.pixels.shape == from_pil.pixels.shape == (60, 100, 3)
    assert apart(from_array.pixels, from_pil.pixels) == 0
    assert (from_array.width, from_array.height) == (400, 240)
    assert from_array.sha256 == from_pil.sha256 == read_picture(large).sha256


# Other sources


def test_a_picture_comes_back_as_it_is() -> None:
    picture = read_picture(COLOURS)
    assert isinstance(picture, Picture)
    assert read_picture(picture) is picture


def test_pil_images_are_read_like_their_files() -> None:
    for name in ("jpeg", "palette png", "16-bit png", "cmyk jpeg", "webp", "tiff"):
        data = odd.ordinary()[name]
        with Image.open(io.BytesIO(data)) as image:
            picture = read_picture(image)
        assert apart(picture.pixels, read_picture(data).pixels) <= 1, name
        assert picture.origin == "PIL"


def test_an_orientation_set_on_a_pil_image_counts() -> None:
    image = Image.fromarray(COLOURS)
    image.getexif()[0x0112] = 6
    assert read_picture(image).pixels.shape == (48, 32, 3)


def test_arrays_that_are_not_rgb_bytes_are_refused_with_advice() -> None:
    for array in (COLOURS[..., 0], COLOURS.astype(np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(PictureError, match=r"uint8 RGB of shape \(height, width, 3\)") as caught:
            read_picture(array)
        assert caught.value.code == "unsupported"
    assert code_of(np.zeros((0, 4, 3), np.uint8)) == "empty"
    assert code_of(COLOURS, max_pixels=1000) == "too_many_pixels"
    assert apart(read_picture(COLOURS[:, ::-1]).pixels, COLOURS[:, ::-1]) == 0  # not contiguous


def test_pictures_of_one_colour_and_another_shape_have_other_digests() -> None:
    tall, wide = np.zeros((4, 2, 3), np.uint8), np.zeros((2, 4, 3), np.uint8)
    assert read_picture(tall).sha256 != read_picture(wide).sha256


def test_things_that_are_no_pictures_are_refused() -> None:
    for source in (None, 7, ["a.jpg"], io.BytesIO(odd.ordinary()["png"])):
        assert code_of(source) == "unsupported"
    assert read_picture(bytearray(odd.ordinary()["png"])).width == 48


def test_limits_below_one_are_wrong_usage() -> None:
    for options in ({"max_pixels": 0}, {"reduce_to": 0}):
        with pytest.raises(UsageError):
            read_picture(COLOURS, **options)


def test_the_name_is_public() -> None:
    assert vision.read_picture is read_picture


# What cannot be read


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"just some words", "no picture"),
        (b"BMW is a brand, not a bitmap", "no picture"),
        (b"  <!DOCTYPE html><html>", "a web page"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<svg/>", "an SVG drawing"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "no picture"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (bytes(range(256)) * 8, "no picture"),
        (b"\xff", "no picture"),
        (b"\0" * 5000, "no picture"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes, found: str) -> None:
    with pytest.raises(PictureError, match=found) as caught:
        read_picture(content)
    assert caught.value.code == "not_an_image"


@pytest.mark.parametrize(
    "content",
    [
        b"8BPS\0\1" + bytes(40),
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\0\0\1\0\1\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        odd.tiff(bytes(4), 2, 2, t254=1),
        odd.tiff(bytes(4), 2, 2, t50706=1),
        odd.tiff(bytes(40), 2, 2, bits=8, samples=9),
        odd.tiff(bytes(40), 2, 2, t259=34712),  # JPEG 2000 inside
    ],
)
def test_pictures_of_kinds_that_are_not_decoded_are_unsupported(content: bytes) -> None:
    assert code_of(content) == "unsupported"


def test_a_file_of_more_bytes_than_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(40 << 30)  # takes no room on the disk
    with pytest.raises(PictureError, match="42,949,672,960 bytes") as caught:
        read_picture(path)
    assert caught.value.code == "unsupported"


def test_twelve_bit_jpegs_are_unsupported() -> None:
    data = bytearray(odd.ordinary()["grey jpeg"])
    data[data.index(b"\xff\xc0") + 4] = 12
    assert code_of(bytes(data)) == "unsupported"


def test_nothing_is_empty() -> None:
    assert code_of(b"") == "empty"


@pytest.mark.parametrize("name", sorted(set(odd.ordinary()) - {"gif", "moving webp"}))
def test_half_a_file_is_truncated(name: str) -> None:
    data = odd.ordinary()[name]
    assert code_of(data[: len(data) // 2]) == "truncated"


def test_a_large_jpeg_cut_in_its_pixels_is_truncated_at_every_scale() -> None:
    data = odd.encoded(Image.fromarray(odd.colours(640, 480)), "JPEG", quality=95)
    for options in ({}, {"reduce_to": 80}):
        assert code_of(data[: len(data) * 9 // 10], **options) == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_only_the_marker_at_its_end_is_whole(mode: str) -> None:
    data = odd.encoded(Image.fromarray(odd.colours(640, 480)).convert(mode), "JPEG", quality=90)
    whole = read_picture(data)
    for cut in (1, 2):
        assert apart(read_picture(data[:-cut]).pixels, whole.pixels) == 0
    assert apart(read_picture(data[:-2], reduce_to=80).pixels, read_picture(data, reduce_to=80).pixels) == 0
    assert code_of(data[:-40]) == "truncated"


def test_a_jpeg_that_cannot_tell_what_is_lost_needs_its_end_marker() -> None:
    """One component a scan: what was cut after the first came back as a whole grey picture. Progressive ones alike."""
    import cv2

    planes = cv2.imencode(".jpg", odd.colours(640, 480), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scans = [at for at in range(len(planes)) if planes[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 2
    assert code_of(planes[:-2]) == code_of(planes[: scans[-1]]) == "truncated"
    assert not decode._tells_what_is_lost(planes)
    baseline = odd.encoded(Image.fromarray(odd.colours(640, 480)), "JPEG", quality=90)
    frame = baseline.index(b"\xff\xc0")
    assert decode._tells_what_is_lost(baseline)
    assert not decode._tells_what_is_lost(baseline[:frame] + b"\xff\xc9" + baseline[frame + 2 :])  # arithmetic codes
    scan = baseline.index(b"\xff\xda")
    assert not decode._tells_what_is_lost(
        baseline[: scan + 4] + b"\x01" + baseline[scan + 5 :]
    )  # one of three components


def test_stray_bytes_in_a_jpeg_are_no_reason_to_fail() -> None:
    data = odd.ordinary()["progressive jpeg"]
    at = data.index(b"\xff\xdb")
    stray = data[:at] + b"\0\0\0" + data[at:]
    assert apart(read_picture(stray).pixels, read_picture(data).pixels) <= 1
    assert apart(read_picture(data + b"\0" * 999).pixels, read_picture(data).pixels) == 0
    small = read_picture(stray, reduce_to=12)
    assert (small.width, small.height, small.pixels.shape) == (48, 32, (8, 12, 3))


def test_the_budget_is_kept_before_anything_is_decoded() -> None:
    # a few bytes that claim up to 8.6 gigapixels: decoding any of them would run out of memory or time
    pixels = struct.pack("<II", 60000, 60000)
    bmp = b"BM" + bytes(12) + struct.pack("<I", 40) + pixels + struct.pack("<HHIIIIII", 1, 24, 0, 0, 0, 0, 0, 0)
    gif = (
        b"GIF89a"
        + struct.pack("<HH", 60000, 60000)
        + b"\0\0\0,\0\0\0\0"
        + struct.pack("<HH", 60000, 60000)
        + b"\0\2\0;"
    )
    jpeg = bytearray(odd.ordinary()["progressive jpeg"])
    at = jpeg.index(b"\xff\xc2")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2
    for data in (odd.png_header(90000, 90000), bmp, gif, bytes(jpeg), odd.tiff(b"\0" * 64, 60000, 60000), webp):
        assert code_of(data) in ("too_many_pixels", "truncated")
    assert code_of(odd.png_header(90000, 90000)) == code_of(bytes(jpeg)) == code_of(bmp) == "too_many_pixels"


def test_the_budget_is_ours_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow warns above its own limit and raises above twice that, which is here far below ours
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name, data in odd.ordinary().items():
        assert read_picture(data).width in (32, 48), name
    assert Image.MAX_IMAGE_PIXELS == 100
    assert code_of(odd.ordinary()["png"], max_pixels=1535) == "too_many_pixels"
    assert read_picture(odd.ordinary()["png"], max_pixels=1536).width == 48


def test_pillows_limit_is_lifted_until_the_last_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = odd.encoded(Image.fromarray(odd.colours(300, 200)), "TIFF")
    with ThreadPoolExecutor(4) as pool:
        assert [p.width for p in pool.map(read_picture, [data] * 60)] == [300] * 60
    assert Image.MAX_IMAGE_PIXELS == 100
    limit = _PillowLimit()
    first, second = limit.lifted_for(101), limit.lifted_for(101)
    with limit.lifted_for(100):
        assert Image.MAX_IMAGE_PIXELS == 100
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS is None
    second.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = odd.encoded(Image.fromarray(COLOURS), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    scan = data[first : data.index(b"\xff", first + 2)]
    bomb = data[:first] + scan * 501 + data[first:]
    assert code_of(bomb) == "unsupported"


def test_a_text_bomb_in_a_png_fails_quickly() -> None:
    bomb = zlib.compress(bytes(5_000_000), 9)
    data = odd.with_png_chunk(odd.ordinary()["png"], b"zTXt", b"words\0\0" + bomb)
    assert code_of(data) == "unsupported"


# Files


def test_missing_files_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "a.jpg", tmp_path / "dangling", tmp_path / "no" / "a.jpg", "", "a\0b.jpg"):
        assert code_of(path) == "not_found"
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "a.jpg")
    assert caught.value.path == str(tmp_path / "a.jpg")
    assert str(tmp_path / "a.jpg") in str(caught.value)


def test_a_file_below_a_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(odd.ordinary()["jpeg"])
    assert code_of(tmp_path / "a.jpg" / "b.jpg") == "not_found"


def test_folders_pipes_sockets_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    paths = [tmp_path, tmp_path / "pipe.jpg", tmp_path / "link.jpg", Path("/dev/zero"), Path("/dev/null")]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        paths.append(tmp_path / "s")
        for path in paths:
            assert code_of(path) == "unsupported", path


def test_a_pipe_put_in_the_place_of_a_file_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(odd.ordinary()["jpeg"])

    def replaced(name: str, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return os.open(name, flags)  # would wait for a writer if it could

    with pytest.raises(PictureError, match="a pipe") as caught:
        read_file(path, opener=replaced)
    assert caught.value.code == "unsupported"
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (PermissionError(13, "Permission denied"), "not_readable"),
        (OSError(5, "Input/output error"), "not_readable"),
        (FileNotFoundError(2, "vanished"), "not_found"),
        (IsADirectoryError(21, "Is a directory"), "unsupported"),
    ],
)
def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, failure: OSError, code: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(odd.ordinary()["jpeg"])

    def refuses(name: str, flags: int) -> int:
        raise failure

    with pytest.raises(PictureError) as caught:
        read_file(path, opener=refuses)
    assert caught.value.code == code


def test_links_in_a_circle_are_not_readable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    assert code_of(tmp_path / "a.jpg") == "not_readable"


def test_a_huge_file_that_is_no_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 42)  # 4 TiB of holes
    assert code_of(path) == "not_an_image"


@pytest.mark.parametrize("name", ["two\nlines.png", "\U0001f600 smile.png", b"caf\xe9.png", "-.png", "a b.png"])
def test_any_name_can_be_read(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(odd.ordinary()["png"])
    assert read_picture(path).origin == str(path)


def test_heic_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match=r"pip install .*\[heic\]") as caught:
        read_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    assert caught.value.code == "unsupported"


def test_heic_is_read_with_its_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(odd.colours(64, 48))).save(stream, quality=90)
    picture = read_picture(stream.getvalue())
    assert np.abs(picture.pixels.astype(int) - odd.colours(64, 48)).mean() < 4
    assert code_of(stream.getvalue(), max_pixels=3000) == "too_many_pixels"
    assert code_of(stream.getvalue()[:-200]) == "truncated"
