"""The HTML page of three fixed rows, byte for byte. `make_report.py` makes it again when a change was meant."""

from pathlib import Path

import make_report


def test_the_page_of_fixed_rows_is_the_golden_one(tmp_path):
    make_report.write(tmp_path / "report.html")
    golden = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").splitlines() == golden.splitlines()
