"""Laws of hashing: Hamming is a metric, pixels decide and not files, turned pixels have turned hashes, flat ones none."""

import pickle

import cv2
import numpy as np
import pytest
from copy_scenes import TURNS, page, picture, saved, scene, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.copies import describe
from vision.copies.hashes import ORIENTATIONS
from vision.copies.index import hamming
from vision.images import read_picture

HASHES = st.binary(min_size=32, max_size=32).map(lambda data: np.frombuffer(data, dtype=np.uint8))


@given(HASHES, HASHES, HASHES)
def test_hamming_is_a_metric(a, b, c):
    assert hamming(a, a) == 0
    assert hamming(a, b) == hamming(b, a)
    assert (hamming(a, b) == 0) == bytes(a).__eq__(bytes(b))
    assert hamming(a, c) <= hamming(a, b) + hamming(b, c)


@given(HASHES, st.sets(st.integers(0, 255)))
def test_hamming_counts_the_bits_that_differ(a, places):
    bits = np.unpackbits(a)
    bits[list(places)] ^= 1
    assert hamming(a, np.packbits(bits)) == len(places)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 700), st.integers(20, 700))
def test_half_of_the_bits_of_any_hash_are_set(seed, width, height):
    description = describe(picture(scene(seed, width, height)))
    assert np.unpackbits(description.hashes, axis=1).sum(axis=1).tolist() == [128] * 8


@pytest.mark.parametrize("form", ["BMP", "TIFF", "WEBP"])
def test_files_with_the_same_pixels_hash_alike(form):
    options = {"lossless": True} if form == "WEBP" else {}
    png, other = (describe(read_picture(saved(scene(1), f, **o))) for f, o in (("PNG", {}), (form, options)))
    assert other.fingerprint == png.fingerprint
    assert other.sha256 != png.sha256


@pytest.mark.parametrize("kind", TURNS)
@pytest.mark.parametrize("size", [(320, 240), (131, 500)])
def test_the_hash_of_an_orientation_is_that_of_the_turned_pixels(kind, size):
    source = describe(picture(scene(3, *size)))
    copy = describe(picture(turned(scene(3, *size), kind)))
    assert hamming(copy.hashes[ORIENTATIONS.index(kind)], source.hashes[0]) <= 2
    assert hamming(copy.content_hashes[ORIENTATIONS.index(kind)], source.content_hashes[0]) <= 8


@pytest.mark.parametrize("kind", TURNS)
def test_orientations_survive_the_shrinking_of_large_pictures(kind):
    source = describe(picture(scene(4, 900, 700)))
    copy = describe(picture(turned(scene(4, 900, 700), kind)))
    assert hamming(copy.hashes[ORIENTATIONS.index(kind)], source.hashes[0]) <= 4


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_has_no_hash_and_says_so_by_its_quality(level):
    description = describe(picture(np.full((90, 120, 3), level, np.uint8)))
    assert description.flat
    assert description.fingerprint.quality == 0
    assert description.fingerprint.content is None
    assert description.fingerprint.plain == 100


def test_a_mark_hashes_alike_wherever_it_stands_on_its_page():
    here = page(1)
    there = np.roll(here, (120, -90), axis=(0, 1))
    a, b = describe(picture(here)), describe(picture(there))
    assert hamming(a.hashes[0], b.hashes[0]) > 60
    assert hamming(a.content_hashes[0], b.content_hashes[0]) <= 8


def test_the_share_of_plain_ground_is_counted():
    assert describe(picture(page(1))).fingerprint.plain in {95, 96}
    assert describe(picture(scene(1))).fingerprint.plain < 50


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (2, 3), (7, 1200)])
def test_pictures_of_any_shape_are_described(size):
    random = np.random.default_rng(0)
    description = describe(picture(random.integers(0, 256, (*size, 3), dtype=np.uint8)))
    assert description.hashes.shape == description.content_hashes.shape == (8, 32)
    assert 0 <= description.fingerprint.quality <= 100


def test_reencoding_moves_few_bits():
    source = describe(picture(scene(5)))
    small = cv2.resize(scene(5), (200, 150), interpolation=cv2.INTER_AREA)
    copy = describe(read_picture(saved(small, "JPEG", quality=40)))
    assert hamming(copy.hashes[0], source.hashes[0]) <= 24
    assert hamming(copy.hashes[0], describe(picture(scene(6))).hashes[0]) > 90


def test_a_description_can_be_sent_to_another_process():
    sent = describe(picture(scene(7)))
    got = pickle.loads(pickle.dumps(sent))
    assert got.fingerprint == sent.fingerprint
    assert (got.hashes == sent.hashes).all()
    assert (got.content_hashes == sent.content_hashes).all()
