"""How often a copy claim by hashes alone is right, by distance: makes that part of vision/copies/calibration.json and prints what
it rests on. The part for claims by what agrees is made by `copies_evidence.py` and left as it is.

python benchmarks/copies_calibration.py --distinct A.jsonl B.jsonl --other C.jsonl D.jsonl [--marks 2000] [--write]

Each JSONL names one picture a row ("image", relative to the file). All pictures of a --distinct file are different pictures;
an --other file may hold repeats of its own, so that only its pairs with other files count. --marks draws that many vector logos
in two sizes on white pages (extra train).

Falsely near pairs are counted by Hamming distance, once for photos and once for pairs with a plain ground (`verify.PLAIN`), these
only where the content agrees, as a claim needs. The level is the count within 31 bits, the radius, entered as c + 1/2 (Jeffreys),
for zero is not impossible; the table also keeps the bound of the rule of three. To both sides of it false pairs are taken to thin
out with distance by a straight line on a log scale, whose slope is that of the candidates where there are enough to count: of
photos from 79 to 63 bits, of plain pairs before their content is compared from 63 to 31. Unrelated hashes thin out faster. True
copies are made by `EDITS` from the first --distinct file for photos and from the second for plain grounds. For a pair whose prior
odds of being a copy are ODDS,

    probability(d) = ODDS * copies(d) / (ODDS * copies(d) + false(d)),   both per 2 bits, made falling with d.
"""

import argparse
import io
import json
import shlex
import sys
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from vision.copies.entries import MAX_RADIUS
from vision.copies.hashes import hash_whole
from vision.copies.index import HashIndex, hamming
from vision.copies.store import DECODE_SIDE
from vision.copies.verify import CONTENT_RADIUS, MIN_QUALITY, PLAIN, RADIUS
from vision.images import read_picture

OUT = Path(__file__).resolve().parents[1] / "vision" / "copies" / "calibration.json"
# One picture in ten is a copy of one among 10,000; or one in a hundred, of one among 1,000.
ODDS = 1e-5
COPIED = 120  # pictures that copies are made of, for each ground
# Where enough candidates are found to see how they thin out with distance.
SLOPE = {"photo": (63, 79), "plain, unchecked": (31, 63)}


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def written(image, random):
    image = image.copy()
    font = ImageFont.load_default(max(10, image.height // 10))
    at = image.width * random.uniform(0, 0.3), image.height * random.uniform(0, 0.9)
    ImageDraw.Draw(image).text(at, "SALE today only", "red", font)
    return image


def cut(image, share, random):
    width, height = int(image.width * (1 - share)), int(image.height * (1 - share))
    left, top = random.integers(image.width - width + 1), random.integers(image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def noisy(image, random):
    pixels = np.asarray(image, dtype=np.float32)
    return Image.fromarray(np.clip(pixels + random.normal(0, 18, pixels.shape), 0, 255).astype(np.uint8))


def scaled(image, by):
    return image.resize((max(16, round(image.width * by)), max(16, round(image.height * by))), Image.Resampling.LANCZOS)


EDITS = {
    "jpeg": lambda i, r: jpeg(i, int(r.integers(25, 90))),
    "smaller": lambda i, r: scaled(i, r.uniform(0.3, 0.9)),
    "larger": lambda i, r: scaled(i, r.uniform(1.1, 2)),
    "brighter": lambda i, r: ImageEnhance.Brightness(i).enhance(r.uniform(1.1, 1.5)),
    "darker": lambda i, r: ImageEnhance.Brightness(i).enhance(r.uniform(0.5, 0.9)),
    "contrast": lambda i, r: ImageEnhance.Contrast(i).enhance(r.uniform(0.5, 1.7)),
    "gray": lambda i, _: i.convert("L").convert("RGB"),
    "colours": lambda i, r: ImageEnhance.Color(i).enhance(r.uniform(0.3, 2)),
    "blurred": lambda i, r: i.filter(ImageFilter.GaussianBlur(max(i.size) / r.uniform(100, 400))),
    "noise": noisy,
    "text": written,
    "cropped": lambda i, r: cut(i, r.uniform(0.01, 0.05), r),
    "turned": lambda i, r: i.rotate(float(r.uniform(-2, 2)), Image.Resampling.BICUBIC),
    "two": lambda i, r: jpeg(ImageEnhance.Contrast(scaled(cut(i, 0.02, r), 0.6)).enhance(1.3), 60),
}


def pictures(listing):
    return [
        listing.parent / json.loads(line)["image"] for line in listing.read_text(encoding="utf-8").splitlines() if line
    ]


def marks(n, size):
    import resvg_py
    from simplepycons import all_icons

    names = sorted(all_icons.names())
    for name in names[:: max(1, len(names) // n)][:n]:
        png = bytes(resvg_py.svg_to_bytes(svg_string=all_icons[name].raw_svg, width=size, height=size))
        mark = Image.open(io.BytesIO(png)).convert("RGBA")
        page = Image.new("RGBA", (400, 400), "white")
        page.alpha_composite(mark, ((400 - size) // 2,) * 2)
        shape = np.asarray(mark.getchannel("A").resize((40, 40), Image.Resampling.BOX)) > 127
        yield name, hash_whole(read_picture(page.convert("RGB"))), np.packbits(shape)


def false_pairs(descriptions, related):
    """Falsely near pairs: {ground: Counter of distances}, the number of pairs of each ground, and the nearest ones.

    related(i, j): pairs not to count. Plain pairs count twice: all of them ("plain, unchecked"), and where the content agrees.
    """
    index = HashIndex()
    index.add(np.stack([d.hashes[0] for d in descriptions]))
    contents = np.stack([d.content_hashes[0] for d in descriptions])
    quality = np.array([d.fingerprint.quality for d in descriptions])
    plain = np.array([d.fingerprint.plain for d in descriptions])
    near = {"photo": {}, "plain": {}, "plain, unchecked": {}}
    for i, description in enumerate(descriptions):
        if quality[i] < MIN_QUALITY:
            continue
        turn, other, distance = index.within(description.hashes, SLOPE["photo"][1] if plain[i] < PLAIN else MAX_RADIUS)
        keep = (other < i) & (quality[other] >= MIN_QUALITY)
        turn, other, distance = turn[keep], other[keep], distance[keep]
        content = hamming(description.content_hashes[turn], contents[other])
        for j, d, c in zip(other.tolist(), distance.tolist(), content.tolist(), strict=True):
            if related(i, j):
                continue
            on_plain = max(plain[i], plain[j]) >= PLAIN
            if on_plain and d > MAX_RADIUS:
                continue
            grounds = ["photo"] if not on_plain else ["plain, unchecked"] + ["plain"] * (c <= CONTENT_RADIUS)
            for ground in grounds:
                near[ground][j, i] = min(d, near[ground].get((j, i), d))
    return near


def at_most(near, bits):
    return sum(d <= bits for d in near.values())


def copies(paths, plain_only, random):
    """Distances of edited copies that pass the gate and, on plain ground, the check of the content; and how many were made."""
    found, made = [], 0
    for path in [paths[i] for i in random.permutation(len(paths))[:COPIED]]:
        image = Image.fromarray(read_picture(path).pixels)
        source = hash_whole(read_picture(image))
        if plain_only != (source.fingerprint.plain >= PLAIN):
            continue
        for name, edit in EDITS.items():
            seed = np.random.default_rng(zlib.crc32(f"{path.name} {name}".encode()))
            copy = hash_whole(read_picture(jpeg(edit(image, seed), int(seed.integers(75, 95)))))
            made += 1
            whole = int(hamming(copy.hashes[0], source.hashes[0]))
            content = int(hamming(copy.content_hashes[0], source.content_hashes[0]))
            good = min(copy.fingerprint.quality, source.fingerprint.quality) >= MIN_QUALITY
            on_plain = max(copy.fingerprint.plain, source.fingerprint.plain) >= PLAIN
            if good and whole <= MAX_RADIUS and (not on_plain or content <= CONTENT_RADIUS):
                found.append(whole)
    return found, made


def slope(near, ground):
    """By how much the logarithm of the number of candidates grows with each bit."""
    low, high = SLOPE[ground]
    return float(np.log((at_most(near[ground], high) + 0.5) / (at_most(near[ground], low) + 0.5)) / (high - low))


def table(true_distances, made, false_at_radius, rise, pairs):
    """Probability for each distance from 0 to MAX_RADIUS."""
    counts = Counter(d // 2 for d in true_distances)
    steps = np.arange((MAX_RADIUS + 1) // 2)
    share = np.array([counts[s] for s in steps]) / made
    # a few copies a step: averaged over 5 steps, more widely than they vary
    share = np.convolve(np.pad(share, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    upto = (false_at_radius + 0.5) * np.exp(rise * (2 * steps + 1 - RADIUS)) / pairs
    false = np.diff(upto, prepend=0)
    probability = np.minimum.accumulate(ODDS * share / (ODDS * share + false))
    return [round(float(p), 4) for p in np.repeat(probability, 2)]


def count_pairs(groups, plain, distinct):
    """How many pairs were compared on each ground: with what comes before, and inside the first `distinct` groups."""
    pairs = {"photo": 0, "plain": 0}
    for group in range(int(groups.max()) + 1):
        here, before = groups == group, groups < group
        both = np.array([here.sum(), (here & ~plain).sum()], dtype=float)
        earlier = np.array([before.sum(), (before & ~plain).sum()], dtype=float)
        count = both * earlier + (group < distinct) * both * (both - 1) / 2
        pairs["photo"] += int(count[1])
        pairs["plain"] += int(count[0] - count[1])
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distinct", type=Path, nargs=2, required=True, metavar="JSONL")
    parser.add_argument("--other", type=Path, nargs="*", default=[], metavar="JSONL")
    parser.add_argument("--marks", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="replace vision/copies/calibration.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    listings = [*args.distinct, *args.other]
    groups = np.concatenate([np.full(len(pictures(f)), n) for n, f in enumerate(listings)])
    files = [path for listing in listings for path in pictures(listing)]
    descriptions = [hash_whole(read_picture(path, reduce_to=DECODE_SIDE)) for path in files]
    near = false_pairs(descriptions, lambda i, j: groups[i] == groups[j] and groups[i] >= len(args.distinct))
    plain = np.array([d.fingerprint.plain >= PLAIN for d in descriptions])
    pairs = count_pairs(groups, plain, len(args.distinct))
    for group, listing in enumerate(args.distinct):
        ground = np.percentile(
            [d.fingerprint.plain for d, g in zip(descriptions, groups, strict=True) if g == group], (5, 95)
        )
        print(f"{listing}: percent of plain ground {ground[0]:.0f} to {ground[1]:.0f} (5th and 95th percentile)")
    print(f"{len(descriptions)} pictures, {pairs['photo']:,} pairs of photos, {pairs['plain']:,} with plain ground")
    for ground, found in near.items():
        print(f"  {ground:18}", {bits: at_most(found, bits) for bits in (10, 20, RADIUS, 40, 50, MAX_RADIUS, 79)})
    for size in (100, 288) if args.marks else ():
        drawn = list(marks(args.marks, size))
        ground = np.percentile([d.fingerprint.plain for _, d, _ in drawn], (5, 95))
        shapes = np.unpackbits(np.stack([s for *_, s in drawn]), axis=1).astype(np.float32) * 2 - 1
        # drawings that are the same to within 2 % of their area are true repeats
        apart = (1600 - shapes @ shapes.T) / 2 > 0.02 * 1600
        found = false_pairs([d for _, d, _ in drawn], lambda i, j, apart=apart: not apart[i, j])
        number = int(np.triu(apart, 1).sum())
        print(
            f"{len(drawn)} marks of {size} px on 400, {number:,} pairs of different drawings, "
            f"percent of plain ground {ground[0]:.0f} to {ground[1]:.0f}"
        )
        for ground, some in found.items():
            print(f"  {ground:18}", {bits: at_most(some, bits) for bits in (10, 20, RADIUS, 40, 50, MAX_RADIUS)})
        print("   claimed:", [(drawn[i][0], drawn[j][0], d) for (i, j), d in found["plain"].items() if d <= RADIUS])
        pairs["plain"] += number
        near["plain"] |= {(size, key): d for key, d in found["plain"].items()}
        near["plain, unchecked"] |= {(size, key): d for key, d in found["plain, unchecked"].items()}
    rises = {"photo": slope(near, "photo"), "plain": slope(near, "plain, unchecked")}
    random = np.random.default_rng(0)
    result = {"identical": 1.0}
    evidence = {}
    for ground, listing in zip(("photo", "plain"), args.distinct, strict=True):
        distances, made = copies(pictures(listing), ground == "plain", random)
        result[ground] = table(distances, made, at_most(near[ground], RADIUS), rises[ground], pairs[ground])
        evidence[ground] = {
            "pairs": pairs[ground],
            "false_at_31": at_most(near[ground], RADIUS),
            "false_at_63": at_most(near[ground], MAX_RADIUS),
            "candidates_grow_by_bit": round(rises[ground], 4),
            "at_most_at_31_with_95_percent": round((at_most(near[ground], RADIUS) + 3) / pairs[ground], 10),
            "copies_made": made,
            "copies_claimed_at_31": sum(d <= RADIUS for d in distances),
        }
        print(ground, evidence[ground])
        print("  probability by distance", {2 * n: p for n, p in enumerate(result[ground][::2])})
    if args.write:
        names = [f.parent.name + "/" + f.name for f in listings]
        command = f"python benchmarks/copies_calibration.py --distinct {shlex.join(names[:2])} --other {shlex.join(names[2:])}"
        content = json.loads(OUT.read_text(encoding="utf-8")) | {
            "made_by": f"{command} --marks {args.marks} --write",
            "prior_odds": ODDS,
            "evidence": evidence,
            "probability": result,
        }
        OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {OUT}", file=sys.stderr)


if __name__ == "__main__":
    main()
