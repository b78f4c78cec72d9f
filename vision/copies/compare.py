"""Two images and no index: is one a copy of the other?"""

from __future__ import annotations

from typing import Any

from vision.copies.describe import describe
from vision.copies.entries import Entries, entry_rows
from vision.copies.local import Reference
from vision.copies.logos import logo_boxes
from vision.copies.store import DECODE_SIDE
from vision.images import read_picture
from vision.values import CopyClaim


def compare_copies(image: Any, other: Any) -> CopyClaim | None:
    """The claim that `image` was taken from `other`, or null when nothing says so.

    image, other: whatever `read_picture` takes. The claim's `source` is where the other came from, its path for instance, and
    its `index` is "pair". A hash cannot tell which was first: asked the other way round, the claim is there too, with the
    inverse edit.
    Raises PictureError when one of them cannot be read, WeightsError (missing, wrong_checksum).
    """
    picture, source = (read_picture(each, reduce_to=DECODE_SIDE) for each in (image, other))
    query, reference = describe(picture, close=True), describe(source)
    kept = Reference.from_bytes(reference.kept())
    entries = Entries(lambda _: kept)
    entries.add(*entry_rows([(reference.fingerprint, reference.width, reference.height, reference.sha256)]))
    entries.words.add(kept.features)
    for hit in entries.find(query, every=True, logos=lambda: logo_boxes(picture)):
        size, source_size = (picture.width, picture.height), (source.width, source.height)
        return hit.to_claim(source=source.origin, index="pair", size=size, source_size=source_size)
    return None
