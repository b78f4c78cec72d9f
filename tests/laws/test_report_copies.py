"""Laws of evidence for copies and of groups of copies: what is drawn lies where the claim says, what is told is the claim."""

import csv
import json
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from copy_scenes import TURNS, picture, scene, turned
from report_fakes import EVIL

from vision.copies import Entry
from vision.copies.clusters import Member, group, owner_groups
from vision.report.copies import PANEL, evidence, matrix
from vision.report.copy_groups import Groups, write_groups, write_groups_page
from vision.report.overlay import COPY
from vision.values import CopyClaim, Fingerprint

CLAIM = CopyClaim("source.jpg", "pair", "same", 4, 0.998, owner="seller-9", first_seen="2026-01-05T10:00:00Z")


@dataclass(frozen=True)
class Verified:
    """A claim whose geometry is known."""

    transform: tuple
    source: str = "source.jpg"
    kind: str = "crop"
    probability: float = 0.99
    coverage: float | None = 0.4
    box: tuple | None = None
    source_box: tuple | None = None
    owner: str | None = None
    first_seen: str | None = None


@pytest.mark.parametrize("kind", TURNS)
def test_the_mapping_read_from_a_kind_lays_the_picture_onto_its_source(kind):
    pixels = scene(3)
    copy, source = picture(turned(pixels, kind)), picture(pixels)
    laid = cv2.warpPerspective(copy.pixels, matrix(copy, source, replace(CLAIM, kind=kind)), (320, 240))
    # edges of pixels, not their centres, are mapped onto each other: a pixel's shift at most
    assert np.abs(laid[4:-4, 4:-4].astype(int) - pixels[4:-4, 4:-4]).mean() < 6
    other = "rotate180" if kind == "same" else "same"
    wrong = cv2.warpPerspective(copy.pixels, matrix(copy, source, replace(CLAIM, kind=other)), (320, 240))
    assert np.abs(wrong.astype(int) - pixels).mean() > 20


def panels(drawing):
    """The third panel, and where the outline runs in the first two, in their own pixels."""
    sheet = np.asarray(drawing).astype(int)
    lines = (np.abs(sheet - COPY.line).sum(axis=2) < 30)[6:396]
    third = sheet[6:396, 6 + 2 * (PANEL + 6) :][:, :PANEL]
    return lines[:, 6 : 6 + PANEL], lines[:, 12 + PANEL : 12 + 2 * PANEL], third


def test_a_transform_outlines_what_is_shared_and_lays_it_exactly():
    pixels = scene(5)
    # a window of 160 x 120 at (80, 60) of the source, twice enlarged
    copy, source = (
        picture(cv2.resize(pixels[60:180, 80:240], (320, 240), interpolation=cv2.INTER_CUBIC)),
        picture(pixels),
    )
    claim = Verified((0.5, 0, 80, 0, 0.5, 60, 0, 0, 1))
    _, there, third = panels(evidence(copy, source, claim))
    scale = PANEL / 320
    rows, columns = np.nonzero(there)
    wanted = np.array([60, 180, 80, 240]) * scale
    assert np.abs(np.array([rows.min(), rows.max(), columns.min(), columns.max()]) - wanted).max() <= 4
    enlarged = cv2.resize(pixels, (PANEL, 390), interpolation=cv2.INTER_CUBIC).astype(int)
    inside = slice(int(70 * scale), int(170 * scale)), slice(int(90 * scale), int(230 * scale))
    assert np.abs(third[inside] - enlarged[inside]).mean() < 6
    _, _, wrong = panels(evidence(picture(scene(6)), source, claim))
    assert np.abs(wrong[inside] - enlarged[inside]).mean() > 20
    # outside there is the source alone, in grey
    corner = third[: int(50 * scale), : int(70 * scale)]
    assert np.ptp(corner, axis=2).max() == 0


def test_the_third_panel_shows_both_in_turn():
    red, blue = (picture(np.full((240, 320, 3), colour, np.uint8)) for colour in ((250, 0, 0), (0, 0, 250)))
    third = panels(evidence(red, blue, CLAIM))[2]
    share = (third[..., 0] > third[..., 2]).mean()
    assert 0.4 < share < 0.6


def test_only_what_lies_in_the_source_is_outlined_here():
    # the right half of this picture is the left half of the source
    shift = Verified((1, 0, -160, 0, 1, 0, 0, 0, 1))
    here, there, _ = panels(evidence(picture(scene(1)), picture(scene(2)), shift))
    for lines, (left, right) in ((here, (160, 320)), (there, (0, 160))):
        columns = np.nonzero(lines)[1]
        assert abs(columns.min() - left * PANEL / 320) <= 4
        assert abs(columns.max() - right * PANEL / 320) <= 4


def test_evidence_takes_pictures_that_were_decoded_smaller():
    whole = picture(scene(5))
    small = replace(whole, pixels=np.ascontiguousarray(whole.pixels[::2, ::2]))
    claim = replace(CLAIM, box=(0, 0, 320, 240), source_box=(160, 120, 320, 240))
    one, other = (panels(evidence(each, each, claim))[1] for each in (whole, small))
    assert one.any()
    assert (one != other).mean() < 0.01


@pytest.mark.parametrize("transform", [(1, 0, 5000, 0, 1, 0, 0, 0, 1), (0.001, 0, 0, 0, 0.001, 0, 0, 0, 1)])
def test_evidence_of_a_transform_that_leads_nowhere_is_still_drawn(transform):
    drawing = evidence(picture(scene(1)), picture(scene(2, 50, 400)), Verified(transform))
    assert drawing.mode == "RGB"


def entry(id, owner=None, time="2026-01-01T00:00:00Z"):
    return Entry(id, owner, time, 320, 240, f"{len(id):064x}", Fingerprint("0" * 64, 100))


def made(entries, claims, **told):
    grouping = group(
        [Member(e.id, e.time, e.owner) for e in entries],
        [(a, b, c.probability) for (a, b), c in claims.items()],
        **told,
    )
    return Groups(grouping, {e.id: e for e in entries}, claims, owner_groups(grouping.clusters, 1))


@pytest.fixture
def groups():
    """A group of three whose last is tied to the second only, and a pair of which the claim goes the wrong way."""
    times = {"a": 1, "b": 2, "c": 3, "x": 4, "y": 5}
    entries = [entry(id, f"seller {id > 'b'}", f"2026-01-0{day}T00:00:00Z") for id, day in times.items()]
    claims = {
        ("b", "a"): replace(CLAIM, kind="mirror", probability=0.99),
        ("c", "b"): replace(CLAIM, kind="rotate90", probability=0.98),
        ("x", "y"): replace(CLAIM, kind="rotate90", probability=0.97),
    }
    return made(entries, claims)


def test_a_picture_is_told_with_its_claim_on_the_original_or_on_who_ties_it(groups):
    (_, first), (_, second) = groups.pictures()
    assert [(p.id, p.original, p.kind, p.claimed_with) for p in first] == [
        ("a", True, None, None),
        ("b", False, "mirror", "a"),
        ("c", False, "rotate90", "b"),
    ]
    # the claim was that x, the earlier, is y turned by 90: so y is x turned back
    assert [(p.id, p.kind, p.claimed_with) for p in second] == [("x", None, None), ("y", "rotate270", "x")]


def test_the_claim_on_the_original_is_told_before_a_surer_one_on_another():
    claims = {
        (a, b): replace(CLAIM, probability=p) for a, b, p in (("b", "a", 0.9), ("c", "a", 0.91), ("c", "b", 0.99))
    }
    ((_, pictures),) = made([entry(id) for id in "abc"], claims).pictures()
    assert [(p.claimed_with, p.probability) for p in pictures] == [(None, None), ("a", 0.9), ("a", 0.91)]


def test_a_pair_that_only_a_person_tied_says_so():
    only = made([entry("a"), entry("b")], {}, confirmed=[("a", "b")])
    ((_, pictures),) = only.pictures()
    assert (pictures[1].kind, pictures[1].probability) == ("confirmed", 1.0)


def test_the_files_hold_every_picture_and_every_claim_that_leads_elsewhere(tmp_path):
    entries = [entry(id) for id in ("a", "b", "c", "undecodable \udc80")]
    claims = {(id, "a"): CLAIM for id in ("b", "c", "undecodable \udc80")}
    write_groups(made(entries, claims), tmp_path)
    (row,) = map(json.loads, (tmp_path / "groups.jsonl").read_text().splitlines())
    assert [m["id"] for m in row["members"]] == ["a", "b", "c"]
    assert row["related"] == [{"id": "a", "to": "undecodable \udc80", "to_group": None, "probability": 0.998}]
    with (tmp_path / "groups.csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == ["a", "b", "c"]
    assert not (tmp_path / "owners.jsonl").exists()


def test_owners_are_written_where_some_share_pictures(tmp_path, groups):
    write_groups(groups, tmp_path)
    (row,) = map(json.loads, (tmp_path / "owners.jsonl").read_text().splitlines())
    assert row == {
        "owners": ["seller False", "seller True"],
        "groups": [1],
        "shared": [{"owners": ["seller False", "seller True"], "groups": 1}],
    }


def page(groups, path, **options):
    def open_pixels(entry):
        return None if entry.id == "c" else scene(len(entry.id))

    write_groups_page(groups, path, open_pixels=open_pixels, counts={"groups": len(groups)}, **options)
    return path.read_text(encoding="utf-8")


def test_the_page_shows_each_picture_or_says_that_it_cannot(groups, tmp_path):
    text = page(groups, tmp_path / "groups.html")
    # five pictures in two groups, and the original that the two owners share
    assert text.count("<img ") == 5
    assert text.count("picture not at hand") == 1
    assert "rotate90 98 %, of b</em>" in text
    assert text == page(groups, tmp_path / "again.html")


def test_the_page_shows_the_largest_groups_and_says_what_it_leaves_out(groups, tmp_path):
    text = page(groups, tmp_path / "groups.html", limit=1)
    assert text.count('<article class="card group" ') + text.count('<article class="card group wide" ') == 2
    assert "The 1 largest are shown; groups.csv has all." in text


def test_the_page_escapes_what_strangers_wrote(tmp_path):
    evil = made([entry(EVIL, EVIL), entry("b", "other")], {("b", EVIL): replace(CLAIM, kind=EVIL)})
    text = page(evil, tmp_path / "groups.html", title=EVIL)
    assert EVIL not in text
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
