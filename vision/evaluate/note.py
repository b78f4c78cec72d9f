"""Figures go into the card of the model that was measured, with the command that made them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision import weights
from vision.errors import WeightsError
from vision.evaluate.truth import BOXED, EVERY_LOGO, KINDS, UNBOXED_IGNORED
from vision.files import write_atomically

KEPT = {
    BOXED: (
        "pictures",
        "true_boxes",
        "ap50",
        "ap50_interval",
        "ap50_95",
        "recall10",
        "recall10_interval",
        "precision",
        "recall",
    ),
    UNBOXED_IGNORED: ("pictures", "ap50", "ap50_interval", "precision", "recall", "false_a_picture"),
    EVERY_LOGO: ("true_boxes", "ap50", "ap50_interval"),
}


def note_figures(folder: Path, figures: Mapping[str, Any]) -> None:
    """Replace the figures of a kind in `folder/card.json`, and renew the manifest beside the folder where there is one.

    figures: `evaluate_detector`'s. Raises WeightsError (missing, unknown_card).
    """
    card = read_card(folder)
    noted = dict(card.get("figures", {}))
    for kind in KINDS:
        own = {name: _main(one[kind]) for name, one in figures["sets"].items() if kind in one}
        if len(own) > 1:
            own["all sets"] = _main(figures["all sets"][kind])
        photos = figures.get("photos", {}).get(kind)
        if photos:
            own["photos"] = {name: _rounded(value) for name, value in photos.items() if name != "curve"}
        if own:
            noted[kind] = {"command": figures["command"], "operating_point": figures["operating_point"][kind], **own}
    text = json.dumps(card | {"figures": noted}, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / "card.json", text.encode())
    weights.note_shipped(folder)


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model folder. Raises WeightsError (missing, unknown_card)."""
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WeightsError("missing", "no card", path=str(path)) from None
    except ValueError as error:
        raise WeightsError("unknown_card", f"the card is no JSON: {error}", path=str(path)) from None
    if not isinstance(card, dict):
        raise WeightsError("unknown_card", "the card is no object", path=str(path))
    return card


def _main(slices: Mapping[str, Any]) -> dict[str, Any]:
    return {
        view: {name: _rounded(slices[view][name]) for name in names if name in slices[view]}
        for view, names in KEPT.items()
        if view in slices
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value
