"""The embedder's measurement, with an embedder whose right answers are plain: a picture's mean colour."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from vision.embed.contract import unit_rows
from vision.errors import DatasetError
from vision.evaluate.embedder import embed_boxes, evaluate_embedder
from vision.library.sources import Drawing

RED, GREEN, BLUE, GREY = (250, 20, 20), (20, 250, 20), (20, 20, 250), (120, 120, 120)


class MeanColour:
    """What stands in for a model: unit vectors of three numbers."""

    id, checksum, dim = "mean-colour-0", "0" * 64, 3
    background = np.zeros((0, 3), np.float32)

    def embed_images(self, images):
        return unit_rows(np.array([i.reshape(-1, 3).mean(axis=0) for i in images], np.float32).reshape(-1, 3))

    def embed_texts(self, texts):
        raise NotImplementedError


def drawing(name: str, colour: tuple[int, int, int]) -> Drawing:
    rgba = np.full((20, 20, 4), 255, np.uint8)
    rgba[..., :3] = colour
    return Drawing(name, name.casefold(), "drawn", "CC0-1.0", None, True, rgba, name.casefold())


def write_set(path, rows) -> None:
    lines = []
    for number, boxes in enumerate(rows):
        pixels = np.full((40, 60, 3), GREY, np.uint8)
        labels = []
        for place, (brand, colour) in enumerate(boxes):
            pixels[5:35, 5 + 30 * place : 25 + 30 * place] = colour
            labels.append({"box": [5 + 30 * place, 5, 25 + 30 * place, 35], "kind": "logo", "brand": brand})
        Image.fromarray(pixels).save(path.parent / f"{path.stem}{number}.png")
        lines.append(json.dumps({"image": f"{path.stem}{number}.png", "width": 60, "height": 40, "boxes": labels}))
    path.write_text("\n".join(lines))


@pytest.fixture
def truth(tmp_path):
    write_set(tmp_path / "train.jsonl", [[("Rouge", RED)], [("Vert", GREEN), (None, BLUE)]])
    write_set(
        tmp_path / "dev.jsonl",
        [
            [("Rouge", RED), ("Vert", GREEN)],
            [("Rouge", GREEN)],  # looks like another brand
            [("Nowhere", BLUE)],  # no drawing, one picture: no photograph of it either
        ],
    )
    return tmp_path / "dev.jsonl"


def test_boxes_are_cut_with_their_padding_and_keep_their_brand(truth):
    crops = embed_boxes(MeanColour(), truth)
    assert crops.keys.tolist() == ["rouge", "vert", "rouge", "nowhere"]
    assert crops.pictures.tolist() == [str(truth.parent / f"dev{n}.png") for n in (0, 0, 1, 2)]
    # 20 x 30 of red, and 7.5 % of grey on each side rounded outwards to whole pixels: 24 x 36
    share = 20 * 30 / (24 * 36)
    expected = share * np.array(RED) + (1 - share) * np.array(GREY)
    np.testing.assert_allclose(crops.vectors[0], expected / np.linalg.norm(expected), atol=1e-3)


def test_figures_count_only_what_can_be_known(truth):
    found = evaluate_embedder(MeanColour(), [truth], [drawing("Rouge", RED), drawing("Vert", GREEN)], draws=2)
    assert (found["drawings"], found["brands"]) == (2, 2)
    figures = found["sets"][f"{truth.parent.name}-dev"]
    assert (figures["boxes"], figures["boxes_held"]) == (4, 3)
    assert figures["vectors_only"] == {"top1": 0.6667, "top5": 1.0}
    assert figures["vectors_only_by_brand"] == {"rouge": "1/2", "vert": "1/1"}
    assert figures["photos"] == {"top1": 0.5, "top5": 0.75}


def test_a_set_that_is_not_there_or_no_json_says_so(tmp_path):
    (tmp_path / "a.jsonl").write_text("{oops")
    for name, code in (("b.jsonl", "missing"), ("a.jsonl", "bad_label")):
        with pytest.raises(DatasetError) as caught:
            embed_boxes(MeanColour(), tmp_path / name)
        assert caught.value.code == code
