"""What changed between two versions of a library. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from vision.library.state import Reference, State


@dataclass(frozen=True, slots=True)
class Ids:
    """How many, and which: all of them, or the first ones where a log has no room for more."""

    count: int
    ids: tuple[str, ...]

    @classmethod
    def of(cls, ids: Iterable[str]) -> Ids:
        """All of them, in order."""
        found = tuple(ids)
        return cls(len(found), found)


@dataclass(frozen=True, slots=True)
class Change:
    """What it took to come from one version to another. Brands and references by id, watch-lists by name.

    brands_changed: renamed, or with other aliases; names: their display names before and after, in that order.
    references_changed: with the same id and another description. reembedded: all vectors were made anew.
    """

    brands_added: Ids
    brands_removed: Ids
    brands_changed: Ids
    references_added: Ids
    references_removed: Ids
    references_changed: Ids
    lists_changed: Ids
    names: tuple[tuple[str, str], ...] = ()
    reembedded: bool = False

    def __bool__(self) -> bool:
        return self.reembedded or any(ids.count for _, ids in self.parts())

    def parts(self) -> list[tuple[str, Ids]]:
        """What was counted, by name, in the order of the fields."""
        found = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return [(name, value) for name, value in found if isinstance(value, Ids)]

    def to_dict(self, at_most: int | None = None) -> dict[str, Any]:
        """As JSON; of each list the first `at_most` ids."""
        row: dict[str, Any] = {name: {"count": ids.count, "ids": list(ids.ids[:at_most])} for name, ids in self.parts()}
        return row | {"names": [list(pair) for pair in self.names[:at_most]], "reembedded": self.reembedded}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Change:
        """The inverse of `to_dict`."""
        parts = {
            key: Ids(int(value["count"]), tuple(value["ids"])) for key, value in row.items() if isinstance(value, dict)
        }
        names = tuple((str(old), str(new)) for old, new in row["names"])
        return cls(**parts, names=names, reembedded=bool(row["reembedded"]))

    def __str__(self) -> str:
        said = [f"{ids.count} {_nouns(name, ids.count)}" for name, ids in self.parts() if ids.count]
        return ", ".join([*said, *(["embedded anew"] if self.reembedded else [])]) or "nothing"


def compare(before: State, after: State) -> Change:
    """What changed from one state to another, of the same library or not."""
    old, new = {b.id: b for b in before.brands}, {b.id: b for b in after.brands}
    changed = [b for b in after.brands if b.id in old and old[b.id] != b]
    # most references are the very objects that they were: those are not looked at again
    same = {id(r) for r in before.references} & {id(r) for r in after.references}
    was = {r.id: r for r in before.references if id(r) not in same}
    now = {r.id: r for r in after.references if id(r) not in same}
    lists = {name for name in {*before.watch, *after.watch} if before.watch.get(name) != after.watch.get(name)}
    return Change(
        Ids.of(b.id for b in after.brands if b.id not in old),
        Ids.of(b.id for b in before.brands if b.id not in new),
        Ids.of(b.id for b in changed),
        Ids.of(key for key in now if key not in was),
        Ids.of(key for key in was if key not in now),
        Ids.of(key for key, r in now.items() if key in was and _differs(was[key], r)),
        Ids.of(sorted(lists)),
        tuple((old[b.id].name, b.name) for b in changed),
        before.embedder != after.embedder,
    )


def _nouns(name: str, count: int) -> str:
    """The name of a part as it is read after a number: "1 brand added"."""
    noun, _, verb = name.partition("_")
    return f"{noun.removesuffix('s') if count == 1 else noun} {verb}"


def _differs(one: Reference, other: Reference) -> bool:
    pictures = [None if r.thumbnail is None else r.thumbnail[2:] for r in (one, other)]  # not where they are
    return one != other or pictures[0] != pictures[1]
