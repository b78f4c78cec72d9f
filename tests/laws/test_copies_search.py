"""Laws of the search: FAISS finds what a plain loop finds, every turn finds its source, what is no evidence claims nothing."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import faiss
import numpy as np
import pytest
from copy_scenes import INVERSE, TURNS, page, picture, saved, scene, textured, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from report_fakes import a_finding, a_result

from vision.copies import ScanIndex, compare_copies, describe
from vision.copies.claims import MAX_CLAIMS, hash_hits, probabilities
from vision.copies.entries import MAX_RADIUS, Entries, entry_rows
from vision.copies.index import HashIndex, hamming, nearest_bits, within_loop
from vision.copies.local import COLOUR_CELLS, Reference
from vision.errors import UsageError
from vision.images import read_picture
from vision.scan import logos_of
from vision.values import Result


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 300), st.integers(0, 80))
def test_faiss_finds_what_a_plain_loop_finds_in_the_same_order(seed, n, radius):
    random = np.random.default_rng(seed)
    queries = random.integers(0, 256, (8, 32), dtype=np.uint8)
    references = queries[random.integers(0, 8, n)]
    # some bits flipped in each, so that distances lie around the radius, many of them at it
    flips = random.random((n, 256)) < random.random((n, 1)) * 2 * radius / 256
    references = references ^ np.packbits(flips, axis=1)
    index = HashIndex()
    index.add(references)
    for fast, true in zip(index.within(queries, radius), within_loop(queries, references, radius), strict=True):
        assert fast.tolist() == true.tolist()


def test_a_search_in_any_thread_has_no_threads_of_its_own():
    """FAISS takes as many as there are cores in each new thread, and on a busy machine they wait for each other."""
    index, hashes = HashIndex(), np.zeros((3, 32), np.uint8)
    index.add(hashes)

    def threads_after(search):
        faiss.omp_set_num_threads(3)
        search()
        return faiss.omp_get_max_threads()

    searches = (lambda: index.within(hashes, 5), lambda: nearest_bits(hashes, hashes))
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(threads_after, searches)) == [1, 1]


@pytest.fixture
def scan_index():
    """Makes indexes as a scan has them, and lets go of their files."""
    made = []

    def make():
        made.append(ScanIndex())
        return made[-1]

    yield make
    for index in made:
        index.close()


@pytest.fixture
def index_of(scan_index):
    def fill(*pictures):
        index = scan_index()
        for number, pixels in enumerate(pictures):
            index.add(f"{number}.png", describe(picture(pixels)))
        return index

    return fill


def hashes_of(*descriptions):
    """Entries of which only hashes are known, as of imported lists."""
    entries = Entries(lambda _: None)
    entries.add(*entry_rows([(d.fingerprint, d.width, d.height, d.sha256) for d in descriptions]))
    for _ in descriptions:
        entries.words.add(None)
    return entries


@pytest.mark.parametrize("kind", TURNS)
def test_every_turn_of_a_picture_finds_it_and_is_named(index_of, kind):
    index = index_of(scene(1), scene(2), scene(3))
    file = saved(turned(scene(2), kind), "JPEG", quality=70)
    (claim,) = index.search(describe(read_picture(file)))
    assert (claim.source, claim.index, claim.kind) == ("1.png", "scan", kind)
    assert claim.source_box == pytest.approx((0, 0, 320, 240), abs=0.5)
    whole = (0, 0, 240, 320) if "90" in kind or "270" in kind else (0, 0, 320, 240)
    assert claim.box == pytest.approx(whole, abs=0.5)
    assert claim.coverage > 0.98
    assert claim.probability > 0.95


def test_different_pictures_make_no_claim(index_of):
    index = index_of(*[scene(seed) for seed in range(30)])
    assert [index.search(describe(picture(scene(seed)))) for seed in range(100, 110)] == [[]] * 10


def test_different_marks_on_the_same_page_make_no_claim_though_their_hashes_are_near(scan_index):
    pages = [describe(picture(page(seed))) for seed in range(25)]
    near = [
        (a, b)
        for a, b in itertools.combinations(range(25), 2)
        if hamming(pages[a].hashes, pages[b].hashes[0]).min() <= 31
    ]
    assert len(near) > 10, "the pages no longer show what this test is about"
    index = scan_index()
    for number, description in enumerate(pages):
        index.add(f"{number}.png", description)
    for number in sorted({a for a, _ in near})[:5]:
        assert [claim.source for claim in index.search(pages[number])] == [f"{number}.png"]


def test_the_same_mark_on_a_page_is_claimed(index_of):
    index = index_of(page(1))
    (claim,) = index.search(describe(read_picture(saved(turned(page(1), "rotate90"), "JPEG", quality=60))))
    assert claim.kind == "rotate90"


def flat():
    return np.full((50, 50, 3), 255, np.uint8)


def gentle():
    """A gradient, which PDQ can hash but not tell from others."""
    return np.repeat(np.linspace(90, 140, 200).astype(np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)


def test_a_picture_of_low_quality_is_claimed_by_its_bytes_only(scan_index):
    file = saved(gentle())
    index = scan_index()
    index.add("gentle.png", describe(read_picture(file)))
    assert describe(read_picture(file)).fingerprint.quality < 50
    (claim,) = index.search(describe(read_picture(file)))
    assert (claim.kind, claim.distance, claim.probability) == ("same", 0, 1.0)
    assert index.search(describe(read_picture(saved(gentle(), "BMP")))) == []


def test_one_colour_is_never_a_copy(scan_index):
    white = describe(picture(flat()))
    index = scan_index()
    index.add("white.png", white)
    assert index.search(white) == []


def test_the_same_bytes_are_surer_than_near_pixels_and_then_the_first_seen_comes_first(scan_index):
    file = saved(scene(1))
    index = scan_index()
    for name, data in (
        ("jpeg", saved(scene(1), "JPEG", quality=30)),
        ("bmp", saved(scene(1), "BMP")),
        ("file", file),
        ("bmp2", saved(scene(1), "BMP")),
    ):
        index.add(name, describe(read_picture(data)))
    assert [c.source for c in index.search(describe(read_picture(file)))] == ["file", "bmp", "bmp2", "jpeg"]


def test_the_same_bytes_come_first_however_many_others_look_alike(scan_index):
    file = saved(scene(1))
    index = scan_index()
    for number in range(60):
        index.add(f"{number}.jpg", describe(read_picture(saved(scene(1), "JPEG", quality=30 + number))))
    index.add("file", describe(read_picture(file)))
    first, second, *_ = index.search(describe(read_picture(file)))
    assert (first.source, first.kind, first.probability) == ("file", "same", 1.0)
    assert second.probability < 1


def test_no_more_than_twenty_claims_and_they_are_the_first(index_of):
    index = index_of(*[scene(1)] * (MAX_CLAIMS + 5))
    claims = index.search(describe(picture(scene(1))))
    assert [c.source for c in claims] == [f"{n}.png" for n in range(MAX_CLAIMS)]
    assert len(index.search(describe(picture(scene(1))), limit=None)) == MAX_CLAIMS + 5


def test_a_larger_radius_never_loses_a_claim(index_of):
    index = index_of(*[scene(seed) for seed in range(5)])
    query = describe(picture(cv2.GaussianBlur(scene(2), (0, 0), 8)[8:, 8:]))
    found = [{c.source for c in index.search(query, radius)} for radius in range(0, MAX_RADIUS + 1, 3)]
    assert all(small <= large for small, large in itertools.pairwise(found))
    assert found[0] == set()
    assert found[-1] == {"2.png"}


@pytest.mark.parametrize("seed", range(12))
def test_a_soft_picture_with_one_corner_is_not_turned_by_it(index_of, seed):
    random = np.random.default_rng(seed)
    field = random.random((3, 4, 3)).astype(np.float32)
    pixels = np.clip(255 * cv2.resize(field, (320, 240), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    cv2.circle(pixels, tuple(map(int, random.integers(40, 200, 2))), 6, (0, 0, 0), -1)
    copy = read_picture(saved(cv2.resize(pixels, (256, 192), interpolation=cv2.INTER_AREA), "JPEG", quality=60))
    assert {claim.kind for claim in index_of(pixels).search(describe(copy))} <= {"same"}


HUE_TURNED = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("recolour", lambda pixels: pixels @ HUE_TURNED),
        ("crop+recolour", lambda pixels: (pixels @ HUE_TURNED)[20:, 30:]),
        ("mirror+recolour", lambda pixels: (pixels @ HUE_TURNED)[:, ::-1]),
        ("same", lambda pixels: pixels * 0.8),
        ("same", lambda pixels: (pixels - 128) * 1.3 + 128),
        (
            "same",
            lambda pixels: pixels.mean(axis=2, keepdims=True) + (pixels - pixels.mean(axis=2, keepdims=True)) * 1.4,
        ),
        ("same", lambda pixels: pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)),
        ("crop", lambda pixels: pixels[20:, 30:]),
    ],
)
def test_other_colours_are_named_but_not_more_or_less_of_them(index_of, kind, edit):
    pixels = coloured(3)
    edited = np.clip(edit(pixels.astype(np.float32)), 0, 255).astype(np.uint8)
    claims = index_of(pixels).search(describe(read_picture(saved(edited, "JPEG", quality=85))))
    assert [claim.kind for claim in claims] == [kind]


def coloured(seed):
    """A picture of large plain colours under the unrest of a photo."""
    grey = textured(seed).astype(np.float32).mean(axis=2, keepdims=True)
    field = np.random.default_rng(seed).uniform(-60, 60, (3, 4, 3)).astype(np.float32)
    return np.clip(grey + cv2.resize(field, (320, 240), interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)


def test_references_that_kept_no_colours_are_searched_as_before():
    pixels = coloured(3)
    described = describe(picture(pixels))
    kept = described.kept()[: -2 * COLOUR_CELLS**2]
    entries = Entries(lambda _: Reference.from_bytes(kept))
    entries.add(*entry_rows([(described.fingerprint, 320, 240, described.sha256)]))
    entries.words.add(described.local)
    turned_hue = np.clip(pixels.astype(np.float32) @ HUE_TURNED, 0, 255).astype(np.uint8)
    assert [hit.kind for hit in entries.find(describe(picture(turned_hue)))] == ["same"]


SIGN = (60, 40, 260, 190)


def photo_of_sign(seed):
    """A picture full of content with the same sign in its middle, lit and focused a little differently each time."""
    left, top, right, bottom = SIGN
    pixels = textured(seed)
    sign = cv2.GaussianBlur(textured(99, right - left, bottom - top), (0, 0), 0.6 + 0.2 * seed)
    light = np.linspace(0.8, 1.1, sign.shape[1]) if seed % 2 else np.linspace(1.1, 0.7, sign.shape[1])
    pixels[top:bottom, left:right] = np.clip(sign * light[None, :, None], 0, 255).astype(np.uint8)
    return pixels


def test_the_same_logo_in_two_photos_is_no_claim_once_it_is_known_to_be_one(index_of):
    index, query = index_of(photo_of_sign(1)), describe(picture(photo_of_sign(4)))

    def claimed(*boxes):
        return len(index.search(query, logos=lambda: np.array(boxes, np.float32).reshape(-1, 4)))

    assert len(index.search(query)) == claimed() == 1
    assert claimed(SIGN) == 0
    assert claimed((0, 0, 40, 40)) == claimed((60, 40, 120, 190)) == 1
    # a box of nearly all the picture says nothing about what is around it
    assert claimed((10, 10, 310, 230)) == 1


def test_a_scan_tells_the_search_of_its_logos_and_of_nothing_else():
    logos = [a_finding(None, (1, 2, 30, 40), verdict="unknown"), a_finding(box=(5.5, 6, 7, 8))]
    others = [a_finding(kind="product"), a_finding(kind="image")]
    boxes = logos_of(a_result(findings=[others[0], *logos, others[1]]))
    assert (boxes.dtype, boxes.tolist()) == (np.float32, [[1, 2, 30, 40], [5.5, 6, 7, 8]])
    assert logos_of(a_result(findings=others)).shape == (0, 4)


def test_a_copy_with_a_logo_on_it_is_claimed_and_logos_are_asked_for_once(index_of):
    asked = []

    def logos():
        asked.append(1)
        return np.array([SIGN], np.float32)

    source = photo_of_sign(1)
    index = index_of(source, source[:, 30:], source[:, :290])
    cropped = describe(read_picture(saved(source[12:, :300], "JPEG", quality=80)))
    assert {claim.source for claim in index.search(cropped, logos=logos)} == {"0.png", "1.png", "2.png"}
    assert sum(asked) <= 1
    asked.clear()
    assert [claim.source for claim in index.search(describe(picture(textured(8))), logos=logos)] == asked == []


@pytest.mark.parametrize(("radius", "limit"), [(-1, 5), (MAX_RADIUS + 1, 5), (31, 0)])
def test_a_radius_or_limit_out_of_range_is_refused(index_of, radius, limit):
    with pytest.raises(UsageError):
        index_of(scene(1)).search(describe(picture(scene(1))), radius, limit)


def test_a_picture_that_is_its_own_mirror_image_is_called_the_same(index_of):
    half = scene(1, 160, 240)
    whole = np.concatenate([half, half[:, ::-1]], axis=1)
    (claim,) = index_of(whole).search(describe(picture(whole)))
    assert claim.kind == "same"


def rows_of(descriptions):
    return [
        Result(f"{number}\udc80.png", d.sha256, d.width, d.height, "ok", fingerprint=d.fingerprint)
        for number, d in enumerate(descriptions)
    ]


def no_more():
    raise AssertionError("described again, though the files of the scan know it")


def test_rows_and_kept_features_bring_the_index_back_as_it_was(tmp_path):
    mirrored = turned(textured(1), "mirror")[:200, 30:]
    descriptions = [describe(picture(p)) for p in (textured(1), page(1), page(2), gentle(), mirrored, flat())]
    before = ScanIndex(tmp_path / "seen")
    for row, d in zip(rows_of(descriptions), descriptions, strict=True):
        before.add(row.path, d)
    expected = [before.search(d) for d in descriptions]
    assert [len(found) for found in expected] == [2, 1, 1, 1, 2, 0]
    before.close(forget=False)
    again = ScanIndex(tmp_path / "seen")
    for row in rows_of(descriptions):
        again.add_row(Result.from_dict(row.to_dict()), no_more)
    assert [again.search(d) for d in descriptions] == expected
    again.close()
    assert not (tmp_path / "seen").exists()


def test_what_the_files_of_a_scan_no_longer_know_is_described_again(tmp_path):
    descriptions = [describe(picture(textured(seed))) for seed in range(3)]
    before = ScanIndex(tmp_path / "seen")
    for row, d in zip(rows_of(descriptions[:2]), descriptions[:2], strict=True):
        before.add(row.path, d)
    before.close(forget=False)
    kept = tmp_path / "seen" / "features"
    data = bytearray(kept.read_bytes())
    data[-3] ^= 255  # in the record of the second
    kept.write_bytes(data)
    again = ScanIndex(tmp_path / "seen")
    asked = []
    for number, (row, d) in enumerate(zip(rows_of(descriptions), descriptions, strict=True)):
        again.add_row(row, lambda d=d, number=number: asked.append(number) or d)
    assert asked == [1, 2]
    for seed in range(3):
        (claim,) = again.search(describe(picture(textured(seed)[40:, 50:])))
        assert (claim.source, claim.kind) == (f"{seed}\udc80.png", "crop")
    again.close()


def test_what_a_killed_scan_kept_beyond_its_rows_is_written_over(tmp_path):
    descriptions = [describe(picture(textured(seed))) for seed in range(4)]
    before = ScanIndex(tmp_path / "seen")
    for row, d in zip(rows_of(descriptions), descriptions, strict=True):
        before.add(row.path, d)
    before.close(forget=False)
    again = ScanIndex(tmp_path / "seen")
    again.add_row(rows_of(descriptions)[0], no_more)
    again.add("another.png", descriptions[3])
    crop = describe(picture(textured(3)[40:, 50:]))
    assert [claim.source for claim in again.search(crop)] == ["another.png"]
    assert again.search(describe(picture(textured(1)[40:, 50:]))) == []
    again.close()


@pytest.mark.parametrize("other", [None, textured(2)], ids=["gone", "another picture now"])
def test_of_a_picture_that_is_gone_since_only_its_hash_is_searched(tmp_path, other):
    description = describe(picture(textured(1)))
    index = ScanIndex(tmp_path / "seen")
    index.add_row(rows_of([description])[0], lambda: None if other is None else describe(picture(other)))
    assert [claim.source for claim in index.search(description)] == ["0\udc80.png"]
    assert index.search(describe(picture(textured(1)[50:, 60:]))) == []
    index.close()


def test_rows_that_failed_are_passed_over(scan_index):
    index = scan_index()
    index.add_row(Result("gone.jpg", None, None, None, "failed"), no_more)
    assert len(index) == 0


def test_by_hashes_alone_a_page_without_the_hash_of_its_content_makes_no_claim():
    description = describe(picture(page(1)))
    without = replace(description, fingerprint=replace(description.fingerprint, content=None), sha256="0" * 64)
    assert len(hashes_of(description).find(replace(description, sha256="0" * 64))) == 1
    assert hashes_of(description).find(without) == []


def test_by_hashes_alone_different_marks_on_the_same_page_are_told_apart_by_what_stands_on_it():
    pages = [describe(picture(page(seed))) for seed in range(12)]
    index = hashes_of(*pages)
    assert len(index._near(pages[0], 31, None).entry) > 3, "the pages no longer show what this test is about"
    assert [[hit.entry for hit in index.find(page)] for page in pages] == [[number] for number in range(12)]


@pytest.mark.parametrize("kind", TURNS)
def test_two_pictures_are_compared_both_ways_with_the_inverse_edit(kind):
    a, b = turned(scene(8), kind), scene(8)
    assert compare_copies(a, b).kind == kind
    assert compare_copies(b, a).kind == INVERSE.get(kind, kind)
    assert compare_copies(a, scene(9)) is None


@pytest.mark.parametrize("plain", [0, 80])
def test_the_probability_falls_with_distance(plain):
    distance = np.arange(MAX_RADIUS + 1)
    sure = probabilities(distance, np.full_like(distance, plain), np.zeros(len(distance), dtype=bool))
    assert ((sure > 0) & (sure < 1)).all()
    assert (np.diff(sure) <= 0).all()
    assert sure[0] > sure[31]


def test_an_entry_counts_once_in_its_nearest_orientation():
    found = hash_hits(
        orientation=np.array([1, 3, 0]),
        entry=np.array([5, 5, 7]),
        distance=np.array([20, 8, 12]),
        plain=np.zeros(3, dtype=np.int64),
        identical=np.zeros(3, dtype=bool),
    )
    assert [(h.entry, h.kind, h.distance) for h in found] == [(5, "rotate180", 8), (7, "same", 12)]


def edited(pixels, seed):
    """A part of a picture, turned a little and of another size."""
    random = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    share = random.uniform(0.7, 0.9)
    left, top = random.uniform(0, 1 - share, 2) * (width, height)
    part = pixels[int(top) : int(top + share * height), int(left) : int(left + share * width)]
    size = tuple(int(side * random.uniform(0.9, 1.2)) for side in part.shape[1::-1])
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), random.uniform(-6, 6), 1)
    return cv2.warpAffine(cv2.resize(part, size), turn, size, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def crowded():
    """130 copies of one picture, all of another size, among others; and the picture."""
    index, source = ScanIndex(), textured(1)
    for seed in range(3):
        index.add(f"other {seed}", describe(picture(textured(seed + 50))))
    for number in range(130):
        share = 0.8 + 0.003 * number
        again = cv2.resize(source, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        index.add(f"copy {number}", describe(picture(again)))
    yield index, source
    index.close()


@pytest.mark.parametrize("edit", [0.96, 0.97, 0.98, 1.0, "far"])
def test_however_often_a_picture_is_there_its_edits_are_found(crowded, edit):
    """The votes of a hundred copies once passed for noise, so that the most stolen pictures were lost."""
    index, source = crowded
    height, width = (int(edit * side) for side in source.shape[:2]) if edit != "far" else (0, 0)
    query = describe(picture(edited(source, 3) if edit == "far" else np.ascontiguousarray(source[:height, :width])))
    claims = index.search(query)
    assert len(claims) == MAX_CLAIMS
    assert "copy 0" in {claim.source for claim in claims}, "the earliest of all was left out"
    assert {claim.source.split()[0] for claim in claims} == {"copy"}
    assert len(index.search(query, limit=None)) == 130
    (best,) = index.search(query, limit=1)
    assert best.probability >= max(claim.probability for claim in claims)


def test_however_many_edits_of_a_picture_are_there_the_next_one_is_found(scan_index):
    index = scan_index()
    for seed in range(40):
        index.add(f"other {seed}", describe(picture(textured(seed + 50))))
    source = textured(1)
    for seed in range(120):
        index.add(f"edit {seed}", describe(picture(edited(source, seed))))
    claims = index.search(describe(picture(edited(source, 1000))))
    assert len(claims) > MAX_CLAIMS // 2
    assert {claim.source.split()[0] for claim in claims} == {"edit"}


def test_families_are_entries_whose_hashes_are_near():
    entries = Entries(lambda _: None)
    near = np.zeros((5, 32), np.uint8)
    near[[1, 4], 0] = 255  # eight bits off
    near[2] = 85
    near[3] = 170
    entries.add(near, entry_rows([(describe(picture(textured(1))).fingerprint, 9, 9, "0" * 64)] * 5)[1])
    assert entries._families(np.array([3, 4, 0, 2, 1])) == [[0], [1, 2, 4], [3]]
    assert entries._families(np.array([2, 0])) == [[0], [1]]
    assert entries._families(np.array([], dtype=np.int64)) == []
    assert entries._like(4, None, set()) == [0, 1, 4]
    assert entries._like(4, np.array([False, True, True, True, True]), {4}) == [1]
