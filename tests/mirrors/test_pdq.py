"""Our PDQ against pdqhash, the bindings of Meta's C++: bit by bit, upright and turned."""

import cv2
import numpy as np
import pdqhash
import pytest
from PIL import Image

from vision.copies import describe
from vision.copies.hashes import ORIENTATIONS
from vision.images import read_picture

TURNED_BACK = {
    "same": None,
    "mirror": Image.Transpose.FLIP_LEFT_RIGHT,
    "mirror+rotate180": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate180": Image.Transpose.ROTATE_180,
    "mirror+rotate270": Image.Transpose.TRANSPOSE,
    "rotate90": Image.Transpose.ROTATE_90,  # Pillow's turns go against the clock, and so undo ours
    "rotate270": Image.Transpose.ROTATE_270,
    "mirror+rotate90": Image.Transpose.TRANSVERSE,
}


def drawn(seed, width, height):
    """Soft light, hard edges and grain, as of a photo."""
    random = np.random.default_rng(seed)
    light = cv2.resize(random.random((5, 7, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    pixels = np.ascontiguousarray(200 * light)
    for _ in range(10):
        corner, size = random.integers(0, [width, height], 2), random.integers(2, 3 + max(width, height) // 4, 2)
        cv2.rectangle(
            pixels, tuple(map(int, corner)), tuple(map(int, corner + size)), random.integers(0, 256, 3).tolist(), -1
        )
    return np.clip(pixels + random.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)


# Up to 512 pixels nothing is resized, so both see the same numbers; below 64 and at 128, 256, 384 the filter's width changes.
SIZES = [(512, 384), (511, 129), (257, 256), (128, 127), (64, 65), (63, 40), (30, 500), (7, 5), (9, 4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", TURNED_BACK)
def test_each_orientation_is_pdqhash_of_the_turned_pixels(size, kind):
    pixels = drawn(SIZES.index(size), *size)
    how = TURNED_BACK[kind]
    image = Image.fromarray(pixels) if how is None else Image.fromarray(pixels).transpose(how)
    bits, quality = pdqhash.compute(np.array(image))
    ours = describe(read_picture(pixels))
    differ = int((np.unpackbits(ours.hashes[ORIENTATIONS.index(kind)]) != bits).sum())
    # the two coefficients around the median may change places where they are equal up to rounding
    assert differ <= 2
    if kind == "same":
        assert abs(ours.fingerprint.quality - quality) <= 1


def test_a_large_picture_differs_by_its_shrinking_only():
    pixels = drawn(9, 1500, 1100)
    ours = np.unpackbits(describe(read_picture(pixels)).hashes[0])
    shrunk = cv2.resize(pixels, (512, 375), interpolation=cv2.INTER_AREA)
    assert int((ours != pdqhash.compute(shrunk)[0]).sum()) <= 4
    # ThreatExchange lets implementations differ by 10 bits at quality 80 and more
    assert int((ours != pdqhash.compute(pixels)[0]).sum()) <= 10
