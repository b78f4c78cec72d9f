"""Crops proposed as references, as one HTML page without a server: a person accepts or refuses, the page gives a file of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.library.decisions import SCHEMA
from vision.library.suggestions import Group, Proposal, Suggestion
from vision.report.lettering import printable
from vision.report.overlay import percent
from vision.report.template import data_address, environment, script_digest, text, write_whole

GROUPS = 100  # shown of each kind; with eight crops of some 5 kB each the page stays under 10 MB
MISSING = 50  # paths listed


def write_suggest_page(
    proposal: Proposal,
    out: Path,
    *,
    thumbnail: Callable[[str], bytes | None],
    counts: Mapping[str, int],
    missing: Sequence[tuple[str, str]] = (),
    command: str = "vision library suggest --apply decisions.json --library DIR",
    title: str = "Crops that may become references",
    groups: int = GROUPS,
) -> None:
    """Write the page; `out` appears whole or not at all. The same arguments give the same bytes.

    thumbnail: the encoded picture of a reference id, or None. counts: for the head of the page. missing: path and reason of
    pictures that could not be opened again. command: what takes the decisions.
    """
    brands = [g for g in proposal.groups if g.brand is not None]
    strangers = [g for g in proposal.groups if g.brand is None]
    ids = " ".join(s.seen.sight.id for g in proposal.groups for s in g.suggestions)
    scripts = text("common.js") + text("cases.js"), text("suggest.js")
    write_whole(
        out,
        environment()
        .get_template("suggest.html.jinja")
        .generate(
            title=title,
            page=hashlib.sha256(ids.encode()).hexdigest()[:16],
            schema=SCHEMA,
            counts=list(counts.items()),
            left_out=list(proposal.left_out.items()),
            missing=[(printable(path), printable(reason)) for path, reason in missing[:MISSING]]
            + ([(f"and {len(missing) - MISSING:,} more", "")] if len(missing) > MISSING else []),
            command=command,
            sections=[
                {
                    "id": "brands",
                    "title": "Perhaps of these brands",
                    "note": "Near a brand but not near enough to be named, or its name was read and no reference looks like it. "
                    "Another name may be written in its place.",
                    "total": len(brands),
                    "groups": [_group(group, thumbnail) for group in brands[:groups]],
                },
                {
                    "id": "strangers",
                    "title": "Marks that come again and are no brand of the library",
                    "note": "Name a group to accept its crops; those of most folders first.",
                    "total": len(strangers),
                    "groups": [_group(group, thumbnail) for group in strangers[:groups]],
                },
            ],
            style=text("page.css") + text("cases.css"),
            scripts=scripts,
            digests=[script_digest(script) for script in scripts],
        ),
    )


def _group(group: Group, thumbnail: Callable[[str], bytes | None]) -> dict[str, Any]:
    choices = [_choice(suggestion) for suggestion in group.suggestions]
    brand = printable(group.brand or "")
    if group.brand is None:
        places = f"{_count(group.pictures, 'picture')} of {_count(group.folders, 'folder')}"
        facts = f"{_count(group.size, 'crop')} in {places}"
        if group.nearest is not None:
            facts += f"; most like {printable(group.nearest[0])} ({group.nearest[1]:.2f})"
    else:
        facts = "its name was read" if group.why == "read" else "looks like it, not surely enough"
    return {
        "id": group.id,
        "brand": brand,
        "facts": facts,
        "wide": len(choices) + (group.brand is not None) > 3,
        "told": f"{brand or 'unknown mark'}: {facts}",
        "words": " ".join([brand, *(f"{c['path']} {c['facts']} {c['id']}" for c in choices)]).lower(),
        "reference": None if group.brand is None else _reference(group.suggestions[0].reference, thumbnail),
        "choices": choices,
    }


def _reference(reference: str | None, thumbnail: Callable[[str], bytes | None]) -> dict[str, Any]:
    if reference is None:
        return {"id": "none", "picture": None, "absent": "known by name only"}
    data = thumbnail(reference)
    return {
        "id": printable(reference),
        "picture": data_address(data) if data else None,
        "absent": "no picture, vectors only",
    }


def _choice(suggestion: Suggestion) -> dict[str, Any]:
    sight = suggestion.seen.sight
    facts = []
    if sight.text:
        facts.append(f"reads “{sight.text}”")
    if suggestion.similarity is not None:
        facts.append(f"similarity {suggestion.similarity:.2f}")
    if sight.brand is not None:
        facts.append(percent(sight.probability))
    row = {
        key: value
        for key, value in suggestion.to_dict().items()
        if key in {"id", "brand", "path", "file", "picture", "box"}
    }
    told = printable(f"crop of {sight.path}" + (f", {', '.join(facts)}" if facts else ""))
    return {
        "id": sight.id,
        "path": printable(sight.path),
        "file": printable(sight.path.rpartition("/")[2]),
        "facts": printable(", ".join(facts)),
        "told": told,
        "picture": data_address(suggestion.seen.thumbnail),
        "row": json.dumps(row),  # the template escapes it
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
