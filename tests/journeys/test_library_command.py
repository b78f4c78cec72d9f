"""`vision library` in a child process: a user's own library from its first picture to its last, and the shipped one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    """Two invented marks, each as clean artwork."""
    folder = tmp_path_factory.mktemp("marks")
    acme = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(acme).polygon([(100, 20), (180, 180), (20, 180)], fill="#d02090")
    zeta = Image.new("RGB", (240, 120), "#103060")
    ImageDraw.Draw(zeta).ellipse((20, 20, 100, 100), fill="#ffd000")
    ImageDraw.Draw(zeta).rectangle((120, 50, 220, 70), fill="#ffd000")
    for name, image in (("acme", acme), ("zeta", zeta)):
        image.save(folder / f"{name}.png")
    return folder


def answer(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_library_from_its_first_picture_to_its_last(run, marks, tmp_path):
    def library(*arguments):
        return run("library", *arguments, "--json", cwd=tmp_path)

    mine = ("--library", "mine")
    assert answer(library("create", "mine")) == [{"library": "mine", "brands": 0}]
    added = answer(library("add", "Acme", marks / "acme.png", "--alias", "ACME Corp", "--licence", "ours", *mine))
    assert added == [{"brand": "Acme", "added": ["acme/1"], "references": 1}]
    answer(library("add", "Zeta", marks / "zeta.png", *mine))
    listed = answer(library("list", *mine))
    assert [(row["brand"], row["aliases"], row["references"]) for row in listed] == [
        ("Acme", ["ACME Corp"], 1),
        ("Zeta", [], 1),
    ]
    assert [row["brand"] for row in answer(library("list", "corp", *mine))] == ["Acme"]

    found = answer(library("search", marks / "zeta.png", marks / "acme.png", *mine))
    assert [row["matches"][0]["brand"] for row in found] == ["Zeta", "Acme"]
    assert found[0]["matches"][0]["similarity"] > 0.99
    assert len(answer(library("search", "--text", "yellow", "-k", "1", *mine))[0]["matches"]) == 1

    assert answer(library("rename", "acme", "Acme International", *mine))[0]["id"] == "acme"
    shown = answer(library("show", "acme corp", "--pictures", "out", *mine))[0]
    assert (shown["brand"], shown["pictures"][0]["licence"]) == ("Acme International", "ours")
    with Image.open(tmp_path / "out" / "acme-1.webp") as kept:
        assert kept.size == (200, 200)
    assert answer(library("remove", "Zeta", *mine)) == [{"removed": "Zeta"}]
    assert [row["brand"] for row in answer(library("list", *mine))] == ["Acme International"]


def test_mistakes_are_named_with_their_code_and_what_to_do(run, marks, tmp_path):
    for arguments, code, says in (
        (("library", "list", "--library", "nowhere"), 3, "error [missing]: nowhere: there is no brand library"),
        (("library", "add", "Acme", marks / "acme.png"), 2, "error [bad_option]: the shipped library is not changed"),
        (("library", "search"), 2, "error [bad_option]: give pictures or --text"),
        (("library", "show", "Cocacolla"), 2, "did you mean Coca-Cola"),
        (("library", "search", tmp_path / "gone.png"), 1, "error [not_found]"),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_the_shipped_library_holds_thousands_of_brands_and_says_where_each_came_from(run, tmp_path):
    rows = answer(run("library", "list", "--json", cwd=tmp_path))
    assert len(rows) > 4000
    shown = answer(run("library", "show", "coke", "--json", cwd=tmp_path))[0]
    assert shown["brand"] == "Coca-Cola"
    assert all(reference["source"] and reference["licence"] for reference in shown["pictures"])
    kinds = {(reference["kind"], reference["picture"]) for reference in shown["pictures"]}
    assert kinds == {("drawing", True), ("photo", False)}


def test_reserved_brands_of_the_shipped_library_have_drawings_only():
    from vision.library import Library

    library = Library.default()
    for name in ("Red Bull", "NBC", "Starbucks", "Ford", "Google", "FedEx"):
        assert {reference.kind for reference in library.references(name)} == {"drawing"}


def test_a_copy_of_the_shipped_library_learns_a_new_brand_and_keeps_the_old(marks, tmp_path):
    from vision.library import Library

    shipped = Library.default()
    mine = Library.create(tmp_path / "mine", base=shipped)
    reference = next(r for r in shipped.references("Nike") if r.kind == "drawing")
    vectors = shipped.vectors(reference.id)
    mine.add("Acme", marks / "acme.png")
    assert len(mine) == len(shipped) + 1
    assert mine.search(marks / "acme.png")[0].brand == "Acme"
    best = mine.search_embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert {matches[0].brand for matches in best} == {"Nike"}
