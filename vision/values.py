"""The frozen nouns that travel between the rooms, and the result row that users keep.

Everything here is data: made once, checked when made where a mistake would travel far, never changed.
`Result.to_dict()` is the row of `results.jsonl` (schema `vision.result/1`), `Result.from_dict()` its inverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

SCHEMA = "vision.result/1"

Kind = Literal["logo", "product", "image"]
VerdictName = Literal["known", "ambiguous", "unknown"]
# How a mark stands in the picture; turned clockwise by so many degrees.
Orientation = Literal["upright", "mirrored", "turned_90", "turned_180", "turned_270"]
# How a line of text was read (see TextLine).
Way = Literal["lines", "mirrored", "turned_180", "whole", "ring"]
KINDS: tuple[str, ...] = get_args(Kind)

Pixels = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One upright sRGB picture.

    pixels: (h, w, 3) uint8 RGB, upright; at most as large as the picture itself, smaller after a reduced decode.
    width, height: size of the upright picture at full scale; all boxes in results are in these pixels.
    sha256: hex digest of the encoded bytes (of the raw pixels when there was no file).
    origin: where it came from, for messages: a path, or "bytes", "array", "PIL".
    quantization: the 64 steps by which the JPEG that it was read from divided its luma, row by row of a block; null for
    what was no JPEG file.
    more_frames: the file is an animation or has several pages, of which this is the first.
    """

    pixels: Pixels
    width: int
    height: int
    sha256: str
    origin: str
    quantization: tuple[int, ...] | None = None
    more_frames: bool = False

    @property
    def scale(self) -> tuple[float, float]:
        """Full-scale pixels per decoded pixel, horizontally and vertically; both at least 1."""
        return self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one picture, best score first.

    boxes: (n, 4) float32 xyxy pixels of the picture given. kinds: n of "logo" | "product". scores: (n,) float32 in [0, 1].
    """

    boxes: npt.NDArray[np.float32]
    kinds: tuple[str, ...]
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.kinds), 4) or self.scores.shape != (len(self.kinds),):
            raise ValueError(
                f"boxes {self.boxes.shape}, {len(self.kinds)} kinds and scores {self.scores.shape} do not belong together"
            )

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class Match:
    """One brand that a crop resembles: its best reference. similarity: cosine in [-1, 1], higher is closer.

    negative: no brand, but something that looks like one ("looks like, is not"). drawing: its reference is artwork.
    """

    brand: str
    product: str | None
    reference: str
    similarity: float
    negative: bool = False
    drawing: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in a crop. confidence: the reader's own, in [0, 1]. box: xyxy pixels of the upright picture, if known."""

    string: str
    confidence: float
    box: Box | None = None


# What recognisers' characters are folded into, for likelihoods: letters without case, digits; then two more classes, one for
# blank, space and punctuation, one for every other character.
READ_CLASSES = "abcdefghijklmnopqrstuvwxyz0123456789"
READ_BLANK, READ_OTHER = len(READ_CLASSES), len(READ_CLASSES) + 1


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """One line of text that was read in a crop.

    string: as read. confidence: mean probability of its characters, in [0, 1]. box: xyxy pixels of the crop, inside it.
    height: of the letters, in pixels of the crop, across the reading direction.
    steps: (t, 38) float32, each row a distribution: the recogniser's time steps with their classes summed into `READ_CLASSES`,
    blank (`READ_BLANK`) and others (`READ_OTHER`).
    way: how it was read: "lines" found by the text detector, such lines "mirrored" or "turned_180", the "whole" crop as one line,
    or the "ring" unrolled.
    """

    string: str
    confidence: float
    box: Box
    height: float
    steps: npt.NDArray[np.float32]
    way: Way = "lines"


@dataclass(frozen=True, slots=True)
class NameMatch:
    """A brand whose name may have been read in a crop.

    name: the name or alias that fits. string: what was read, as read. score: how well it fits, in points; from 0 on it fits
    well enough for text alone. accepted: it does, and no rule speaks against it: short names, ordinary words and names that
    another one explains better are left to the pictures, and an error is forgiven only where the brand has some.
    edits: between what was read and the name. way, box, confidence: as of the line (of the first one, joined lines).
    """

    brand: str
    name: str
    string: str
    score: float
    accepted: bool
    edits: int
    confidence: float
    box: Box
    way: Way = "lines"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A brand that a finding may show. probability: calibrated, in [0, 1].

    similarity, reference: of its nearest picture; null when the brand is known by name only. read: what was read in the crop
    that fits its name, null when nothing does. rival: it competes and is never named, being of the shipped library beside one's
    own, or not on the watch-list.
    """

    brand: str
    similarity: float | None
    probability: float
    reference: str | None
    read: str | None = None
    rival: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one box: known (brand named), ambiguous (several within reach) or unknown (none of ours)."""

    name: VerdictName
    brand: str | None
    product: str | None
    probability: float
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One box of a picture with its verdict. box: xyxy pixels of the upright picture at full scale, inside it.

    orientation: how the mark stands, as far as it was needed to tell: "mirrored", "turned_90" (clockwise), "turned_180" or
    "turned_270" where it was recognised so, else "upright".
    """

    kind: Kind
    box: Box
    score: float
    verdict: VerdictName
    brand: str | None
    product: str | None
    probability: float
    candidates: tuple[Candidate, ...] = ()
    text: Reading | None = None
    orientation: Orientation = "upright"

    def to_dict(self) -> dict[str, Any]:
        """The finding of a row as plain JSON types."""
        return {
            "kind": self.kind,
            "box": list(self.box),
            "score": self.score,
            "verdict": self.verdict,
            "brand": self.brand,
            "product": self.product,
            "probability": self.probability,
            "candidates": [
                {
                    "brand": c.brand,
                    "similarity": c.similarity,
                    "probability": c.probability,
                    "reference": c.reference,
                    "read": c.read,
                    "rival": c.rival,
                }
                for c in self.candidates
            ],
            "text": None
            if self.text is None
            else {
                "string": self.text.string,
                "confidence": self.text.confidence,
                "box": None if self.text.box is None else list(self.text.box),
            },
            "orientation": self.orientation,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        """The inverse of `to_dict`. Raises KeyError for a missing field."""
        text = row["text"]
        return cls(
            kind=row["kind"],
            box=_box(row["box"]),
            score=row["score"],
            verdict=row["verdict"],
            brand=row["brand"],
            product=row["product"],
            probability=row["probability"],
            candidates=tuple(
                Candidate(
                    c["brand"], c["similarity"], c["probability"], c["reference"], c.get("read"), c.get("rival", False)
                )
                for c in row["candidates"]
            ),
            text=None if text is None else Reading(text["string"], text["confidence"], _optional_box(text.get("box"))),
            orientation=row.get("orientation", "upright"),
        )


@dataclass(frozen=True, slots=True)
class CopyClaim:
    """This picture was taken from another one.

    source: path or id of the other. index: "scan" or the name of the index searched. kind: the edit, e.g. "same", "mirror",
    "crop+rotate5", "inset", or "confirmed", where nothing but a person's word ties them. distance: Hamming bits between the whole
    pictures' hashes, in the nearest of eight orientations; 256 of confirmed ones.
    box here and source_box there: xyxy pixels around the shared region, null when not known.
    transform: 9 numbers, row by row, of the (3, 3) map from pixels of this picture to those of the source; null when not known.
    coverage: share of the source's area that this picture shows, 0 to 1; null when not known.
    """

    source: str
    index: str
    kind: str
    distance: int
    probability: float
    box: Box | None = None
    source_box: Box | None = None
    first_seen: str | None = None
    owner: str | None = None
    transform: tuple[float, ...] | None = None
    coverage: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The claim of a row as plain JSON types."""
        return {
            "source": self.source,
            "index": self.index,
            "kind": self.kind,
            "distance": self.distance,
            "probability": self.probability,
            "box": None if self.box is None else list(self.box),
            "source_box": None if self.source_box is None else list(self.source_box),
            "first_seen": self.first_seen,
            "owner": self.owner,
            "transform": None if self.transform is None else list(self.transform),
            "coverage": self.coverage,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> CopyClaim:
        """The inverse of `to_dict`. Raises KeyError for a missing field."""
        return cls(
            source=row["source"],
            index=row["index"],
            kind=row["kind"],
            distance=row["distance"],
            probability=row["probability"],
            box=_optional_box(row["box"]),
            source_box=_optional_box(row["source_box"]),
            first_seen=row["first_seen"],
            owner=row["owner"],
            transform=None if row.get("transform") is None else tuple(row["transform"]),
            coverage=row.get("coverage"),
        )


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """PDQ hash of a picture. pdq: 64 hex digits (256 bits). quality: 0 to 100; under 50 the hash is no evidence.

    plain: percent of the picture that is one plain ground. content: PDQ of what stands on that ground, null when nothing does.
    """

    pdq: str
    quality: int
    content: str | None = None
    plain: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a picture has no findings. code: one of `PictureError`'s."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """Everything found in one picture: one row of results.jsonl."""

    path: str
    sha256: str | None
    width: int | None
    height: int | None
    status: Literal["ok", "failed"]
    error: Failure | None = None
    findings: tuple[Finding, ...] = ()
    copies: tuple[CopyClaim, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None
    degraded: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON types, keys in the order of the schema."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "status": self.status,
            "error": None if self.error is None else {"code": self.error.code, "message": self.error.message},
            "findings": [f.to_dict() for f in self.findings],
            "copies": [c.to_dict() for c in self.copies],
            "quality": dict(self.quality),
            "fingerprint": None
            if self.fingerprint is None
            else {
                "pdq": self.fingerprint.pdq,
                "quality": self.fingerprint.quality,
                "content": self.fingerprint.content,
                "plain": self.fingerprint.plain,
            },
            "degraded": list(self.degraded),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Result:
        """The inverse of `to_dict`. Raises ValueError for a row of another schema, KeyError for a missing field."""
        if row["schema"] != SCHEMA:
            raise ValueError(f"a row of schema {row['schema']!r}; this version reads {SCHEMA!r}")
        error, fingerprint = row["error"], row.get("fingerprint")
        return cls(
            path=row["path"],
            sha256=row["sha256"],
            width=row["width"],
            height=row["height"],
            status=row["status"],
            error=None if error is None else Failure(error["code"], error["message"]),
            findings=tuple(Finding.from_dict(f) for f in row["findings"]),
            copies=tuple(CopyClaim.from_dict(c) for c in row["copies"]),
            quality=dict(row["quality"]),
            fingerprint=None
            if fingerprint is None
            else Fingerprint(
                fingerprint["pdq"], fingerprint["quality"], fingerprint.get("content"), fingerprint.get("plain", 0)
            ),
            degraded=tuple(row["degraded"]),
        )

    def to_supervision(self) -> Any:
        """The boxes as `supervision.Detections` (class_id 0 logo, 1 product, 2 image; brand and verdict in `data`).

        Raises BackendError (package_missing) when supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            from vision.errors import BackendError

            raise BackendError(
                "package_missing", "supervision is not installed", hint="pip install supervision"
            ) from None
        boxes = np.array([f.box for f in self.findings], dtype=np.float32).reshape(-1, 4)
        return supervision.Detections(
            xyxy=boxes,
            confidence=np.array([f.score for f in self.findings], dtype=np.float32),
            class_id=np.array([KINDS.index(f.kind) for f in self.findings], dtype=int),
            data={
                "class_name": np.array([f.kind for f in self.findings], dtype=object),
                "brand": np.array([f.brand or "" for f in self.findings], dtype=object),
                "verdict": np.array([f.verdict for f in self.findings], dtype=object),
                "probability": np.array([f.probability for f in self.findings], dtype=np.float32),
            },
        )


def _box(values: Sequence[float]) -> Box:
    left, top, right, bottom = values
    return (left, top, right, bottom)


def _optional_box(values: Sequence[float] | None) -> Box | None:
    return None if values is None else _box(values)
