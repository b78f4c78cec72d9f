"""A picture becomes a few hundred local features and a small grey picture: what is left of it when it was cropped, framed,
turned.

In: a decoded `Picture`. Out: `LocalFeatures` of about 7 kB, which come back from bytes as they were. The patches around corners
are encoded by a small network (`weights/copies`, trained on edited pairs) to 128 bits that a mirrored patch shares; their first
20 bits are the word under which a feature is looked up (`words.py`).
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vision import weights
from vision.copies.keypoints import STEP, Plane, find_keypoints
from vision.values import Picture

Bits = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# Longest side at which a picture is described, and how many features it may have. A reference keeps the first ones. Smaller
# pictures are enlarged to that side, so that thumbnails have corners too, but not more than fourfold.
SIDE, COUNT = 320, 240
REFERENCE_COUNT = 240
# A single query can afford a closer look: small insets have few pixels.
CLOSE_SIDE, CLOSE_COUNT = 640, 800
BITS = 128
WORD_BITS = 20
# Longest side of the grey picture that is kept, for the look at all of it (`agree.py`), and its JPEG quality: about 1.5 kB.
THUMBNAIL_SIDE = 128
THUMBNAIL_QUALITY = 60
# Cells a side of the grid of colours that is kept: enough to see that a product has another one.
COLOUR_CELLS = 12
# A query has this many times as many, so that a cell of the reference can be laid together from parts.
FINER = 3
# Places are kept in 64ths of a pixel, angles in 256ths of a turn.
_PLACES = 64
_TURNS = 256

# scale: the level of the feature's scale; its highest bit says that the patch shows more than two tones.
ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("scale", "u1"), ("angle", "u1"), ("bits", "u1", BITS // 8)])
_DETAILED = 0x80


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """n local features of a picture that was brought to `width` x `height`, the surest first.

    rows: (n,) of dtype ROW. certainty: (n, 20) float32 in [0, 1], how sure each bit of the word is; null when read back.
    plane: the (height, width) uint8 grey plane; null when read back. colours: (36, 36, 2) uint8, the mean red and blue difference
    (Cr and Cb, 128 is grey) of each cell of a grid, (12, 12, 2) when read back; null when an earlier version kept none.
    """

    rows: npt.NDArray[np.void]
    width: int
    height: int
    certainty: Floats | None = None
    plane: Plane | None = None
    colours: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def xy(self) -> Floats:
        """(n, 2) float32 pixels of the described plane."""
        places = np.stack([self.rows["x"], self.rows["y"]], axis=1).astype(np.float32)
        return np.asarray(places / np.float32(_PLACES), dtype=np.float32)

    @property
    def level(self) -> npt.NDArray[np.uint8]:
        """(n,) uint8: half octaves between the plane and the feature's own scale."""
        return np.asarray(self.rows["scale"] & (_DETAILED - 1), dtype=np.uint8)

    @property
    def scale(self) -> Floats:
        """(n,) float32: pixels of the plane for each pixel of the feature's own scale, at least 1."""
        return np.asarray(STEP ** self.level.astype(np.float32), dtype=np.float32)

    @property
    def detailed(self) -> npt.NDArray[np.bool_]:
        """(n,) flags of features that show more than two tones: neither text nor a flat drawing."""
        return np.asarray(self.rows["scale"] >= _DETAILED, dtype=np.bool_)

    @property
    def angle(self) -> Floats:
        """(n,) float32 radians in [0, 2 pi)."""
        return np.asarray(self.rows["angle"].astype(np.float32) * np.float32(2 * np.pi / _TURNS), dtype=np.float32)

    def words(self) -> Numbers:
        """(n,) the word of each feature, under 2 ** 20."""
        first = self.rows["bits"][:, :3].astype(np.int64)
        return np.asarray((first[:, 0] << 12) | (first[:, 1] << 4) | (first[:, 2] >> 4), dtype=np.int64)

    def probes(self, count: int) -> Numbers:
        """(n, count) words that each feature may have in an edited copy, its own first: with the least certain bits turned over.

        Of features that were read back any bit may be the least certain one: each is tried alone, so there are (n, 21) words.
        """
        if self.certainty is None:
            alone = np.concatenate([np.zeros(1, dtype=np.int64), np.int64(1) << np.arange(WORD_BITS)])
            return np.asarray(self.words()[:, None] ^ alone, dtype=np.int64)
        least = np.argsort(self.certainty, axis=1, kind="stable")[:, :_UNSURE_BITS]
        cost = np.take_along_axis(self.certainty, least, axis=1) @ _FLIPS.T
        best = np.argsort(cost, axis=1, kind="stable")[:, :count]
        masks = np.int64(1) << (WORD_BITS - 1 - least)
        turned = (_FLIPS[best].astype(np.int64) * masks[:, None, :]).sum(axis=2)
        return np.asarray(self.words()[:, None] ^ turned, dtype=np.int64)


# Which of the least certain bits to turn over, at most two at once.
_UNSURE_BITS = 6
_FLIPS = np.array([f for f in itertools.product((0, 1), repeat=_UNSURE_BITS) if sum(f) <= 2], dtype=np.float32)


def describe_local(
    picture: Picture, *, close: bool = False, colours: npt.NDArray[np.uint8] | None = None
) -> LocalFeatures:
    """The local features of a picture. close: at more pixels, for a query that is worth three times as long. colours: its
    `colour_grid`, where that was made before.

    Raises WeightsError (missing, wrong_checksum) when the encoder is not there.
    """
    side, count = (CLOSE_SIDE, CLOSE_COUNT) if close else (SIDE, COUNT)
    plane = grey_plane(picture, side)
    found = find_keypoints(plane, count)
    values = _encode(found.patches)
    rows = np.zeros(len(found), dtype=ROW)
    rows["x"], rows["y"] = np.rint(np.clip(found.xy.T, 0, None) * _PLACES).astype(np.uint16)
    rows["scale"] = found.level | np.where(_two_toned(found.patches), 0, _DETAILED).astype(np.uint8)
    rows["angle"] = np.rint(found.angle * (_TURNS / (2 * np.pi))).astype(np.int64) % _TURNS
    rows["bits"] = np.packbits(values > 0, axis=1)
    certainty = np.abs(values[:, :WORD_BITS])
    colours = colour_grid(picture) if colours is None else colours
    return LocalFeatures(rows, plane.shape[1], plane.shape[0], certainty, plane, colours)


def _two_toned(patches: Bits) -> npt.NDArray[np.bool_]:
    """(n,) whether at least half of a patch is as dark as its darkest or as light as its lightest: text, icons, flat drawings."""
    darkest, lightest = patches.min(axis=1, keepdims=True), patches.max(axis=1, keepdims=True)
    near = np.maximum(3, 0.1 * (lightest - darkest)).astype(np.uint8)
    return np.asarray((np.minimum(patches - darkest, lightest - patches) <= near).mean(axis=1) >= 0.5)


def no_features() -> LocalFeatures:
    """Those of a picture of which only a hash is known."""
    return LocalFeatures(np.zeros(0, dtype=ROW), 1, 1)


def grey_plane(picture: Picture, side: int) -> Plane:
    """(h, w) uint8 luma with that longest side; pictures are enlarged at most fourfold. A side has at least 16 pixels."""
    import cv2

    grey = np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    height, width = grey.shape
    scale = min(side / max(height, width), 4.0)
    size = max(16, round(width * scale)), max(16, round(height * scale))
    if size == (width, height):
        return grey
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=how), dtype=np.uint8)


def colour_grid(picture: Picture) -> npt.NDArray[np.uint8]:
    """(36, 36, 2) uint8: Cr and Cb of the mean colour of each cell of a picture."""
    import cv2

    cells = cv2.resize(picture.pixels, (FINER * COLOUR_CELLS,) * 2, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cv2.cvtColor(cells, cv2.COLOR_RGB2YCrCb)[..., 1:], dtype=np.uint8)


def to_bytes(features: LocalFeatures) -> bytes:
    """What a reference keeps: a header of 8 bytes, the first features, the thumbnail, the colours."""
    import cv2

    if features.plane is None or features.colours is None:
        raise ValueError("features that were read back are in bytes already")
    rows = features.rows[:REFERENCE_COUNT]
    scale = min(1.0, THUMBNAIL_SIDE / max(features.width, features.height))
    size = max(2, round(features.width * scale)), max(2, round(features.height * scale))
    small = cv2.resize(features.plane, size, interpolation=cv2.INTER_AREA)
    thumbnail = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])[1].tobytes()
    colours = cv2.resize(features.colours, (COLOUR_CELLS,) * 2, interpolation=cv2.INTER_AREA)
    header = np.array([features.width, features.height, len(rows), len(thumbnail)], dtype="<u2")
    return b"".join((header.tobytes(), rows.tobytes(), thumbnail, colours.tobytes()))


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a reference kept. thumbnail: (h, w) uint8 grey, its longest side at most 128."""

    features: LocalFeatures
    thumbnail: Plane

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Reference:
        """The inverse of `to_bytes`. Raises ValueError for bytes that are something else."""
        import cv2

        if len(data) < 8:
            raise ValueError("too short for local features")
        width, height, count, size = map(int, np.frombuffer(data, dtype="<u2", count=4))
        start = 8 + count * ROW.itemsize
        end = start + size
        if len(data) not in (end, end + 2 * COLOUR_CELLS**2):
            raise ValueError(f"{len(data)} bytes, {end} expected of local features, with or without colours")
        rows = np.frombuffer(data, dtype=ROW, count=count, offset=8)
        thumbnail = cv2.imdecode(np.frombuffer(data, dtype=np.uint8, count=size, offset=start), cv2.IMREAD_GRAYSCALE)
        colours = np.frombuffer(data, dtype=np.uint8, offset=end).reshape(-1, *(COLOUR_CELLS,) * 2, 2)
        if thumbnail is None:
            raise ValueError("local features without their picture")
        features = LocalFeatures(rows, width, height, colours=colours[0] if len(colours) else None)
        return cls(features, np.asarray(thumbnail, dtype=np.uint8))

    def as_query(self) -> LocalFeatures:
        """The same features as a query: coarser than those of the picture itself, as its plane is only the thumbnail,
        enlarged."""
        import cv2

        size = self.features.width, self.features.height
        plane = np.asarray(cv2.resize(self.thumbnail, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        return replace(self.features, plane=plane)


def _encode(patches: Bits) -> Floats:
    """(n, 128) float32 in (-1, 1) of (n, 256) uint8 patches; signs are the bits."""
    if not len(patches):
        return np.zeros((0, BITS), dtype=np.float32)
    session = _encoder()
    return np.asarray(session.run(None, {"patches": patches})[0], dtype=np.float32)


@functools.cache
def _encoder() -> Any:
    model = weights.load("copies")
    return weights.session(model.file("patches.onnx"), threads=1, device="cpu")


def encoder_checksum() -> str:
    """sha256 of the network: features made by another one cannot be compared."""
    return weights.load("copies").checksums["patches.onnx"]
