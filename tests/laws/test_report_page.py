"""Laws of the HTML page: escaped, self-contained, bounded, the same for the same rows."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_fakes import EVIL, a_claim, a_failure, a_finding, a_result

from vision.report.interest import SHARES, group_of, most_interesting
from vision.report.page import write_page
from vision.report.summary import summarise

VOID = {"meta", "input", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Tags with their attributes, whether they nest, and the text outside of style and script."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag, **wanted):
        return [a for t, a in self.tags if t == tag and wanted.items() <= a.items()]

    def cards(self):
        return self.all("article")


def pixels_of(result):
    if result.width is None:
        return None
    y, x = np.mgrid[: result.height, : result.width]
    return np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)


def webp(_reference):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(data, "WEBP")
    return data.getvalue()


def write(tmp_path, rows, **options):
    out = tmp_path / "report.html"
    summary = summarise(rows, seconds=2.0)
    shown = write_page(
        ((row, row) for row in rows),
        out,
        **{
            "open_pixels": pixels_of,
            "thumbnail": webp,
            "summary": summary,
            "details": {"Settings": {EVIL: [EVIL, 0.01]}},
        }
        | options,
    )
    text = out.read_text(encoding="utf-8")
    return shown, text, Page(text)


ROWS = [
    a_result("a.jpg", [a_finding(), a_finding(None, verdict="unknown"), a_finding(verdict="ambiguous")]),
    a_result(EVIL, [a_finding(EVIL, reference=EVIL)], [a_claim("a.jpg"), a_claim(EVIL, 0.5)]),
    a_failure(EVIL),
    a_result("nothing.jpg"),
]


def test_a_page_shows_every_row_in_order(tmp_path):
    shown, _, page = write(tmp_path, ROWS)
    assert shown == 4
    assert [card["data-index"] for card in page.cards()] == ["0", "1", "2", "3"]
    assert [card["data-verdicts"] for card in page.cards()] == ["ambiguous known unknown", "known", "", "nothing"]
    assert [card["data-copies"] for card in page.cards()] == ["0", "2", "0", "0"]


def test_names_cannot_become_markup(tmp_path):
    _, text, page = write(tmp_path, ROWS, title=EVIL)
    assert "<script>alert" not in text
    assert [t for t, _ in page.tags].count("script") == 1
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert any("<script>alert(1)</script>" in data for data in page.text)  # shown, as text


def test_undecodable_and_deceiving_characters_are_spelled_out_or_gone(tmp_path):
    _, text, page = write(tmp_path, ROWS)
    assert "\\udcff" in text
    assert "\u202e" not in text
    assert "日本" in "".join(page.text)


def test_nothing_is_fetched(tmp_path):
    _, text, page = write(tmp_path, ROWS, link=lambda index, result: f"overlays/{index}.jpg")
    addresses = [
        a[name] for _, a in page.tags for name in ("src", "href", "action", "data", "poster", "srcset") if name in a
    ]
    assert all(address.startswith(("data:image/", "#", "overlays/")) for address in addresses)
    assert all(address.startswith("data:image/") for address in re.findall(r"url\(\"?([^)\"]+)", text))
    assert "@import" not in text
    assert "http" not in re.sub(r"data:image/[^\"]+|http-equiv", "", text)


def test_the_policy_admits_the_pages_own_script_and_no_other(tmp_path):
    _, text, page = write(tmp_path, ROWS)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_boxes_stand_where_the_findings_are(tmp_path):
    _, _, page = write(tmp_path, [a_result(findings=[a_finding(box=(50, 20, 100, 70))], width=200, height=100)])
    (box,) = [a for a in page.all("span") if a.get("class", "").startswith("box")]
    assert box["style"] == "left:25.00%;top:20.00%;width:25.00%;height:50.00%"
    assert box["data-verdict"] == "known"


def test_the_crop_is_what_is_in_the_box(tmp_path):
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[100:200, 50:150] = (250, 0, 0)
    _, _, page = write(
        tmp_path,
        [a_result(findings=[a_finding(box=(50, 100, 150, 200))], width=300, height=300)],
        open_pixels=lambda _: picture,
    )
    address = page.all("img", alt="found")[0]["src"]
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        crop = np.asarray(image)
    assert max(crop.shape[:2]) <= 96
    assert crop[crop.shape[0] // 2, crop.shape[1] // 2, 0] > 220
    assert crop[0, 0, 0] < 60  # a little of what is around it


def test_a_reference_is_embedded_once_however_often_it_wins(tmp_path):
    asked = []

    def thumbnail(reference):
        asked.append(reference)
        return webp(reference)

    rows = [a_result(f"{i}.jpg", [a_finding(), a_finding("Apex", reference="apex/0")]) for i in range(20)]
    _, text, page = write(tmp_path, rows, thumbnail=thumbnail)
    assert text.count("data:image/webp") == 1  # all three are the same picture here
    assert len([a for a in page.all("span") if "reference" in a.get("class", "").split()]) == 80
    assert sorted(asked) == ["acme/1", "apex/0", "zenith/0"]


def test_winners_are_pictured_before_runners_up_when_there_is_not_room_for_all(tmp_path):
    def thumbnail(reference):
        return b"RIFF" + reference.encode() + bytes(3000)

    _, _, page = write(tmp_path, ROWS[:1], thumbnail=thumbnail, size_bytes=25_000)
    told = [a["aria-label"] for a in page.all("span") if "reference" in a.get("class", "").split()]
    assert told
    assert all("acme/1" in line for line in told)


def test_artwork_stands_in_for_a_reference_without_a_picture_and_says_so(tmp_path):
    finding = a_finding(reference="acme/photo-7")
    _, _, page = write(
        tmp_path,
        [a_result(findings=[finding])],
        thumbnail=lambda reference: webp(reference) if reference == "zenith/0" else None,
        artwork={"Acme": b"RIFFartwork"}.get,
    )
    labels = [a["aria-label"] for a in page.all("span") if "reference" in a.get("class", "").split()]
    assert labels == [
        "artwork of Acme: of its nearest reference, acme/photo-7, no picture is kept",
        "nearest reference of Zenith: zenith/0",
    ]
    assert labels[0] in "".join(page.text)
    assert "artwork 0.81" in " ".join("".join(page.text).split())


def test_a_brand_without_any_picture_says_why(tmp_path):
    rows = [a_result(findings=[a_finding(reference=None)]), a_result(findings=[a_finding()])]
    _, _, page = write(tmp_path, rows, thumbnail=lambda _: None)
    text = [" ".join(part.split()) for part in page.text]
    assert text.count("known by name") == 1
    assert text.count("no picture kept") == 3


def test_what_was_read_is_marked_where_it_was_read(tmp_path):
    finding = a_finding(box=(50, 20, 100, 70), text_box=(60, 30, 90, 40))
    _, _, page = write(tmp_path, [a_result(findings=[finding], width=200, height=100)])
    (mark,) = [a for a in page.all("span") if a.get("class", "").startswith("read")]
    assert mark["style"] == "left:30.00%;top:30.00%;width:15.00%;height:10.00%"
    assert mark["data-n"] == "1"


def test_what_is_found_in_the_whole_picture_frames_nothing_and_hides_nothing(tmp_path):
    rows = [a_result(findings=[a_finding(box=(0, 0, 200, 100), kind="image"), a_finding()])]
    _, text, page = write(tmp_path, rows)
    whole, _ = [a for a in page.all("span") if a.get("class", "").startswith("box")]
    assert whole["class"] == "box known image whole"
    assert re.search(r"\.box\.image\{border:0;box-shadow:none;pointer-events:none\}", text)
    assert "1 whole picture: Acme" in "".join(page.text)


def test_heat_maps_are_shown_with_the_finding_that_they_explain(tmp_path):
    asked = []

    def heat_map(number, result, place):
        asked.append((number, result.path, place))
        return np.full((40, 60, 3), 200, np.uint8) if place == 2 else None

    unknown, known = a_finding(None, verdict="unknown"), a_finding()
    rows = [a_result("a.jpg", [unknown, unknown, known])]
    _, text, page = write(tmp_path, rows, heat_map=heat_map)
    assert asked == [(0, "a.jpg", 2), (0, "a.jpg", 0), (0, "a.jpg", 1)]
    assert len(page.all("img", alt="heat map")) == 1
    assert re.search(r'<li class="known"(?:(?!</li>).)*alt="heat map"', text, re.DOTALL)


def test_a_missing_reference_or_picture_is_no_error(tmp_path):
    _, text, page = write(tmp_path, ROWS, thumbnail=lambda _: None, open_pixels=lambda _: None)
    assert len(page.cards()) == 4
    assert text.count("could not be read again") == 3


def test_a_copy_links_to_its_source_when_that_is_shown(tmp_path):
    _, _, page = write(tmp_path, ROWS)
    assert [a["href"] for a in page.all("a") if a["href"].startswith("#p")] == ["#p0", "#p1"]


def test_the_same_rows_give_the_same_page(tmp_path):
    (tmp_path / "x").mkdir()
    assert write(tmp_path, ROWS)[1] == write(tmp_path / "x", ROWS)[1]


def test_a_page_that_fails_leaves_the_old_one(tmp_path):
    _, before, _ = write(tmp_path, ROWS)

    def fails(_):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        write(tmp_path, ROWS, open_pixels=fails)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_page_stays_near_its_size_whatever_it_has_to_show(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (480, 480, 3), dtype=np.uint8)
    rows = [
        a_result(f"{i}.jpg", [a_finding(f"Brand {i} {j}") for j in range(6)], width=480, height=480) for i in range(24)
    ]
    for size in (600_000, 1_200_000):
        _, text, page = write(tmp_path, rows, open_pixels=lambda _: noise, size_bytes=size)
        assert len(page.cards()) == 24
        assert 0.5 * size < len(text.encode()) < 1.05 * size


def test_pictures_are_opened_only_for_rows_that_are_shown(tmp_path):
    opened = []
    rows = [a_result(f"{i}.jpg", [a_finding(f"Brand {i % 7}")]) for i in range(90)]
    shown, text, page = write(tmp_path, rows, limit=10, open_pixels=lambda row: opened.append(row.path))
    assert shown == len(page.cards()) == len(opened) == 10
    assert "Showing 10 of 90" in re.sub(r"\s+", " ", text)


def test_the_controls_have_names(tmp_path):
    _, text, page = write(tmp_path, ROWS)
    assert page.all("html", lang="en")
    for control in page.all("input") + page.all("select"):
        assert re.search(rf'<label[^>]*>(?:(?!</label>).)*name="{control["name"]}"', text, re.DOTALL)
    assert all("alt" in image for image in page.all("img"))


kinds = st.sampled_from(["known", "copies", "ambiguous", "unknown", "failed", "nothing"])


def row_of(kind, number):
    path = f"{number}.jpg"
    match kind:
        case "failed":
            return a_failure(path)
        case "copies":
            return a_result(path, copies=[a_claim()])
        case "nothing":
            return a_result(path)
    return a_result(path, [a_finding(f"Brand {number % 5}", verdict=kind)])


@given(st.lists(kinds, max_size=120), st.integers(1, 40))
def test_the_choice_is_in_order_within_the_limit_and_all_when_it_can_be(names, limit):
    rows = [(row_of(name, i), i) for i, name in enumerate(names)]
    chosen = most_interesting(iter(rows), limit)
    assert [row.index for row in chosen] == sorted({row.index for row in chosen})
    assert len(chosen) == min(limit, len(rows))
    assert all(row.result is rows[row.index][0] and row.source == row.index for row in chosen)
    groups = {name: sum(group_of(row.result) == name for row in chosen) for name in SHARES}
    for name, share in SHARES.items():
        assert groups[name] >= min(names.count(name), int(limit * share))


def test_every_brand_is_shown_before_any_is_shown_again():
    rows = [(a_result(f"{i}.jpg", [a_finding("Common")]), None) for i in range(500)]
    rows += [(a_result(f"r{i}.jpg", [a_finding(f"Rare {i}", probability=0.6)]), None) for i in range(9)]
    chosen = most_interesting(rows, 12)
    assert {f.brand for row in chosen for f in row.result.findings} == {"Common"} | {f"Rare {i}" for i in range(9)}
