"""Sets parted by brand: nothing that one side shows is on the other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from vision.datasets.labelled import LabelledBox, LabelledPicture, brand_key, is_kin
from vision.datasets.split import BOTH_SIDES, NEAR_DUPLICATE, same_pictures, split_by_brand
from vision.errors import DatasetError, UsageError

BRANDS = ("Google", "Google Drive", "GOOGLE", "Acme", "Brindlow", "Çelik & Co", "Sony", "Sonya", "Ōto")


def picture(number, brands):
    boxes = tuple(LabelledBox((0, 0, 9, 9), "logo", brand) for brand in brands)
    return LabelledPicture(Path(f"{number}.jpg"), 20, 20, boxes, "set", False, frozenset({"logo"}))


def drawn(seed, n=40):
    random = np.random.default_rng(seed)
    pictures = [
        picture(i, [BRANDS[b] for b in random.integers(0, len(BRANDS), random.choice([0, 1, 1, 1, 2]))])
        for i in range(n)
    ]
    return pictures, random.integers(0, 30, n).tolist()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.5]))
def test_no_brand_no_kin_and_no_near_duplicate_is_on_both_sides(seed, share):
    pictures, groups = drawn(seed)
    try:
        split = split_by_brand(pictures, groups, share=share, seed=seed)
    except DatasetError:  # the brands drawn stand beside others everywhere
        assume(False)
    group_of = dict(zip((p.path for p in pictures), groups, strict=True))
    assert not {group_of[p.path] for p in split.seen} & {group_of[p.path] for p in split.unseen}
    left, right = ({b.brand for p in side for b in p.boxes} for side in (split.seen, split.unseen))
    assert not any(is_kin(a, [b]) or is_kin(b, [a]) for a in left for b in right)
    assert right <= set(split.unseen_brands)
    assert len(split.seen) + len(split.unseen) + len(split.left_out) == len(pictures)
    for one, why in split.left_out:
        hidden = [b.brand in split.unseen_brands for b in one.boxes]
        assert why == (BOTH_SIDES if any(hidden) else NEAR_DUPLICATE)


def test_listed_brands_are_the_unseen_ones_with_their_kin():
    pictures = [picture(i, [brand]) for i, brand in enumerate(BRANDS)]
    split = split_by_brand(pictures, range(len(BRANDS)), unseen=["google", "Acme"])
    assert {brand_key(b) for b in split.unseen_brands} == {"google", "googledrive", "acme"}
    assert [p.path.name for p in split.unseen] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_a_side_without_pictures_is_an_error():
    pictures = [picture(0, ["Acme", "Sony"]), picture(1, ["Acme", "Sony"])]
    with pytest.raises(DatasetError, match="no picture is left"):
        split_by_brand(pictures, [0, 1], share=0.5)
    with pytest.raises(UsageError, match="leaves one side empty"):
        split_by_brand(pictures, [0, 1], share=1.0)


def test_copies_are_in_one_group_and_what_cannot_be_read_is_alone(tmp_path):
    random = np.random.default_rng(0)
    paths = []
    for number in range(3):
        pixels = np.kron(random.integers(0, 255, (12, 16, 3), dtype=np.uint8), np.ones((24, 24, 1), np.uint8))
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    with Image.open(paths[1]) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.jpg", quality=70)
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8")
    told = []
    groups = same_pictures([*paths, tmp_path / "mirrored.jpg", tmp_path / "torn.jpg"], advance=told.append)
    assert groups[1] == groups[3]
    assert len(set(groups.tolist())) == 4
    assert sum(told) == 5
