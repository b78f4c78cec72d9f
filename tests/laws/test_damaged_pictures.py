"""Whatever happens to a file, reading it gives a picture or a PictureError, and ends."""

from __future__ import annotations

import odd_pictures as odd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vision.errors import PictureError
from vision.images import read_picture
from vision.images.formats import recognise

# Pillow warns of broken metadata, which is no error here; the module sets this filter itself, pytest puts its own above.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin"),
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.JpegImagePlugin"),
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.PngImagePlugin"),
]
# no deadline: the machine may be busy
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.sampled_from(sorted(odd.ordinary()))
places = st.floats(0, 1, exclude_max=True)
reductions = st.sampled_from([None, 10])
# what parsers stumble over: zeros, ends of signed and unsigned ranges, small counts
numbers = st.sampled_from(
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0", b"\1"]
)


def reads_or_refuses(data: bytes, reduce_to: int | None) -> None:
    try:
        picture = read_picture(data, max_pixels=4_000_000, reduce_to=reduce_to)
    except PictureError as error:
        assert error.code in {"empty", "not_an_image", "truncated", "too_many_pixels", "unsupported"}
        assert error.message
        return
    height, width = picture.pixels.shape[:2]
    assert 0 < width <= picture.width
    assert 0 < height <= picture.height
    assert picture.width * picture.height <= 4_000_000


@given(names, places, reductions)
@quick
def test_a_file_cut_anywhere(name: str, place: float, reduce_to: int | None) -> None:
    data = odd.ordinary()[name]
    reads_or_refuses(data[: int(place * len(data))], reduce_to)


@given(names, st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=8), reductions)
@quick
def test_a_file_with_flipped_bits(name: str, flips: list[tuple[float, int]], reduce_to: int | None) -> None:
    data = bytearray(odd.ordinary()[name])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    reads_or_refuses(bytes(data), reduce_to)


@given(names, places, numbers, reductions)
@quick
def test_a_file_with_an_absurd_number_in_its_header(
    name: str, place: float, number: bytes, reduce_to: int | None
) -> None:
    data = bytearray(odd.ordinary()[name])
    at = int(place * min(len(data), 300))
    data[at : at + len(number)] = number
    reads_or_refuses(bytes(data), reduce_to)


@given(names, places, places, st.binary(max_size=30))
@quick
def test_a_file_with_a_piece_replaced(name: str, start: float, end: float, piece: bytes) -> None:
    data = odd.ordinary()[name]
    first, last = sorted((int(start * len(data)), int(end * len(data))))
    reads_or_refuses(data[:first] + piece + data[last:], None)


@given(st.binary(max_size=200))
@quick
def test_bytes_of_any_kind(data: bytes) -> None:
    reads_or_refuses(data, None)


@given(names, st.binary(max_size=200))
@quick
def test_bytes_that_begin_like_a_picture(name: str, data: bytes) -> None:
    start = odd.ordinary()[name][:16]
    recognise(start)
    reads_or_refuses(start + data, None)
