"""Laws of gathering evidence: what is read when, and how what is read joins what is seen."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from library_fakes import Colours, colour

from vision.detect import Detector
from vision.errors import LibraryError, UsageError
from vision.library import Library
from vision.recognise import (
    FALLBACK_POINTS,
    LOOKED_AT,
    READ_PADDING,
    TURNS,
    Place,
    Recogniser,
    merged,
    upright,
    weakened,
)
from vision.scan import Scanner
from vision.values import READ_BLANK, READ_CLASSES, Candidate, Finding, NameMatch, Picture, TextLine
from vision.verdict import Calibration, is_told, settled
from vision.verdict.evidence import FEATURES
from vision.verdict.marks import join_marks

STRICT = Calibration((0.0,) * len(FEATURES), -9.0, 0.05)  # never sure of anything
SURE = Calibration((0.0,) * len(FEATURES), 9.0, 1e-4)  # always sure


def line(string, *, box=(2.0, 3.0, 12.0, 9.0), height=6.0, way="lines"):
    steps = np.full((2 * len(string) + 1, len(READ_CLASSES) + 2), 1e-4, dtype=np.float32)
    steps[::2, READ_BLANK] = 1
    for place, letter in enumerate(string.casefold()):
        steps[2 * place + 1, READ_CLASSES.find(letter)] = 1
    return TextLine(string, 0.95, box, height, steps / steps.sum(axis=1, keepdims=True), way)


class Reader:
    """Reads what it is told to, and remembers what it was asked."""

    def __init__(self, lines="", whole="", ring=""):
        self.told = {"lines": lines, "whole": whole, "ring": ring}
        self.asked = []

    def _answer(self, way, crops):
        self.asked.append((way, [c.shape for c in crops]))
        way = way.removeprefix("quick ")
        return [(line(self.told[way], way=way),) if self.told[way] else () for _ in crops]

    def read(self, crops, *, quick=False):
        return self._answer("quick lines" if quick else "lines", crops)

    def read_whole(self, crops):
        return self._answer("whole", crops)

    def read_ring(self, crops):
        return self._answer("ring", crops)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = Library.create(tmp_path_factory.mktemp("library") / "l", embedder=Colours())
    made.add("Redwood", [colour((250, 10, 10))])
    made.add("Bluebird", [colour((10, 10, 250))])
    made.add("By Name Only")
    return made


def place(rgb=(250, 10, 10), *, box=(40, 40, 80, 80), size=(200, 200), scale=1, kind="logo"):
    pixels = np.full((size[1] // scale, size[0] // scale, 3), rgb, dtype=np.uint8)
    return Place(Picture(pixels, *size, "0" * 64, "array"), np.array(box, dtype=np.float32), 0.8, kind)


def see(library, reader, *places, **options):
    return Recogniser(Colours(), library, reader, **options).see(places)


def test_a_brand_that_is_seen_is_first_among_the_matches(library):
    (seen,) = see(library, None, place())
    assert seen.evidence.matches[0].brand == "Redwood"
    assert (seen.evidence.names, seen.reading, seen.was_read) == ((), None, False)
    assert seen.evidence.brands == 3
    assert seen.evidence.short_side == 40


def test_a_brand_that_is_read_joins_with_its_nearest_picture(library):
    recogniser = Recogniser(Colours(), library, Reader("BLUEBIRD"))
    (seen,) = recogniser.see([place()], neighbors=1)
    assert [m.brand for m in seen.evidence.matches] == ["Redwood", "Bluebird"]
    assert seen.evidence.matches[1].similarity < seen.evidence.matches[0].similarity
    assert seen.evidence.names[0].accepted
    assert seen.reading.string == "BLUEBIRD"


def test_a_brand_without_pictures_can_be_read(library):
    (seen,) = see(library, Reader("By Name Only"), place())
    assert seen.evidence.names[0].brand == "By Name Only"
    assert "By Name Only" not in {m.brand for m in seen.evidence.matches}


def test_other_ways_of_reading_are_tried_only_where_no_name_is_accepted(library):
    found = Reader("BLUEBIRD")
    see(library, found, place(), place())
    assert [way for way, _ in found.asked] == ["lines"]
    whole = Reader("nothing at all", whole="BLUEBIRD")
    (seen,) = see(library, whole, place())
    assert [way for way, _ in whole.asked] == ["lines", "whole"]
    assert [one.way for one in seen.lines] == ["lines", "whole"]
    ring = Reader(ring="BLUEBIRD")
    (seen,) = see(library, ring, place())
    assert [way for way, _ in ring.asked] == ["lines", "whole", "ring"]
    assert seen.evidence.names[0].way == "ring"


def test_reading_goes_on_where_a_brand_without_pictures_was_read_with_an_error(library):
    nearly = Reader("By Name Onl", whole="BLUEBIRD")
    (seen,) = see(library, nearly, place())
    assert [way for way, _ in nearly.asked] == ["lines", "whole"]
    assert [n.brand for n in seen.evidence.names if n.accepted] == ["Bluebird"]


def test_clear_letters_are_told_whatever_they_say(library):
    readers = {"BLUEBIRD": True, "Sturmwind": True, "Ab": False, "": False}
    assert {s: see(library, Reader(s), place())[0].evidence.clear_text for s in readers} == readers
    assert not see(library, Reader(whole="Sturmwind"), place())[0].evidence.clear_text


def test_a_fallback_counts_less_than_a_line_that_was_found(library):
    (found,) = see(library, Reader("BLUEBIRD"), place())
    (fallen,) = see(library, Reader(whole="BLUEBIRD"), place())
    assert fallen.evidence.names[0].score == pytest.approx(found.evidence.names[0].score - FALLBACK_POINTS)
    bar = NameMatch("A", "A", "A", 0.2, True, 0, 0.9, (0, 0, 1, 1))
    assert not weakened(bar).accepted
    assert [m.score for m in merged([bar], [weakened(bar)])] == [0.2]


def lopsided_mark():
    """Unlike itself in a mirror and whichever way it is turned."""
    mark = np.full((64, 64, 3), 20, np.uint8)
    mark[:32, :32], mark[:32, 32:] = (250, 240, 10), (10, 20, 240)
    return mark


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory):
    made = Library.create(tmp_path_factory.mktemp("lopsided") / "l", embedder=Colours())
    made.add("Lopsided", [lopsided_mark()])
    made.add("Redwood", [colour((250, 10, 10))])
    return made


def shown(orientation):
    """The picture of a mark that stands so."""
    mark = lopsided_mark()
    quarters = {"turned_90": 3, "turned_180": 2, "turned_270": 1}.get(orientation, 0)  # np.rot90 turns anticlockwise
    mark = np.ascontiguousarray(mark[:, ::-1] if orientation == "mirrored" else np.rot90(mark, quarters))
    return Picture(mark, 64, 64, "0" * 64, "array")


def marked(picture, *, sure=True):
    return Place(picture, np.array([0, 0, picture.width, picture.height], np.float32), 0.8, "logo", sure)


@pytest.mark.parametrize("orientation", TURNS)
def test_a_mark_in_a_mirror_or_turned_is_seen_and_says_so(lopsided, orientation):
    picture = shown(orientation)
    (seen,) = see(lopsided, None, marked(picture))
    assert (seen.orientation, seen.evidence.matches[0].brand) == (orientation, "Lopsided")
    assert seen.evidence.matches[0].similarity == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(upright(picture.pixels, orientation), lopsided_mark())
    (as_it_stands,) = Recogniser(Colours(), lopsided).look([marked(picture)])
    assert as_it_stands.orientation == "upright"
    assert as_it_stands.evidence.matches[0].similarity < 0.9


def test_marks_are_turned_only_where_the_detector_is_sure_and_nothing_is_told_as_it_stands(lopsided):
    picture = shown("mirrored")
    (seen,) = see(lopsided, None, marked(picture, sure=False))
    assert seen.orientation == "upright"
    (seen,) = see(lopsided, None, marked(picture), vision_alone=SURE)
    assert seen.orientation == "upright"
    (seen,) = see(lopsided, None, marked(shown("upright")))
    assert seen.orientation == "upright"


@pytest.mark.parametrize(("brand", "orientation"), [("Lopsided", "mirrored"), ("Another", "upright")])
def test_a_mark_is_turned_into_another_brand_only_for_a_larger_gain(tmp_path, brand, orientation):
    mirrored = shown("mirrored").pixels
    grey = np.full_like(mirrored, 90)
    blends = [(share * mirrored + (1 - share) * grey).astype(np.uint8) for share in np.linspace(0, 1, 201)]
    alike = Colours().embed_images(blends) @ Colours().embed_images([mirrored])[0]
    # as it stands the mark is .87 like a reference, mirrored it is wholly like another one
    nearest = int(np.abs(alike - 0.87).argmin())
    assert alike[nearest] == pytest.approx(0.87, abs=0.01)
    made = Library.create(tmp_path / "l", embedder=Colours())
    made.add("Lopsided", [lopsided_mark()])
    made.add(brand, [blends[nearest]])
    (seen,) = see(made, None, marked(shown("mirrored")))
    assert seen.orientation == orientation


def test_a_name_that_is_read_in_a_mirror_tells_how_the_mark_stands(library):
    class Mirror(Reader):
        def read(self, crops, *, quick=False):
            return [(line("BLUEBIRD", way="mirrored"),) for _ in crops]

    (seen,) = see(library, Mirror(), place())
    assert (seen.orientation, seen.reading.string) == ("mirrored", "BLUEBIRD")


def test_marks_that_the_detector_is_not_sure_of_are_read_with_a_quick_look(library):
    reader = Reader("BLUEBIRD")
    unsure = replace(place(), sure=False)
    seen = see(library, reader, place(), unsure, place(box=(20, 20, 90, 90)))
    assert sorted((way, len(shapes)) for way, shapes in reader.asked) == [("lines", 2), ("quick lines", 1)]
    assert all(one.evidence.names[0].brand == "Bluebird" for one in seen)


def test_auto_reads_only_where_vision_alone_is_not_sure(library):
    sure, strict = Reader("BLUEBIRD"), Reader("BLUEBIRD")
    (seen,) = see(library, sure, place(), text="auto", vision_alone=SURE)
    assert (sure.asked, seen.was_read) == ([], False)
    (seen,) = see(library, strict, place(), text="auto", vision_alone=STRICT)
    assert seen.was_read
    with pytest.raises(UsageError):
        Recogniser(Colours(), library, sure, text="auto")


def test_off_small_marks_and_whole_pictures_are_not_read(library):
    reader = Reader("BLUEBIRD")
    see(library, reader, place(), text="off")
    see(library, reader, place(box=(40, 40, 90, 50)), Place.whole(place().picture))
    see(library, reader, place(box=(40, 40, 80, 80), scale=4))  # 40 px in the file, 10 of them decoded
    see(library, reader, place(kind="product"), text="auto", vision_alone=STRICT)
    assert reader.asked == []


def test_products_are_read_afterwards_by_the_lines_that_are_found(library):
    reader = Reader("BLUEBIRD")
    recogniser = Recogniser(Colours(), library, reader, text="auto", vision_alone=STRICT)
    places = [place(kind="product"), place(box=(40, 40, 90, 50), kind="product")]  # one is too small
    seen = recogniser.see(places)
    first, second = recogniser.read_products(places, seen)
    assert [way for way, _ in reader.asked] == ["lines"]
    assert first.was_read
    assert first.evidence.names[0].brand == "Bluebird"
    assert second is seen[1]
    assert recogniser.read_products([places[0]], [first]) == [first]  # once is enough
    nothing = Reader(whole="BLUEBIRD", ring="BLUEBIRD")
    (seen,) = Recogniser(Colours(), library, nothing).read_products(places[:1], seen[:1])
    assert (seen.was_read, seen.evidence.names) == (True, ())
    assert Recogniser(Colours(), library).read_products(places, [first, second]) == [first, second]
    for address in ("www.bluebird.shop", "BLUEBIRD.com", "bluebird.com.cn"):
        (seen,) = Recogniser(Colours(), library, Reader(address)).read_products(
            places[:1], [recogniser.look(places)[0]]
        )
        assert (seen.was_read, seen.evidence.names, seen.reading) == (True, (), None)


def test_marks_that_were_only_looked_at_are_read_as_closely_as_others(library):
    reader = Reader(whole="BLUEBIRD")
    recogniser = Recogniser(Colours(), library, reader)
    places = [place(), place(box=(40, 40, 90, 50))]  # one is too small
    seen = recogniser.look(places)
    first, second = recogniser.read_marks(places, seen)
    assert (first.was_read, first.evidence.names[0].brand) == (True, "Bluebird")
    assert second is seen[1]
    assert recogniser.read_marks([places[0]], [first]) == [first]  # once is enough


def test_packs_in_a_row_are_read_one_after_the_other_and_stay_apart():
    """Only the first was read: the second was, as its neighbour, and the third passed for the second's symbol."""
    boxes = [(x, 0.0, x + 100.0, 40.0) for x in (0.0, 110.0, 220.0, 330.0)]

    def pack(box, was_read):
        candidate = Candidate("Bluebird", 0.9, 0.98, "bluebird/1", "BLUEBIRD" if was_read else None)
        return Finding("logo", box, 0.9, "known", "Bluebird", None, 0.98, (candidate,), None)

    def read_marks(places, sightings):
        return [SimpleNamespace(was_read=True) for _ in places]

    scanner = SimpleNamespace(
        recogniser=SimpleNamespace(read_marks=read_marks),
        _finding=lambda place, sighting: pack(place, sighting.was_read),
    )
    found = [[pack(box, place == 0) for place, box in enumerate(boxes)]]
    seen = [[SimpleNamespace(was_read=place == 0) for place in range(4)]]
    Scanner._read_neighbours(scanner, [boxes], seen, found)
    assert [finding.box for finding in join_marks(found[0])] == boxes


def test_of_a_picture_in_which_nothing_was_named_the_largest_product_is_read(library):
    reader = Reader("BLUEBIRD")

    class Half:
        """As much of a scanner as reads products; a finding is named when something was read."""

        recogniser = Recogniser(Colours(), library, reader, text="auto", vision_alone=STRICT)

        def _finding(self, place, sighting):
            verdict = "known" if sighting.was_read else "unknown"
            return Finding(place.kind, tuple(place.box.tolist()), place.score, verdict, None, None, 0.5)

    small, large = place(kind="product"), place(kind="product", box=(10, 10, 150, 120))
    wider = place(box=(0, 0, 190, 190))
    places = [[small, wider, large], [small], [wider], []]
    seen = [Half.recogniser.look(row) for row in places]
    found = [[Half()._finding(*each) for each in zip(*row, strict=True)] for row in zip(places, seen, strict=True)]
    found[1].append(replace(found[1][0], verdict="known"))  # this picture's brand is known already
    Scanner._read_subjects(Half(), places, seen, found)
    assert [[f.verdict for f in row] for row in found] == [
        ["unknown", "unknown", "known"], ["unknown", "known"], ["unknown"], []
    ]  # fmt: skip
    assert len(reader.asked) == 1


@pytest.mark.parametrize("scale", [1, 2])
def test_where_something_was_read_is_told_in_pixels_of_the_picture(library, scale):
    (seen,) = see(library, Reader("BLUEBIRD"), place(box=(40, 40, 120, 120), scale=scale))
    left = 40 - READ_PADDING * 80
    wanted = [left + scale * 2, left + scale * 3, left + scale * 12, left + scale * 9]
    assert seen.reading.box == pytest.approx(wanted, abs=scale)


def test_a_crop_is_read_with_a_wider_margin_than_it_is_seen_with(library):
    reader = Reader("x")
    see(library, reader, place(box=(60, 60, 100, 100)))
    assert reader.asked[0][1] == [(52, 52, 3)]


def test_a_scanner_refuses_a_library_of_another_embedder_however_it_is_given(tmp_path):
    """A path was refused; a Library that had been opened before was searched with vectors that mean nothing there."""
    path = tmp_path / "colours"
    Library.create(path, embedder=Colours()).add("Acme", np.eye(40, dtype=np.uint8)[..., None].repeat(3, 2) * 255)
    for given in (path, Library.open(path, embedder=Colours())):
        with pytest.raises(LibraryError) as caught:
            Scanner(library=given, copies=False)
        assert caught.value.code == "other_embedder"


def test_a_scanner_refuses_to_read_nothing():
    with pytest.raises(UsageError):
        Scanner(max_pixels=0)


SAMPLES = sorted((Path(__file__).resolve().parents[2] / "datasets" / "samples" / "images").iterdir())


def test_a_logo_that_the_detector_is_not_sure_of_counts_where_it_carries_a_known_brand():
    """Boxes under the operating point are looked at: what is named is told, and nothing else of them."""
    detector = Detector.load()
    detector.settings = replace(detector.settings, scores={"logo": 0.999, "product": 0.999})

    def logos(**options):
        found = Scanner(detector=detector, copies=False, **options).scan_many(SAMPLES)
        return [(r.path, f.brand, f.verdict) for r in found for f in r.findings if f.kind == "logo"]

    told, looked_at = logos(), logos(min_score=LOOKED_AT)
    assert not logos(min_score=0.999)
    assert {verdict for _, _, verdict in told} == {"known"}
    assert set(told) <= {each for each in looked_at if each[2] == "known"} != set(looked_at)


@pytest.mark.parametrize(("verdict", "probability", "read", "told"), [
    ("known", 0.9, None, True),
    ("known", 0.8, None, False),
    ("known", 0.8, "ACME", True),
    ("ambiguous", 0.99, "ACME", False),
])  # fmt: skip
def test_what_the_detector_is_not_sure_of_needs_a_name_or_a_high_probability(verdict, probability, read, told):
    best = Candidate("Acme", 0.8, probability, "acme/1", read)
    brand = "Acme" if verdict == "known" else None
    finding = Finding("logo", (0, 0, 9, 9), 0.25, verdict, brand, None, probability, (best,), None)
    assert is_told(finding) is told


@pytest.mark.parametrize(("kind", "orientation", "probability", "read", "verdict"), [
    ("logo", "upright", 0.75, None, "known"),
    ("logo", "mirrored", 0.9, None, "known"),
    ("logo", "mirrored", 0.75, "ACME", "known"),
    ("logo", "turned_90", 0.75, None, "unknown"),
    ("product", "upright", 0.9, None, "known"),
    ("product", "upright", 0.75, "ACME", "known"),
    ("product", "upright", 0.75, None, "unknown"),
    ("image", "upright", 0.75, None, "unknown"),
])  # fmt: skip
def test_what_is_no_upright_mark_needs_a_name_or_a_high_probability(kind, orientation, probability, read, verdict):
    best = Candidate("Acme", 0.8, probability, "acme/1", read)
    finding = settled(Finding(kind, (0, 0, 9, 9), 0.9, "known", "Acme", "Box", probability, (best,), None, orientation))
    assert (finding.verdict, finding.brand, finding.product) == (
        ("known", "Acme", "Box") if verdict == "known" else ("unknown", None, None)
    )
    assert finding.candidates == (best,)


def test_brands_of_the_shipped_library_compete_with_ones_own_and_are_never_named(tmp_path):
    """A library of one brand named what resembles it more than nothing does."""
    own = Library.create(tmp_path / "own")
    own.add(
        "Nordwind",
        [np.kron(np.indices((3, 3)).sum(axis=0) % 2 * 255, np.ones((20, 20)))[..., None].repeat(3, 2).astype(np.uint8)],
    )

    def logos(**options):
        found = [f for r in Scanner(copies=False, **options).scan_many(SAMPLES) for f in r.findings]
        return found, {f.brand for f in found if f.verdict == "known"}

    known = logos()[1]
    assert len(known) > 1
    among, named = logos(library=own)
    assert named == set()
    assert known <= {f.candidates[0].brand for f in among if f.candidates}
    alone, _ = logos(library=own, rivals=False)
    assert {c.brand for f in alone for c in f.candidates} == {"Nordwind"}
    # a brand that one adds oneself is named again
    brand = sorted(known)[0]
    own.add(brand)
    scanner = Scanner(library=own, copies=False)
    assert (scanner.library is own, brand in scanner.searched, len(scanner.searched) > 1000) == (True, True, True)
    assert scanner.checksums["rivals"] == Library.default().checksum
    assert {f.brand for f in logos(library=own)[0]} <= {None, brand}
