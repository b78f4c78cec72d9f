"""Laws of local features: corners from all over a picture, always the same; kept and read back; found again by their words."""

import itertools
from collections import defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest
from copy_scenes import framed, picture, textured, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.copies import keypoints, local, words
from vision.copies.keypoints import find_keypoints
from vision.copies.local import LocalFeatures, Reference, describe_local, grey_plane, no_features, to_bytes
from vision.copies.words import Run, WordIndex, merged


def plane_of(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("size", [(320, 240), (64, 400), (49, 51), (17, 300), (16, 16)])
def test_corners_lie_inside_the_picture(size):
    width, height = size
    found = find_keypoints(plane_of(textured(1, *size)), 500)
    assert (len(found) > 5) == (min(size) >= 49)
    assert len(found.xy) == len(found.level) == len(found.angle) == len(found.patches)
    assert (found.xy >= 0).all()
    assert (found.xy <= np.array([width - 1, height - 1])).all()
    assert (np.abs(found.angle) <= np.float32(np.pi)).all()


@pytest.mark.parametrize("level", [0, 130])
def test_one_colour_has_no_corners(level):
    assert len(find_keypoints(np.full((90, 120), level, np.uint8), 100)) == 0


def test_the_same_plane_has_the_same_corners_and_fewer_are_the_first_of_more():
    plane = plane_of(textured(2))
    many, few = find_keypoints(plane, 200), find_keypoints(plane.copy(), 60)
    assert (len(many), len(few)) == (200, 60)
    for part in ("xy", "level", "angle", "patches"):
        assert (getattr(many, part)[:60] == getattr(few, part)).all()


def test_corners_are_spread_over_the_picture_however_strong_those_of_one_part_are():
    plane = plane_of(textured(3)).astype(np.float32)
    plane[:, :160] = 128 + (plane[:, :160] - 128) / 2
    found = find_keypoints(plane.astype(np.uint8), 240)
    assert (found.xy[:, 0] < 160).mean() > 0.3  # 0.06 of the strongest ones alone


def test_a_turned_picture_has_turned_corners_with_the_same_patches():
    plane = plane_of(textured(4, 200, 200))
    here, there = find_keypoints(plane, 80), find_keypoints(np.ascontiguousarray(np.rot90(plane, -1)), 200)
    places = np.stack([199 - here.xy[:, 1], here.xy[:, 0]], axis=1)  # clockwise
    off = np.hypot(*(places[:, None] - there.xy[None]).transpose(2, 0, 1))
    off[here.level[:, None] != there.level[None]] = 1000
    nearest = off.argmin(axis=1)
    near = off.min(axis=1) < 1
    assert near.mean() > 0.9
    turn = (there.angle[nearest] - here.angle)[near] - np.pi / 2
    assert np.median(np.abs(np.angle(np.exp(1j * turn)))) < 0.05
    difference = there.patches[nearest][near].astype(int) - here.patches[near]
    assert np.median(np.abs(difference).mean(axis=1)) < 4


def test_features_come_back_from_bytes_as_they_were():
    features = describe_local(picture(textured(1)), close=True)
    kept = to_bytes(features)
    assert len(kept) < 9000
    read = Reference.from_bytes(kept)
    assert (read.features.rows == features.rows[: local.REFERENCE_COUNT]).all()
    assert (read.features.width, read.features.height) == (features.width, features.height)
    assert read.thumbnail.shape == (96, 128)
    small = cv2.resize(features.plane, (128, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(read.thumbnail.astype(int) - small).mean() < 6
    with pytest.raises(ValueError, match="in bytes already"):
        to_bytes(read.features)


@pytest.mark.parametrize("harm", [lambda b: b[:5], lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_bytes_that_are_no_features_are_refused(harm):
    kept = to_bytes(describe_local(picture(textured(1))))
    with pytest.raises(ValueError, match="local features"):
        Reference.from_bytes(harm(kept))


def test_features_say_where_they_are_in_pixels_and_radians():
    plane = grey_plane(picture(textured(5)), local.SIDE)
    corners = find_keypoints(plane, local.COUNT)
    features = describe_local(picture(textured(5)))
    assert np.abs(features.xy - corners.xy).max() <= 1 / 64
    assert (features.level == corners.level).all()
    assert np.abs(np.angle(np.exp(1j * (features.angle - corners.angle)))).max() < 2 * np.pi / 256


def test_lettering_and_flat_drawings_are_no_detail_and_texture_is():
    plain = np.full((240, 320, 3), 255, np.uint8)
    for line in range(5):
        cv2.putText(plain, "SALE today 19.90", (8, 40 + 45 * line), cv2.FONT_HERSHEY_DUPLEX, 1, (20, 20, 60), 2)
    assert describe_local(picture(plain)).detailed.mean() < 0.3
    assert describe_local(picture(textured(1))).detailed.mean() > 0.9


def test_thumbnails_are_enlarged_so_that_they_have_features_too():
    features = describe_local(picture(textured(1, 60, 45)))
    assert (features.width, features.height) == (240, 180)
    assert len(features) > 50


def test_words_are_the_first_twenty_bits():
    features = describe_local(picture(textured(1)))
    bits = np.unpackbits(features.rows["bits"], axis=1)[:, :20]
    assert features.words().tolist() == [int("".join(map(str, row)), 2) for row in bits]


def test_probes_turn_over_the_least_certain_bits_the_words_own_first():
    features = describe_local(picture(textured(1)))
    probes = features.probes(8)
    assert probes.shape == (len(features), 8)
    assert (probes[:, 0] == features.words()).all()
    assert all(len(set(row)) == 8 for row in probes.tolist())
    least = 1 << (19 - features.certainty.argmin(axis=1))
    assert (probes[:, 1] == features.words() ^ least).all()
    turned_over = probes ^ features.words()[:, None]
    assert max(int(mask).bit_count() for mask in turned_over.ravel()) <= 3


def test_probes_of_features_that_were_read_back_try_each_bit_alone():
    kept = Reference.from_bytes(to_bytes(describe_local(picture(textured(1))))).features
    probes = kept.probes(8)
    assert (probes[:, 0] == kept.words()).all()
    masks = probes[:, 1:] ^ kept.words()[:, None]
    assert (np.sort(masks, axis=1) == 1 << np.arange(20)).all()


def test_a_reference_asks_with_its_thumbnail_at_the_size_of_its_features():
    features = describe_local(picture(textured(1)))
    query = Reference.from_bytes(to_bytes(features)).as_query()
    assert query.plane.shape == (query.height, query.width)
    assert np.abs(query.plane.astype(int) - features.plane).mean() < 12


# The index of words, held to a plain loop over all pairs of features.


def invented(random, n, vocabulary=40):
    """n features with words of a small vocabulary, so that many entries share them."""
    rows = np.zeros(n, dtype=local.ROW)
    chosen = random.integers(0, vocabulary, n) * 26_113 % words.WORDS
    rows["bits"][:, :3] = np.stack([chosen >> 12, chosen >> 4 & 255, (chosen & 15) << 4], axis=1)
    rows["angle"], rows["scale"] = random.integers(0, 256, n), random.integers(0, 7, n)
    return LocalFeatures(rows, 320, 240, random.random((n, 20)).astype(np.float32))


def votes_by_loop(entries, query, probes, common=10**9):
    """Votes of every entry: for each turn and two neighbouring scales, what agrees, a word that many share counting less."""
    postings = defaultdict(list)
    for number, features in enumerate(entries):
        seen = set()
        for place, word in enumerate(() if features is None else features.words().tolist()):
            if word not in seen:
                seen.add(word)
                postings[word].append((number, int(features.rows["angle"][place]), int(features.level[place])))
    votes = defaultdict(float)
    for place, tried in enumerate(query.probes(probes).tolist()):
        for word in tried:
            for number, angle, level in postings[word] if len(postings[word]) <= common else ():
                weight = len(postings[word]) ** -0.5
                octaves = level - int(query.level[place])
                for mirrored, sign in ((False, -1), (True, 1)):
                    turn = (angle + sign * int(query.rows["angle"][place])) % 256 // 16
                    # a vote lies in two steps of angle and two of scale, as those near a border belong to both
                    for further, above in itertools.product((0, 1), (0, 1)):
                        votes[number, mirrored, (turn + further) % 16, octaves + above] += weight
    best = defaultdict(float)
    for (number, *_), vote in votes.items():
        best[number] = max(best[number], vote)
    return best


@given(st.integers(1, 700), st.integers(1, 700))
def test_the_scales_of_a_picture_lie_apart_on_their_sheet(width, height):
    sheet, levels = keypoints._levels(np.full((height, width), 9, dtype=np.uint8))
    covered = np.zeros(sheet.shape, dtype=int)
    for left, top, wide, high in levels:
        assert (sheet[top : top + high, left : left + wide] == 9).all()
        covered[max(0, top - keypoints.GAP) : top + high, max(0, left - keypoints.GAP) : left + wide] += 1
    assert covered.max() == 1
    assert (sheet[covered == 0] == 0).all()
    assert levels[0].tolist() == [0, 0, width, height]


def filled(entries, folder=None, upto=None):
    index = WordIndex(folder)
    for features in entries[:upto]:
        index.add(features)
    return index


def answer(index, query, **options):
    found = index.candidates(query, 1000, **options)
    assert (np.diff(found.votes) <= 1e-12).all()
    return dict(zip(found.entries.tolist(), found.votes.tolist(), strict=True))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8), st.sampled_from([1, 2, 3, 1000]))
def test_words_find_what_a_plain_loop_finds_in_chains_and_in_runs(seed, n, probes, run):
    random = np.random.default_rng(seed)
    entries = [invented(random, random.integers(1, 30)) if random.random() < 0.9 else None for _ in range(n)]
    query = invented(random, 25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "RUN_ENTRIES", run)
        index = filled(entries)
    assert len(index) == n
    assert bool(index.runs) == (run <= n)
    assert answer(index, query, probes=probes) == pytest.approx(votes_by_loop(entries, query, probes))


def test_runs_of_about_one_size_become_one_and_all_entries_stay(monkeypatch):
    monkeypatch.setattr(words, "RUN_ENTRIES", 1)
    random = np.random.default_rng(0)
    entries = [invented(random, 20) for _ in range(40)]
    index = filled(entries)
    assert len(index.runs) <= 5
    assert [run.first for run in index.runs] == [
        0,
        *itertools.accumulate(run.entries for run in index.runs[:-1]),
    ]
    assert sum(run.entries for run in index.runs) == 40


def test_a_run_of_two_is_the_run_of_all_their_entries():
    random = np.random.default_rng(1)
    all_words, first = random.integers(0, words.WORDS, 300), 120
    postings = np.zeros(300, dtype=words.POSTING)
    postings["entry"], postings["angle"] = np.sort(random.integers(0, 9, 300)), random.integers(0, 256, 300)
    one = Run.of(all_words[:first], postings[:first], 0, 4)
    other = Run.of(all_words[first:], postings[first:], 4, 5)
    both, whole = merged(one, other), Run.of(all_words, postings, 0, 9)
    assert (both.starts == whole.starts).all()
    assert (both.postings == whole.postings).all()
    assert (both.first, both.entries) == (0, 9)


def test_saved_runs_are_taken_up_again_and_chains_go_on_behind_them(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "RUN_ENTRIES", 4)
    monkeypatch.setattr(words, "SAVED_ENTRIES", 1)
    random = np.random.default_rng(2)
    entries, query = [invented(random, 20) for _ in range(15)], invented(random, 25)
    expected = answer(filled(entries), query)
    filled(entries[:14], tmp_path)
    again = WordIndex(tmp_path)
    again.restore(15)
    assert len(again) == 12
    for features in entries[12:]:
        again.add(features)
    assert answer(again, query) == pytest.approx(expected)
    fewer = WordIndex(tmp_path)
    fewer.restore(11)  # the run of all twelve would hold one that is not there
    assert len(fewer) == 0


def test_swallowed_runs_leave_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "RUN_ENTRIES", 2)
    monkeypatch.setattr(words, "SAVED_ENTRIES", 1)
    random = np.random.default_rng(3)
    index = filled([invented(random, 20) for _ in range(13)], tmp_path)
    names = sorted(f"{run.name}.{part}.npy" for run in index.runs for part in ("starts", "postings"))
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_only_large_runs_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "RUN_ENTRIES", 2)
    monkeypatch.setattr(words, "SAVED_ENTRIES", 5)
    random = np.random.default_rng(3)
    index = WordIndex(tmp_path)
    for _ in range(13):
        index.add(invented(random, 20))
        written = {file.name.split(".")[0] for file in tmp_path.iterdir()}
        assert written == {run.name for run in index.runs if run.entries >= 5}
    assert written


@pytest.mark.parametrize("harm", ["cut", "gone", "rubbish"])
@pytest.mark.parametrize("part", ["starts", "postings"])
def test_a_run_whose_files_are_not_whole_is_passed_over(tmp_path, monkeypatch, part, harm):
    monkeypatch.setattr(words, "RUN_ENTRIES", 4)
    monkeypatch.setattr(words, "SAVED_ENTRIES", 1)
    random = np.random.default_rng(4)
    filled([invented(random, 20) for _ in range(4)], tmp_path)
    (file,) = tmp_path.glob(f"*.{part}.npy")
    data = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-7] if harm == "cut" else b"no array")
    index = WordIndex(tmp_path)
    index.restore(4)
    assert len(index) == 0


def test_entries_that_are_not_alive_count_as_if_they_had_no_words(monkeypatch):
    monkeypatch.setattr(words, "RUN_ENTRIES", 4)
    random = np.random.default_rng(5)
    entries, query = [invented(random, 20) for _ in range(10)], invented(random, 25)
    index, alive = filled(entries), np.arange(10) % 3 != 0
    expected = answer(filled([e if lives else None for e, lives in zip(entries, alive, strict=True)]), query)
    assert set(expected) < set(answer(index, query))
    assert answer(index, query, alive=alive) == pytest.approx(expected)


def test_where_all_words_are_common_or_gone_nothing_is_found():
    """It failed with a reshape of nothing."""
    random = np.random.default_rng(6)
    entries, query = [invented(random, 20) for _ in range(5)], invented(random, 25)
    assert answer(filled(entries), query, alive=np.zeros(5, dtype=bool)) == {}


def test_a_word_that_too_many_have_tells_nothing(monkeypatch):
    monkeypatch.setattr(words, "COMMON", 3)
    monkeypatch.setattr(words, "COMMON_SHARE", 0.0)
    random = np.random.default_rng(7)
    entries, query = [invented(random, 12, 60) for _ in range(14)], invented(random, 60, 60)
    expected = votes_by_loop(entries, query, 8, common=3)
    assert 0 < sum(expected.values()) < 0.9 * sum(votes_by_loop(entries, query, 8).values())
    assert answer(filled(entries), query) == pytest.approx(expected)


def test_no_features_find_nothing_and_are_not_found():
    index = filled([None, no_features(), describe_local(picture(textured(1)))])
    assert len(index) == 3
    assert answer(index, no_features()) == {}
    assert list(answer(index, describe_local(picture(textured(1))))) == [2]


@pytest.mark.parametrize("close", [False, True])
def test_the_source_of_an_edited_picture_has_the_most_votes(close):
    index = WordIndex()
    for seed in range(12):
        features = describe_local(picture(textured(seed)))
        index.add(replace(features, rows=features.rows[: local.REFERENCE_COUNT]))
    edits = (
        lambda p: p[40:, 60:],
        lambda p: turned(p, "mirror+rotate90"),
        lambda p: cv2.resize(p, (200, 150), interpolation=cv2.INTER_AREA),
        framed,
    )
    for seed, edit in enumerate(edits):
        query = describe_local(picture(edit(textured(seed))), close=close)
        found = index.candidates(query, 2)
        assert found.entries[0] == seed
        assert found.votes[0] > 2 * found.votes[1]
