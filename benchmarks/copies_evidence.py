"""How much each piece of evidence says that a picture is a copy: fits the part "local" of vision/copies/calibration.json.

python benchmarks/copies_evidence.py BATTERY PHOTOS --different A.jsonl [--known B.json] [--write]

BATTERY is a folder that `vision evaluate copies` or the shared battery made of PHOTOS, training pictures only. All pictures of a
--different file (one a row: "image", relative to the file) are different ones, as packshots of different products are. --known
lists, as pairs of file names, what is right though the files call it different: true repeats, colours of one product.

Each query and each of the different pictures is searched for among the others; whatever the hashes and words propose is examined,
and a logistic model is fitted to the evidence (ridge, Newton steps), copies against all else. The bar is the probability that
no false candidate reaches, and at least LEAST_BAR. Printed: how many copies are claimed at the bar, by edit, in sample; the
figures of held-out pictures are those of `vision evaluate copies`.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import shlex
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from vision.copies import verify
from vision.copies.claims import FEATURES, evidence_features
from vision.copies.entries import Entries, entry_rows
from vision.copies.index import hamming
from vision.copies.local import Reference
from vision.copies.store import described
from vision.evaluate.copies.battery import read_battery

OUT = Path(__file__).resolve().parents[1] / "vision" / "copies" / "calibration.json"
RIDGE = 1.0
REFERENCES = []
FRAMES = ("phone", "desktop", "meme", "sticker25", "text25", "letterbox", "border15")
ALIKE = 20
# A claim accuses somebody: at most one in ten of the least sure ones may be wrong, where copies are as frequent as among these
# candidates.
LEAST_BAR = 0.9
# No evidence of this kind is surer than what was seen wrong once in so many candidates.
AT_MOST = 0.9999


def kept_of(path):
    description = described(path)
    return description.fingerprint, description.width, description.height, description.sha256, description.kept()


def candidates_of(job):
    path, close = job
    entries, kept = REFERENCES
    query = described(path, close=close)
    found = []
    for number, orientation in entries.candidates(query):
        examined = entries.examine(query, number, kept[number], orientation)
        if examined is not None:
            found.append((number, examined.evidence))
    return found


def evidence_of(queries, paths, what):
    """(query, number, evidence) of every candidate; every second query is looked at closely, as a search does, not as a scan."""
    console, forked = Console(stderr=True), multiprocessing.get_context("fork")
    with forked.Pool() as pool:
        made = list(track(pool.imap(kept_of, paths, 8), f"{what}: references", total=len(paths), console=console))
    kept = [Reference.from_bytes(row[4]) for row in made]
    entries = Entries(kept.__getitem__)
    entries.add(*entry_rows([row[:4] for row in made]))
    for reference in kept:
        entries.words.add(reference.features)
    REFERENCES[:] = [entries, kept]  # inherited by the processes that are forked next
    jobs = [(path, number % 2 == 0) for number, path in enumerate(queries)]
    with forked.Pool() as pool:
        found = pool.imap(candidates_of, jobs, 8)
        for number, candidates in enumerate(track(found, f"{what}: queries", total=len(jobs), console=console)):
            for entry, evidence in candidates:
                yield number, entry, evidence


def of_battery(folder, photos):
    battery = read_battery(folder, photos)
    sources = [reference.source for reference in battery.references]
    places = {source: number for number, source in enumerate(sources)}
    queries = [battery.folder / query.query for query in battery.queries]
    for number, entry, evidence in evidence_of(queries, [battery.path(r) for r in battery.references], "battery"):
        query = battery.queries[number]
        yield evidence, places.get(query.source) == entry, query.edit, (query.query, sources[entry])


def pair_of(job):
    query, reference = REFERENCES[job[0]], REFERENCES[job[1]]
    examined = verify.examine(
        query[0].local, reference[1], int(hamming(query[0].hashes, reference[0].hashes[:1]).min())
    )
    return None if examined is None else examined.evidence


def of_frames(folder, photos):
    """Different pictures in one kind of frame, caption or sticker, all pairs of them: nothing is a copy."""
    battery, forked = read_battery(folder, photos), multiprocessing.get_context("fork")
    for edit in FRAMES:
        queries = [q for q in battery.queries if q.edit == edit and q.source is not None][:ALIKE]
        made = [described(folder / q.query, close=True) for q in queries]
        kept = [Reference.from_bytes(described(folder / q.query).kept()) for q in queries]
        REFERENCES[:] = zip(made, kept, strict=True)
        pairs = list(itertools.permutations(range(len(queries)), 2))
        with forked.Pool() as pool:
            found = pool.map(pair_of, pairs, 16)
        for (one, other), evidence in zip(pairs, found, strict=True):
            if evidence is not None:
                yield evidence, False, edit, (queries[one].query, queries[other].query)


def of_different(file, known):
    names = [json.loads(line)["image"] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    paths = [file.parent / name for name in names]
    for number, entry, evidence in evidence_of(paths, paths, file.parent.name):
        pair = frozenset((Path(names[number]).name, Path(names[entry]).name))
        if number == entry or pair not in known:
            yield evidence, number == entry, "itself", (names[number], names[entry])


def fitted(x, y):
    """Weights and bias of a ridge logistic regression of (n, k) features, standardised, then told for the features as they
    are."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.c_[(x - mean) / spread, np.ones(len(x))]
    ridge = np.r_[np.full(x.shape[1], RIDGE), 0]
    w = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -40, 40)))
        step = np.linalg.solve(
            (z * np.maximum(p * (1 - p), 1e-6)[:, None]).T @ z + np.diag(ridge), z.T @ (p - y) + ridge * w
        )
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = w[:-1] / spread
    return weights, float(w[-1] - weights @ mean)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("battery", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--different", type=Path, nargs="*", default=[])
    parser.add_argument("--known", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], help="sources that have repeats: parts of their names")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    known = set() if args.known is None else {frozenset(pair) for pair in json.loads(args.known.read_text())}
    rows = list(of_battery(args.battery, args.photos))
    rows += of_frames(args.battery, args.photos)
    for file in args.different:
        rows += of_different(file, known)
    rows = [r for r in rows if r[1] or not any(part in r[3][1] for part in args.leave_out)]
    x, y = np.stack([evidence_features(r[0]) for r in rows]), np.array([r[1] for r in rows])
    own = np.array([r[2] == "itself" for r in rows]) & y
    x, y, rows = x[~own], y[~own], [r for r, o in zip(rows, own, strict=True) if not o]
    weights, bias = fitted(x, y)
    probability = 1 / (1 + np.exp(-np.clip(x @ weights + bias, -40, 40)))
    worst = np.argsort(-np.where(y, -1, probability))[:20]
    for at in worst:
        print(f"{probability[at]:.3f}  {rows[at][2]:12} {rows[at][3][0]} = {rows[at][3][1]}?")
    bar = max(LEAST_BAR, math.ceil(100 * probability[~y].max()) / 100)
    found = defaultdict(list)
    for row, sure in zip(rows, probability, strict=True):
        if row[1]:
            found[row[2]].append(sure >= bar)
    print({edit: round(float(np.mean(v)), 2) for edit, v in found.items() if np.mean(v) < 0.95})
    print(
        f"{int(y.sum())} copies and {int((~y).sum())} others; at {bar}: {np.mean(probability[y] >= bar):.3f} of the copies"
    )
    if args.write:
        table = json.loads(OUT.read_text(encoding="utf-8"))
        table["local"] = {
            "made_by": "python benchmarks/" + shlex.join([Path(sys.argv[0]).name, *_told(sys.argv[1:])]),
            "copies": int(y.sum()),
            "others": int((~y).sum()),
            "features": list(FEATURES),
            "weights": [round(float(w), 5) for w in weights],
            "bias": round(bias, 5),
            "bar": bar,
            "at_most": AT_MOST,
        }
        OUT.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _told(arguments):
    """Paths by their last two parts: where a machine keeps its data is nobody's business."""
    return ["/".join(Path(a).parts[-2:]) if "/" in a else a for a in arguments]


if __name__ == "__main__":
    main()
