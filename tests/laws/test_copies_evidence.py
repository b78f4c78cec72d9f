"""Laws of verification: known maps are found again, different scenes have none; what both show agrees or not; edits are named."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from copy_scenes import TURNS, framed, laid, picture, saved, scene, similarity, stamped, textured, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.copies import claims
from vision.copies.agree import agree, lay
from vision.copies.align import align, fit_affine, project
from vision.copies.claims import FEATURES, evidence_features, name_edit, overlap, probability_of, quadratic
from vision.copies.hashes import ORIENTATIONS
from vision.copies.local import Reference, describe_local, to_bytes
from vision.copies.verify import Evidence, examine, scaling, whole_map
from vision.images import read_picture
from vision.values import CopyClaim

SIZE = (320, 240)


def query_of(pixels):
    return describe_local(picture(pixels))


def reference_of(pixels):
    return Reference.from_bytes(to_bytes(describe_local(picture(pixels))))


def full(matrix):
    return np.concatenate([np.asarray(matrix, np.float64), [[0, 0, 1]]])


def error(matrix, true, size):
    """The most that a map is off by, in pixels, on a grid all over a picture of (w, h) `size`."""
    grid = np.stack(np.meshgrid(*(np.linspace(0, side - 1, 9) for side in size)), axis=-1).reshape(-1, 2)
    return np.hypot(*(project(matrix, grid) - project(true, grid)).T).max()


# From pixels of the source to those of the copy, of 320 x 240.
EDITS = {
    "shift": [[1, 0, -40], [0, 1, -25]],
    "turn": similarity(12, 1, SIZE, SIZE),
    "turn and shrink": similarity(-35, 0.7, SIZE, SIZE),
    "quarter": similarity(90, 0.75, SIZE, SIZE),
    "enlarge": similarity(0, 1.6, SIZE, SIZE),
    "stretch": [[1.2, 0, -30], [0, 0.9, 12]],
    "shear": [[1, 0.15, -20], [0.05, 0.95, 0]],
    "mirror": [[-1, 0, 319], [0, 1, 0]],
    "mirror and turn": (full(similarity(8, 0.9, SIZE, SIZE)) @ full([[-1, 0, 319], [0, 1, 0]]))[:2],
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_map_of_an_edit_is_found_within_two_pixels(edit):
    source = textured(1)
    copy = read_picture(saved(laid(source, EDITS[edit], SIZE), "JPEG", quality=85))
    query, reference = describe_local(copy), reference_of(source).features
    found = align(query, reference)
    assert found is not None
    assert found.mirrored == ("mirror" in edit)
    # both are described at the size of the picture, or at another one
    size = (query.width, query.height)
    matrix = scaling((reference.width, reference.height), SIZE) @ found.matrix @ scaling(SIZE, size)
    assert error(matrix, np.linalg.inv(full(EDITS[edit])), SIZE) < 2.5
    assert found.support >= found.detail > 20
    assert len(found.query) == len(found.reference) >= found.support
    assert (found.bits <= 28, found.off < 2) == (True, True)


def test_a_picture_seen_at_an_angle_is_found_by_a_homography():
    source = textured(2)
    corners = np.array([[0, 0], [319, 0], [319, 239], [0, 239]], np.float32)
    seen = np.array([[16, 8], [306, 20], [314, 222], [6, 236]], np.float32)
    true = cv2.getPerspectiveTransform(corners, seen)
    copy = cv2.warpPerspective(source, true, SIZE, borderValue=(255, 255, 255))
    query, reference = query_of(copy), reference_of(source).features
    found = align(query, reference)
    matrix = (
        scaling((reference.width, reference.height), SIZE) @ found.matrix @ scaling(SIZE, (query.width, query.height))
    )
    # in the outermost corners there are no features to hold it
    assert error(matrix, np.linalg.inv(true), SIZE) < 6
    assert (
        error(matrix @ full([[1, 0, 80], [0, 1, 60]]), np.linalg.inv(true) @ full([[1, 0, 80], [0, 1, 60]]), (160, 120))
        < 2
    )
    assert np.abs(found.matrix[2, :2]).max() > 0


def test_the_same_two_pictures_have_the_same_map():
    query, reference = query_of(textured(1)[30:, 40:]), reference_of(textured(1)).features
    assert (align(query, reference).matrix == align(query, reference).matrix).all()


def test_different_scenes_have_next_to_no_support():
    queries = [query_of(textured(seed)) for seed in range(6)]
    references = [reference_of(textured(seed)).features for seed in range(50, 56)]
    found = [align(query, reference) for query in queries for reference in references]
    assert max(0 if one is None else one.support for one in found) < 8


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_an_affine_map_is_fitted_exactly_to_places_that_a_similarity_moved(seed, mirrored):
    random = np.random.default_rng(seed)
    side = np.array([-1.0, 1.0]) if mirrored else np.ones(2)
    turn, scale = random.uniform(0, 2 * np.pi), random.uniform(0.2, 4)
    true = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * side
    here = random.uniform(0, 300, (random.integers(4, 30), 2))
    there = here @ true.T + random.uniform(-100, 100, 2)
    matrix = full(fit_affine(here, there, side))
    assert project(matrix, here) == pytest.approx(there, abs=1e-6)


# Agreement, wherever both show something.


def grey(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def thumbnail(pixels):
    return cv2.resize(grey(pixels), (128, 96), interpolation=cv2.INTER_AREA)


SMALL = scaling(SIZE, (128, 96))


def test_a_copy_agrees_all_over_whatever_its_brightness():
    copy = np.clip(0.6 * textured(1).astype(float) + 60, 0, 255).astype(np.uint8)
    seen = agree(grey(copy), SMALL, thumbnail(textured(1)))
    assert seen.share > 0.97
    assert seen.fidelity > 0.9
    assert (seen.here, seen.there) == (pytest.approx(1, abs=0.03), pytest.approx(1, abs=0.03))
    assert seen.windows == pytest.approx(128 * 96 / 81, rel=0.1)


def test_another_picture_does_not_agree():
    for seed in range(2, 6):
        assert agree(grey(textured(seed)), SMALL, thumbnail(textured(1))).share < 0.15


def test_a_map_that_is_off_does_not_agree():
    off = SMALL @ full([[1, 0, 25], [0, 1, 0]])
    assert agree(grey(textured(1)), off, thumbnail(textured(1))).share < 0.3


def test_of_two_pictures_in_one_frame_the_frame_agrees_and_the_rest_does_not():
    size = framed(textured(1)).shape[1::-1]
    small = (128, round(128 * size[1] / size[0]))
    other = cv2.resize(grey(framed(textured(2))), small, interpolation=cv2.INTER_AREA)
    seen = agree(grey(framed(textured(1))), scaling(size, small), other)
    assert 0.1 < seen.share < 0.6
    same = cv2.resize(grey(framed(textured(1))), small, interpolation=cv2.INTER_AREA)
    assert agree(grey(framed(textured(1))), scaling(size, small), same).share > 0.97
    inside = agree(grey(framed(textured(1))), scaling(size, small), other).agrees
    left, top = 20 * small[0] // size[0] + 6, 60 * small[1] // size[1] + 6
    assert inside[top : top + 50, left : left + 90].mean() < 0.15


def test_words_on_a_plain_part_disagree_without_a_clash_and_another_subject_clashes():
    page = np.full((240, 320, 3), 235, np.uint8)
    page[60:200, 20:140] = textured(1)[60:200, 20:140]
    marked, other = page.copy(), page.copy()
    cv2.putText(marked, "shop.example", (160, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 2)
    other[60:200, 20:140] = textured(2)[60:200, 20:140]
    written, changed = (agree(grey(pixels), SMALL, thumbnail(page)) for pixels in (marked, other))
    assert 0.02 < 1 - written.share < 0.5
    assert written.clash < 0.01
    assert changed.clash > 0.9 * (1 - changed.share) > 0.3


def test_what_is_one_plain_tone_says_nothing():
    white = np.full((240, 320), 255, np.uint8)
    seen = agree(white, SMALL, np.full((96, 128), 255, np.uint8))
    assert (seen.share, seen.windows, seen.shown) == (0, 0, 0)


def test_shares_tell_how_much_of_each_the_overlap_covers():
    # a quarter of the source, twice enlarged
    matrix = SMALL @ full([[0.5, 0, 80], [0, 0.5, 60]])
    seen = agree(cv2.resize(grey(textured(1))[60:180, 80:240], SIZE), matrix, thumbnail(textured(1)))
    assert (seen.here, seen.there) == (pytest.approx(1, abs=0.05), pytest.approx(0.25, abs=0.02))
    assert seen.share > 0.9
    # the source fills a quarter of the picture
    inset = textured(9).copy()
    inset[60:180, 80:240] = cv2.resize(textured(1), (160, 120), interpolation=cv2.INTER_AREA)
    seen = agree(grey(inset), SMALL @ full([[2, 0, -160], [0, 2, -120]]), thumbnail(textured(1)))
    assert (seen.here, seen.there) == (pytest.approx(0.25, abs=0.02), pytest.approx(1, abs=0.05))


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.5])
def test_a_plane_is_laid_where_its_map_says_also_when_it_shrinks(scale):
    matrix = full(similarity(10, scale, SIZE, SIZE))
    seen, mask = lay(grey(textured(1)), matrix, SIZE)
    blurred = cv2.GaussianBlur(grey(textured(1)).astype(np.float32), (0, 0), max(0.01, 0.5 / scale))
    expected = cv2.warpPerspective(blurred, matrix, SIZE)
    inside = cv2.erode(mask, np.ones((5, 5))) > 0
    assert np.abs(seen - expected)[inside].mean() < 6
    assert mask.sum() == pytest.approx(min(1, scale**2) * 320 * 240, rel=0.05 if scale < 1 else 0.01)


# Evidence of whole pictures and of parts.


@pytest.mark.parametrize("kind", TURNS)
@pytest.mark.parametrize("pixels", [textured(1), scene(4)], ids=["textured", "smooth"])
def test_a_whole_picture_is_examined_in_the_orientation_of_its_hash(kind, pixels):
    copy = read_picture(saved(turned(pixels, kind), "JPEG", quality=80))
    found = examine(describe_local(copy), reference_of(pixels), 4, ORIENTATIONS.index(kind))
    assert found.evidence.share > 0.9
    assert found.evidence.distance == 4
    wrong = examine(describe_local(copy), reference_of(textured(99)), 4, ORIENTATIONS.index(kind))
    assert wrong is None or wrong.evidence.share < 0.3


@pytest.mark.parametrize("number", range(8))
def test_the_map_of_an_orientation_takes_corners_to_corners(number):
    size, to = (40, 30), (80, 90)
    kind = ORIENTATIONS[number]
    # a mark of each corner, in the picture that was turned as the kind says
    source = np.arange(to[0] * to[1] * 3, dtype=np.uint32).reshape(to[1], to[0], 3).astype(np.uint8)
    there = np.stack(np.meshgrid(np.arange(to[0]), np.arange(to[1])), axis=-1)
    made = turned(source, kind)
    places = turned_places(there, kind)
    assert made.shape[:2] == places.shape[:2]
    small = (made.shape[1], made.shape[0])
    matrix = whole_map(number, small, to)
    grid = np.stack(np.meshgrid(np.arange(small[0]), np.arange(small[1])), axis=-1).reshape(-1, 2)
    assert project(matrix, grid.astype(float)) == pytest.approx(places.reshape(-1, 2))
    # of another size: from the middle of the outermost pixels' edges to the same
    edges = np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]])
    mapped = project(whole_map(number, size, to), edges)
    assert sorted(mapped[:, 0]) == pytest.approx([-0.5, to[0] - 0.5])
    assert sorted(mapped[:, 1]) == pytest.approx([-0.5, to[1] - 0.5])


def turned_places(places, kind):
    """Where in the source each pixel of the turned picture comes from."""
    return np.stack([turned(places[..., axis].astype(np.int32), kind) for axis in (0, 1)], axis=-1)


def test_a_part_is_examined_by_its_features_and_says_how_much_it_covers():
    found = examine(query_of(textured(1)[60:, 80:]), reference_of(textured(1)), 120, None)
    evidence = found.evidence
    assert evidence.share > 0.9
    assert (evidence.here, evidence.there) == (pytest.approx(1, abs=0.03), pytest.approx(0.5625, abs=0.03))
    assert evidence.support >= evidence.detail > 30
    assert evidence.fidelity > 0.85


@pytest.mark.parametrize(
    "dressed",
    [
        pytest.param(lambda pixels: pixels, id="bare"),
        pytest.param(stamped, id="stamped"),
        pytest.param(lambda pixels: framed(pixels)[56:-30, 12:-12], id="captioned"),
        pytest.param(framed, id="framed"),
    ],
)
def test_nothing_lays_different_scenes_on_each_other_in_a_way_that_is_claimed(dressed):
    for seed in range(4):
        found = examine(query_of(dressed(textured(seed))), reference_of(dressed(textured(seed + 20))), 120, None)
        assert found is None or probability_of(found.evidence) < claims.bar()


EVIDENCE = Evidence(
    support=40,
    detail=35,
    bits=12.0,
    off=0.8,
    share=0.9,
    windows=90.0,
    ground=0.2,
    middle=0.9,
    fidelity=0.9,
    clash=0.05,
    here=1.0,
    there=0.5,
    distance=100,
)


def test_a_probability_lies_between_nothing_and_what_was_measured():
    for evidence in (
        EVIDENCE,
        replace(EVIDENCE, support=0, detail=0, share=0.0, windows=0.0, ground=1.0, fidelity=0.0, distance=256),
        replace(EVIDENCE, support=300, detail=300, share=1.0, fidelity=1.0, distance=0, bits=0.0, off=0.0),
    ):
        assert np.isfinite(evidence_features(evidence)).all()
        assert 0 <= probability_of(evidence) <= claims._calibration()["local"]["at_most"] < 1


@pytest.mark.parametrize("support", [15, 60])
def test_the_probability_rises_with_what_agrees(support):
    def sure(**changes):
        return probability_of(replace(EVIDENCE, support=support, detail=support * 4 // 5, **changes))

    steps = [sure(share=share, middle=share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert steps == sorted(steps)
    assert steps[0] < 0.5 < claims.bar() < sure(share=0.97, middle=0.97, fidelity=0.95)


def test_the_probability_rises_with_the_places_that_agree():
    steps = [probability_of(replace(EVIDENCE, support=n + 2, detail=n, share=0.75)) for n in (2, 5, 10, 20, 40, 80)]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]


def test_the_shipped_weights_are_of_the_evidence_that_is_gathered():
    """A calibration of other features would still multiply, or fail in the first search."""
    model = claims._calibration()["local"]
    assert len(model["mean"]) == len(model["deviation"]) == len(FEATURES) == len(evidence_features(EVIDENCE))
    assert len(model["weights"]) == len(
        quadratic(evidence_features(EVIDENCE), np.zeros(len(FEATURES)), np.ones(len(FEATURES)))
    )
    assert list(model["features"]) == list(FEATURES)
    assert 0.5 < model["bar"] < model["at_most"]


# The names of edits, by their map alone, and what both pictures show.


def edited(made, size=SIZE, source=SIZE):
    """The map of a picture whose pixels were made from the source's by a (2, 3) or (3, 3) map; and its name."""
    made = np.asarray(made, np.float64)
    matrix = np.linalg.inv(made if len(made) == 3 else full(made))
    _, _, here, there = overlap(matrix, size, source)
    return name_edit(matrix, size, source, here, there)


@pytest.mark.parametrize(
    ("made", "size", "name"),
    [
        ([[1, 0, 0], [0, 1, 0]], SIZE, "same"),
        ([[0.5, 0, 0], [0, 0.5, 0]], (160, 120), "same"),
        ([[1, 0, 3], [0, 1, -2]], SIZE, "same"),
        ([[1.03, 0, 0], [0, 1, 0]], (330, 240), "same"),
        ([[-1, 0, 319], [0, 1, 0]], SIZE, "mirror"),
        ([[-1, 0, 319], [0, -1, 239]], SIZE, "rotate180"),
        ([[1, 0, 0], [0, -1, 239]], SIZE, "mirror+rotate180"),
        ([[0, -1, 239], [1, 0, 0]], (240, 320), "rotate90"),
        ([[0, 1, 0], [-1, 0, 319]], (240, 320), "rotate270"),
        ([[1, 0, -64], [0, 1, -48]], (256, 192), "crop"),
        ([[-1, 0, 255], [0, 1, 0]], (256, 240), "mirror+crop"),
        ([[1, 0, 40], [0, 1, 40]], (400, 320), "frame"),
        ([[0.5, 0, 100], [0, 0.5, 60]], SIZE, "inset"),
        ([[1, 0, 0], [0, 1, 0]], (640, 240), "frame"),
        ([[1, 0, 0], [0, 1, 0]], (960, 240), "inset"),
        ([[1.25, 0, 0], [0, 1, 0]], (400, 240), "stretch"),
        (similarity(10, 1, SIZE, SIZE), SIZE, "rotate10+crop+frame"),
        (similarity(-5, 1, SIZE, (352, 276)), (352, 276), "rotate355+frame"),
        (similarity(5, 1, SIZE, (240, 170)), (240, 170), "rotate5+crop"),
        (similarity(0.6, 1, SIZE, SIZE), SIZE, "same"),
        ((full([[1, 0, -60], [0, 1, 0]]) @ full([[-1, 0, 319], [0, 1, 0]]))[:2], (260, 240), "mirror+crop"),
    ],
)
def test_an_edit_has_the_name_of_what_was_done_to_the_source(made, size, name):
    assert edited(made, size) == name


@pytest.mark.parametrize(
    ("made", "size", "name", "back"),
    [
        ([[1, 0, -64], [0, 1, -48]], (256, 192), "crop", "frame"),
        ([[0.5, 0, 100], [0, 0.5, 60]], SIZE, "inset", "crop"),
        ([[0, -1, 239], [1, 0, 0]], (240, 320), "rotate90", "rotate270"),
        ([[-1, 0, 319], [0, 1, 0]], SIZE, "mirror", "mirror"),
        (similarity(20, 1, SIZE, (400, 340)), (400, 340), "rotate20+frame", "rotate340+crop"),
    ],
)
def test_a_claim_told_the_other_way_round_is_the_edit_that_undoes_it(made, size, name, back):
    matrix = np.linalg.inv(full(made))
    hit = claims.hit_of(0, 9, 0.98, matrix, size, SIZE)
    claim = CopyClaim(
        "source", "scan", hit.kind, 9, 0.98, hit.box, hit.source_box, None, "x", hit.transform, hit.coverage
    )
    assert claim.kind == name
    turned = claims.reversed_claim(claim, size, SIZE, "picture")
    assert (turned.source, turned.kind, turned.owner, turned.probability) == ("picture", back, None, 0.98)
    np.testing.assert_allclose(turned.box, claim.source_box, atol=1)
    np.testing.assert_allclose(turned.source_box, claim.box, atol=1)
    again = claims.reversed_claim(turned, SIZE, size, "source")
    assert again.kind == name
    np.testing.assert_allclose(again.transform, claim.transform, atol=1e-6)


def test_a_claim_without_a_map_keeps_its_name_unless_it_is_a_quarter_turn():
    claim = CopyClaim("source", "scan", "rotate90", 9, 0.98)
    assert claims.reversed_claim(claim, SIZE, SIZE, "picture").kind == "rotate270"
    assert claims.reversed_claim(replace(claim, kind="mirror"), SIZE, SIZE, "picture").kind == "mirror"


def test_the_other_way_round_what_changed_colour_has_still_changed_it():
    hit = claims.hit_of(0, 9, 0.98, np.eye(3), SIZE, SIZE, recoloured=True)
    claim = CopyClaim("source", "scan", hit.kind, 9, 0.98, transform=hit.transform)
    assert claims.reversed_claim(claim, SIZE, SIZE, "picture").kind == hit.kind == "recolour"


@pytest.mark.parametrize("kind", TURNS)
def test_the_maps_of_the_eight_orientations_have_their_names(kind):
    size = (240, 320) if "90" in kind or "270" in kind else SIZE
    assert name_edit(whole_map(ORIENTATIONS.index(kind), size, SIZE), size, SIZE, 1.0, 1.0) == kind


def test_a_picture_seen_at_an_angle_is_called_so():
    corners = np.array([[0, 0], [320, 0], [320, 240], [0, 240]], np.float32)
    seen = np.array([[30, 0], [290, 0], [320, 240], [0, 240]], np.float32)
    assert "tilt" in edited(cv2.getPerspectiveTransform(corners, seen)).split("+")


def test_what_both_show_is_boxed_in_both():
    # a crop of 160 x 120 at (80, 60), twice enlarged, with a border of 20 around it
    made = full([[2, 0, -140], [0, 2, -100]])
    shift = full([[1, 0, 0.5], [0, 1, 0.5]])
    matrix = np.linalg.inv(np.linalg.inv(shift) @ made @ shift)  # of centres, as `made` is of edges
    box, source_box, here, there = overlap(matrix, (360, 280), SIZE)
    assert source_box == pytest.approx((70, 50, 250, 190), abs=0.1)
    assert box == pytest.approx((0, 0, 360, 280), abs=0.1)
    assert (here, there) == (pytest.approx(1), pytest.approx(180 * 140 / (320 * 240), abs=0.01))


def test_the_boxes_of_a_mirrored_picture_reach_its_last_column():
    """They missed it, as maps are of the centres of pixels and boxes of their edges."""
    box, source_box, here, there = overlap(full([[-1, 0, 319], [0, 1, 0]]), SIZE, SIZE)
    assert box == source_box == (0, 0, 320, 240)
    assert (here, there) == (pytest.approx(1), pytest.approx(1))


def test_pictures_that_do_not_meet_share_nothing():
    assert overlap(full([[1, 0, 1000], [0, 1, 0]]), SIZE, SIZE) == (None, None, 0.0, 0.0)
