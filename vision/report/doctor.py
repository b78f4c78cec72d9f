"""What the library's doctor found, as one HTML page with the pictures of the references and of the photos that deceived them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.library import Reference
from vision.library.doctor import Alarm, Diagnosis
from vision.report.lettering import printable
from vision.report.overlay import percent
from vision.report.sheet import fit
from vision.report.template import data_address, environment, jpeg_address, script_digest, text, write_whole
from vision.values import Pixels

CASES = 60  # shown of a kind: what a person looks through; doctor.csv has all
NAMES = 300  # brands listed of a kind
TILE = 112  # pixels of the page

_NO_PICTURE = "no picture, vectors only"


def write_doctor_page(
    diagnosis: Diagnosis,
    out: Path,
    *,
    references: Mapping[str, Reference],
    thumbnail: Callable[[str], bytes | None],
    examples: Mapping[tuple[str, str | None], Sequence[Pixels]] | None = None,
    title: str = "Brand library: what to look at",
    cases: int = CASES,
) -> None:
    """Write the page; `out` appears whole or not at all. The same arguments give the same bytes.

    references: by id, of the library that was examined. thumbnail: the encoded picture of a reference id, or None.
    examples: crops of brand-free photos by the brand and reference that won there. cases: shown of each kind.
    """
    page = _Page(diagnosis, references, thumbnail, examples or {}, cases)
    script = text("common.js") + text("cases.js")
    write_whole(
        out,
        environment()
        .get_template("doctor.html.jinja")
        .generate(
            title=title,
            counts=page.counts(),
            sections=[section for section in page.sections() if section["total"]],
            style=text("page.css") + text("cases.css"),
            script=script,
            script_digest=script_digest(script),
        ),
    )


class _Page:
    def __init__(
        self,
        diagnosis: Diagnosis,
        references: Mapping[str, Reference],
        thumbnail: Callable[[str], bytes | None],
        examples: Mapping[tuple[str, str | None], Sequence[Pixels]],
        cases: int,
    ) -> None:
        self.found, self.references, self.thumbnail = diagnosis, references, thumbnail
        self.examples, self.cases = examples, cases

    def counts(self) -> list[tuple[str, int]]:
        found = self.found
        counts = [("brands", found.brands), ("references", found.references)]
        if found.photos is not None:
            counts.append(("brand-free photos", found.photos))
        return [*counts, ("findings with pictures", sum(len(each) for each in self._pictured()))]

    def _pictured(self) -> tuple[Sequence[Any], ...]:
        f = self.found
        return f.mislabelled, f.conflicts, f.alarms, f.attractors, f.confusable, f.redundant

    def sections(self) -> list[dict[str, Any]]:
        """Every kind of finding, what calls for a decision first."""
        f = self.found
        made = [
            self._section(
                "mislabelled",
                "Perhaps mislabelled",
                "Left out once, the nearest references all belong to another brand. Either the name is wrong, or this is the "
                "only picture of its artwork.",
                f.mislabelled,
                lambda m: (
                    [
                        self._tile(m.reference, m.brand, "is called"),
                        self._tile(m.nearest[0], m.looks_like, "looks like"),
                        self._tile(m.own_reference, m.brand, "nearest own"),
                    ],
                    f"{m.votes:,} references of {m.looks_like} are nearer ({m.similarity:.2f}) than any own one "
                    f"({m.own_similarity:.2f}).",
                ),
            ),
            self._section(
                "conflicts",
                "The same artwork under two names",
                "References of two brands that can hardly be told apart: one brand under two names, a wrong name, or a shape so "
                "plain that both use it.",
                f.conflicts,
                self._pair,
            ),
            self._section(
                "alarms",
                "References that win on brand-free photos",
                "How often each was the likeliest of all on photos that show none of the brands, and how often it was named.",
                f.alarms,
                self._alarm,
            ),
            self._section(
                "attractors",
                "References that look like background",
                "Close to patches of photos without a logo: they attract textures and empty ground.",
                f.attractors,
                lambda t: (
                    [self._tile(t.reference, t.brand)],
                    f"cosine {t.similarity:.2f} to the nearest background patch.",
                ),
            ),
            self._section(
                "confusable",
                "Brands easily confused",
                "Pairs whose references come nearest to each other. More references of both, and of photos, keep them apart.",
                f.confusable,
                self._pair,
            ),
            self._section(
                "redundant",
                "References that add nothing",
                "Every view of the first is nearly equal to one of the second, which belongs to the same brand.",
                f.redundant,
                lambda r: (
                    [self._tile(r.reference, r.brand, "could go"), self._tile(r.kept, r.brand, "stays")],
                    f"cosine {r.similarity:.3f}.",
                ),
            ),
            self._lines(
                "names",
                "Names easily confused",
                "A reader may take one for the other; the verdict then needs the picture.",
                [f"{n.name} · {n.other_name} ({n.why})" for n in f.names],
            ),
            self._lines(
                "dated",
                "Out of date",
                "References outside the days they are valid for: they are not searched.",
                [f"{d.brand} ({d.reference}): {d.what}, {d.when}" for d in f.dated],
            ),
        ]
        notes = {
            "name only": "Reading finds them; a picture would too.",
            "one reference": "One artwork only: another version, or a photo of it, is missed.",
            "drawings only": "Three crops of photos are worth more than any drawing.",
        }
        made += [
            self._lines(
                what.replace(" ", "-"), f"Brands with {'a ' if what == 'name only' else ''}{what}", notes[what], names
            )
            for what, names in f.lonely.items()
        ]
        return made

    def _section(
        self,
        id_: str,
        title: str,
        note: str,
        found: Sequence[Any],
        show: Callable[[Any], tuple[list[dict[str, Any]], str]],
    ) -> dict[str, Any]:
        cases = []
        for each in found[: self.cases]:
            tiles, facts = show(each)
            facts = printable(facts)
            names = " ".join(f"{tile['name']} {tile['detail']}" for tile in tiles)
            bare = not any(tile["picture"] for tile in tiles)
            told = f"{title}: {names}. {facts}"
            cases.append({"tiles": tiles, "facts": facts, "words": names.lower(), "told": told, "bare": bare})
        return {
            "id": id_,
            "title": title,
            "note": note,
            "total": len(found),
            "shown": len(cases),
            "cases": cases,
            "lines": [],
        }

    def _lines(self, id_: str, title: str, note: str, lines: Sequence[str]) -> dict[str, Any]:
        return self._section(id_, title, note, (), lambda _: ([], "")) | {
            "total": len(lines),
            "shown": min(len(lines), NAMES),
            "lines": [printable(line) for line in lines[:NAMES]],
        }

    def _pair(self, pair: Any) -> tuple[list[dict[str, Any]], str]:
        tiles = [self._tile(pair.reference, pair.brand), self._tile(pair.other_reference, pair.other_brand)]
        return tiles, f"cosine {pair.similarity:.3f}{', kin by name' if pair.kin else ''}."

    def _alarm(self, alarm: Alarm) -> tuple[list[dict[str, Any]], str]:
        crops = self.examples.get((alarm.brand, alarm.reference), ())
        near = "" if alarm.similarity is None else f"similarity up to {alarm.similarity:.2f}, "
        return (
            [self._tile(alarm.reference, alarm.brand), *map(self._example, crops)],
            f"likeliest {alarm.wins:,} times, named {alarm.known:,} times; {near}probability up to {percent(alarm.probability)}.",
        )

    def _tile(self, reference: str | None, brand: str, role: str = "") -> dict[str, Any]:
        data = self.thumbnail(reference) if reference else None
        known = self.references.get(reference) if reference else None
        where = [known.id, known.kind, known.source or ""] if known else [reference or "read, not seen"]
        return {
            "picture": data_address(data) if data else None,
            "absent": _NO_PICTURE if reference else "its name was read",
            "alt": printable(f"reference {reference}"),
            "name": printable(brand),
            "role": role,
            "detail": printable(" · ".join(part for part in where if part)),
            "kept": True,
        }

    def _example(self, crop: Pixels) -> dict[str, Any]:
        return {
            "picture": jpeg_address(fit(crop, TILE, enlarge=False), 80),
            "absent": "",
            "alt": "crop of a brand-free photo",
            "name": "",
            "role": "photo",
            "detail": "",
            "kept": False,
        }
