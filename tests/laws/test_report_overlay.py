"""Laws of overlays, contact sheets and lettering: any picture, any name, nothing outside."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from report_fakes import EVIL, a_claim, a_finding, a_result

from vision.report import lettering
from vision.report.overlay import (
    LONGEST_SIDE,
    LOOKS,
    caption,
    draw_overlay,
    overlay_name,
    percent,
    read_place,
    save_overlay,
)
from vision.report.sheet import contact_sheet
from vision.values import Reading

GREY = 128


def ground(width, height):
    return np.full((height, width, 3), GREY, np.uint8)


def near(pixels, colour):
    return (np.abs(pixels.astype(int) - np.array(colour)) <= 2).all(axis=2)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    box=st.tuples(*[st.floats(0, 1)] * 4),
    name=st.text(max_size=40),
    verdict=st.sampled_from(["known", "ambiguous", "unknown"]),
    copy=st.booleans(),
)
def test_any_box_and_name_can_be_drawn_on_any_picture(size, box, name, verdict, copy):
    width, height = size
    left, right = sorted((box[0] * width, box[2] * width))
    top, bottom = sorted((box[1] * height, box[3] * height))
    finding = a_finding(name or "x", (left, top, right, bottom), verdict=verdict)
    drawn = draw_overlay(
        ground(width, height), a_result(findings=[finding], copies=[a_claim(name)] * copy, width=width, height=height)
    )
    assert drawn.dtype == np.uint8
    assert max(drawn.shape[:2]) <= LONGEST_SIDE
    assert drawn.shape[1] / drawn.shape[0] == pytest.approx(width / height, rel=0.6 / min(drawn.shape[:2]))


def test_a_box_is_drawn_where_it_is_in_its_verdicts_colour():
    for verdict in ("known", "ambiguous", "unknown"):
        drawn = draw_overlay(
            ground(400, 400),
            a_result(findings=[a_finding(box=(100, 150, 300, 250), verdict=verdict)], width=400, height=400),
        )
        ys, xs = np.nonzero(near(drawn[150:250], LOOKS[verdict].line))
        assert (xs.min(), xs.max()) == (100, 299)
        assert (ys.min(), ys.max()) == (0, 99)


def test_what_was_read_has_a_thin_frame_of_dashes():
    finding = a_finding(box=(100, 100, 300, 300), text_box=(140, 180, 260, 220))
    drawn = draw_overlay(ground(400, 400), a_result(findings=[finding], width=400, height=400))
    dashes = near(drawn, LOOKS["known"].line)[150:250, 120:280]
    ys, xs = np.nonzero(dashes)
    assert (xs.min() + 120, ys.min() + 150) == (140, 180)
    assert xs.max() + 120 <= 259
    assert ys.max() + 150 <= 219
    assert 0.3 < dashes[30, 20:140].mean() < 0.7


def test_a_doubtful_reading_that_names_nobody_is_not_marked():
    box = (140.0, 180.0, 260.0, 220.0)
    named = a_finding(text_box=box)
    nobody = replace(named, candidates=tuple(replace(c, read=None) for c in named.candidates))
    assert read_place(named) == box
    assert read_place(replace(nobody, text=Reading("SALE", 0.95, box))) == box
    assert read_place(replace(nobody, text=Reading("X", 0.6, box))) is None
    assert read_place(replace(named, text=Reading("Acmo", 0.6, box))) == box


def test_what_is_found_in_the_whole_picture_has_a_label_and_no_frame():
    whole = a_finding(box=(0, 0, 400, 400), kind="image")
    drawn = draw_overlay(ground(400, 400), a_result(findings=[whole], width=400, height=400))
    assert not near(drawn, LOOKS["known"].line).any()
    assert near(drawn, LOOKS["known"].ground).sum() > 300
    assert caption(whole) == "whole picture: Acme 97 %"


def test_boxes_are_scaled_when_the_picture_was_decoded_smaller():
    result = a_result(findings=[a_finding(box=(400, 400, 1200, 1200))], width=1600, height=1600)
    small = draw_overlay(ground(400, 400), result)
    ys, xs = np.nonzero(near(small[100:300], LOOKS["known"].line))
    assert (xs.min(), xs.max(), ys.min() + 100) == (100, 299, 100)


def test_a_label_stays_inside_and_off_the_mark_in_every_corner():
    for left in (0, 340):
        for top in (0, 340):
            box = (left, top, left + 60, top + 60)
            drawn = draw_overlay(ground(400, 400), a_result(findings=[a_finding("W" * 12, box)], width=400, height=400))
            label = near(drawn, LOOKS["known"].ground)
            ys, xs = np.nonzero(label)
            assert len(xs) > 300
            assert not label[top + 6 : top + 54, left + 6 : left + 54].any()
            # not cut off: its dark edge is there on all four sides
            assert ys.max() - ys.min() < 30
            assert xs.max() - xs.min() > 100


def test_labels_do_not_cover_each_other_where_there_is_room():
    boxes = [(50.0, 100.0 + 8 * i, 150.0, 160.0 + 8 * i) for i in range(3)]
    one = near(
        draw_overlay(ground(600, 600), a_result(findings=[a_finding("MMMM", boxes[0])], width=600, height=600)),
        LOOKS["known"].ground,
    )
    three = near(
        draw_overlay(
            ground(600, 600), a_result(findings=[a_finding("MMMM", box) for box in boxes], width=600, height=600)
        ),
        LOOKS["known"].ground,
    )
    assert three.sum() >= 2.7 * one.sum()


def test_a_picture_without_findings_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    assert (draw_overlay(pixels, a_result(width=500, height=400)) == pixels).all()


def test_the_picture_given_is_never_drawn_on():
    pixels = ground(400, 400)
    draw_overlay(pixels, a_result(findings=[a_finding()], copies=[a_claim()]))
    assert (pixels == GREY).all()


def test_a_tiny_picture_is_enlarged_by_a_whole_factor():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    drawn = draw_overlay(pixels, a_result(width=7, height=5))
    factor = drawn.shape[0] // 5
    assert max(drawn.shape[:2]) >= 320
    assert (drawn[::factor, ::factor] == pixels).all()


def test_a_saved_overlay_is_a_jpeg_of_what_was_drawn(tmp_path):
    result = a_result(findings=[a_finding()])
    save_overlay(tmp_path / "o.jpg", ground(200, 100), result)
    with Image.open(tmp_path / "o.jpg") as image:
        assert image.format == "JPEG"
        saved = np.asarray(image)
    assert np.abs(saved.astype(int) - draw_overlay(ground(200, 100), result)).mean() < 4
    assert [p.name for p in tmp_path.iterdir()] == ["o.jpg"]


@given(st.text(max_size=300), st.integers(0, 10**7 - 1))
def test_an_overlays_name_is_short_plain_and_tells_its_row(path, index):
    name = overlay_name(index, path)
    assert name.startswith(f"{index:07d}-")
    assert name.isascii()
    assert len(name) <= 80
    assert not set(name) & set('/\\:*?"<>| \n\0')
    assert name != overlay_name(index + 1, path)


def test_an_overlays_name_shows_the_stem():
    assert overlay_name(3, "shop/17/Größe 1.jpeg") == "0000003-Grosse_1.jpg"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.994, "99 %"), (0.9996, ">99 %"), (1, "100 %")],
)
def test_percents_never_round_to_a_certainty(probability, shown):
    assert percent(probability) == shown


def test_captions_name_the_brand_or_its_rivals_or_nobody():
    assert caption(a_finding()) == "Acme 97 %"
    assert caption(a_finding(verdict="ambiguous")) == "Acme or Zenith?"
    assert caption(a_finding(None, verdict="unknown", kind="product")) == "unknown product"


@given(st.text())
def test_printable_text_is_one_line_that_utf8_holds(text):
    line = lettering.printable(text)
    line.encode("utf-8")
    assert line.isprintable()


def test_names_lose_their_accents_but_not_their_letters_when_drawn():
    assert lettering.drawable("Nestlé Łódź Ærø ½×\udcff") == "Nestle Lodz AEro 1⁄2x\\udcff"


@given(st.text(max_size=60), st.integers(0, 400), st.sampled_from(["start", "end"]))
def test_shortened_text_fits(text, width, keep):
    text = lettering.drawable(text)
    short = lettering.shorten(text, 12, width, keep=keep)
    assert short == "" or lettering.font(12).getlength(short) <= width
    if short not in ("", text):
        kept = short.strip("…").strip()
        assert kept in text


def test_a_sheet_has_its_tiles_in_reading_order_with_captions_below():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    tiles = [(np.full((40, 40, 3), colour, np.uint8), EVIL) for colour in colours]
    sheet = contact_sheet(tiles, columns=2, tile=64)
    assert sheet.shape[1] == 2 * 70 + 6
    centres = []
    for colour in colours:
        ys, xs = np.nonzero(near(sheet, colour))
        assert (xs.max() - xs.min() + 1, ys.max() - ys.min() + 1) == (64, 64)
        centres.append((ys.mean(), xs.mean()))
    first, second, third = centres
    assert second == (first[0], first[1] + 70)
    assert third[1] == first[1]
    assert third[0] > first[0] + 70  # two lines of caption between them


def test_a_sheet_keeps_the_proportions_of_its_pictures():
    sheet = contact_sheet([(np.zeros((10, 100, 3), np.uint8), "")], columns=1, tile=100)
    ys, xs = np.nonzero(near(sheet, (0, 0, 0)))
    assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (10, 100)


def test_an_empty_sheet_is_a_picture_too():
    Image.fromarray(contact_sheet([], columns=3, tile=32)).save(io.BytesIO(), "PNG")
    with pytest.raises(ValueError, match="columns"):
        contact_sheet([], columns=0)
