"""The encoder of copies: what its pairs are, what a mirror image changes, and what its figures say."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("albumentations")

import torch

from vision.copies.keypoints import Keypoints, find_keypoints
from vision.copies.local import grey_plane
from vision.errors import DatasetError
from vision.images import read_picture
from vision.training.copy_encoder import CopyEncoder, loss_of, measure
from vision.training.copy_patches import (
    MOST_PAIRS,
    SIDE,
    Pairs,
    copy_pairs,
    make_pairs,
    random_transform,
    same_corners,
    training_pictures,
    vary,
)

pytestmark = pytest.mark.train

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "datasets" / "samples" / "images").iterdir())
LOSS = {
    "parts": [{"bits": 128, "weight": 1.0, "scale": 16}, {"bits": 20, "weight": 1.0, "scale": 12}],
    "signs": {"sure": 0.2, "even": 1.0, "apart": 0.05},
}


@pytest.fixture
def plane():
    return grey_plane(read_picture(SAMPLES[0]), SIDE)


@pytest.fixture
def encoder():
    torch.manual_seed(1)
    return CopyEncoder((4, 8))


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 256), dtype=np.uint8)


def values_of(encoder, patches):
    with torch.no_grad():
        return encoder(torch.from_numpy(np.ascontiguousarray(patches))).numpy()


def test_a_mirrored_patch_gets_the_same_values(encoder):
    patches = noise(50)
    upside_down = patches.reshape(-1, 16, 16)[:, ::-1].reshape(-1, 256)
    turned_round = patches.reshape(-1, 16, 16)[:, :, ::-1].reshape(-1, 256)
    np.testing.assert_allclose(values_of(encoder, upside_down), values_of(encoder, patches), atol=1e-5)
    assert np.abs(values_of(encoder, turned_round) - values_of(encoder, patches)).max() > 0.05


def test_the_same_corners_of_a_mirrored_picture_have_the_same_bits(plane, encoder):
    width = plane.shape[1]
    first, second = find_keypoints(plane, 300), find_keypoints(np.ascontiguousarray(plane[:, ::-1]), 300)
    mirror = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    i, j = same_corners(first, second, mirror, (width, plane.shape[0]))
    assert len(i) > 100
    np.testing.assert_allclose(second.xy[j, 0], width - 1 - first.xy[i, 0], atol=2.0 * 2**0.5 ** first.level[i].max())
    agree = (values_of(encoder, first.patches[i]) > 0) == (values_of(encoder, second.patches[j]) > 0)
    assert agree.mean() > 0.9


def test_values_hang_on_the_shape_not_on_the_light(encoder):
    patches = noise(20) // 2
    np.testing.assert_allclose(values_of(encoder, patches + 90), values_of(encoder, patches), atol=1e-4)


def test_pairs_are_the_same_corner_of_a_picture_and_of_its_crop(plane):
    right, down = 37, 22
    crop = np.ascontiguousarray(plane[down:, right:])
    first, second = find_keypoints(plane, 300), find_keypoints(crop, 300)
    shift = np.array([[1.0, 0, -right], [0, 1, -down], [0, 0, 1]])
    i, j = same_corners(first, second, shift, (crop.shape[1], crop.shape[0]))
    assert len(i) > 100
    assert len(set(i)) == len(i) == len(set(j))
    np.testing.assert_array_equal(first.level[i], second.level[j])
    finest = first.level[i] == 0
    assert finest.sum() > 50
    np.testing.assert_allclose(first.xy[i[finest]] - second.xy[j[finest]], [[right, down]] * finest.sum(), atol=2.0)
    # at the finest scale nothing was resampled: nearly all patches are the same pixels
    apart = np.abs(first.patches[i[finest]].astype(int) - second.patches[j[finest]]).mean(axis=1)
    assert np.median(apart) == 0


def test_a_wrong_transform_brings_few_corners_together(plane):
    found = find_keypoints(plane, 300)
    size = plane.shape[1], plane.shape[0]
    right = len(same_corners(found, found, np.eye(3), size)[0])
    doubled = len(same_corners(found, found, np.diag([2.0, 2, 1]), size)[0])
    assert doubled < right / 3


def test_corners_of_an_enlarged_copy_are_those_of_a_coarser_scale(plane):
    import cv2

    large = np.asarray(cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    first, second = find_keypoints(plane, 300), find_keypoints(large, 900)
    i, j = same_corners(first, second, np.diag([2.0, 2, 1]), (large.shape[1], large.shape[0]))
    assert len(i) > 50
    np.testing.assert_array_equal(second.level[j].astype(int) - first.level[i], 2)


def corners(*places):
    n = len(places)
    level, angle = np.zeros(n, dtype=np.uint8), np.zeros(n, dtype=np.float32)
    return Keypoints(np.array(places, dtype=np.float32), level, angle, noise(n))


def test_of_several_corners_the_nearest_is_the_same_one():
    # mirrored in a plane 100 pixels wide, the first column becomes column 99
    mirror = np.array([[-1.0, 0, 100], [0, 1, 0], [0, 0, 1]])
    near, other, true = (70, 50), (20, 50), (69, 50)
    found = same_corners(corners((30, 50)), corners(near, other, true), mirror, (100, 100))
    assert [part.tolist() for part in found] == [[0], [2]]
    found = same_corners(corners(near, other, true), corners((30, 50)), mirror, (100, 100))
    assert [part.tolist() for part in found] == [[2], [0]]


def test_corners_that_lost_part_of_their_patch_are_no_pair():
    places = corners((50, 50), (3, 50), (50, 97))
    found = same_corners(places, places, np.eye(3), (100, 100))
    assert [part.tolist() for part in found] == [[0], [0]]


def test_no_corner_of_a_plane_without_any_is_found_again(plane):
    flat = find_keypoints(np.full((100, 100), 128, dtype=np.uint8), 300)
    for pair in ((flat, find_keypoints(plane, 300)), (find_keypoints(plane, 300), flat)):
        assert [len(part) for part in same_corners(*pair, np.eye(3), (400, 400))] == [0, 0]


def test_a_copy_just_holds_its_picture():
    rng = np.random.default_rng(3)
    corners = np.array([[0, 0, 1], [300, 0, 1], [300, 200, 1], [0, 200, 1]], dtype=float)
    mirrored = 0
    for _ in range(100):
        matrix, size = random_transform(rng, 300, 200)
        there = corners @ matrix.T
        there = there[:, :2] / there[:, 2:]
        np.testing.assert_allclose(there.min(axis=0), 0, atol=0.01)
        assert (np.abs(there.max(axis=0) - size) <= 1.01).all()
        mirrored += np.linalg.det(matrix[:2, :2]) < 0
    assert 20 < mirrored < 50


def test_edits_change_pixels_but_neither_size_nor_the_picture_given():
    pixels = read_picture(SAMPLES[0]).pixels[:120, :160].copy()
    before = pixels.copy()
    changes = []
    for seed in range(40):
        varied = vary(pixels, np.random.default_rng(seed))
        assert varied.shape == pixels.shape and varied.dtype == np.uint8
        changes.append(np.abs(varied.astype(int) - pixels).mean())
    np.testing.assert_array_equal(pixels, before)
    assert min(changes) > 0 and max(changes) > 30
    np.testing.assert_array_equal(vary(pixels, np.random.default_rng(4)), vary(pixels, np.random.default_rng(4)))


def test_pairs_look_alike_and_others_do_not():
    found = [copy_pairs(read_picture(path), np.random.default_rng(5)) for path in SAMPLES[:4]]
    assert all(len(first) == len(second) <= MOST_PAIRS for first, second in found)
    first, second = (np.concatenate(part).astype(float) for part in zip(*found, strict=True))
    assert len(first) > 50
    likeness = np.corrcoef(np.concatenate([first, second]))[: len(first), len(first) :]
    assert np.median(np.diag(likeness)) > np.median(likeness) + 0.3


def test_pairs_are_the_same_whatever_the_workers_and_damaged_pictures_give_none(tmp_path):
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    paths = [SAMPLES[0], tmp_path / "no.jpg", SAMPLES[1]]
    alone, together = make_pairs(paths, seed=7, workers=0), make_pairs(paths, seed=7, workers=1)
    np.testing.assert_array_equal(alone.first, together.first)
    np.testing.assert_array_equal(alone.second, together.second)
    assert set(alone.picture.tolist()) == {0, 2}
    with pytest.raises(DatasetError) as caught:
        make_pairs([tmp_path / "no.jpg"], seed=7, workers=0)
    assert caught.value.code == "missing"


def test_further_copies_of_a_picture_are_others_and_count_as_the_same_picture():
    once, twice = (make_pairs(SAMPLES[:2], seed=7, workers=0, copies=copies) for copies in (1, 2))
    np.testing.assert_array_equal(twice.first[: len(once)], once.first)
    more = twice.chosen(np.arange(len(once), len(twice)))
    assert set(more.picture.tolist()) == {0, 1}
    assert len({patch.tobytes() for patch in more.second} & {patch.tobytes() for patch in once.second}) < 5


def test_pictures_are_taken_in_order_each_once_and_at_most_so_many_of_a_file(tmp_path):
    for name, images in (("a", "cab"), ("b", "bb")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("".join(f'{{"image": "{i}.jpg"}}\n' for i in images))
    found = training_pictures([f"{tmp_path}/*/train.jsonl"], 2)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/a.jpg", "a/b.jpg", "b/b.jpg"]
    (tmp_path / "b" / "train.jsonl").write_text('{"picture": "a.jpg"}\n')
    with pytest.raises(DatasetError) as caught:
        training_pictures([f"{tmp_path}/*/train.jsonl"], 2)
    assert caught.value.code == "bad_label"


def test_pairs_without_edits_are_all_found(encoder):
    patches = noise(300)
    figures = measure(encoder, Pairs(patches, patches, np.arange(300)))
    assert figures["distance"] == 0
    assert figures["distance_of_others"] > 0
    assert figures["hit_1"] == 1


def test_figures_of_strangers_are_those_of_chance(encoder):
    figures = measure(encoder, Pairs(noise(400, 1), noise(400, 2), np.arange(400)))
    assert figures["distance"] == pytest.approx(figures["distance_of_others"], rel=0.05)
    assert figures["rank1"] < 0.05
    assert figures["recall"] < 0.05
    assert figures["hit_16"] == pytest.approx(figures["share_16"], abs=0.05)


def test_equal_distances_do_not_flatter(encoder):
    same = np.repeat(noise(1), 50, axis=0)
    figures = measure(encoder, Pairs(same, same, np.arange(50)))
    assert figures["rank1"] == 0
    assert figures["share_1"] == 1


def test_more_words_find_no_fewer_pairs(encoder):
    patches = noise(300)
    shaken = np.clip(patches + np.random.default_rng(1).normal(0, 40, patches.shape), 0, 255).astype(np.uint8)
    figures = measure(encoder, Pairs(patches, shaken, np.arange(300)))
    hits = [figures[f"hit_{count}"] for count in (1, 4, 8, 16)]
    assert hits == sorted(hits) and hits[0] < hits[-1]


def test_the_loss_is_low_where_pairs_agree_and_nothing_else_does():
    signs = torch.from_numpy(np.random.default_rng(0).choice([-0.99, 0.99], (64, 128)).astype(np.float32))
    agreeing, others = loss_of(signs, signs, LOSS), loss_of(signs, signs.roll(1, 0), LOSS)
    assert agreeing < others - 5
    # one value for all is neither telling nor even
    assert loss_of(torch.full((64, 128), 0.99), torch.full((64, 128), 0.99), LOSS) > agreeing + 5


def test_bits_of_a_word_that_say_the_same_cost():
    signs = torch.from_numpy(np.random.default_rng(0).choice([-0.99, 0.99], (64, 128)).astype(np.float32))
    alike = signs.clone()
    alike[:, 1:20] = alike[:, :1]
    only = {"parts": [], "signs": {"sure": 0, "even": 0, "apart": 1}}
    assert loss_of(alike, alike, only) > 30 * loss_of(signs, signs, only)
