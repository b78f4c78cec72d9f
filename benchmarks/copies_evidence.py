"""How much each piece of evidence says that a picture is a copy: fits the part "local" of vision/copies/calibration.json.

python benchmarks/copies_evidence.py PHOTOS BATTERY... --different A.jsonl --alike B.jsonl [--known C.json] [--write]

Each BATTERY is a folder that `vision evaluate copies` or the shared battery made of PHOTOS, training pictures only. All pictures
of a --different file (one a row: "image", relative to the file) are different ones, as packshots of different products are. So
are those of the --alike files, but many of them show one brand or product: two photos of one pack, two pages with one logo.
They are weighed less, as nobody has so many of them; so are pairs within a battery whose photos came from those files (named
after the file's folder: folder_name.jpg). --known lists pairs, as folder/name, that tell nothing though the files call
them different: true repeats, bursts, one artwork, colours of one product.

Each query and each of the different pictures is searched for among the others; whatever the hashes and words propose is examined,
and a logistic model of all products of two pieces of evidence is fitted (ridge, Newton steps), copies against all else. The bar
is the probability that no false candidate but the alike ones reaches, and at least LEAST_BAR. Printed, of a cross-validation by
source: how many copies are claimed at the bar, by edit, and the worst false candidates; the figures of held-out pictures are
those of `vision evaluate copies`.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import shlex
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from vision.copies import verify
from vision.copies.claims import FEATURES, evidence_features, quadratic, ruled_out
from vision.copies.entries import Entries, entry_rows
from vision.copies.index import hamming
from vision.copies.local import Reference
from vision.copies.store import described
from vision.evaluate.copies.battery import read_battery

OUT = Path(__file__).resolve().parents[1] / "vision" / "copies" / "calibration.json"
# Of 1, 3 and 10 the one that keeps the most copies at a bar of 0.8 in the cross-validation; log loss hardly differs.
RIDGE = 1.0
# What a false candidate weighs, and one among alike pictures. With 1 and .2 the cross-validation keeps .983 of the copies at a
# bar of 0.8, and 4 of the others and 84 of the alike; with 1 and 2 .976, 4 and 26.
OTHERS_WEIGHT, ALIKE_WEIGHT = 2.0, 0.4
# What a copy weighs: fewer than half of the photos have a subject to be put on another ground, sellers do little else.
WEIGHTS = {"background": 4.0}
FOLDS = 5
STEPS = 100
# What makes a candidate surer by being more, or less; at how many candidates that is looked at, and how much the square of a
# slope the wrong way round costs.
RISES = {
    "detail": 1,
    "support": 1,
    "share": 1,
    "fidelity": 1,
    "middle": 1,
    "bits": -1,
    "off": -1,
    "distance": -1,
    "clash": -1,
}
SLOPES, FALLS = 3000, 1.0
REFERENCES = []
FRAMES = ("phone", "desktop", "meme", "sticker25", "text25", "letterbox", "border15", "watermark", "sticker10")
# Pictures in each frame, all pairs of which are looked at.
FRAMED = 72
# A claim accuses somebody: of the least sure ones at most one in seven may be wrong, where copies are as frequent as among these
# candidates.
LEAST_BAR = 0.85
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
        yield evidence, places.get(query.source) == entry, query.edit, (query.source or query.query, sources[entry])


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
        queries = [q for q in battery.queries if q.edit == edit and q.source is not None][:FRAMED]
        made = [described(folder / q.query, close=True) for q in queries]
        kept = [Reference.from_bytes(described(folder / q.query).kept()) for q in queries]
        REFERENCES[:] = zip(made, kept, strict=True)
        pairs = list(itertools.permutations(range(len(queries)), 2))
        with forked.Pool() as pool:
            found = pool.map(pair_of, pairs, 16)
        for (one, other), evidence in zip(pairs, found, strict=True):
            if evidence is not None and not ruled_out(evidence):
                yield evidence, False, edit, (queries[one].source, queries[other].source)


def of_different(files):
    """Pictures of all files in one index, each searched among the others."""
    listed: dict[Path, str] = {}
    for file in files:
        for line in filter(str.strip, file.read_text(encoding="utf-8").splitlines()):
            path = file.parent / json.loads(line)["image"]
            listed[path] = f"{file.parent.name}/{path.name}"
    paths, names = list(listed), list(listed.values())
    for number, entry, evidence in evidence_of(paths, paths, "different"):
        pair = names[number], names[entry]
        if number != entry:
            yield evidence, False, "itself", pair


def may_be_alike(pair, folders):
    """Whether the two may show one brand or product: both are from folders of such, or a copy of who knows what."""
    return all(flat(name).startswith(("queries_", *(f"{folder}_" for folder in folders))) for name in pair)


def is_known(pair, known, parts):
    return frozenset(map(flat, pair)) in known or any(part in name for part in parts for name in pair)


def flat(name):
    """folder/name as a battery's folder of photos has it."""
    return name.replace("/", "_")


def fitted(x, y, weight):
    """Weighted ridge logistic regression of the products of (n, k) features: mean and deviation of the features, weights, bias.

    Where a candidate would become less sure by more of what `RISES` names, that is punished: more evidence is never less.
    """
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
    terms = quadratic(x, mean, deviation)
    middle, spread = terms.mean(axis=0), terms.std(axis=0) + 1e-9
    z = np.c_[(terms - middle) / spread, np.ones(len(x))]
    slopes = slopes_of(x, mean, deviation, spread)
    ridge = np.diag(np.r_[np.full(terms.shape[1], RIDGE), 0])
    w = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = sigmoid(z @ w)
        falls = slopes[slopes @ w[:-1] < 0]
        punished = ridge.copy()
        punished[:-1, :-1] += FALLS * (falls.T @ falls)
        curve = (z * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ z + punished
        step = np.linalg.solve(curve, z.T @ (weight * (p - y)) + punished @ w)
        w -= step
        if np.abs(step).max() < 1e-6:
            break
    weights = w[:-1] / spread
    return mean, deviation, weights, float(w[-1] - weights @ middle)


def slopes_of(x, mean, deviation, spread):
    """(m, terms): by how much each term, in its own deviation, grows with each of `RISES` at some of the candidates."""
    at = x[np.random.default_rng(0).permutation(len(x))[:SLOPES]]
    found = []
    for name, sign in RISES.items():
        less, more = at.copy(), at.copy()
        less[:, FEATURES.index(name)] -= 1e-3 * deviation[FEATURES.index(name)]
        more[:, FEATURES.index(name)] += 1e-3 * deviation[FEATURES.index(name)]
        difference = quadratic(more, mean, deviation) - quadratic(less, mean, deviation)
        found.append(sign * difference / (2e-3 * spread))
    return np.concatenate(found)


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -40, 40)))


def predicted(model, x):
    mean, deviation, weights, bias = model
    return sigmoid(quadratic(x, mean, deviation) @ weights + bias)


def cross_validated(x, y, weight, sources):
    """(n,) probabilities, each by a model that has not seen the source."""
    fold = np.array([zlib.crc32(source.encode()) % FOLDS for source in sources])
    found = np.zeros(len(y))
    for k in range(FOLDS):
        found[fold == k] = predicted(fitted(*(part[fold != k] for part in (x, y, weight))), x[fold == k])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("battery", type=Path, nargs="+")
    parser.add_argument("--different", type=Path, nargs="*", default=[])
    parser.add_argument("--alike", type=Path, nargs="*", default=[])
    parser.add_argument("--known", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], help="sources that have repeats: parts of their names")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    known = set() if args.known is None else {frozenset(map(flat, pair)) for pair in json.loads(args.known.read_text())}
    rows = []
    for battery in args.battery:
        rows += of_battery(battery, args.photos)
        rows += of_frames(battery, args.photos)
    rows += of_different(args.different)
    rows += of_different(args.alike)
    folders = [file.parent.name for file in args.alike]
    rows = [(*row, not row[1] and may_be_alike(row[3], folders)) for row in rows]
    rows = [r for r in rows if r[1] or not is_known(r[3], known, args.leave_out)]
    x, y = np.stack([evidence_features(r[0]) for r in rows]), np.array([r[1] for r in rows])
    alike = np.array([r[4] for r in rows])
    weight = np.array([WEIGHTS.get(row[2], 1.0) if row[1] else OTHERS_WEIGHT for row in rows])
    weight[alike] = ALIKE_WEIGHT
    model = mean, deviation, weights, bias = fitted(x, y, weight)
    allowed = np.array([not ruled_out(r[0]) for r in rows])
    worst_seen = (predicted(model, x) * allowed)[~y & ~alike].max()
    probability = cross_validated(x, y, weight, [r[3][1] for r in rows]) * allowed
    surprise = -np.log(np.clip(np.where(y, probability, 1 - probability), 1e-6, 1))
    print(f"log loss {surprise.mean():.4f} in the cross-validation")
    worst = np.argsort(-np.where(y, -1, probability))[:20]
    for at in worst:
        print(f"{probability[at]:.3f}  {rows[at][2]:12} {rows[at][3][0]} = {rows[at][3][1]}?")
    bar = max(LEAST_BAR, math.ceil(100 * worst_seen) / 100)
    found = defaultdict(list)
    for row, sure in zip(rows, probability, strict=True):
        if row[1]:
            found[row[2]].append(sure >= bar)
    print({edit: round(float(np.mean(v)), 2) for edit, v in found.items() if np.mean(v) < 0.95})
    print(
        f"{int(y.sum())} copies, {int((~y & ~alike).sum())} others and {int(alike.sum())} alike; at {bar}: "
        f"{np.mean(probability[y] >= bar):.3f} of the copies, {int((probability[alike] >= bar).sum())} of the alike"
    )
    if args.write:
        table = json.loads(OUT.read_text(encoding="utf-8"))
        table["local"] = {
            "made_by": "python benchmarks/" + shlex.join([Path(sys.argv[0]).name, *_told(sys.argv[1:])]),
            "copies": int(y.sum()),
            "others": int((~y & ~alike).sum()),
            "alike": int(alike.sum()),
            "features": list(FEATURES),
            "mean": [round(float(v), 6) for v in mean],
            "deviation": [round(float(v), 6) for v in deviation],
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
