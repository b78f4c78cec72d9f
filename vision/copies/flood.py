"""An entry that suddenly matches everything is no source: it is set aside, and named.

In: for each search the entries that it would claim. Out: those that may be claimed. A placeholder ("no picture"), a hash of
nothing much in an imported list, or a fault would otherwise accuse everybody at once. Held in memory, by one index object.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable

log = logging.getLogger(__name__)

# Of so many searches, the latest ones, an entry may be claimed by fewer than so many pictures. One that 37 of 1,000 listings have
# stolen stays far below.
RECENT, FLOODED = 5000, 500


class FloodGuard:
    """Counts of claims by entry. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[tuple[str, tuple[str, ...]]] = deque()
        self._counts: Counter[str] = Counter()
        self._queries: Counter[str] = Counter()
        self._quarantined: set[str] = set()

    def pass_on(self, query: str, entries: Iterable[str]) -> set[str]:
        """The entries that may be claimed. query: digest of the picture; entries: what it would claim beyond its own bytes.

        The same picture asked again counts once.
        """
        return self._count(query, entries, FLOODED)

    def replay(self, query: str, passed: Iterable[str]) -> None:
        """Count what an earlier guard passed on. The claim for which an entry was set aside is not among it: one less will do."""
        self._count(query, passed, FLOODED - 1)

    def _count(self, query: str, entries: Iterable[str], bar: int) -> set[str]:
        entries = tuple(entries)
        with self._lock:
            if query not in self._queries:
                self._recent.append((query, entries))
                self._queries[query] += 1
                self._counts.update(entries)
                if len(self._recent) > RECENT:
                    old, claimed = self._recent.popleft()
                    del self._queries[old]
                    self._counts.subtract(claimed)
                    for entry in claimed:
                        if not self._counts[entry]:
                            del self._counts[entry]
            for entry in entries:
                if entry not in self._quarantined and self._counts[entry] >= bar:
                    self._quarantined.add(entry)
                    log.warning(
                        "%s is claimed by %d of the last %d pictures: it is set aside and claimed no more",
                        entry,
                        self._counts[entry],
                        len(self._recent),
                    )
            return {entry for entry in entries if entry not in self._quarantined}

    @property
    def quarantined(self) -> list[str]:
        """Entries that were set aside, in order of their names."""
        with self._lock:
            return sorted(self._quarantined)
