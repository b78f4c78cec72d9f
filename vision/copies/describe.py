"""All that the search for copies knows of a picture, made in one go: hashes of the whole, local features of its parts.

In: a decoded `Picture`. Out: a `CopyDescription`, picklable, of some 100 kB for the query of a scan, 400 kB
for a close one, and 7 kB for what a reference keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vision.copies.hashes import Bits, hash_whole
from vision.copies.local import LocalFeatures, describe_local, to_bytes
from vision.values import Fingerprint, Picture


@dataclass(frozen=True, slots=True, eq=False)
class CopyDescription:
    """One picture, as a query and as a reference.

    fingerprint, hashes, content_hashes: see `WholeHash`. local: features of its parts. width, height: of the picture at full
    scale. sha256: hex digest of its bytes. close: it was described with more features, as single queries are.
    """

    fingerprint: Fingerprint
    hashes: Bits
    content_hashes: Bits
    local: LocalFeatures
    width: int
    height: int
    sha256: str
    close: bool = False

    @property
    def flat(self) -> bool:
        """One colour all over, or a few pixels thin: there is nothing to hash, and no claim."""
        return not self.hashes.any()

    def kept(self) -> bytes:
        """What a reference keeps of the local features."""
        return to_bytes(self.local)


def describe(picture: Picture, *, close: bool = False) -> CopyDescription:
    """Describe a picture for the search. close: with more local features, for a query that is worth three times as long.

    The same pixels give the same description. Raises WeightsError (missing, wrong_checksum) when the encoder is not there.
    """
    whole = hash_whole(picture)
    local = describe_local(picture, close=close)
    return CopyDescription(
        whole.fingerprint,
        whole.hashes,
        whole.content_hashes,
        local,
        picture.width,
        picture.height,
        picture.sha256,
        close,
    )


def closer(picture: Picture, description: CopyDescription) -> CopyDescription:
    """The same picture described closely."""
    local = describe_local(picture, close=True, colours=description.local.colours)
    return replace(description, local=local, close=True)
