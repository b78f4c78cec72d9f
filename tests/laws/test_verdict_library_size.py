"""The false-alarm budget holds whatever the size: shipped calibration, real textures, libraries filled up with strangers."""

import json
from pathlib import Path

import numpy as np
import pytest

from vision import weights
from vision.embed import Embedder
from vision.evaluate.recognition.size import Parents, invented_names, strangers
from vision.images import read_picture
from vision.library import Library
from vision.recognise import NEIGHBORS, nearest_background
from vision.values import Match
from vision.verdict import Calibration, OperatingPoint, decide
from vision.verdict.evidence import Evidence

SAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "samples"
BUDGET = 0.01


def patches(count=300, side=96):
    """Cuts of the sample pictures that touch no logo."""
    random = np.random.default_rng(3)
    rows = [json.loads(line) for line in (SAMPLES / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = [(read_picture(SAMPLES / row["image"]).pixels, [b["box"] for b in row["boxes"]]) for row in rows]
    found = []
    while len(found) < count:
        pixels, boxes = pictures[int(random.integers(len(pictures)))]
        size = int(random.integers(side // 3, side))
        left, top = (int(random.integers(0, max(n - size, 1))) for n in (pixels.shape[1], pixels.shape[0]))
        apart = all(b[0] > left + size or b[2] < left or b[1] > top + size or b[3] < top for b in boxes)
        if apart:
            found.append(pixels[top : top + size, left : left + size])
    return found


@pytest.fixture(scope="module")
def seen():
    embedder = Embedder.load()
    embeddings = embedder.embed_images(patches())
    return embeddings, nearest_background(embeddings, embedder.background), Library.default(embedder=embedder)


@pytest.mark.parametrize("size", [500, 5_000, 50_000])
def test_textures_are_named_no_more_often_than_the_budget_allows(seen, size):
    embeddings, background, library = seen
    held = [b.name for b in library.brands()][:size]
    part = library.subset(brands=held) if size < len(library) else library
    near = part.search_embeddings(embeddings, k=NEIGHBORS)
    if size > len(held):
        invented = invented_names(size - len(held), held)
        more = strangers(Parents.of(library), embeddings, invented)
        near = [
            sorted(
                [
                    *real,
                    *(Match(more.names[p], None, "made-up/1", float(s)) for p, s in zip(place, alike, strict=True)),
                ],
                key=lambda m: -m.similarity,
            )[:NEIGHBORS]
            for real, place, alike in zip(near, more.entry, more.similarity, strict=True)
        ]
    card = weights.load("verdict").card
    calibration = Calibration.from_card(card["calibrations"]["vision"])
    point = OperatingPoint.from_card(card, BUDGET)
    named = [
        decide(Evidence(matches, far, 64, 0.5, brands=size), calibration, point).name == "known"
        for matches, far in zip(near, background, strict=True)
    ]
    assert np.mean(named) <= BUDGET
