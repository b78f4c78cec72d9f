"""Laws of claims: what was cropped, framed, turned, stretched or set into another picture is found in an index, and told as that;
what shares a frame, a caption or a logo with others, and nothing else, is claimed by nothing."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from copy_scenes import bannered, framed, laid, saved, similarity, stamped, textured, turned

from vision.copies import CopyIndex, compare_copies
from vision.images import read_picture

OTHERS = 12
FOLDER = Path(__file__).resolve().parents[2] / "datasets" / "samples" / "images"
SAMPLES = sorted(FOLDER / f"{name}.jpg" for name in ("bottle", "mug", "parcel", "shirt", "still-life", "truck"))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Drawn scenes, by number, and the project's own sample photographs, by name."""
    index = CopyIndex.create(tmp_path_factory.mktemp("edits") / "index")
    for seed in range(OTHERS):
        index.add(textured(seed), id=str(seed))
    for path in SAMPLES:
        index.add(path, id=path.stem)
    return index


def inset(pixels, share):
    """Set into another scene, with that share of its sides."""
    height, width = pixels.shape[:2]
    ground = textured(500, 2 * width, 2 * height)
    small = (round(2 * share * width), round(2 * share * height))
    left, top = (2 * width - small[0]) // 3, (2 * height - small[1]) // 2
    how = cv2.INTER_AREA if share < 0.5 else cv2.INTER_CUBIC
    ground[top : top + small[1], left : left + small[0]] = cv2.resize(pixels, small, interpolation=how)
    return ground


def crop(pixels, left, top, right, bottom):
    height, width = pixels.shape[:2]
    return pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def bordered(pixels):
    return cv2.copyMakeBorder(pixels, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(20, 24, 40))


def tilted(pixels, degrees):
    height, width = pixels.shape[:2]
    return laid(pixels, similarity(degrees, 1, (width, height), (width, height)), (width, height))


def longer(pixels):
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (round(1.3 * width), height))


EDITS = {
    "crop": lambda p: crop(p, 0.15, 0.15, 0.85, 0.85),
    "mirror+crop": lambda p: turned(crop(p, 0.1, 0.0, 1.0, 0.8), "mirror"),
    "frame": bordered,
    "inset": lambda p: inset(p, 0.5),
    "rotate10+crop+frame": lambda p: tilted(p, 10),
    "stretch": longer,
    "rotate90+crop": lambda p: turned(crop(p, 0.0, 0.1, 0.8, 1.0), "rotate90"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edited_scene_is_found_and_told_as_what_it_is(index, kind):
    for seed in (3, 7):
        (claim,) = index.search(saved(EDITS[kind](textured(seed)), "JPEG", quality=80))
        assert (claim.source, claim.kind) == (str(seed), kind)
        assert 0.95 <= claim.probability < 1
        assert len(claim.transform) == 9


@pytest.mark.parametrize("kind", ["crop", "mirror+crop", "frame", "stretch", "rotate90+crop"])
def test_an_edited_photograph_is_found(index, kind):
    for path in (FOLDER / "mug.jpg", FOLDER / "still-life.jpg"):
        claims = index.search(saved(EDITS[kind](read_picture(path).pixels), "JPEG", quality=80))
        assert (claims[0].source, claims[0].kind) == (path.stem, kind)


def test_a_badly_saved_mirror_image_among_the_samples_is_found(index):
    index.add(FOLDER / "cans.jpg", id="cans")
    (claim,) = index.search(FOLDER / "repost.jpg")
    assert (claim.source, claim.kind) == ("cans", "mirror")


def test_boxes_and_coverage_say_what_of_the_source_is_where():
    source = textured(1)
    claim = compare_copies(source[60:220, 80:300], source)
    assert claim.source_box == pytest.approx((80, 60, 300, 220), abs=3)
    assert claim.box == pytest.approx((0, 0, 220, 160), abs=1)
    assert claim.coverage == pytest.approx(220 * 160 / (320 * 240), abs=0.02)
    claim = compare_copies(inset(source, 0.5), source)
    assert claim.box == pytest.approx((107, 120, 427, 360), abs=3)
    assert claim.source_box == pytest.approx((0, 0, 320, 240), abs=2)
    assert claim.coverage > 0.97
    back = compare_copies(source, source[60:220, 80:300])
    assert (back.kind, back.box) == ("frame", pytest.approx((80, 60, 300, 220), abs=3))


def test_two_copies_in_one_picture_are_both_claimed(index):
    pair = np.concatenate([textured(2), textured(5)], axis=1)
    claims = {claim.source: claim for claim in index.search(saved(pair, "JPEG", quality=85))}
    assert set(claims) == {"2", "5"}
    assert claims["5"].box == pytest.approx((320, 0, 640, 240), abs=3)


def captioned(pixels):
    """Without the bar above, and with a narrower rim: a third of the page is everybody's."""
    return framed(pixels)[56:-30, 12:-12]


@pytest.mark.parametrize(
    "dressed",
    [
        pytest.param(framed, id="frame and caption"),
        pytest.param(captioned, id="caption"),
        pytest.param(stamped, id="logo"),
        pytest.param(bordered, id="border"),
        pytest.param(bannered, id="banners"),
    ],
)
def test_what_only_looks_alike_around_its_content_is_not_claimed(tmp_path, dressed):
    dressed_alike = CopyIndex.create(tmp_path / "index")
    for seed in range(6):
        dressed_alike.add(dressed(textured(seed)), id=str(seed))
    for seed in range(20, 26):
        assert dressed_alike.search(saved(dressed(textured(seed)), "JPEG", quality=85)) == []
    # and the same content in the same dress is
    assert [c.source for c in dressed_alike.search(saved(dressed(textured(2)), "JPEG", quality=85))] == ["2"]


def test_a_logo_at_another_place_and_size_is_no_copy(tmp_path):
    index = CopyIndex.create(tmp_path / "index")
    for seed in range(6):
        index.add(stamped(textured(seed), size=80), id=str(seed))
    for number, at in enumerate(((12, 12), (200, 150), (120, 20))):
        assert index.search(stamped(textured(30 + number), at, size=70 + 10 * number)) == []


def test_a_copy_is_found_in_a_frame_that_others_wear(tmp_path):
    index = CopyIndex.create(tmp_path / "index")
    for seed in range(6):
        index.add(framed(textured(seed)), id=f"framed {seed}")
    index.add(textured(40), id="bare")
    (claim,) = index.search(saved(framed(textured(40)), "JPEG", quality=85))
    assert (claim.source, claim.kind) == ("bare", "frame")
    assert claim.box == pytest.approx((20, 60, 340, 300), abs=3)


def test_different_scenes_and_photographs_are_not_claimed(index):
    for seed in range(100, 108):
        assert index.search(textured(seed)) == []
    claimed = {path.stem: {claim.source for claim in index.search(path)} for path in SAMPLES}
    assert claimed == {path.stem: {path.stem} for path in SAMPLES}


def test_the_order_in_which_pictures_were_added_changes_no_claim(tmp_path):
    pictures = {
        "whole": textured(1),
        "crop": textured(1)[30:, 40:],
        "other": textured(2),
        "mirror": textured(1)[:, ::-1],
    }
    query = saved(textured(1)[10:, 10:], "JPEG", quality=80)
    found = []
    for order in itertools.islice(itertools.permutations(pictures), 0, 24, 9):
        index = CopyIndex.create(tmp_path / "".join(order))
        for id in order:
            index.add(pictures[id], id=id, time="2026-01-05T10:00:00Z")
        found.append({c.source: (c.kind, c.probability, c.transform) for c in index.search(query)})
    assert found[0].keys() == {"whole", "crop", "mirror"}
    assert all(one == found[0] for one in found)
