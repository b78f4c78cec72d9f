"""Whatever a stranger put into a label file, reading it ends with a set, with faults, or with an error of our family."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.datasets.check import check_sets
from vision.datasets.reading import read_any
from vision.datasets.summary import summarise_sets
from vision.datasets.writing import write_set
from vision.errors import DatasetError

UNHURRIED = settings(max_examples=60, suppress_health_check=list(HealthCheck))

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
ROW = {
    "image": "a.png",
    "width": 64,
    "height": 48,
    "boxes": [{"box": [1, 2, 30, 40], "kind": "logo", "brand": "A", "label": None}, {"box": [0, 0, 9, 9]}],
    "exhaustive": False,
    "image_brands": ["A"],
    "split": "train",
}
AGAIN = {"image": "a.png", "extra": [{"box": [5, 5, 9, 9], "sure": False}], "tight": [[0, [1, 1, 8, 8]]], "doubt": [1]}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "attributes": {"brand": "A"}, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 5, 9, 3, 4]]},
    ],
    "categories": [{"id": 1, "name": "x"}],
}


def places(node, path=()):
    """The paths of all nodes of a JSON document."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def damaged(draw, document):
    """The document with one node replaced or taken away."""
    path = draw(st.sampled_from([p for p in places(document) if p]))
    found = copy.deepcopy(document)
    node = found
    for key in path[:-1]:
        node = node[key]
    if draw(st.booleans()):
        node[path[-1]] = draw(anything)
    else:
        del node[path[-1]]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("damaged")
    for place in (root, root / "images"):
        place.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), "grey").save(place / "a.png")
    (root / "labels").mkdir()
    return root


def survives(path, tmp_path_factory) -> None:
    """Read, and what came through can be used for all that a set is used for."""
    try:
        found = read_any(path)
    except DatasetError:
        return
    json.dumps(summarise_sets(found.pictures))
    check_sets([found])
    for format in ("coco", "voc", "yolo", "csv", "jsonl"):
        write_set(found.pictures, tmp_path_factory.mktemp("out"), format)


@UNHURRIED
@given(row=damaged(ROW), again=st.just(AGAIN) | damaged(AGAIN))
def test_damaged_rows(row, again, folder, tmp_path_factory):
    (folder / "train.jsonl").write_text(json.dumps(row))
    (folder / "extra_boxes.jsonl").write_text(json.dumps(again))
    survives(folder / "train.jsonl", tmp_path_factory)


@UNHURRIED
@given(whole=damaged(COCO))
def test_damaged_coco(whole, folder, tmp_path_factory):
    (folder / "coco.json").write_text(json.dumps(whole))
    survives(folder / "coco.json", tmp_path_factory)


@UNHURRIED
@given(
    settings_=st.dictionaries(st.sampled_from(["path", "train", "val", "names", "nc", "test"]), anything),
    text=st.text(),
)
def test_damaged_yolo(settings_, text, folder, tmp_path_factory):
    (folder / "labels/a.txt").write_text(text, encoding="utf-8", errors="surrogatepass")
    document = {"train": "images", "names": ["x"]} | settings_
    (folder / "data.yaml").write_text(json.dumps(document, ensure_ascii=True))
    survives(folder / "data.yaml", tmp_path_factory)


@UNHURRIED
@given(
    rows=st.lists(
        st.lists(st.sampled_from(["", "a.png", "1", "nan", "-5", "1e400", '"', "x,y", "\0", "Nike"]), max_size=9)
    ),
    header=st.booleans(),
)
def test_damaged_csv(rows, header, folder, tmp_path_factory):
    lines = ["image,xmin,ymin,xmax,ymax,class,kind,split"] * header + [",".join(row) for row in rows]
    (folder / "boxes.csv").write_text("\n".join(lines))
    survives(folder / "boxes.csv", tmp_path_factory)


TAGS = [
    "filename",
    "size",
    "width",
    "object",
    "name",
    "bndbox",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "polygon",
    "attributes",
]


@UNHURRIED
@given(
    tree=st.recursive(
        st.sampled_from(["", "a.png", "5", "0", "x", "-1e999"]), lambda t: st.lists(st.tuples(st.sampled_from(TAGS), t))
    )
)
def test_damaged_voc(tree, folder, tmp_path_factory):
    def spelled(node):
        return node if isinstance(node, str) else "".join(f"<{tag}>{spelled(inner)}</{tag}>" for tag, inner in node)

    (folder / "a.xml").write_text(f"<annotation>{spelled(tree)}</annotation>")
    survives(folder / "a.xml", tmp_path_factory)
