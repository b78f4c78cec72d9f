"""Labelled sets in other formats: what goes out comes back, what strangers wrote is read as they meant it, faults are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.datasets import FORMATS
from vision.datasets.classes import Meaning, default_meaning, read_map
from vision.datasets.files import parse_xml, split_name
from vision.datasets.jsonl import read_extra_boxes
from vision.datasets.labelled import LabelledBox, LabelledPicture, read_names, read_set
from vision.datasets.reading import read_any, tell_format
from vision.datasets.writing import write_set
from vision.errors import DatasetError, UsageError

WIDE, HIGH = 64, 48


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four pictures of 64 x 48 in two folders, two of them with the same name."""
    root = tmp_path_factory.mktemp("photos")
    found = []
    for place in ("a/x.png", "a/y z.png", "b/x.png", "b/ü.jpg"):
        path = root / place
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(len(found)).integers(0, 255, (HIGH, WIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        found.append(path)
    return found


edges = st.floats(-20, 90, allow_nan=False, width=32).map(float)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), min_size=1, max_size=8)
names = st.none() | st.sampled_from(["Nike", "Coca-Cola", "Citroën", "can", "logo"]) | words
json_values = st.none() | st.booleans() | st.integers(-9, 9) | words
some_fields = st.dictionaries(st.sampled_from(["source", "note", "é"]), json_values, max_size=2)


@st.composite
def boxes(draw, fields):
    return LabelledBox(
        box=tuple(draw(st.tuples(edges, edges, edges, edges))),
        kind=draw(st.sampled_from(["logo", "product"])),
        brand=draw(names),
        ignore=draw(st.booleans()),
        extra=draw(st.booleans()),
        label=draw(names),
        fields=draw(fields),
    )


@st.composite
def sets(draw, fields, box_fields):
    pictures = []
    for number in range(draw(st.integers(1, 4))):
        exhaustive = draw(st.booleans())
        picture = LabelledPicture(
            path=Path(str(number)),
            width=WIDE,
            height=HIGH,
            boxes=tuple(draw(st.lists(boxes(box_fields), max_size=4))),
            source="set",
            looked_at=exhaustive or draw(st.booleans()),
            kinds=frozenset(),
            split=draw(st.sampled_from([None, "train", "val", "test", "dev_unseen_brands"])),
            exhaustive=exhaustive,
            fields=draw(fields),
        )
        pictures.append(picture)
    return pictures


def comparable(pictures):
    """What must come back, whatever the order and the place of the files."""
    rows = []
    for p in pictures:
        labels = [(b.kind, b.brand, b.ignore, b.extra, b.label, dict(b.fields)) for b in p.boxes]
        corners = np.array([b.box for b in p.boxes], dtype=float).reshape(-1, 4)
        rows.append((p.split, p.path.read_bytes(), p.exhaustive, p.looked_at, p.width, dict(p.fields), labels, corners))
    return sorted(rows, key=lambda row: (str(row[0]), row[1]))


nothing = st.just({})
HOLDS = {
    "jsonl": sets(some_fields, some_fields),
    "coco": sets(some_fields, some_fields),
    "csv": sets(nothing, nothing),
    "voc": sets(nothing, st.sampled_from([{}, {"truncated": 1}, {"pose": "Left", "occluded": 1}])),
}


@pytest.mark.parametrize("images", ["copy", "link", "leave"])
@pytest.mark.parametrize("format", sorted(HOLDS))
def test_a_set_comes_back_whole_from_every_format_that_can_hold_it(format, images, photos, tmp_path_factory):
    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(HOLDS[format])
    def comes_back(pictures):
        pictures = [replace(p, path=photos[number]) for number, p in enumerate(pictures)]
        out = tmp_path_factory.mktemp("out")
        written = write_set(pictures, out, format, images=images)
        assert not [what for what in written.lost if "renamed" not in what]
        assert all(written.lost.values())
        found = read_any(out, strict=True)
        assert (found.format, found.faults) == (format, ())
        before, after = comparable(pictures), comparable(found.pictures)
        assert [row[:-1] for row in before] == [row[:-1] for row in after]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one[-1], other[-1], atol=1e-6)

    comes_back()


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(pictures=sets(nothing, nothing))
def test_yolo_brings_back_every_box_with_area_and_says_what_it_lost(pictures, photos, tmp_path_factory):
    pictures = [replace(p, path=photos[number]) for number, p in enumerate(pictures)]
    out = tmp_path_factory.mktemp("out")
    written = write_set(pictures, out, "yolo")
    assert all(written.lost.values())
    found = read_any(out, strict=True)
    limit = np.array([WIDE, HIGH, WIDE, HIGH])

    def rows(some, clip):
        result = []
        for p in some:
            corners = [np.clip(b.box, 0, limit) if clip else np.array(b.box) for b in p.boxes if not b.ignore]
            kept = [c for c in corners if c[2] > c[0] and c[3] > c[1]]
            result.append(((p.split or "train") if clip else p.split, p.path.read_bytes(), kept))
        return sorted(result, key=lambda row: (row[0], row[1]))

    for one, other in zip(rows(pictures, True), rows(found.pictures, False), strict=True):
        assert one[:2] == other[:2]
        assert len(one[2]) == len(other[2])
        for a, b in zip(one[2], other[2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)
    ignored = sum(b.ignore for p in pictures for b in p.boxes)
    assert written.lost.get("regions to ignore were left out", 0) == ignored


def test_yolo_keeps_kind_and_brand_in_class_names_unless_told_otherwise(photos, tmp_path):
    nike = LabelledBox((1, 2, 30, 40), "logo", "Nike")
    fanta = LabelledBox((5, 5, 9, 9), "product", "Fanta")
    picture = LabelledPicture(photos[0], WIDE, HIGH, (nike, fanta), "set", False, frozenset(), "train")
    for naming, expected in {
        "label": [("logo", "Nike"), ("product", "Fanta")],
        "brand": [("logo", "Nike"), ("logo", "Fanta")],
        "kind": [("logo", None), ("product", None)],
    }.items():
        written = write_set([picture], tmp_path / naming, "yolo", naming=naming)
        found = read_any(tmp_path / naming).pictures[0]
        assert [(b.kind, b.brand) for b in found.boxes] == expected
        wrong = sum(kind != b.kind for (kind, _), b in zip(expected, picture.boxes, strict=True))
        assert written.lost.get("the kind of boxes, which the class name does not say", 0) == wrong


# --- what strangers wrote -------------------------------------------------------------------------------------------------


def picture_at(path: Path, size=(WIDE, HIGH)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path)
    return path


VOC = """<annotation><folder>x</folder><filename>{name}</filename>
<size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>{cls}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object></annotation>"""


def voc_xml(name="a.jpg", cls="bottle", xmin=1, ymin=1, difficult=0):
    return VOC.format(name=name, cls=cls, xmin=xmin, ymin=ymin, difficult=difficult)


def test_voc_counts_pixels_from_one(tmp_path):
    picture_at(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(voc_xml(difficult=1))
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("a\n")
    (tmp_path / "ImageSets/Main/bottle_val.txt").write_text("a  1\n")
    picture = read_any(tmp_path).pictures[0]
    assert picture.boxes == (LabelledBox((0, 0, 64, 48), "product", ignore=True, label="bottle"),)
    assert (picture.split, picture.path) == ("val", tmp_path / "JPEGImages/a.jpg")


def test_a_voc_set_with_an_edge_at_zero_counts_from_zero(tmp_path):
    for name, xmin in (("a", 0), ("b", 5)):
        picture_at(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.xml").write_text(voc_xml(f"{name}.jpg", xmin=xmin))
    found = read_any(tmp_path)
    assert [p.boxes[0].box for p in found.pictures] == [(0, 1, 64, 48), (5, 1, 64, 48)]
    assert any("counting pixels from 0" in note for note in found.notes)


@pytest.mark.parametrize(
    "content",
    [
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e "boom">]><annotation><filename>&e;</filename></annotation>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>',
        "<annotation>" * 100_000,
        "<annotation><filename>a",
        '<?xml version="1.0" encoding="nobody-knows"?><annotation/>',
        "",
    ],
)
def test_xml_that_could_do_harm_is_refused(content, tmp_path):
    with pytest.raises(ValueError):
        parse_xml(content.encode())
    (tmp_path / "a.xml").write_text(content)
    assert [fault.path for fault in read_any(tmp_path).faults] == [str(tmp_path / "a.xml")]


def test_yaml_runs_nothing_and_jokes_are_errors(tmp_path):
    for content in ("!!python/object/apply:os.system ['touch pwned']", "names: !!python/name:os.system", "- a", "a: ["):
        (tmp_path / "data.yaml").write_text(content)
        with pytest.raises(DatasetError) as caught:
            read_any(tmp_path)
        assert caught.value.code == "bad_label"
    assert not Path("pwned").exists()


def roboflow(tmp_path):
    """As Roboflow exports "YOLOv8": paths that begin with ../ although the folders lie beside the file."""
    for split, name in (("train", "a"), ("valid", "b")):
        picture_at(tmp_path / split / "images" / f"{name}.jpg")
        (tmp_path / split / "labels").mkdir()
    (tmp_path / "train/labels/a.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n")
    (tmp_path / "valid/labels/b.txt").write_text("")
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['Nike logo', 'can']\n"
    (tmp_path / "data.yaml").write_text(yaml + "roboflow:\n  license: CC BY 4.0\n")
    return tmp_path


def test_roboflow_folders_are_read_as_they_are_laid_out(tmp_path):
    found = read_any(roboflow(tmp_path))
    assert [(p.path.name, p.split) for p in found.pictures] == [("a.jpg", "train"), ("b.jpg", "val")]
    can, nike = found.pictures[0].boxes
    assert (can.kind, can.brand, can.label) == ("product", None, "can")
    np.testing.assert_allclose(can.box, (24, 12, 40, 36))
    assert (nike.kind, nike.brand) == ("logo", "Nike")
    np.testing.assert_allclose(nike.box, (6.4, 4.8, 19.2, 19.2))  # an oriented box becomes the one around it
    assert found.names == ("Nike logo", "can")
    # a split that is named and not there is a fault, not silence
    assert [(f.where, Path(f.path).name) for f in found.faults] == [("test", "data.yaml")]


def test_a_set_with_splits_is_not_read_as_one_by_training(tmp_path):
    folder = roboflow(tmp_path)
    (folder / "data.yaml").write_text("train: train/images\nval: valid/images\nnames: [a, b]\n")
    with pytest.raises(DatasetError) as caught:
        read_set(folder / "data.yaml")
    assert caught.value.code == "leaking_split"
    assert [p.path.name for p in read_set(Path(f"{folder}/data.yaml#val"))] == ["b.jpg"]
    assert [p.path.name for p in read_set(Path(f"{folder}#train"))] == ["a.jpg"]
    with pytest.raises(DatasetError, match="no split"):
        read_set(Path(f"{folder}#test"))


def test_darknet_folders_without_yaml_are_read(tmp_path):
    picture_at(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "labels/orphan.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "classes.txt").write_text("Puma\n")
    found = read_any(tmp_path)
    assert found.pictures[0].boxes == (LabelledBox((0, 0, 64, 48), "logo", "Puma"),)
    assert [Path(f.path).name for f in found.faults] == ["orphan.txt"]


def test_coco_boxes_are_corner_and_size_and_crowds_are_regions(tmp_path):
    picture_at(tmp_path / "val2017/a.jpg")
    (tmp_path / "annotations").mkdir()
    whole = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48, "license": 1}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [], "segmentation": [[1, 2, 5, 9, 3, 4]], "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "brand"}],
    }
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(whole))
    found = read_any(tmp_path)
    picture = found.pictures[0]
    assert (picture.split, picture.path) == ("val", tmp_path / "val2017/a.jpg")
    assert [(b.box, b.kind, b.brand, b.ignore) for b in picture.boxes] == [
        ((1, 2, 11, 22), "logo", None, False),
        ((1, 2, 5, 9), "logo", None, True),
    ]
    assert found.notes == {"outlines became their boxes": 1}


@pytest.mark.parametrize(
    "text",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,Nike,4,6,20,30\nb.jpg,64,48,,,,,\n",
        "image_path;x;y;w;h;label\na.jpg;4;6;16;24;Nike\nb.jpg;;;;;\n",
        "image\tx\ty\twidth\theight\tbrand\na.jpg\t4\t6\t16\t24\tNike\nb.jpg\t\t\t\t\t\n",
        "a.jpg,4,6,20,30,Nike\nb.jpg,,,,,\n",
        "ImageID,XMin,XMax,YMin,YMax,LabelName\na,0.0625,0.3125,0.125,0.625,Nike\nb,,,,,\n",
    ],
)
def test_csv_is_read_by_its_headers(text, tmp_path):
    for name in "ab":
        picture_at(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("\ufeff" + text)
    found = read_any(tmp_path / "labels.csv", strict=True)
    assert [p.path.name for p in found.pictures] == ["a.jpg", "b.jpg"]
    assert [(b.box, b.kind, b.brand) for p in found.pictures for b in p.boxes] == [((4, 6, 20, 30), "logo", "Nike")]


# --- faults ---------------------------------------------------------------------------------------------------------------

GOOD = '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, 4], "kind": "logo", "brand": "A"}]}'
BAD_ROWS = {
    '{"width": 64, "height": 48, "boxes": []}': 'no "image"',
    '{"image": "a.jpg", "width": 64, "height": 48}': 'no "boxes"',
    '{"image": 3, "width": 64, "height": 48, "boxes": []}': "image 3 is no name",
    '{"image": "a.jpg", "width": "wide", "height": 48, "boxes": []}': "'wide' is no number",
    '{"image": "a.jpg", "width": 0, "height": 48, "boxes": []}': "0 is no size",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": {}}': "boxes {} is no list",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [[1, 2, 3, 4]]}': 'has no "box"',
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3]}]}': "is no box",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, null]}]}': "None is no number",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, 1e999]}]}': "inf is no finite number",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, NaN]}]}': "NaN is no number",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, 4], "kind": 5}]}': "neither logo nor",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [{"box": [1, 2, 3, 4], "brand": 5}]}': "brand 5 is no name",
    '{"image": "a.jpg", "width": 64, "height": 48, "boxes": [], "image_brands": "A"}': "no list of names",
    '{"image": "gone.jpg", "boxes": []}': "no width and height",
    "[1]": "is no object",
    "{oops": "no JSON",
    "[" * 100_000: "nested too deep",
}


@pytest.mark.parametrize("row", BAD_ROWS, ids=[text[:24] for text in BAD_ROWS.values()])
def test_a_bad_row_is_told_with_its_line(row, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(f"{GOOD}\n\n{row}\n{GOOD}\n")
    with pytest.raises(DatasetError) as caught:
        read_set(path)
    assert caught.value.code == "bad_label"
    assert caught.value.path == str(path)
    assert caught.value.message.startswith("line 3")
    assert BAD_ROWS[row] in caught.value.message
    found = read_any(path)
    assert [fault.where.split(",")[0] for fault in found.faults] == ["line 3"]
    assert len(found.pictures) >= 2  # the good rows are all there


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"extra": []}', 'no "image"'),
        ('{"image": "a.jpg", "extra": [{"sure": true}]}', 'has no "box"'),
        ('{"image": "a.jpg", "extra": [], "tight": [1]}', "tight[0]"),
        ('{"image": "a.jpg", "extra": [], "doubt": ["x"]}', "doubt"),
    ],
)
def test_a_bad_row_of_the_extra_boxes_is_told_too(row, message, tmp_path):
    (tmp_path / "train.jsonl").write_text(GOOD)
    (tmp_path / "extra_boxes.jsonl").write_text(row)
    with pytest.raises(DatasetError, match="line 1") as caught:
        read_set(tmp_path / "train.jsonl")
    assert caught.value.path == str(tmp_path / "extra_boxes.jsonl")
    assert message in caught.value.message
    assert read_set(tmp_path / "train.jsonl", extra_boxes=False)
    with pytest.raises(DatasetError, match="line 1"):
        read_extra_boxes(tmp_path)


def test_yolo_lines_that_make_no_sense_are_told_with_file_and_line(tmp_path):
    picture_at(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("Puma\n")
    lines = [
        "0 0.5 0.5 0.2 0.2",
        "1 0.5 0.5 0.2 0.2",
        "0 32 24 10 10",
        "0 0.5 0.5 0.2",
        "x 0.5 0.5 1 1",
        "0 .5 .5 nan 1",
    ]
    (tmp_path / "labels/a.txt").write_text("\n".join(lines))
    found = read_any(tmp_path)
    assert [f.where for f in found.faults] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    assert {f.path for f in found.faults} == {str(tmp_path / "labels/a.txt")}
    assert len(found.pictures[0].boxes) == 1


def test_coco_and_csv_and_voc_faults_say_where(tmp_path):
    whole = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}, {"id": 1, "file_name": "b.jpg"}, 5],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]},
            None,
        ],
        "categories": [{"id": 1, "name": "x"}, {"name": "y"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(whole))
    found = read_any(tmp_path / "a.json")
    places = ["categories[1]", "images[1]", "images[2]", *(f"annotations[{n}]" for n in (1, 2, 3, 4))]
    assert [f.where for f in found.faults] == places
    assert len(found.pictures[0].boxes) == 1

    (tmp_path / "a.csv").write_text(
        "image,width,height,xmin,ymin,xmax,ymax,class\na.jpg,64,48,1,2,x,4,A\n,64,48,1,2,3,4,A\n"
    )
    assert [f.where for f in read_any(tmp_path / "a.csv").faults] == ["line 3", "line 2"]

    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.xml").write_text(voc_xml(xmin="left"))
    assert [f.where for f in read_any(tmp_path / "v").faults] == ["line 3"]


def test_formats_are_told_apart_and_doubt_is_an_error(tmp_path):
    assert tell_format(roboflow(tmp_path / "r")) == "yolo"
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.jsonl").write_text(GOOD)
    (tmp_path / "m/a.csv").write_text("image,x1,y1,x2,y2,class\n")
    (tmp_path / "m/notes.json").write_text("{}")
    (tmp_path / "m/prices.csv").write_text("article,price\n")
    with pytest.raises(DatasetError, match="jsonl, csv"):
        tell_format(tmp_path / "m")
    assert read_any(tmp_path / "m", format="jsonl").format == "jsonl"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no labels"):
        read_any(tmp_path / "empty")
    with pytest.raises(DatasetError) as caught:
        read_any(tmp_path / "nowhere.json")
    assert caught.value.code == "missing"
    with pytest.raises(UsageError):
        read_any(tmp_path / "m", format="pickle")


# --- classes and places ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "brand"),
    [
        ("logo", "logo", None),
        ("Logos", "logo", None),
        ("bottle", "product", None),
        ("cigarette pack", "product", None),
        ("Coca-Cola", "logo", "Coca-Cola"),
        ("nike_logo", "logo", "nike"),
        ("Fanta can", "product", "Fanta"),
        ("Jack in the Box", "logo", "Jack in the Box"),
        ("0", "logo", None),
        ("", "logo", None),
    ],
)
def test_class_names_have_a_documented_meaning(name, kind, brand):
    assert default_meaning(name) == Meaning(kind, brand)


def test_a_map_decides_and_its_mistakes_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD)
    (tmp_path / "a.csv").write_text(
        "image,width,height,x1,y1,x2,y2,class\n" + "".join(f"a.jpg,64,48,1,2,30,40,{c}\n" for c in ("coke", "dog", "x"))
    )
    (tmp_path / "map.yaml").write_text(
        "coke: {kind: product, brand: Coca-Cola}\ndog: drop\nA: {kind: logo, brand: Acme}\n'*': logo\n"
    )
    meanings = read_map(tmp_path / "map.yaml")
    found = read_any(tmp_path / "a.csv", meanings=meanings)
    assert [(b.kind, b.brand, b.label) for b in found.pictures[0].boxes] == [
        ("product", "Coca-Cola", None),
        ("logo", None, "x"),
    ]
    assert found.notes == {"boxes dropped by the map": 1, "the map names a class that is not there: A": 1}
    assert read_any(tmp_path / "a.jsonl", meanings=meanings).pictures[0].boxes[0].brand == "Acme"
    (tmp_path / "map.yaml").write_text("coke: {kind: beverage}")
    with pytest.raises(DatasetError, match="coke"):
        read_map(tmp_path / "map.yaml")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("valid", "val"),
        ("instances_train2017", "train"),
        ("dev_unseen_brands", "dev_unseen_brands"),
        ("shop_val", "val"),
        ("truth", None),
        ("2017", None),
    ],
)
def test_splits_are_known_by_name(name, split):
    assert split_name(name) == split


def test_pictures_of_one_name_and_pictures_that_are_gone_are_told(photos, tmp_path):
    pictures = [
        LabelledPicture(path, WIDE, HIGH, (), "set", False, frozenset(), "train")
        for path in (photos[0], photos[2], tmp_path / "gone.jpg")
    ]
    for format in FORMATS:
        written = write_set(pictures, tmp_path / format, format)
        assert [Path(f.path).name for f in written.faults] == ["gone.jpg"]
        assert written.pictures == 2
        found = read_any(tmp_path / format)
        assert sorted(p.path.name for p in found.pictures) == ["x-2.png", "x.png"]
        with pytest.raises(DatasetError):
            write_set(pictures, tmp_path / f"{format}-strict", format, strict=True)
    with pytest.raises(UsageError):
        write_set(pictures, tmp_path / "csv", "csv")  # it is not empty any more


@pytest.mark.parametrize("format", FORMATS)
def test_splits_whose_names_look_alike_on_disk_lose_no_picture(format, photos, tmp_path):
    splits = ["a/b", "a:b", None, "truth", "TRUTH"]
    pictures = [
        LabelledPicture(
            photos[0], WIDE, HIGH, (LabelledBox((1, 2, 30, n + 9), "logo"),), "s", False, frozenset(), split
        )
        for n, split in enumerate(splits)
    ]
    written = write_set(pictures, tmp_path / "out", format)
    again = read_any(tmp_path / "out").pictures
    assert sorted(round(p.boxes[0].box[3]) for p in again) == [9, 10, 11, 12, 13]
    kept = {p.split for p in again} == set(splits)
    assert kept != any("split of another name" in what for what in written.lost)


def test_names_written_by_windows_are_found(tmp_path):
    picture_at(tmp_path / "train/a.jpg")
    (tmp_path / "truth.csv").write_text(
        "image,xmin,ymin,xmax,ymax,class\r\ntrain\\a.jpg,1,2,30,40,Puma\r\n", newline=""
    )
    (tmp_path / "truth.jsonl").write_text("\ufeff" + GOOD.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert read_set(tmp_path / "truth.csv")[0].path == tmp_path / "train/a.jpg"
    assert len(read_set(tmp_path / "truth.jsonl")) == len(GOOD.strip().splitlines())


def test_linked_pictures_take_no_room_and_left_ones_stay(photos, tmp_path):
    picture = LabelledPicture(photos[0], WIDE, HIGH, (), "set", False, frozenset(), "train")
    write_set([picture], tmp_path / "link", "yolo", images="link")
    assert (tmp_path / "link/images/train/x.png").samefile(photos[0])
    write_set([picture], tmp_path / "leave", "voc", images="leave")
    assert not (tmp_path / "leave/JPEGImages").exists()
    assert read_any(tmp_path / "leave").pictures[0].path.samefile(photos[0])
    with pytest.raises(UsageError):
        write_set([picture], tmp_path / "yolo", "yolo", images="leave")


def test_a_name_with_a_way_out_stays_inside(tmp_path, photos):
    picture = LabelledPicture(
        photos[0].parent / ".." / "a" / "x.png", WIDE, HIGH, (), "s", False, frozenset(), "../../etc"
    )
    for format in FORMATS:
        out = tmp_path / format
        write_set([picture], out, format)
        assert {p.name for p in tmp_path.iterdir()} <= set(FORMATS)
        assert len(read_any(out).pictures) == 1


def test_pixels_of_our_own_csv_are_never_taken_for_shares(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    tiny = LabelledBox((0.0, 0.0, 1.0, 1.0), "logo")
    picture = LabelledPicture(tmp_path / "a.png", 64, 48, (tiny,), "set", False, frozenset({"logo"}))
    written = write_set([picture], tmp_path / "out", "csv")
    assert [b.box for p in read_set(written.files[0]) for b in p.boxes] == [tiny.box]


def test_class_names_of_yaml_are_the_words_that_were_written(tmp_path):
    """YAML takes On and Yes for true, 007 for 7 and ~ for nothing; brands were called so, and maps found no such class."""
    picture_at(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("".join(f"{number} 0.5 0.5 0.5 0.5\n" for number in range(4)))
    for spelled in ("[On, Yes, 007, Null]", "{0: On, 1: Yes, 2: 007, 3: 'Null'}"):
        (tmp_path / "data.yaml").write_text(f"path: ~\ntrain: images\nval: null\ntest:\nnames: {spelled}\n")
        found = read_any(tmp_path / "data.yaml", strict=True)
        assert found.names == ("On", "Yes", "007", "Null")
        assert [b.label or b.brand for b in found.pictures[0].boxes] == list(found.names)
    (tmp_path / "map.yaml").write_text("On: {kind: product, brand: 007}\nYes: {kind: logo, brand: null}\n")
    assert read_map(tmp_path / "map.yaml") == {"On": Meaning("product", "007"), "Yes": Meaning("logo")}
    (tmp_path / "data.yaml").write_text(f"train: images\nnames:\n  ? {'9' * 5000}\n  : Nike\n")
    with pytest.raises(DatasetError, match="is no class"):
        read_any(tmp_path / "data.yaml")


def test_shares_a_little_beyond_the_edge_are_still_shares(tmp_path):
    """One edge of 1.0005 made pixels of a whole file."""
    picture_at(tmp_path / "a.jpg")
    header = "image,width,height,xmin,ymin,xmax,ymax,class\n"
    for edge, wide in (("1.0005", 64), ("2", 1)):
        (tmp_path / "a.csv").write_text(f"{header}a.jpg,64,48,0,0,1,.5,A\na.jpg,64,48,.5,.5,{edge},1,A\n")
        assert read_any(tmp_path / "a.csv").pictures[0].boxes[0].box[2] == wide


def test_a_csv_that_breaks_off_is_told_or_is_none_of_ours(tmp_path):
    """A field of more than 131,072 characters in any CSV of a folder was a traceback."""
    bad = "x" * 131_073
    (tmp_path / "notes.csv").write_text(f"{bad},text\n")
    with pytest.raises(DatasetError, match="no labels of any format"):
        read_any(tmp_path)
    with pytest.raises(DatasetError, match="line 1: no CSV"):
        read_any(tmp_path / "notes.csv")
    (tmp_path / "ours.csv").write_text(f"image,xmin,ymin,xmax,ymax,class\na.jpg,1,2,3,4,{bad}\n")
    (fault,) = read_any(tmp_path).faults
    assert (Path(fault.path).name, fault.message[:20]) == ("ours.csv", "no CSV from here on:")


@pytest.mark.parametrize("format", ["jsonl", "coco", "csv"])
def test_a_split_of_a_row_is_chosen_by_any_of_its_spellings(format, tmp_path):
    """A row of the split "Validation" was in none that could be named."""
    picture_at(tmp_path / "a.jpg")
    row = {"image": "a.jpg", "width": 64, "height": 48, "split": "Validation"}
    rows = {
        "jsonl": json.dumps(row | {"boxes": []}),
        "coco": json.dumps({"images": [row | {"id": 1, "file_name": "a.jpg"}]}),
        "csv": "image,width,height,xmin,ymin,xmax,ymax,class,split\na.jpg,64,48,1,2,3,4,A,Validation\n",
    }
    (tmp_path / "truth").write_text(rows[format])
    for spelled in ("Validation", "val", "valid"):
        assert [p.split for p in read_any(f"{tmp_path}/truth#{spelled}", format=format).pictures] == ["val"]


def test_a_list_of_brands_that_is_no_utf8_is_told(tmp_path):
    (tmp_path / "brands.txt").write_bytes("Nestlé\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="no UTF-8") as caught:
        read_names(str(tmp_path / "brands.txt"))
    assert (caught.value.code, caught.value.path) == ("bad_label", str(tmp_path / "brands.txt"))


@pytest.mark.parametrize("images", ["copy", "link"])
def test_only_pictures_are_brought_into_a_new_set(images, photos, tmp_path):
    """Labels of strangers that named /etc/passwd had it copied among the pictures."""
    (tmp_path / "secret").write_text("root:x:0:0")
    (tmp_path / "set").mkdir()
    files = ("../secret", str(photos[0]))
    entries = [{"id": n, "file_name": file, "width": WIDE, "height": HIGH} for n, file in enumerate(files)]
    (tmp_path / "set/a.json").write_text(json.dumps({"images": entries}))
    pictures = read_any(tmp_path / "set/a.json").pictures
    for format in FORMATS:
        written = write_set(pictures, tmp_path / format, format, images=images)
        assert written.pictures == 1
        assert [(Path(f.path).name, f.message) for f in written.faults] == [
            ("secret", "this is no picture that is known here")
        ]
        assert not list((tmp_path / format).rglob("secret*"))
    with pytest.raises(DatasetError, match="no picture"):
        write_set(pictures, tmp_path / "strict", "coco", images=images, strict=True)


def test_what_csv_holds_comes_back_and_the_rest_is_told(photos, tmp_path):
    """A carriage return ended the line, and a lone surrogate the writing, with half a folder left."""
    brands = ["Ni\rke", 'Ad\ni"das', "Pu\udcffma"]
    boxes = tuple(LabelledBox((1, 2, 30, 40), "logo", brand) for brand in brands)
    picture = LabelledPicture(photos[0], WIDE, HIGH, boxes, "set", False, frozenset(), None)
    written = write_set([picture], tmp_path / "out", "csv")
    assert written.lost == {"names with characters that UTF-8 cannot hold": 1}
    found = read_any(tmp_path / "out", strict=True)
    assert [b.brand for p in found.pictures for b in p.boxes] == [*brands[:2], "Pu\\udcffma"]
