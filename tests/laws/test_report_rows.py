"""Laws of results.jsonl: what is written is read, whatever is torn off, and every row is one of the schema."""

import csv
import json
from dataclasses import fields, replace

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_fakes import EVIL, a_claim, a_failure, a_finding, a_result

from vision import errors
from vision.errors import DatasetError
from vision.report.rows import complete_rows, read_rows, row_schema, to_csv, to_parquet, write_row
from vision.values import Candidate, CopyClaim, Finding, Fingerprint, Reading, Result

VALIDATOR = jsonschema.Draft202012Validator(row_schema())
ROWS = [
    a_result(
        findings=[
            a_finding(text_box=(12.0, 22.0, 58.0, 48.0)),
            a_finding(None, verdict="unknown"),
            a_finding(verdict="ambiguous", reference=None),
        ],
        copies=[a_claim()],
    ),
    a_failure(),
    a_result(EVIL, [a_finding(EVIL)], [a_claim(EVIL)]),
    a_result("empty.jpg"),
]


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"".join(write_row(row) for row in ROWS))
    return path


@pytest.mark.parametrize("row", ROWS, ids=["findings", "failed", "evil", "empty"])
def test_every_row_fits_the_schema(row):
    VALIDATOR.validate(json.loads(write_row(row)))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(row_schema())


def test_the_schema_names_every_field_and_code_there_is():
    parts = row_schema()["$defs"]
    assert list(row_schema()["properties"]) == list(a_result().to_dict())
    for part, noun in {
        "finding": Finding,
        "candidate": Candidate,
        "text": Reading,
        "copy": CopyClaim,
        "fingerprint": Fingerprint,
    }.items():
        assert list(parts[part]["properties"]) == [field.name for field in fields(noun)], part
    assert set(parts["error"]["properties"]["code"]["enum"]) == errors.PictureError.codes


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.pop("path"),
        lambda row: row.update(schema="vision.result/2"),
        lambda row: row.update(status="fine"),
        lambda row: row.update(error={"code": "truncated", "message": "but status is ok"}),
        lambda row: row.update(sha256="xyz"),
        lambda row: row["findings"][0].update(brand=None),
        lambda row: row["findings"][1].update(brand="named although unknown"),
        lambda row: row["findings"][0].update(box=[1, 2, 3]),
        lambda row: row["findings"][0].update(probability=1.2),
        lambda row: row["findings"][0].update(verdict="sure"),
        lambda row: row["findings"][0].update(candidates=[row["findings"][0]["candidates"][0]] * 6),
        lambda row: row["findings"][0]["candidates"][0].update(similarity=None),
        lambda row: row["findings"][2]["candidates"][0].update(similarity=0.5),
        lambda row: row["findings"][0]["candidates"][0].update(read=["ACME"]),
        lambda row: row["findings"][0]["text"].update(box=[1, 2, 3]),
        lambda row: row["copies"][0].update(distance=-1),
    ],
)
def test_the_schema_refuses_what_the_contract_forbids(change):
    row = json.loads(write_row(ROWS[0]))
    VALIDATOR.validate(row)
    change(row)
    assert not VALIDATOR.is_valid(row)


def test_rows_come_back_as_they_were_written(results):
    assert list(read_rows(results)) == [Result.from_dict(json.loads(write_row(row))) for row in ROWS]


def test_writing_what_was_read_changes_nothing(results):
    assert b"".join(write_row(row) for row in read_rows(results)) == results.read_bytes()


def test_numbers_are_rounded_boxes_to_hundredths_and_the_rest_to_four_places():
    row = json.loads(write_row(a_result(findings=[a_finding(box=(1.23456, 2.0, 30.005, 40.5))])))
    assert row["findings"][0]["box"] == [1.23, 2.0, 30.0, 40.5]
    assert row["findings"][0]["score"] == 0.9123
    assert row["findings"][0]["candidates"][0]["similarity"] == 0.8123
    assert row["quality"] == {"sharpness": 812.4322}


def test_a_map_between_pictures_still_maps_when_it_is_read_back():
    tilted = (0.31, 0.02, 14.5, -0.01, 0.29, 7.25, 7.33e-5, 6.92e-5, 1.0)
    claim = replace(a_claim(), transform=tilted)
    (read,) = Result.from_dict(json.loads(write_row(a_result(copies=[claim])))).copies
    corners = np.array([[0, 0, 1], [4000, 0, 1], [4000, 3000, 1], [0, 3000, 1]], float).T
    there, back = (np.reshape(t, (3, 3)) @ corners for t in (tilted, read.transform))
    np.testing.assert_allclose(back[:2] / back[2], there[:2] / there[2], atol=0.01)


def test_undecodable_bytes_of_a_path_are_spelled_out_in_ascii():
    line = write_row(a_result("caf\udce9.jpg"))
    assert b"caf\\udce9.jpg" in line
    assert line.isascii()


def test_a_row_is_one_line():
    assert write_row(a_result(EVIL)).count(b"\n") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        write_row(Result("a", None, 1, 1, "ok", quality={"sharpness": value}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_whatever_is_torn_off_the_whole_rows_before_it_remain(results, tmp_path, cut):
    data = results.read_bytes()
    cut = cut % (len(data) + 1)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    assert len(list(read_rows(torn))) == whole
    assert complete_rows(torn) == (whole, data[:cut].rfind(b"\n") + 1)


def test_there_are_no_rows_before_there_is_a_file(tmp_path):
    assert complete_rows(tmp_path / "none.jsonl") == (0, 0)
    with pytest.raises(DatasetError) as caught:
        list(read_rows(tmp_path / "none.jsonl"))
    assert caught.value.code == "missing"


@pytest.mark.parametrize(
    "line", [b"garbage\n", b'{"schema": "vision.result/9"}\n', b"[]\n", b'{"schema": "vision.result/1"}\n', b"\xff\n"]
)
def test_a_whole_line_that_is_no_row_is_named_and_never_cut_off(results, line):
    results.write_bytes(results.read_bytes() + line)
    for read in (complete_rows, lambda path: list(read_rows(path))):
        with pytest.raises(DatasetError, match="line 5") as caught:
            read(results)
        assert caught.value.code == "bad_row"


def test_csv_has_a_line_for_each_finding_and_for_each_picture_without(results, tmp_path):
    out = tmp_path / "results.csv"
    assert to_csv(results, out) == 3 + 1 + 1 + 1
    with out.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["verdict"] for line in lines] == ["known", "unknown", "ambiguous", "", "known", ""]
    assert (
        lines[0] | {"brand": "Acme", "left": "10.0", "copies": "1", "copy_source": "shop/a.jpg", "copy_kind": "mirror"}
        == lines[0]
    )
    assert json.loads(lines[2]["candidates"]) == ["Acme", "Zenith"]
    assert lines[3]["error_code"] == "truncated"
    assert lines[4]["path"] == EVIL.replace("\udcff", "\\udcff")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path, begin):
    (tmp_path / "results.jsonl").write_bytes(write_row(a_result(f"{begin}cmd|calc.jpg")))
    to_csv(tmp_path / "results.jsonl", tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == f"'{begin}cmd|calc.jpg"


def test_parquet_holds_the_same_rows(results, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "results.parquet"
    assert to_parquet(results, out) == len(ROWS)
    table = parquet.read_table(out).to_pylist()
    for got, row in zip(table, ROWS, strict=True):
        want = row.to_dict()
        assert got["path"] == want["path"].replace("\udcff", "\\udcff")
        assert set(got) == set(want)
        assert [f["verdict"] for f in got["findings"]] == [f["verdict"] for f in want["findings"]]
        for f, g in zip(want["findings"], got["findings"], strict=True):
            assert set(f) == set(g)
            assert g["box"] == pytest.approx(f["box"])
            assert [set(c) for c in g["candidates"]] == [set(c) for c in f["candidates"]]
        assert [set(c) for c in got["copies"]] == [set(c) for c in want["copies"]]
        assert dict(got["quality"]) == pytest.approx(want["quality"], abs=1e-4)
        assert got["fingerprint"] == want["fingerprint"]


def test_a_conversion_that_fails_leaves_nothing_behind(results, tmp_path):
    results.write_bytes(results.read_bytes() + b"garbage\n")
    with pytest.raises(DatasetError):
        to_csv(results, tmp_path / "results.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
