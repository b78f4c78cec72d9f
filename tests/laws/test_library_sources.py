"""Drawings from vector packages: what the reader promises, on a tiny package made here, and the library built of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from library_fakes import Colours
from PIL import Image

from vision.errors import DatasetError, UsageError
from vision.library import packages
from vision.library.packages import read_svgs
from vision.library.sources import Drawing, by_brand, differing, load_drawings, views

ICONS = {
    "acme": {"body": '<rect x="20" y="30" width="60" height="20" fill="#ff0000"/>', "width": 100, "height": 100},
    "acme-icon": {"body": '<circle cx="5" cy="5" r="5" fill="#00ff00"/><circle cx="9" cy="5" r="4" fill="#0000ff"/>'},
    "empty": {"body": "<g/>"},
    "google-2014": {"body": '<path fill="currentColor" d="M0 0h10v10z"/>'},
}


SQUARE = '<svg viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><path d="M2 2h9v9h9v9H2z"/></svg>'
CROSS = '<svg viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><path d="M9 0h6v9h9v6h-9v9H9v-9H0V9h9z"/></svg>'


@pytest.fixture(autouse=True)
def _pins(monkeypatch):
    """The checksums of the packages, so that `tarball` can put those of its own in their place."""
    monkeypatch.setattr(packages, "_NPM", dict(packages._NPM))


def tarball(folder, name, files):
    """A tarball under the name that `npm pack` gives it, taken for npm's own. files: texts by path inside `package/`.

    Returns the folder.
    """
    with tarfile.open(folder / name, "w:gz") as out:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text.encode())
            out.addfile(entry, io.BytesIO(text.encode()))
    checksum = base64.b64encode(hashlib.sha512((folder / name).read_bytes()).digest()).decode()
    source = next(source for source, package in packages._NPM.items() if package.file == name)
    packages._NPM[source] = replace(packages._NPM[source], sha512=checksum)
    return folder


def package(folder, icons):
    """A folder with a tarball laid out like @iconify-json/logos."""
    files = {
        "icons.json": {"icons": icons, "width": 10, "height": 10},
        "info.json": {"license": {"spdx": "CC0-1.0"}},
    }
    return tarball(
        folder, "iconify-json-logos-1.2.19.tgz", {path: json.dumps(content) for path, content in files.items()}
    )


def rectangle(key="acme", coloured=False, **drawn):
    """A drawing of two bars on a square."""
    rgba = np.zeros((40, 40, 4), dtype=np.uint8)
    rgba[2:12], rgba[28:38] = (200, 0, 0, 255), (0, 0, 200, 255) if coloured else (200, 0, 0, 255)
    given = {"source": "thesvg", "slug": key} | drawn
    return Drawing(
        key.title(), key, given["source"], "CC0-1.0", None if coloured else "#c80000", coloured, rgba, given["slug"]
    )


def test_collections_are_read_under_the_names_of_their_brands(tmp_path):
    listed = [{"title": "Node.js", "hex": "5FA04E"}, {"title": "Gone", "hex": "000000"}]
    listed += [{"title": "Owned", "hex": "000000", "license": {"type": "CC-BY-ND-2.0"}}]
    icons = {"_data/simple-icons.json": json.dumps(listed), "icons/nodedotjs.svg": SQUARE, "icons/owned.svg": SQUARE}
    found = read_svgs("simple-icons-9", tmp_path, tarball(tmp_path, "simple-icons-9.21.0.tgz", icons))
    assert [(svg.title, svg.slug, svg.colour, svg.licence, svg.svg) for svg in found] == [
        ("Node.js", "nodedotjs", "#5fa04e", "CC0-1.0", SQUARE)
    ]
    renamed = {"_data/simple-icons.json": json.dumps({"icons": listed}), "icons/node-dot-js.svg": SQUARE}
    found = read_svgs("simple-icons-3", tmp_path, tarball(tmp_path, "simple-icons-3.13.0.tgz", renamed))
    assert [svg.title for svg in found] == ["Node.js"]
    cars = {f"optimized/{name}.svg": SQUARE for name in ("MB Icon", "MB Icon Dark", "Kia Logo Horizontal", "Other")}
    found = read_svgs("cardog", tmp_path, tarball(tmp_path, "cardog-icons-core-1.2.0.tgz", cars))
    assert [svg.title for svg in found] == ["Kia", "Mercedes-Benz"]


def test_modules_of_drawings_are_read_and_not_run(tmp_path):
    def module(slug, title, licence="CC0-1.0"):
        lines = (
            f"export const slug = {json.dumps(slug)};",
            f"export const title = {json.dumps(title)};",
            f"export const license = {json.dumps(licence)};",
            "export const variants = {",
            f"  default: `{CROSS}`,",
            r'  "word-mark": `<svg id="\`a\`"/>`',
            "};",
            "throw 1;",
        )
        return "\n".join(lines)

    modules = {
        "dist/acme.js": module("acme", 'Acme "A" (legacy)'),
        "dist/acme-badge.js": module("acme-badge", "Acme"),
        "dist/paid.js": module("paid", "Paid", "Trademark"),
        "dist/index.js": "export * from './acme.js';",
    }
    found = read_svgs("thesvg", tmp_path, tarball(tmp_path, "thesvg-icons-3.3.8.tgz", modules))
    assert [(svg.slug, svg.title) for svg in found] == [("acme/default", 'Acme "A"'), ("acme/word-mark", 'Acme "A"')]
    assert (found[0].svg, found[1].svg) == (CROSS, '<svg id="`a`"/>')


def test_components_of_clubs_are_read_and_not_run(tmp_path):
    calls = """
        throw 1;
        var BOS = function BOS(props) {
          return /*#__PURE__*/_react["default"].createElement("svg", {
            width: size,
            viewBox: "0 0 24 24",
            xmlns: "http://www.w3.org/2000/svg",
            fillRule: "evenodd"
          }, /*#__PURE__*/_react["default"].createElement("title", { id: "title" }, "A (B) \\"C\\" & D"),
          /*#__PURE__*/_react["default"].createElement("g", null, /*#__PURE__*/_react["default"].createElement("use", {
            xlinkHref: "#A"
          })), /*#__PURE__*/_react["default"].createElement("path", { d: "M0 0h9v9z", mask: "url(#B)" }));
        };
        BOS.propTypes = { size: "big" };
    """
    files = {"dist/Icons/bos.js": calls, "dist/Icons/xyz.js": calls, "dist/index.js": "import './Icons/bos.js'"}
    (found,) = read_svgs("nba", tmp_path, tarball(tmp_path, "react-nba-logos-1.1.3.tgz", files))
    assert (found.title, found.slug, found.aliases) == ("Boston Celtics", "bos", ("Celtics",))
    assert found.svg == (
        '<svg viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg" fill-rule="evenodd">'
        '<title id="title">A (B) "C" &amp; D</title><g><use href="#A" /></g><path d="M0 0h9v9z" mask="url(#B)" /></svg>'
    )
    jsx = f"const MTL = props => ({SQUARE.replace('<svg', '<svg width={props.size} height={size}')});"
    files = {"src/logos/mtl.js": jsx, "src/index.js": jsx}
    (found,) = read_svgs("nhl", tmp_path, tarball(tmp_path, "react-nhl-logos-1.2.4.tgz", files))
    assert (found.title, found.svg) == ("Montreal Canadiens", SQUARE)


def test_only_what_looks_different_is_kept():
    here = rectangle()
    wider = replace(here, rgba=np.pad(here.rgba, ((0, 0), (0, 40), (0, 0)), mode="edge"))
    assert differing([here], [here]) == []
    assert differing([replace(here, key="other")], [here]) != []
    assert differing([wider, wider], [here]) == [wider]
    assert len(differing([rectangle(coloured=True)], [here])) == 1


def test_plain_shapes_and_drawings_for_dark_grounds_are_left_out():
    y, x = np.mgrid[:60, :60]
    disc = np.zeros((60, 60, 4), dtype=np.uint8)
    disc[(y - 30) ** 2 + (x - 30) ** 2 < 29**2] = (255, 96, 0, 255)
    assert differing([replace(rectangle(), rgba=disc)], []) == []
    lettered = rectangle(coloured=True)
    lettered.rgba[28:38] = (255, 255, 255, 255)
    assert differing([lettered], []) == []
    lettered.rgba[36:38] = (0, 0, 200, 255)
    assert differing([lettered], []) == [lettered]
    faint = rectangle()
    faint.rgba[..., 3] //= 3
    assert differing([faint], []) == [faint]


def one_colour(colour="#ff0000"):
    rgba = np.zeros((20, 40, 4), dtype=np.uint8)
    rgba[5:15, 10:30] = (*bytes.fromhex(colour[1:]), 255)
    return Drawing("Acme", "acme", "simplepycons", "CC0-1.0", colour, False, rgba, "acme")


def test_one_colour_is_printed_in_its_colour():
    (on_white,) = views(one_colour())
    assert on_white.shape == (28, 48, 3)
    assert tuple(on_white[14, 24]) == (255, 0, 0)
    assert tuple(on_white[0, 0]) == (255,) * 3


def test_a_white_logo_is_never_printed_on_white():
    (on_black,) = views(one_colour("#fffffe"))
    assert tuple(on_black[14, 24]) == (255, 255, 254)
    assert tuple(on_black[0, 0]) == (0,) * 3


def test_black_lettering_of_a_coloured_logo_turns_white_on_black():
    rgba = np.zeros((10, 20, 4), dtype=np.uint8)
    rgba[:, :10], rgba[:, 10:] = (10, 10, 10, 255), (250, 0, 0, 255)
    drawing = Drawing("Acme", "acme", "iconify-logos", "CC0-1.0", None, True, rgba, "acme")
    on_white, on_black = views(drawing)
    assert tuple(on_white[5, 5]) == (10, 10, 10)
    assert tuple(on_black[5, 5]) == (245, 245, 245)
    assert tuple(on_black[5, 15]) == (250, 0, 0)


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(UsageError):
        load_drawings(tmp_path, sources=["clipart"])


@pytest.mark.train
class TestTinyPackage:
    @pytest.fixture(autouse=True)
    def _needs_resvg(self):
        pytest.importorskip("resvg_py")

    def load(self, tmp_path, icons=ICONS):
        made = package(tmp_path, icons)
        return load_drawings(tmp_path / "cache", sources=["iconify-logos"], longest_side=64, packages=made)

    def test_drawings_are_cropped_to_the_ink_and_named(self, tmp_path):
        found = {d.slug: d for d in self.load(tmp_path)}
        assert list(found) == ["acme", "acme-icon", "google-2014"]
        assert {d.name for d in found.values()} == {"Acme", "Google"}
        assert found["acme"].colour == "#ff0000"
        height, width = found["acme"].rgba.shape[:2]
        assert 56 <= width <= 66  # of a 100 px ground 60 are ink: rendered again until the ink is as large as asked
        assert abs(width / height - 3) < 0.2
        assert (found["acme-icon"].coloured, found["acme-icon"].colour) == (True, None)
        assert [name for name, _ in by_brand(list(found.values()))] == ["Acme", "Google"]

    def test_the_cache_gives_the_same_drawings(self, tmp_path):
        first, second = self.load(tmp_path), self.load(tmp_path)
        assert [d.slug for d in first] == [d.slug for d in second]
        assert all(np.array_equal(a.rgba, b.rgba) for a, b in zip(first, second, strict=True))

    def test_a_broken_cache_is_made_again(self, tmp_path):
        first = self.load(tmp_path)
        cache = next((tmp_path / "cache").glob("drawings-*"))
        cache.write_bytes(cache.read_bytes()[:-30])
        assert len(self.load(tmp_path)) == len(first)

    def test_a_file_that_is_no_package_is_refused(self, tmp_path):
        (tmp_path / "iconify-json-logos-1.2.19.tgz").write_bytes(b"nothing")
        with pytest.raises(DatasetError) as caught:
            load_drawings(tmp_path / "cache", sources=["iconify-logos"], packages=tmp_path)
        assert caught.value.code == "bad_label"
        with pytest.raises(DatasetError) as caught:
            load_drawings(tmp_path / "cache", sources=["iconify-logos"], packages=tmp_path / "gone")
        assert caught.value.code == "missing"
        damaged = package(tmp_path, ICONS) / "iconify-json-logos-1.2.19.tgz"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        with pytest.raises(DatasetError) as caught:
            load_drawings(tmp_path / "cache", sources=["iconify-logos"], packages=tmp_path)
        assert caught.value.code == "bad_label"

    def test_a_library_is_built_of_drawings_and_crops_and_twice_the_same(self, tmp_path):
        from vision.training.library import build_library

        made = package(tmp_path, ICONS)
        config = {"drawings": {"sources": ["iconify-logos"]}, "photos": {"sets": photo_set(tmp_path)}}
        libraries = [
            build_library(config, tmp_path / name, embedder=Colours(), cache=tmp_path / "cache", packages=made)
            for name in ("one", "two")
        ]
        built = libraries[0]
        assert [b.name for b in built.brands()] == ["Acme", "Google", "Zeta"]
        kinds = [(r.id, r.kind, r.vectors, r.thumbnail is not None, r.licence) for r in built.references("Acme")]
        assert kinds == [
            ("acme/1", "drawing", 1, True, "CC0-1.0"),
            ("acme/2", "drawing", 2, True, "CC0-1.0"),
            ("acme/3", "photo", 1, False, "free"),
            ("acme/4", "photo", 1, False, "free"),
            ("acme/5", "photo", 1, False, "free"),
        ]
        assert built.references("Google")[0].source == "iconify-logos/google-2014"
        assert built.checksum == libraries[1].checksum
        with pytest.raises(UsageError):
            build_library({"photos": {"sets": [{"path": "x"}]}}, tmp_path / "three", embedder=Colours())

    def test_further_collections_add_other_artwork_of_brands_that_are_drawn_or_listed(self, tmp_path):
        from vision.training.library import build_library

        listed = tmp_path / "names.txt"
        listed.write_text("Borealis | Nordlicht\nCastor\n")
        package(tmp_path, ICONS)
        titles = ("Acme", "Nordlicht", "Stranger", "Castor")
        rows = [{"title": title, "hex": "ff0000"} for title in titles]
        svgs = {f"icons/{title.lower()}.svg": CROSS for title in titles}
        tarball(tmp_path, "simple-icons-9.21.0.tgz", {"_data/simple-icons.json": json.dumps(rows)} | svgs)
        same = {"_data/simple-icons.json": json.dumps(rows[:1]), "icons/acme.svg": CROSS}
        tarball(tmp_path, "simple-icons-5.24.0.tgz", same)
        drawings = {
            "sources": ["iconify-logos"],
            "more": ["simple-icons-9", "simple-icons-5"],
            "other_companies": ["Castor"],
        }
        config = {"drawings": drawings, "name_lists": [str(listed)]}
        built = build_library(config, tmp_path / "one", embedder=Colours(), cache=tmp_path / "cache", packages=tmp_path)
        assert {b.name: len(built.references(b.name)) for b in built.brands()} == {
            "Acme": 3,
            "Borealis": 1,
            "Castor": 0,
            "Google": 1,
        }
        assert built.references("Acme")[2].source == "simple-icons-9/acme"

    def test_brands_of_a_list_join_by_name_and_leave_what_others_are_called_alone(self, tmp_path):
        from vision.training.library import build_library

        listed = tmp_path / "names.txt"
        listed.write_text("# known by name\nBorealis | Nordlicht | ACME\nacme\nNordlicht\nHewlett-Packard\n")
        made = package(tmp_path, ICONS)
        config = {"drawings": {"sources": ["iconify-logos"]}, "name_lists": [str(listed)]}
        built = build_library(config, tmp_path / "one", embedder=Colours(), cache=tmp_path / "cache", packages=made)
        assert [b.name for b in built.brands()] == ["Acme", "Borealis", "Google", "HP", "Nordlicht"]
        assert built.brand("Borealis").aliases == ()
        assert built.brand("hewlett packard").name == "HP"
        assert built.references("Borealis") == []
        assert len(built.references("Acme")) == 2
        listed.write_bytes(b"Borealis\n\xff\n")
        with pytest.raises(UsageError) as caught:
            build_library(config, tmp_path / "two", embedder=Colours(), cache=tmp_path / "cache", packages=made)
        assert "line 2" in caught.value.message


def photo_set(tmp_path):
    """One photo with three boxes of Acme, one of Zeta, and a passing shop that was boxed later."""
    folder = tmp_path / "shop"
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (100, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    boxes = [
        {"box": [x, 10, x + 40, 50], "kind": "logo", "brand": brand}
        for x, brand in ((0, "ACME"), (50, "Acme"), (100, "acme"), (150, "Zeta"))
    ]
    row = {"image": "a.png", "width": 300, "height": 100, "boxes": boxes}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    extra = {"image": "a.png", "extra": [{"box": [200, 10, 240, 50], "brand": "Passing Shop", "sure": True}]}
    (folder / "extra_boxes.jsonl").write_text(json.dumps(extra) + "\n")
    return [{"path": str(folder / "train.jsonl"), "licence": "free"}]


def test_a_drawn_view_gets_the_ground_around_it_that_a_scan_leaves_around_a_box():
    from vision.training.library import with_padding

    (view,) = views(one_colour("#fffffe"))
    padded = with_padding(view)
    assert padded.shape == (28 + 2 * 2, 48 + 2 * 4, 3)
    assert np.array_equal(padded[2:-2, 4:-4], view)
    assert tuple(padded[0, 0]) == (0,) * 3
