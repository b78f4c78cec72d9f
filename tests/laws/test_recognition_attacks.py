"""Attacks on crops: what each does to the pixels and to the box."""

import numpy as np
import pytest

from vision.evaluate.recognition.attacks import ATTACKS, turned
from vision.evaluate.recognition.crops import shaken


def piece():
    pixels = np.full((80, 120, 3), 200, np.uint8)
    pixels[20:60, 30:90] = (180, 40, 30)
    pixels[20:30, 30:40] = (10, 10, 120)  # one corner differs, so that turns can be told apart
    return pixels, np.array([30, 20, 90, 60], np.float32)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_changes_pixels_keeps_its_input_and_leaves_a_box_inside(name):
    pixels, box = piece()
    before, where = pixels.copy(), box.copy()
    changed, moved = ATTACKS[name](pixels, box, np.random.default_rng(0))
    assert (pixels == before).all()
    assert (box == where).all()
    assert changed.dtype == np.uint8
    assert changed.shape[2] == 3
    assert changed.shape != pixels.shape or (changed != pixels).any()
    height, width = changed.shape[:2]
    assert (moved >= -0.5).all()
    assert moved[2] <= width + 0.5
    assert moved[3] <= height + 0.5


def test_a_quarter_turn_is_numpys():
    pixels, box = piece()
    changed, moved = turned(90)(pixels, box, np.random.default_rng(0))
    assert (changed == np.rot90(pixels, -1)).all()
    assert moved == pytest.approx([80 - 60, 30, 80 - 20, 90], abs=0.01)


def test_half_a_turn_and_a_mirror_move_the_box_with_the_mark():
    pixels, _ = piece()
    box = np.array([30, 20, 60, 60], np.float32)  # off the middle
    changed, moved = turned(180)(pixels, box, np.random.default_rng(0))
    assert (changed == pixels[::-1, ::-1]).all()
    assert moved == pytest.approx([60, 20, 90, 60], abs=0.01)
    _, mirrored = ATTACKS["mirror"](pixels, box, np.random.default_rng(0))
    assert mirrored.tolist() == [60, 20, 90, 60]


def test_a_slight_turn_keeps_the_mark_in_its_box_but_for_the_corners():
    pixels, box = piece()
    changed, moved = turned(15)(pixels, box, np.random.default_rng(0))
    red = np.argwhere(changed[..., 1] < 100)
    inside = (red[:, 1] >= moved[0]) & (red[:, 1] <= moved[2]) & (red[:, 0] >= moved[1]) & (red[:, 0] <= moved[3])
    assert 0.88 < inside.mean() < 1


def test_a_quarter_is_erased_and_small_pictures_survive():
    pixels, box = piece()
    shares = []
    for seed in range(12):
        changed, _ = ATTACKS["erase a quarter"](pixels, box, np.random.default_rng(seed))
        shares.append((changed[20:60, 30:90] == 200).all(axis=2).mean())
    assert all(0.2 < share < 0.3 for share in shares)
    tiny, inner = (
        np.zeros((3, 4, 3), np.uint8) + np.arange(4, dtype=np.uint8)[None, :, None] * 60,
        np.array([1, 1, 2, 2]),
    )
    for name, attack in ATTACKS.items():
        changed, _ = attack(tiny, inner.astype(np.float32), np.random.default_rng(0))
        assert changed.size, name


def test_boxes_are_shaken_by_no_more_than_was_asked():
    boxes = np.tile(np.array([[10, 20, 110, 60]], np.float32), (500, 1))
    moved = np.abs(shaken(boxes, 0.15, np.random.default_rng(0)) - boxes) / np.array([100, 40, 100, 40])
    assert moved.max() <= 0.15 + 1e-6
    assert moved.max() > 0.14
    assert (shaken(boxes, 0.0, np.random.default_rng(0)) == boxes).all()
