"""The peers: hashes of whole pictures that people use, each at the bar that its makers advise, beside `orb.py`.

Each is there when its package is: pdqhash (extra `dev`), ImageHash. Every peer sees pictures of at most 512 pixels a side, as
PDQ's own tools show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from PIL import Image

from vision.errors import BackendError, UsageError
from vision.evaluate.copies.battery import Tell
from vision.evaluate.copies.methods import Answer, Clock, Item, Method, Ours, each, peer_pixels, unless_unreadable
from vision.evaluate.copies.orb import OrbPeer
from vision.evaluate.copies.score import Claim
from vision.values import Pixels

# Peer: the package that it needs beyond those that are always there.
NEEDS = {
    "pdq": "pdqhash",
    "pdq_8way": "pdqhash",
    "phash": "imagehash",
    "dhash": "imagehash",
    "whash": "imagehash",
    "orb": None,
}
PIP = {"pdqhash": "pdqhash", "imagehash": "ImageHash"}
# PDQ's makers advise 31 of 256 bits; imagededup's default for the others is 10 of 64.
PDQ_BITS, OTHER_BITS = 31, 10
NEAREST = 10  # claims on a query beyond the bar: enough for the bars that are found afterwards
QUERIES_AT_ONCE = 1000

Bits = npt.NDArray[np.bool_]
Hash = Callable[[Pixels], Bits]


@dataclass(frozen=True, slots=True)
class HashPeer:
    """A hash of the whole picture; its score is minus the distance in bits. bar: the largest distance that is claimed.

    reference, query: (variants, bits) of a picture, the nearest variant counts.
    """

    name: str
    bar: float
    reference: Hash
    query: Hash
    threads: int | None = None

    def answer(self, references: Sequence[Item], queries: Sequence[Item], tell: Tell) -> Answer:
        """As `Method.answer`: of each query all that is within the bar, and its ten nearest."""
        clock, failed = Clock(), list[str]()

        def hashed(one: Hash, items: Sequence[Item]) -> tuple[list[str], npt.NDArray[np.float32]]:
            names, rows = [], []
            advance = tell(f"{self.name}: hash")(len(items))
            for item, bits in each(
                unless_unreadable(lambda item: one(peer_pixels(item.path))), items, advance, self.threads
            ):
                names += [item.id] if bits is not None else []
                rows += [bits] if bits is not None else []
                failed.extend([] if bits is not None else [item.id])
            return names, np.stack(rows).astype(np.float32) * 2 - 1 if rows else np.zeros((0, 1, 1), np.float32)

        known, bank = hashed(self.reference, references)
        describe_ms = clock.each(len(references))
        asked, wanted = hashed(self.query, queries)
        claims: list[Claim] = []
        for start in range(0, len(asked) if known else 0, QUERIES_AT_ONCE):
            part = wanted[start : start + QUERIES_AT_ONCE]
            # bits as ±1: the dot product is bits - 2 × distance, and exact in float32
            closest = np.einsum("qvb,rb->qvr", part, bank[:, 0], optimize=True).max(axis=1)
            distance = np.rint((bank.shape[2] - closest) / 2).astype(np.int64)
            nearest = np.argpartition(distance, min(NEAREST, len(known)) - 1, axis=1)[:, :NEAREST]
            told = distance <= -self.bar
            np.put_along_axis(told, nearest, values=True, axis=1)
            claims += [Claim(asked[start + q], known[r], -float(distance[q, r])) for q, r in np.argwhere(told).tolist()]
        return Answer(claims, describe_ms, clock.each(len(queries)), failed)


def methods_of(names: Iterable[str], threads: int | None = None) -> list[Method]:
    """This package's index, then the peers named. Raises UsageError (bad_option), BackendError (package_missing)."""
    found: list[Method] = [Ours(threads)]
    for name in names:
        if name not in NEEDS:
            raise UsageError("bad_option", f"no peer {name!r}", hint=", ".join(NEEDS))
        package = NEEDS[name]
        if package and not find_spec(package):
            raise BackendError("package_missing", f"{package} is not installed", hint=f"pip install {PIP[package]}")
        found.append(OrbPeer(threads) if package is None else _hash_peer(name, package, threads))
    return found


def installed_peers() -> list[str]:
    """The peers whose packages are there."""
    return [name for name, package in NEEDS.items() if package is None or find_spec(package)]


def _hash_peer(name: str, package: str, threads: int | None) -> HashPeer:
    module = import_module(package)
    if package == "pdqhash":

        def one(pixels: Pixels) -> Bits:
            return np.asarray(module.compute(pixels)[0], bool)[None]

        def eight(pixels: Pixels) -> Bits:
            return np.asarray(module.compute_dihedral(pixels)[0], bool)

        return HashPeer(name, -PDQ_BITS, one, eight if name == "pdq_8way" else one, threads)
    function = getattr(module, name)

    def bits(pixels: Pixels) -> Bits:
        return np.asarray(function(Image.fromarray(pixels)).hash, bool).reshape(1, -1)

    return HashPeer(name, -OTHER_BITS, bits, bits, threads)
