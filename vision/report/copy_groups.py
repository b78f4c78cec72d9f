"""Clusters of copies as files: a row a group (groups.jsonl), a row a picture (groups.csv or .parquet), and a page to look at.

Groups are numbered from 1, largest first. The pictures themselves are only opened for the page's thumbnails.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vision.copies import Entry
from vision.copies.claims import CONFIRMED, reversed_claim
from vision.copies.clusters import Cluster, Grouping, OwnerGroup
from vision.errors import package_missing
from vision.files import write_atomically
from vision.report.lettering import printable
from vision.report.overlay import percent
from vision.report.rows import as_cell
from vision.report.sheet import fit
from vision.report.template import environment, jpeg_address, script_digest, text, write_whole
from vision.values import CopyClaim, Pixels

GROUPS = 200  # shown on the page; with 24 thumbnails of some 4 kB each it stays under 20 MB
TILES = 24
OWNERS = 50  # groups of owners shown, and
ORIGINALS = 8  # pictures of each
TILE = 132  # pixels of the page
QUALITY = 78

Claims = Mapping[tuple[str, str], CopyClaim]


@dataclass(frozen=True, slots=True)
class GroupedPicture:
    """One picture of a group. original: presumed, as it was seen earliest.

    kind, distance, probability: of the claim that ties it to `claimed_with`: the presumed original where these two claim each
    other, else the member with the surest claim; as an edit of that one. All null for the original. Pictures known by their
    hash alone have width and height 0.
    """

    id: str
    owner: str | None
    time: str
    width: int
    height: int
    sha256: str
    original: bool
    kind: str | None = None
    distance: int | None = None
    probability: float | None = None
    claimed_with: str | None = None


COLUMNS = ("group", *GroupedPicture.__dataclass_fields__)


def grouped(
    cluster: Cluster, entries: Mapping[str, Entry], claims: Claims, partners: Mapping[str, Iterable[str]]
) -> list[GroupedPicture]:
    """The pictures of a cluster, the presumed original first. entries: by id. claims: by (id, id of its source). partners: by id,
    all that it claims or that claim it.
    """
    found = []
    places = {member.id: place for place, member in enumerate(cluster.members)}
    for member in cluster.members:
        entry = entries[member.id]
        picture = (entry.id, entry.owner, entry.time, entry.width, entry.height, entry.sha256)
        if member is cluster.original:
            found.append(GroupedPicture(*picture, original=True))
            continue
        near = [cluster.original.id, *sorted(places.keys() & set(partners.get(entry.id, ())), key=places.__getitem__)]
        tied = _tie(entry, [entries[id_] for id_ in near], claims)
        if tied is None:  # a person's word alone ties it
            found.append(GroupedPicture(*picture, original=False, kind=CONFIRMED, probability=1.0))
            continue
        other, claim = tied
        found.append(
            GroupedPicture(
                *picture,
                original=False,
                kind=claim.kind,
                distance=claim.distance,
                probability=round(claim.probability, 4),
                claimed_with=other,
            )
        )
    return found


class Groups:
    """A grouping with what its files tell of it.

    entries: by id, of every picture in `grouping`. claims: by (id, id of the source). owner_groups: of `grouping.clusters`.
    """

    def __init__(
        self,
        grouping: Grouping,
        entries: Mapping[str, Entry],
        claims: Claims,
        owner_groups: Sequence[OwnerGroup] = (),
    ) -> None:
        self.grouping, self.entries, self.claims, self.owner_groups = grouping, entries, claims, owner_groups
        self.number = {m.id: n for n, c in enumerate(grouping.clusters, 1) for m in c.members}
        self.partners: defaultdict[str, list[str]] = defaultdict(list)
        for one, other in claims:
            self.partners[one].append(other)
            self.partners[other].append(one)
        self.related: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for a, b, probability in grouping.between:
            for one, other in ((a, b), (b, a)):
                if one in self.number:
                    told = {"id": one, "to": other, "to_group": self.number.get(other)}
                    self.related[self.number[one]].append(told | {"probability": round(probability, 4)})

    def __len__(self) -> int:
        return len(self.grouping.clusters)

    def pictures(self) -> Iterator[tuple[int, list[GroupedPicture]]]:
        """The pictures of each group, by its number."""
        for number, cluster in enumerate(self.grouping.clusters, 1):
            yield number, grouped(cluster, self.entries, self.claims, self.partners)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a group. related: claims that lead out of it, to a picture of another group or of none."""
        for number, pictures in self.pictures():
            yield {
                "group": number,
                "size": len(pictures),
                "presumed_original": pictures[0].id,
                "owners": list(self.grouping.clusters[number - 1].owners),
                "members": [asdict(picture) for picture in pictures],
                "related": self.related.get(number, []),
            }

    def owner_rows(self) -> Iterator[dict[str, Any]]:
        """One row a group of owners. groups: the numbers of those that at least two of them have."""
        for found in self.owner_groups:
            yield {
                "owners": list(found.owners),
                "groups": [number + 1 for number in found.clusters],
                "shared": [{"owners": [a, b], "groups": count} for a, b, count in found.shared],
            }

    def counts(self) -> dict[str, int]:
        """Figures for a summary."""
        counts = {
            "groups": len(self),
            "pictures_in_groups": len(self.number),
            "copies": len(self.number) - len(self),
            "claims_between_groups": len(self.grouping.between),
        }
        return counts | ({"owner_groups": len(self.owner_groups)} if self.owner_groups else {})


def write_groups(groups: Groups, out: Path, table: str = "csv") -> None:
    """Write groups.jsonl and groups.csv or groups.parquet into a folder, owners.jsonl beside where there are such groups.

    Undecodable bytes of paths are spelled `\\udcXX`. Each file appears whole or not at all.
    Raises BackendError (package_missing) without the extra `parquet`.
    """
    write_whole(out / "groups.jsonl", _lines(groups.rows()))
    if groups.owner_groups:
        write_whole(out / "owners.jsonl", _lines(groups.owner_rows()))
    rows = ({"group": number} | asdict(picture) for number, pictures in groups.pictures() for picture in pictures)
    if table == "parquet":
        _write_parquet(rows, out / "groups.parquet")
    else:
        write_whole(out / "groups.csv", _csv(rows))


def write_groups_page(
    groups: Groups,
    out: Path,
    *,
    open_pixels: Callable[[Entry], Pixels | None],
    counts: Mapping[str, int],
    title: str = "Copies",
    table: str = "groups.csv",
    limit: int = GROUPS,
) -> None:
    """Write the page; `out` appears whole or not at all, and the same arguments give the same bytes.

    open_pixels: (h, w, 3) uint8 RGB of an entry's picture at any scale, or None where it cannot be had. counts: for the head.
    table: the file that has all that the page leaves out. limit: groups shown.
    """
    script = text("common.js") + text("cases.js")
    page = _Page(groups, open_pixels)
    write_whole(
        out,
        environment()
        .get_template("copy_groups.html.jinja")
        .generate(
            title=title,
            counts=list(counts.items()),
            table=table,
            total=len(groups),
            shown=min(limit, len(groups)),
            cards=page.cards(limit),
            owners=page.owners(),
            owners_total=len(groups.owner_groups),
            style=text("page.css") + text("cases.css"),
            script=script,
            script_digest=script_digest(script),
        ),
    )


class _Page:
    def __init__(self, groups: Groups, open_pixels: Callable[[Entry], Pixels | None]) -> None:
        self.groups, self.open_pixels = groups, open_pixels

    def cards(self, limit: int) -> Iterator[dict[str, Any]]:
        """One card a group, made when the template asks for it: a page of thumbnails is not held in memory."""
        for number, pictures in self.groups.pictures():
            if number > limit:
                return
            owners = self.groups.grouping.clusters[number - 1].owners
            related = self.groups.related.get(number, [])
            facts = [_count(len(pictures), "picture")]
            facts += [f"at {_count(len(owners), 'owner')}"] if owners else []
            facts += [f"{_count(len(related), 'claim')} to others"] if related else []
            yield {
                "number": number,
                "facts": ", ".join(facts),
                "wide": min(len(pictures), TILES) > 3,
                "told": f"group {number}: {', '.join(facts)}",
                "words": printable(" ".join([f"group {number}", *(p.id for p in pictures), *owners])).lower(),
                "tiles": [self._tile(picture) for picture in pictures[:TILES]],
                "more": len(pictures) - TILES,
            }

    def owners(self) -> list[dict[str, Any]]:
        found = []
        for group in self.groups.owner_groups[:OWNERS]:
            facts = f"{_count(len(group.clusters), 'picture')} shared by {_count(len(group.owners), 'owner')}"
            originals = [self.groups.grouping.clusters[number] for number in group.clusters[:ORIGINALS]]
            found.append(
                {
                    "facts": facts,
                    "told": facts,
                    "names": [printable(owner) for owner in group.owners],
                    "words": printable(" ".join(group.owners)).lower(),
                    "pairs": [
                        f"{printable(a)} and {printable(b)}: {count}" for a, b, count in group.shared[:ORIGINALS]
                    ],
                    "tiles": [
                        self._picture(self.groups.entries[each.original.id], f"group {number + 1}")
                        for each, number in zip(originals, group.clusters, strict=False)
                    ],
                    "more": len(group.clusters) - ORIGINALS,
                }
            )
        return found

    def _tile(self, picture: GroupedPicture) -> dict[str, Any]:
        if picture.original:
            role = "presumed original"
        else:
            role = " ".join(part for part in (picture.kind, _percent(picture.probability)) if part)
            first = self.groups.grouping.clusters[self.groups.number[picture.id] - 1].original.id
            if picture.claimed_with not in (first, None):
                role += f", of {_file(picture.claimed_with or '')}"
        return self._picture(self.groups.entries[picture.id], role) | {"kept": picture.original}

    def _picture(self, entry: Entry, role: str) -> dict[str, Any]:
        pixels = self.open_pixels(entry)
        size = f"{entry.width}×{entry.height}" if entry.width else "known by its hash"
        return {
            "picture": None if pixels is None else jpeg_address(fit(pixels, TILE, enlarge=False), QUALITY),
            "alt": printable(entry.id),
            "role": printable(role),
            "name": _file(entry.id),
            "path": printable(entry.id),
            "detail": " · ".join(part for part in (printable(entry.owner or ""), size, entry.time) if part),
            "kept": False,
        }


def _tie(entry: Entry, near: Sequence[Entry], claims: Claims) -> tuple[str, CopyClaim] | None:
    """The claim on the presumed original, the first of those near, else the surest one, with its source."""
    found = [(other.id, claim) for other in near if (claim := _as_edit(claims, entry, other)) is not None]
    if found and found[0][0] == near[0].id:
        return found[0]
    return min(found, key=lambda each: -each[1].probability, default=None)


def _as_edit(claims: Claims, entry: Entry, source: Entry) -> CopyClaim | None:
    """The claim that a picture was made from another one; from the claim the other way round where that is all there is."""
    claim = claims.get((entry.id, source.id))
    if claim is None and (source.id, entry.id) in claims:
        sizes = (source.width, source.height), (entry.width, entry.height)
        claim = reversed_claim(claims[source.id, entry.id], *sizes, source.id)
    return claim


def _write_parquet(rows: Iterable[dict[str, Any]], out: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise package_missing("pyarrow", "parquet") from None
    types = {
        "group": pyarrow.int64(),
        "width": pyarrow.int32(),
        "height": pyarrow.int32(),
        "original": pyarrow.bool_(),
        "distance": pyarrow.int32(),
        "probability": pyarrow.float32(),
    }
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    sink = io.BytesIO()
    table = pyarrow.Table.from_pylist([{k: _encodable(v) for k, v in row.items()} for row in rows], schema=schema)
    parquet.write_table(table, sink, compression="zstd")
    write_atomically(out, sink.getvalue())


def _csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    line = io.StringIO(newline="")
    table = csv.DictWriter(line, COLUMNS)
    table.writeheader()
    for row in rows:
        table.writerow({name: as_cell(value) for name, value in row.items()})
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    # ASCII, so that undecodable bytes of paths are spelled and can be read again
    return (json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n" for row in rows)


def _encodable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _percent(probability: float | None) -> str:
    return "" if probability is None else percent(probability)


def _file(id: str) -> str:
    return printable(id.rpartition("/")[2] or id)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
