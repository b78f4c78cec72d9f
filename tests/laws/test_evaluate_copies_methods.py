"""Who claims: ours and peers by one rule; sets of different pictures, where nothing should be claimed; what is written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.errors import DatasetError, UsageError
from vision.evaluate.copies.battery import Battery, Query, Reference
from vision.evaluate.copies.methods import Answer, Item, Ours, OursInPairs
from vision.evaluate.copies.orb import OrbPeer, agreeing, features
from vision.evaluate.copies.pairs import (
    Marks,
    alike,
    claimed_pairs,
    draw_marks,
    flat_figures,
    furniture,
    pictures_below,
)
from vision.evaluate.copies.peers import HashPeer, installed_peers, methods_of
from vision.evaluate.copies.report import edit_table, main_table, worst_lines, write_copies
from vision.evaluate.copies.run import Evaluation, Options, check_options, read_claims, write_claims
from vision.evaluate.copies.score import Claim, false_claims, missed_copies, score_claims
from vision.evaluate.figures import plain

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "datasets" / "samples" / "images").iterdir())


def quiet(_):
    return lambda _: lambda _: None


class Says:
    """Claims what it is told to claim."""

    name = "vision"

    def __init__(self, claims, bar=float("-inf"), failed=()):
        self.claims, self.bar, self.failed = claims, bar, list(failed)

    def answer(self, references, queries, tell):
        return Answer(self.claims, 1.0, 2.0, self.failed)


def items(*names):
    return [Item(name, Path(name)) for name in names]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three photographs, the first mirrored, and its middle."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(3):
        shutil.copy(SAMPLES[number], folder / f"{number}{SAMPLES[number].suffix}")
    image = Image.open(SAMPLES[0]).convert("RGB")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    image.crop((image.width // 6, image.height // 6, image.width, image.height)).save(folder / "cut.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return {path.stem: Item(path.stem, path) for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def references(files):
    return [files[name] for name in ("0", "1", "2", "torn")]


def found(answer, bar):
    return {(c.query, c.source) for c in answer.claims if c.score >= bar}


@pytest.mark.parametrize("threads", [1, 3])
def test_ours_claims_through_the_public_index(files, references, threads):
    answer = Ours(threads).answer(references, [files["mirrored"], files["1"], files["torn"]], quiet)
    assert found(answer, Ours.bar) == {("mirrored", "0"), ("1", "1")}
    assert {c.query: c.kind for c in answer.claims} == {"mirrored": "mirror", "1": "same"}
    assert all(0.9 < c.score <= 1 for c in answer.claims)
    assert answer.failed == ["torn", "torn"]  # as a reference and as a query
    assert answer.describe_ms > 0 and answer.query_ms > 0


def test_two_pictures_alone_are_compared_once_each_way(files):
    three = [files["mirrored"], files["0"], files["1"]]
    answer = OursInPairs(1).answer(three, three, quiet)
    assert [(c.query, c.source) for c in answer.claims] == [("mirrored", "0")]


def test_orb_sees_a_cut_picture_and_not_another(files, references):
    peer = OrbPeer(1)
    answer = peer.answer(references, [files["cut"], files["2"], files["torn"]], quiet)
    assert found(answer, peer.bar) == {("cut", "0"), ("2", "2")}
    assert answer.failed == ["torn", "torn"]


def test_a_pair_gets_the_same_score_each_time():
    here, there = (np.asarray(Image.open(SAMPLES[n]).convert("RGB")) for n in (0, 1))
    scores = {agreeing(features(here, 300), features(np.roll(here, 5, axis=1), 300)) for _ in range(4)}
    assert len(scores) == 1 and scores.pop() > 50
    assert agreeing(features(here, 300), features(there, 300)) < 8
    assert agreeing(features(np.zeros_like(here), 300), features(there, 300)) == 0


def bits_of(pixels):
    """The first pixel's red level in 256 bits: distances of this hash are differences of it."""
    return (np.arange(256) < pixels[0, 0, 0])[None]


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("levels")
    for level in range(0, 240, 12):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(folder / f"{level}.png")
    return pictures_below(folder)


def test_a_hash_claims_all_within_its_bar_and_no_fewer_than_its_ten_nearest(levels):
    def both(pixels):
        return np.concatenate([bits_of(pixels), ~bits_of(pixels)])

    level = {item.id: int(Path(item.id).stem) for item in levels}
    for bar, query in ((-36, bits_of), (-204, bits_of), (-36, both)):
        answer = HashPeer("levels", bar, bits_of, query, 1).answer(levels, levels[:3], quiet)
        for item in levels[:3]:
            # slow truth: the complement of a level is as far as 256 bits less its distance
            far = {o: abs(level[item.id] - level[o]) for o in level}
            far = {o: min(d, 256 - d) if query is both else d for o, d in far.items()}
            own = {c.source: -c.score for c in answer.claims if c.query == item.id}
            assert all(own[o] == far[o] for o in own)
            assert {o for o, d in far.items() if d <= -bar} <= set(own)
            assert max(own.values()) >= sorted(far.values())[9] and len(own) >= 10


def test_pdq_finds_the_mirror_only_in_eight_ways(files, references):
    pytest.importorskip("pdqhash")
    for name, finds in (("pdq", set()), ("pdq_8way", {("mirrored", "0")})):
        (method,) = [m for m in methods_of([name], 1) if m.name == name]
        assert found(method.answer(references[:3], [files["mirrored"]], quiet), method.bar) == finds


def test_peers_that_nobody_knows_are_refused_and_orb_is_always_there():
    assert "orb" in installed_peers()
    assert [m.name for m in methods_of(["orb"])] == ["vision", "orb"]
    with pytest.raises(UsageError):
        methods_of(["sift"])


def test_a_pair_counts_once_and_never_with_itself():
    said = [("a", "a", 9), ("a", "b", 5), ("b", "a", 7), ("c", "a", 6), ("b", "c", 1)]
    test = claimed_pairs(Says([Claim(*row) for row in said], bar=5), items("a", "b", "c"), quiet)
    assert [(c.query, c.source, c.score) for c in test.claims] == [("a", "b", 7), ("a", "c", 6)]
    assert test.figures() == {
        "pictures": 3,
        "pairs": 3,
        "claims": 2,
        "recoloured": 0,
        "describe_ms": 1.0,
        "query_ms": 2.0,
    }


def test_a_picture_that_cannot_be_read_is_in_no_pair():
    assert claimed_pairs(Says([], failed=["c", "c"]), items("a", "b", "c"), quiet).pairs == 1


def test_furniture_takes_24_copies_of_different_originals_and_no_strangers():
    queries = [Query(f"{n}.jpg", f"s{n}", "phone", "screenshot") for n in range(30)]
    queries += [Query("again.jpg", "s0", "phone", "screenshot"), Query("x.jpg", None, "phone", "screenshot")]
    queries += [Query(f"c{n}.jpg", f"s{n}", "collage", "composite") for n in range(5)]
    queries += [Query("once.jpg", "s0", "meme", "frame")]
    sets = furniture(Battery(Path("battery"), Path("photos"), tuple(queries), ()))
    assert list(sets) == ["phone"]
    assert [item.id for item in sets["phone"]] == [f"{n}.jpg" for n in range(24)]
    assert sets["phone"][0].path == Path("battery/0.jpg")


def test_marks_that_are_one_design_are_left_out_and_turned_ones_told_apart():
    ink = np.zeros((4, 40, 40), bool)
    ink[0, 5:20, 5:10] = True
    ink[1] = ink[0]
    ink[1, 30, :30] = True  # 30 of 1,600 cells: under 2 %
    ink[2] = ink[0][:, ::-1]
    ink[3, 20:40] = True
    marks = Marks(items("a", "b", "c", "d"), ink)
    same = alike(marks)
    assert same == {("a", "b")}
    said = [Claim(*row) for row in (("a", "b", 1.0), ("c", "a", 0.9), ("a", "d", 0.8))]
    figures, rows = flat_figures(claimed_pairs(Says(said), marks.items, quiet), marks, same)
    assert {(r["a"], r["b"]): r["verdict"] for r in rows} == {
        ("a", "b"): "same",
        ("a", "c"): "turned",
        ("a", "d"): "false",
    }
    counts = [figures[name] for name in ("pairs", "claims", "turned", "false", "same_claimed")]
    assert counts == [5, 2, 1, 1, 1]
    assert rows[2]["differ"] == pytest.approx((800 + 75) / 1600, abs=1e-4)


def test_thin_marks_of_different_words_are_not_one_design():
    ink = np.zeros((3, 40, 40), bool)
    ink[0, 20, :12] = ink[1, 20, 12:24] = True  # 24 of 1,600 cells differ: 1.5 %, and no ink is shared
    assert alike(Marks(items("a", "b", "empty"), ink)) == set()
    ink[1] = ink[0]
    assert alike(Marks(items("a", "b", "empty"), ink)) == {("a", "b")}


def test_marks_are_drawn_in_the_middle_of_a_white_page(tmp_path):
    pytest.importorskip("simplepycons")
    pytest.importorskip("resvg_py")
    drawn = {size: draw_marks(tmp_path / str(size), 12, size, quiet) for size in (288, 100)}
    assert np.array_equal(drawn[288].ink, drawn[100].ink)  # what is one design does not depend on the size
    for size, marks in drawn.items():
        assert len(marks.items) == len({item.id for item in marks.items}) == 12
        for item, ink in zip(marks.items, marks.ink, strict=True):
            page = np.asarray(Image.open(item.path))
            edge = (400 - size) // 2
            inner = page[edge : 400 - edge, edge : 400 - edge]
            assert page.shape == (400, 400, 3) and 0 < (inner < 128).mean() == ((page < 128).sum() / inner.size)
            assert ink.mean() == pytest.approx((inner < 128).mean(), abs=0.05)
    with pytest.raises(UsageError):
        draw_marks(tmp_path, 1, 100, quiet)


def test_a_folder_of_one_picture_makes_no_pair(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError):
        pictures_below(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        Options(sections=["batteries"]),
        Options(sections=[]),
        Options(sections=["packshots"]),
        Options(packshots=Path("shots")),
        Options(sections=["flat"], claims=Path("claims.jsonl")),
        Options(peers=["sift"]),
    ],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(UsageError) as caught:
        check_options(options)
    assert caught.value.code == "bad_option"


def test_claims_are_read_as_they_were_written(tmp_path):
    rows = [Claim("q", "a", 0.1 + 0.2, "crop"), Claim("q", "b", -31.0)]
    write_claims(tmp_path / "claims.jsonl", [*rows[::-1], Claim("q", "b", -40.0)])
    assert read_claims(tmp_path / "claims.jsonl") == rows
    for text, code in (("{}", "bad_label"), ("[1", "bad_label"), (None, "missing")):
        path = tmp_path / f"{text}.jsonl"
        if text:
            path.write_text(text)
        with pytest.raises(DatasetError) as caught:
            read_claims(path)
        assert caught.value.code == code


@pytest.fixture
def evaluation(tmp_path, files):
    """Two copies, one found and one missed, and a stranger's copy that is claimed falsely."""
    queries = (
        Query("cut.png", "0.jpg", "crop20", "crop"),
        Query("mirrored.png", "0.jpg", "mirror", "flip_turn"),
        Query("2.jpg", None, "jpeg80", "jpeg"),
    )
    battery = Battery(tmp_path, tmp_path, queries, (Reference("0.jpg", "original"), Reference("1.jpg", "distractor")))
    claims = [Claim("mirrored.png", "0.jpg", 0.99, "mirror"), Claim("2.jpg", "1.jpg", 0.95)]
    figures = {
        "command": "vision evaluate copies",
        "methods": {
            "vision": {
                "battery": score_claims(queries, claims, battery.pairs),
                "cost": {"describe_ms": 12.5, "query_ms": 30.0, "failed": 0},
                "flat": {"100": {"pairs": 190, "claims": 2, "turned": 1}},
            },
            "orb": {"bar": 8.0, "battery": score_claims(queries, [], battery.pairs, 8.0), "cost": {}},
        },
        "false_claims": false_claims(queries, claims),
        "pair_claims": {
            "flat 100": [
                {"a": "x", "b": "y", "score": 0.9, "kind": None, "verdict": "turned"},
                {"a": "x", "b": "z", "score": 0.9, "kind": None, "verdict": "same"},
            ]
        },
    }
    paths = {"cut.png": files["cut"].path, "mirrored.png": files["mirrored"].path}
    paths |= {f"{n}.jpg": files[n].path for n in "012"}
    return Evaluation(
        figures,
        battery,
        {"vision": claims, "orb": []},
        false_claims(queries, claims),
        missed_copies(queries, claims),
        {"flat 100": [{"a": "0.jpg", "b": "1.jpg", "score": 0.9, "kind": None, "verdict": "false", "differ": 0.1}]},
        {"battery": paths, "flat 100": paths},
    )


def test_one_table_holds_recall_false_claims_and_cost_of_each_method(evaluation):
    table = main_table(plain(evaluation.figures))
    cells = {row[0]: dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}
    assert list(table.columns[1:]) == [
        *("vision, as shipped", "vision, ≤ 1e-6 false", "vision, 0 false"),
        *("orb, as shipped", "orb, ≤ 1e-6 false"),
    ]
    assert [cells[f]["vision, as shipped"] for f in ("crop", "flip_turn")] == [".000", "1.000"]
    assert cells["false claims"]["vision, as shipped"] == "1" and cells["false claims"]["vision, 0 false"] == "0"
    assert cells["claims from"]["vision, 0 false"] == "> 0.95" and cells["claims from"]["orb, as shipped"] == "≥ 8"
    assert cells["ms to describe"]["vision, as shipped"] == "12.5"
    assert cells["claims on marks of 100 px"]["vision, as shipped"] == "2 (1 turned) of 190"
    assert "claims on packshots" not in cells
    by_edit = edit_table(plain(evaluation.figures))
    assert by_edit.rows == (("crop20", ".000", ".000"), ("mirror", "1.000", ".000"))
    assert worst_lines(plain(evaluation.figures)) == [
        "false: 2.jpg (jpeg80 of a stranger) for 1.jpg, 0.95",
        "flat 100: x and y, 0.9 turned",
    ]


def test_what_went_wrong_is_written_as_rows_and_as_pictures(evaluation, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    write_copies(evaluation, out)
    assert {p.name for p in out.iterdir()} == {
        *("figures.json", "figures.csv", "families.png", "claims", "false.jsonl", "false.jpg"),
        *("missed.jsonl", "missed.jpg", "pairs.jsonl", "pairs.jpg"),
    }
    assert json.loads((out / "figures.json").read_text()) == plain(evaluation.figures)
    assert [json.loads(x)["query"] for x in (out / "missed.jsonl").read_text().splitlines()] == ["cut.png"]
    assert read_claims(out / "claims" / "vision.jsonl") == evaluation.claims["vision"]
    lines = (out / "figures.csv").read_text(encoding="utf-8").splitlines()
    assert "vision,battery,shipped,edit mirror,recall,1.0,," in lines
    assert "vision,flat 100,shipped,,claims,2,," in lines
    evaluation.false, evaluation.missed = [], []
    write_copies(evaluation, out)  # a better run leaves no picture of an older one
    assert not (out / "false.jpg").exists() and not (out / "missed.jpg").exists()


def test_figures_of_files_whose_names_are_no_text_are_written(evaluation, tmp_path):
    """A command with such a name was an error, after hours of measuring."""
    pytest.importorskip("matplotlib")
    evaluation.figures["command"] = "vision evaluate copies \udcff"
    write_copies(evaluation, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "figures.json").read_text())["command"] == evaluation.figures["command"]
