"""Laws of hash lists: every form passed around is read, a corrupt line costs itself only, what goes out comes in again."""

import csv
import hashlib
import json

import numpy as np
import pytest
from copy_scenes import page, scene
from hypothesis import given
from hypothesis import strategies as st

from vision.copies import CopyIndex, described
from vision.copies.exchange import COLUMNS, Fault, read_hashes, write_hashes
from vision.errors import UsageError


def made(seed):
    """A hash as PDQ makes them: half of its bits set."""
    bits = np.repeat([0, 1], 128).astype(np.uint8)
    return np.packbits(np.random.default_rng(seed).permutation(bits)).tobytes().hex()


FIRST, SECOND, THIRD = made(1), made(2), made(3)


def read(tmp_path, text, suffix=".csv", **options):
    path = tmp_path / f"list{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = list(read_hashes(path, **options))
    return [e for e in found if not isinstance(e, Fault)], [e for e in found if isinstance(e, Fault)]


FORMS = {
    # suffix, text or JSON, and what is read: id, owner, time
    "hash,id,time,tags": (
        ".csv",
        f"{FIRST},2880742865368386,2020-07-31T18:47:52+0000,tag_one tag_two\n",
        ("2880742865368386", None, "2020-07-31T18:47:52Z"),
    ),
    "id,hash": (".csv", f"2880742865368386,{FIRST},3,tag\n", ("2880742865368386", None, None)),
    "hash,quality,file": (".csv", f"{FIRST},87,photos/a b.jpg\n", ("photos/a b.jpg", None, None)),
    "hash alone": (".txt", f"{FIRST}\n", (FIRST, None, None)),
    "pdq hash": (".txt", f"pdq {FIRST}\n", (FIRST, None, None)),
    "upper case": (".txt", f"  {FIRST.upper()} \r\n", (FIRST, None, None)),
    "byte order mark": (".csv", f"\ufeffhash,id\n{FIRST},x\n", ("x", None, None)),
    "the CLI's CSV": (
        ".csv",
        f"collab,signal_type,signal_str,category,tags\nSample,pdq,{FIRST},WORTH_INVESTIGATING,\n",
        (FIRST, "Sample", None),
    ),
    "FilePath,Hash": (".csv", f"FilePath,Hash\n../b.jpg,{FIRST}\n", ("../b.jpg", None, None)),
    "semicolons": (".csv", f"Hash;File\n{FIRST};b.jpg\n", ("b.jpg", None, None)),
    "tabs": (".tsv", f"{FIRST}\tb.jpg\n", ("b.jpg", None, None)),
    "threat indicators": (
        ".json",
        {
            "data": [{"id": "7", "indicator": FIRST, "type": "HASH_PDQ", "creation_time": 1601513795, "tags": ["t"]}],
            "paging": {"cursors": {}},
        },
        ("7", None, "2020-10-01T00:56:35Z"),
    ),
    "descriptors by id": (
        ".json",
        {
            "2556": {
                "raw_indicator": FIRST,
                "type": "HASH_PDQ",
                "added_on": "2019-11-09T02:58:41+0000",
                "owner": {"id": "4", "name": "Media Test"},
            }
        },
        ("2556", "Media Test", "2019-11-09T02:58:41Z"),
    ),
    "StopNCII": (
        ".json",
        {
            "count": 1,
            "hashRecords": [
                {
                    "lastModtimestamp": 1625167804,
                    "hashValue": FIRST,
                    "caseNumbers": {"2": "Active"},
                    "signalType": "ImagePDQ",
                }
            ],
        },
        (FIRST, None, "2021-07-01T19:30:04Z"),
    ),
    "NCMEC": (
        ".json",
        [
            {
                "id": "image1",
                "member_id": 42,
                "entry_type": "image",
                "deleted": False,
                "fingerprints": {"md5": "a" * 32, "pdq": FIRST},
            }
        ],
        ("image1", "42", None),
    ),
    "a signal": (
        ".json",
        {
            "content": {"value": FIRST, "type": "HASH_PDQ"},
            "source": {"name": "GIFCT", "create_time": "2023-11-09T22:02:47"},
        },
        (FIRST, "GIFCT", None),
    ),
    "a list": (".json", [FIRST], (FIRST, None, None)),
    "JSON lines": (".jsonl", {"pdq": FIRST, "name": "b.jpg"}, ("b.jpg", None, None)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(tmp_path, form):
    suffix, content, (id, owner, time) = FORMS[form]
    (entry,), faults = read(tmp_path, content if isinstance(content, str) else json.dumps(content), suffix)
    assert faults == []
    assert (entry.fingerprint.pdq, entry.id, entry.owner) == (FIRST, f"list/{id}", owner)
    assert entry.fingerprint.quality == (87 if form == "hash,quality,file" else 100)
    assert (entry.width, entry.height) == (0, 0)
    if time is not None:
        assert entry.time == time


CORRUPT = {
    "short": FIRST[:-1],
    "no hex digits": "g" * 64,
    "another hash": "a" * 32 + ",id",
    "constant": "facefacefaceface" * 4,
    "zeros": "0" * 64,
    "words": "this is no hash",
    "binary": "\x00\x01\x02,\x00",
    "quality": f"{FIRST},999,a,b",
    "stray quote": f'"{FIRST},id',
    "open quote behind": f'x,"id of {FIRST[:60]}',
    "long": "f" * 200_000,
}


@pytest.mark.parametrize("form", CORRUPT)
def test_a_corrupt_line_is_told_by_number_and_costs_itself_only(tmp_path, form):
    entries, faults = read(tmp_path, f"{SECOND},before\n{CORRUPT[form]}\n{THIRD},after\n{SECOND},last\n", ".csv")
    if form == "quality":  # without a header it is an id
        assert (len(entries), faults) == (4, [])
    else:
        assert [e.id for e in entries] == ["list/before", "list/after", "list/last"]
        assert [fault.number for fault in faults] == [2]
        assert faults[0].why


def test_a_corrupt_first_line_does_not_decide_for_the_others(tmp_path):
    for first in ("a;b;c;d;e", "\t\t\t", '"', "hash of what?"):
        entries, faults = read(tmp_path, f"{first}\n{FIRST},x,2026-01-01,one;two;three;four;five\n{SECOND};y\n")
        assert [e.id for e in entries] == ["list/x", "list/y"]
        assert [fault.number for fault in faults] == ([1] if first.strip() else [])


def test_undecodable_bytes_are_kept_in_an_id_and_told_in_a_hash(tmp_path):
    text = FIRST.encode() + b",\xff\xfe.jpg\n" + b"\xff" * 64 + b",b\n" + THIRD.encode() + b",c\n"
    entries, faults = read(tmp_path, text)
    assert [e.id for e in entries] == ["list/\udcff\udcfe.jpg", "list/c"]
    assert [fault.number for fault in faults] == [2]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"video_md5,{FIRST},x,", "video_md5"),
        (f"pdq,{FIRST},x,101", "quality"),
        (f"pdq,{FIRST},x,good", "quality"),
        ("pdq,,x,", "no hash"),
        ("pdq", "no hash"),
    ],
)
def test_rows_under_a_header_that_give_no_hash_are_told(tmp_path, row, why):
    entries, faults = read(tmp_path, f"type,hash,id,quality\n{row}\npdq,{SECOND},y,60\n")
    assert [(e.id, e.fingerprint.quality) for e in entries] == [("list/y", 60)]
    assert faults[0].number == 2
    assert why in faults[0].why


def test_remarks_in_a_table_are_passed_over(tmp_path):
    entries, faults = read(tmp_path, f"# made by hand\nhash,id\n{FIRST},a\n# the second part\n{SECOND},#b\n# end\n")
    assert ([e.id for e in entries], faults) == (["list/a", "list/#b"], [])
    # an entry whose name begins so and whose hash is damaged is told
    entries, faults = read(tmp_path, f"id,hash\n#1,{FIRST[:-1]}\n#2,{SECOND}\n")
    assert ([e.id for e in entries], [f.number for f in faults]) == (["list/#2"], [2])


def test_json_records_that_give_no_hash_are_told_and_the_others_read(tmp_path):
    records = [
        7,
        None,
        {},
        {"indicator": FIRST, "type": "HASH_MD5"},
        {"indicator": FIRST, "should_delete": True},
        [FIRST],
        SECOND,
    ]
    entries, faults = read(tmp_path, json.dumps({"data": records}), ".json")
    assert [e.fingerprint.pdq for e in entries] == [SECOND]
    assert [fault.number for fault in faults] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("text", ["", "{", '{"data": [', "[" * 100_000, "7", '"word"', "\x00"])
def test_a_document_that_is_none_gives_a_fault_and_nothing_else(tmp_path, text):
    entries, faults = read(tmp_path, text, ".json")
    assert (entries, len(faults)) == ([], 1)


def test_a_broken_json_line_costs_itself_only(tmp_path):
    entries, faults = read(tmp_path, f'{{"pdq": "{FIRST}"}}\n{{"pdq": \n\n{{"pdq": "{SECOND}"}}\n', ".jsonl")
    assert ([e.fingerprint.pdq for e in entries], [f.number for f in faults]) == ([FIRST, SECOND], [2])


@given(st.lists(st.binary(max_size=90).filter(lambda line: b"\n" not in line), max_size=12))
def test_no_bytes_break_a_list(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("list") / "list.csv"
    rows = [line for junk in lines for line in (junk, f"{FIRST},a".encode())]
    path.write_bytes(b"\n".join([f"{FIRST},a".encode(), *rows]))
    found = list(read_hashes(path))
    numbers = [each.number for each in found if isinstance(each, Fault)]
    assert numbers == sorted(set(numbers))
    assert sum(not isinstance(each, Fault) for each in found) >= 1 + len(lines)


def test_two_hashes_of_one_id_are_both_kept_and_one_hash_of_one_id_once(tmp_path):
    entries, _ = read(tmp_path, f"{FIRST},x\n{SECOND},x\n{FIRST},x\n")
    assert [e.id for e in entries] == ["list/x", f"list/x#{SECOND[:16]}", "list/x"]
    assert entries[0] == entries[2]


def test_a_stray_quote_swallows_no_line_that_holds_a_hash(tmp_path):
    entries, faults = read(tmp_path, f'{FIRST},"x\n{SECOND},y\n{THIRD},z"\n')
    assert [e.fingerprint.pdq for e in entries] == [FIRST, SECOND, THIRD]
    assert faults == []


def test_the_digest_of_an_entry_is_that_of_its_hash_unless_the_list_has_one(tmp_path):
    known = "c" * 64
    entries, _ = read(tmp_path, f"hash,sha256\n{FIRST},{known.upper()}\n{FIRST},\n{SECOND},short\n")
    wanted = [known, *(hashlib.sha256(bytes.fromhex(pdq)).hexdigest() for pdq in (FIRST, SECOND))]
    assert [e.sha256 for e in entries] == wanted


def test_a_list_that_changed_replaces_what_it_held_before(tmp_path):
    index = CopyIndex.create(tmp_path / "seen")
    for pdq, changed in ((FIRST, 1), (FIRST, 0), (SECOND, 1)):
        entries, _ = read(tmp_path, f"{pdq},x\n")
        assert index.add_entries(entries) == changed
    assert [entry.fingerprint.pdq for entry in index] == [SECOND]


def test_the_name_and_owner_given_are_used(tmp_path):
    entries, _ = read(tmp_path, f"{FIRST},x\n", name="shared", owner="partner")
    assert (entries[0].id, entries[0].owner) == ("shared/x", "partner")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError):
        list(read_hashes(tmp_path / "nowhere.csv"))


@pytest.fixture
def index(tmp_path):
    found = CopyIndex.create(tmp_path / "seen")
    for number, id in enumerate(("a.jpg", 'with "quotes", and\nmore', "undecodable \udc80", "lone \ud800")):
        found.add(scene(number), id=id, owner="seller, 9" if number else None, time="2026-01-05T10:00:00Z")
    return found


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_what_is_exported_is_imported_again(tmp_path, index, suffix):
    path = tmp_path / f"out{suffix}"
    assert write_hashes(index, path, "seen") == (4, 0)
    found = list(read_hashes(path, name=""))
    spelled = "lone \\ud800" if suffix == ".csv" else "lone \ud800"
    for entry, before in zip(found, index, strict=True):
        assert entry.id == (before.id if before.id != "lone \ud800" else spelled)
        assert entry.owner == before.owner
        assert (entry.time, entry.sha256) == (before.time, before.sha256)
        assert (entry.fingerprint.pdq, entry.fingerprint.quality) == (
            before.fingerprint.pdq,
            before.fingerprint.quality,
        )


def test_the_csv_begins_with_the_columns_of_threatexchange(tmp_path, index):
    write_hashes(index, tmp_path / "out.csv", "seen")
    with (tmp_path / "out.csv").open(errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert COLUMNS[:5] == ("collab", "signal_type", "signal_str", "category", "tags")
    assert (rows[0]["signal_type"], rows[0]["signal_str"]) == ("pdq", next(iter(index)).fingerprint.pdq)


def test_hashes_that_are_no_evidence_are_left_out(tmp_path, index):
    flat = np.full((64, 64, 3), 120, np.uint8)
    flat[20:, 30:] = 124
    index.add(flat, id="flat")
    assert list(index)[-1].fingerprint.quality < 50
    assert write_hashes(index, tmp_path / "out.json", "seen") == (4, 1)
    assert json.loads((tmp_path / "out.json").read_text())["data"][0]["type"] == "HASH_PDQ"


def test_a_list_is_never_written_over_nor_in_another_form(tmp_path, index):
    for name in ("there.csv", "new.xml"):
        if name == "there.csv":
            (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError):
            write_hashes(index, tmp_path / name, "seen")
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seen", "there.csv"]


def test_an_imported_hash_finds_its_picture_by_distance_alone(tmp_path, index):
    other = CopyIndex.create(tmp_path / "imported")
    list_of = [described(scene(5)).fingerprint.pdq, described(page(6)).fingerprint.pdq]
    entries, faults = read(tmp_path, "".join(f"{pdq},{n}\n" for n, pdq in enumerate(list_of)))
    assert (other.add_entries(entries), faults) == (2, [])
    assert other.add_entries(entries) == 0
    assert [claim.source for claim in other.search(scene(5))] == ["list/0"]
    assert other.search(scene(7)) == []
