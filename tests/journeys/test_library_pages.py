"""`vision library doctor` and `vision library suggest` on tiny libraries: what is written and decided, and what stays decided."""

from __future__ import annotations

import csv
import html
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vision.cli.main import main
from vision.images import read_picture
from vision.library import Library
from vision.report.rows import write_row
from vision.values import Candidate, Finding, Reading, Result

BOX = (40.0, 30.0, 240.0, 170.0)


def mark(name, size=(200, 140)):
    """An invented mark, another one for each name."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    random = np.random.default_rng(sum(map(ord, name)))
    for _ in range(5):
        x, y = (random.uniform(0, 0.7, 2) * size).tolist()
        colour = tuple(random.integers(0, 200, 3).tolist())
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)(
            (x, y, x + size[0] * 0.3, y + size[1] * 0.4), fill=colour
        )
    return image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A shop: a stranger's mark in three sellers' pictures, one of ACME, one of Zeta."""
    folder = tmp_path_factory.mktemp("pictures") / "shop"
    random = np.random.default_rng(1)
    for seller, names in {"s1": "Que", "s2": "Que", "s3": "Que Acme Zeta"}.items():
        (folder / seller).mkdir(parents=True)
        for name in names.split():
            ground = Image.fromarray(random.integers(190, 230, (200, 280, 3), dtype=np.uint8))
            ground.paste(mark(name), (40, 30))
            ground.save(folder / seller / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def results(pictures):
    """Rows that a scan could have written, with a picture that is gone and one that was changed."""
    out = pictures.parent / "out"
    out.mkdir()
    rows = []
    for path in sorted(pictures.rglob("*.png")):
        brand = {"Acme": "Acme", "Zeta": "Zeta"}.get(path.stem)
        candidates = (Candidate(brand, 0.5, 0.4, f"{brand.lower()}/1"),) if brand else ()
        text = Reading("Zeta", 0.9) if brand == "Zeta" else None
        finding = Finding("logo", BOX, 0.9, "unknown", None, None, 0.4, candidates, text)
        name = path.relative_to(pictures.parent).as_posix()
        rows.append(Result(name, read_picture(path).sha256, 280, 200, "ok", findings=(finding,)))
    rows.append(Result("shop/gone.png", "0" * 64, 280, 200, "ok", findings=(finding,)))
    rows.append(Result("shop/s1/Que.png", "1" * 64, 280, 200, "ok", findings=(finding,)))
    (out / "results.jsonl").write_bytes(b"".join(map(write_row, rows)))
    return out / "results.jsonl"


@pytest.fixture
def mine(tmp_path):
    """A library of two brands; Acme's artwork is another one than in the pictures."""
    library = Library.create(tmp_path / "mine")
    library.add("Acme", mark("Other Artwork"))
    library.add("Zeta", mark("Older Artwork"))
    return tmp_path / "mine"


def call(capsys, *arguments):
    code = main(["library", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert said.err == ""
    return code, json.loads(said.out)


def test_the_doctor_of_a_small_library_writes_its_page(run, mine, tmp_path):
    library = Library.open(mine)
    library.add("Acme", mark("Other Artwork", size=(400, 280)))
    library.add("Acme Copy", mark("Older Artwork"))
    done = run("library", "doctor", "--library", mine, "--out", tmp_path / "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"redundant +│ +1 ", done.stdout)
    assert re.search(r"conflict +│ +1 ", done.stdout)
    found = json.loads((tmp_path / "doctor" / "doctor.json").read_text())
    assert found["schema"] == "vision.doctor/1"
    assert [(r["reference"], r["kept"]) for r in found["redundant"]] == [("acme/2", "acme/1")]
    assert [(p["reference"], p["other_reference"]) for p in found["conflicts"]] == [("zeta/1", "acme-copy/1")]
    with (tmp_path / "doctor" / "doctor.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"conflict", "redundant", "one reference"} == {row["finding"] for row in rows}
    page = (tmp_path / "doctor" / "doctor.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/webp') == 4
    assert Library.open(mine).version == library.version


def test_no_cell_of_the_doctors_table_is_a_formula(mine, tmp_path, capsys):
    Library.open(mine).add("=HYPERLINK(1)", mark("Older Artwork"))
    assert call(capsys, "doctor", "--library", mine, "--out", tmp_path / "doctor")[0] == 0
    with (tmp_path / "doctor" / "doctor.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    assert not any(cell.startswith("=") for cell in cells)


def test_the_doctor_counts_what_wins_on_photos(mine, pictures, tmp_path, capsys):
    code, said = call(capsys, "doctor", "--library", mine, "--photos", pictures, "--out", tmp_path / "doctor")
    assert (code, said["photos"]) == (0, 5)
    assert json.loads((tmp_path / "doctor" / "doctor.json").read_text())["photos"] == 5


def test_photos_that_are_not_there_are_an_error_and_no_clean_bill(mine, tmp_path, capsys):
    """It ended well, as if no reference had won on any photo."""
    options = ["--library", mine, "--photos", tmp_path / "nothere", "--out", tmp_path / "doctor"]
    assert main(["library", "doctor", *map(str, options)]) not in (0, None)
    assert "none of the photos" in capsys.readouterr().err
    assert not (tmp_path / "doctor").exists()


def proposals(out):
    found = json.loads((out / "suggestions.json").read_text())
    return {(g["brand"], g["why"]): [s["id"] for s in g["suggestions"]] for g in found["groups"]}, found


def test_crops_are_proposed_decided_on_and_never_proposed_again(mine, results, tmp_path, capsys):
    out = tmp_path / "suggested"
    arguments = ("suggest", results, "--library", mine, "--out", out)
    code, said = call(capsys, *arguments)
    groups, found = proposals(out)
    assert code == 0
    assert (said["brands with proposals"], said["groups of unknown marks"], said["crops to decide on"]) == (2, 1, 5)
    assert {key: len(ids) for key, ids in groups.items()} == {
        ("Zeta", "read"): 1,
        ("Acme", "near"): 1,
        (None, "unknown"): 3,
    }
    assert {m["path"]: m["reason"] for m in found["missing"]} == {
        "shop/gone.png": "the file is not there",
        "shop/s1/Que.png": "the file was changed since",
    }
    twice = call(capsys, "suggest", results, results, "--library", mine, "--out", tmp_path / "twice")[1]
    assert twice["crops to decide on"] == 5

    # as the page's script does it
    page = (out / "suggest.html").read_text(encoding="utf-8")
    rows = [json.loads(html.unescape(row)) for row in re.findall(r'data-suggestion="([^"]*)"', page)]
    strangers = [row for row in rows if row["brand"] is None]
    decisions = [row | {"decision": "accept", "brand": "Quester"} for row in strangers[:2]]
    decisions += [row | {"decision": "refuse"} for row in rows if row["brand"] == "Acme"]
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"schema": "vision.decisions/1", "decisions": decisions}))
    code, said = call(capsys, "suggest", "--apply", file, "--library", mine)
    assert (code, said["added"], said["refused"]) == (0, ["quester/1", "quester/2"], 1)
    library = Library.open(mine)
    assert library.references("Quester")[0].source.startswith("shop/s")
    assert library.search(mark("Que"))[0].brand == "Quester"
    again = call(capsys, "suggest", "--apply", file, "--library", mine)[1]
    assert (again["added"], again["decided before"]) == ([], 3)

    code, said = call(capsys, *arguments)
    groups, _ = proposals(out)
    # the third stranger is a known brand's by now, and looks just like its references
    assert (list(groups), said["decided before"]) == ([("Zeta", "read")], 3)
    (id_,) = groups["Zeta", "read"]
    code, said = call(capsys, "suggest", "--accept", id_, "--out", out, "--library", mine)
    assert (code, said["added"]) == (0, ["zeta/2"])
    call(capsys, *arguments)
    assert proposals(out)[0] == {}


def test_pictures_that_moved_are_found_in_a_folder_given(mine, results, pictures, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "results.jsonl").write_bytes(results.read_bytes())
    out = tmp_path / "suggested"
    assert (
        call(capsys, "suggest", moved / "results.jsonl", "--library", mine, "--out", out)[1]["crops to decide on"] == 0
    )
    arguments = ("suggest", moved / "results.jsonl", "--library", mine, "--out", out, "--pictures", pictures)
    assert call(capsys, *arguments)[1]["crops to decide on"] == 5


def test_an_accepted_picture_that_is_gone_is_told_and_the_others_are_added(mine, results, tmp_path, capsys):
    out = tmp_path / "suggested"
    call(capsys, "suggest", results, "--library", mine, "--out", out)
    found = json.loads((out / "suggestions.json").read_text())
    rows = [s | {"decision": "accept", "brand": "Quester"} for g in found["groups"] for s in g["suggestions"]][:2]
    rows[0]["file"] = rows[0]["path"] = "nowhere.png"
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"schema": "vision.decisions/1", "decisions": rows}))
    assert main(["library", "suggest", "--apply", str(file), "--library", str(mine)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("1 reference added")
    assert rows[0]["id"] in said.err


def test_mistakes_are_told_with_what_to_do(mine, results, tmp_path, capsys):
    out = tmp_path / "suggested"
    call(capsys, "suggest", results, "--library", mine, "--out", out)
    groups, _ = proposals(out)
    file = tmp_path / "decisions.json"
    file.write_text("[]")
    for arguments, says in (
        (["--library", mine], "give results to propose crops of, or decisions"),
        ([results, "--apply", file, "--library", mine], "give results to propose crops of, or decisions"),
        (["--apply", file, "--library", mine], "no decisions of schema"),
        (["--apply", tmp_path / "no.json", "--library", mine], "no such file"),
        (["--accept", "nothing", "--out", out, "--library", mine], "no proposal 'nothing'"),
        (["--accept", groups[None, "unknown"][0], "--out", out, "--library", mine], "has no name yet"),
        (["--refuse", groups["Acme", "near"][0], "--out", out], "the shipped library is not changed"),
    ):
        assert main(["library", "suggest", *map(str, arguments)]) == 2
        assert says in capsys.readouterr().err
    assert not (mine / "decisions.jsonl").exists()
