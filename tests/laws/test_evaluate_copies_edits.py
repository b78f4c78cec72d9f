"""Edits: each does what its name says, and the same seed makes the same copy."""

import io

import numpy as np
import pytest
from PIL import Image

from vision.evaluate.copies.drawing import STAR_SHARE
from vision.evaluate.copies.edits import EDITS, FAMILIES, FURNITURE, WITH_STRANGERS, apply, generator

NAMES = {
    "jpeg": "jpeg80 jpeg50 jpeg30",
    "resize": "resize25 resize50 resize200",
    "colour": "brighter darker contrast_up contrast_down saturate hue sepia vintage noir gray",
    "blur_noise": "blur_mild blur_strong noise",
    "aspect": "squash stretch",
    "overlay": "watermark text10 text25 sticker10 sticker25",
    "flip_turn": "mirror upside_down turn90 turn180 turn270",
    "frame": "border5 border15 border30 letterbox meme blurred_fill",
    "screenshot": "phone desktop",
    "crop": "crop5 crop10 crop20 crop30 crop50",
    "rotate": "rotate2 rotate2_cropped rotate5 rotate5_cropped rotate10 rotate10_cropped rotate15 rotate15_cropped",
    "composite": "inset30 inset50 inset70 side_by_side collage",
    "rephoto": "screen_mild screen_strong print_scan",
    "chain": "mirror_crop crop_watermark three",
    "scene": "background shadow",
}
BLUE = np.array([20, 40, 230], np.uint8)


def picture(height=240, width=320, seed=0):
    """Smooth colours, no two places alike, none of them near white, black or the colours of frames."""
    coarse = np.random.default_rng(seed).integers(60, 190, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def stranger():
    return np.broadcast_to(BLUE, (300, 400, 3)).copy()


def edited(edit, pixels=None, seed=7, name="shop/a.jpg", asked=stranger):
    return apply(edit, picture() if pixels is None else pixels, generator(seed, name, edit), asked)


def is_blue(pixels):
    return (np.abs(pixels.astype(int) - BLUE).max(axis=2) < 12).mean()


def test_families_and_edits_are_those_that_every_battery_names():
    assert {family: [e for e, (f, _) in EDITS.items() if f == family] for family in FAMILIES} == {
        family: names.split() for family, names in NAMES.items()
    }
    assert len(EDITS) == 65
    assert set(FURNITURE) < set(EDITS)


@pytest.mark.parametrize("edit", EDITS)
def test_a_copy_depends_on_seed_picture_and_edit_alone(edit):
    once, again = edited(edit), edited(edit)
    if once is None:
        assert edit == "background" and again is None
        return
    assert once[1] == again[1]
    assert once[0].dtype == np.uint8 and once[0].shape[2] == 3 and min(once[0].shape[:2]) >= 16
    assert np.array_equal(once[0], again[0])


def test_another_seed_or_picture_draws_other_copies():
    first = edited("sticker10")[0]
    assert not np.array_equal(first, edited("sticker10", seed=8)[0])
    assert not np.array_equal(first, edited("sticker10", name="shop/b.jpg")[0])


@pytest.mark.parametrize("edit", EDITS)
def test_strangers_show_sharp_only_where_it_is_said(edit):
    seen = []

    def other():
        seen.append(edit)
        return stranger()

    made = [edited(edit, seed=seed, asked=other) for seed in range(3)]
    if edit in WITH_STRANGERS - {"three", "background"}:  # these ask for one now and then
        assert seen
    elif edit not in WITH_STRANGERS:
        assert not seen or edit.startswith("screen_")
        assert all(m is None or is_blue(m[0]) < 0.01 for m in made)


def test_quality_is_in_the_name_or_drawn_between_82_and_94():
    assert [edited(f"jpeg{q}")[1] for q in (80, 50, 30)] == [80, 50, 30]
    drawn = {edited("mirror", name=str(n))[1] for n in range(60)}
    assert min(drawn) >= 82 and max(drawn) <= 94 and len(drawn) > 5


def test_turned_and_mirrored_copies_are_the_same_pixels():
    pixels = picture()
    assert np.array_equal(edited("mirror")[0], pixels[:, ::-1])
    assert np.array_equal(edited("upside_down")[0], pixels[::-1])
    for turns in (1, 2, 3):
        assert np.array_equal(edited(f"turn{90 * turns}")[0], np.rot90(pixels, turns))


def test_sizes_are_those_of_the_name():
    shapes = {edit: edited(edit)[0].shape[:2] for edit in ("resize25", "resize200", "squash", "stretch", "border15")}
    assert shapes == {
        "resize25": (60, 80),
        "resize200": (480, 640),
        "squash": (240, 198),
        "stretch": (240, 480),
        "border15": (240 + 96, 320 + 96),
    }


def test_a_large_picture_is_brought_down_first():
    assert edited("mirror", picture(1200, 1600))[0].shape == (768, 1024, 3)


@pytest.mark.parametrize("percent", [5, 10, 20, 30, 50])
def test_a_crop_is_a_window_that_leaves_so_much_away(percent):
    down, across = np.mgrid[0:240, 0:320]
    places = np.stack([down, across % 256, across // 256], axis=2).astype(np.uint8)
    for name in "abc":
        cut = edited(f"crop{percent}", places, name=name)[0].astype(int)
        assert cut[..., 0].size == pytest.approx(240 * 320 * (1 - percent / 100), rel=0.01)
        top, left = cut[0, 0, 0], cut[0, 0, 1] + 256 * cut[0, 0, 2]
        assert np.array_equal(cut, places[top : top + cut.shape[0], left : left + cut.shape[1]])


@pytest.mark.parametrize("degrees", [2, 5, 10, 15])
def test_a_turned_picture_is_whole_or_shows_none_of_its_page(degrees):
    plain = np.full((240, 320, 3), (200, 60, 90), np.uint8)
    whole, cut = (edited(f"rotate{degrees}{end}", plain)[0] for end in ("", "_cropped"))
    own = (np.abs(whole.astype(int) - plain[0, 0]).max(axis=2) < 40).sum()
    assert own == pytest.approx(240 * 320, rel=0.02)
    assert whole.shape[0] > 240 and whole.shape[1] > 320
    assert np.abs(cut.astype(int) - plain[0, 0]).max() <= 1
    assert cut.shape[1] / cut.shape[0] == pytest.approx(320 / 240, rel=0.02)


@pytest.mark.parametrize(("edit", "share"), [("sticker10", 0.10), ("sticker25", 0.25)])
def test_a_sticker_covers_its_share(edit, share):
    pixels = picture()
    for name in "abcdef":
        changed = (np.abs(edited(edit, name=name)[0].astype(int) - pixels).max(axis=2) > 0).mean()
        assert changed == pytest.approx(share, abs=0.02)


def test_the_share_of_a_star_is_that_of_its_corners():
    angles, radii = np.pi / 5 * np.arange(10), np.where(np.arange(10) % 2, 0.22, 0.5)
    x, y = radii * np.cos(angles), radii * np.sin(angles)
    assert pytest.approx(abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2) == STAR_SHARE


def test_words_leave_most_of_the_picture_and_more_words_leave_less():
    pixels = picture()
    touched = [(np.abs(edited(f"text{n}")[0].astype(int) - pixels).max(axis=2) > 20).mean() for n in (10, 25)]
    assert 0.01 < touched[0] < 0.12 and touched[0] < touched[1] < 0.28


@pytest.mark.parametrize(("edit", "share"), [("inset30", 0.3), ("inset50", 0.5), ("inset70", 0.7)])
def test_an_inset_takes_its_share_of_the_sides(edit, share):
    made = edited(edit)[0]
    assert made.shape == (900, 1200, 3)
    assert 1 - is_blue(made) == pytest.approx(share**2, abs=0.01)  # both are 4:3


def test_a_collage_shows_three_strangers():
    made = edited("collage")[0]
    assert is_blue(made) == pytest.approx(3 * 600 * 450 / (made.shape[0] * made.shape[1]), abs=0.01)


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (300, 300)])
def test_a_letterbox_holds_the_picture_on_a_page_of_the_other_format(shape):
    pixels = picture(*shape)
    page = edited("letterbox", pixels)[0]
    wide = shape[1] >= shape[0]
    assert page.shape[1] / page.shape[0] == pytest.approx(9 / 16 if wide else 16 / 9, rel=0.01)
    top, left = (page.shape[0] - shape[0]) // 2, (page.shape[1] - shape[1]) // 2
    assert np.array_equal(page[top : top + shape[0], left : left + shape[1]], pixels)
    assert page.sum() == pixels.sum()  # the rest is black


def test_colours_change_as_they_are_called():
    pixels = picture().astype(float)
    assert edited("brighter")[0].mean() > 1.2 * pixels.mean()
    assert edited("darker")[0].mean() == pytest.approx(pixels.mean() / 2, rel=0.02)
    assert edited("contrast_down")[0].std() < 0.6 * pixels.std() < pixels.std() < edited("contrast_up")[0].std()
    gray = edited("gray")[0]
    assert np.array_equal(gray[..., 0], gray[..., 1]) and np.array_equal(gray[..., 0], gray[..., 2])
    assert np.ptp(edited("saturate")[0].astype(int), axis=2).mean() > 1.5 * np.ptp(pixels, axis=2).mean()


def test_a_blurred_copy_is_smoother_and_a_noisy_one_is_not():
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    mild, strong = (edited(f"blur_{how}", noise)[0].astype(float).std() for how in ("mild", "strong"))
    assert strong < mild < noise.std()
    assert (edited("noise")[0].astype(float) - picture()).std() == pytest.approx(22, rel=0.05)


def test_a_background_is_replaced_where_something_stands_out_and_nowhere_else():
    product = np.full((240, 320, 3), 255, np.uint8)
    product[40:200, 80:240] = picture(160, 160)
    made = edited("background", product)[0].astype(int)
    assert np.abs(made[60:180, 100:220] - product[60:180, 100:220]).max() <= 3
    assert (np.abs(made[:20] - 255).max(axis=2) > 30).mean() > 0.9
    assert edited("background", np.full((240, 320, 3), 255, np.uint8)) is None


def test_a_shadow_darkens_a_part_and_nothing_gets_lighter():
    ratio = edited("shadow")[0] / picture().astype(float)
    assert ratio.max() <= 1.02 and ratio.min() == pytest.approx(0.4, abs=0.02)
    assert (ratio > 0.98).mean() > 0.05


def test_a_copy_can_be_saved_and_read():
    pixels, quality = edited("three")
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    assert Image.open(data).size == pixels.shape[1::-1]
