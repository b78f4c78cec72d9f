"""Laws of the counts: they add up, their order does not depend on the order of the rows, and names are only text."""

import io
import json
import random

from report_fakes import EVIL, a_claim, a_failure, a_finding, a_result
from rich.console import Console

from vision.report.summary import summarise, summary_table

ROWS = [
    a_result(
        "a.jpg", [a_finding(), a_finding(), a_finding("Apex"), a_finding(None, verdict="unknown", kind="product")]
    ),
    a_result("b.jpg", [a_finding(verdict="ambiguous")], [a_claim(), a_claim()]),
    a_result("c.jpg"),
    a_result("d.jpg", [a_finding("Apex"), a_finding("[bold]" + EVIL)]),
    a_failure(),
    a_failure(code="empty"),
    a_failure(code="empty"),
]


def test_pictures_findings_brands_and_copies_are_counted():
    summary = summarise(ROWS, seconds=3.5)
    assert summary["pictures"] == 7
    assert summary["ok"] + summary["failed"] == summary["pictures"]
    assert summary["failures"] == {"empty": 2, "truncated": 1}
    assert summary["findings"] == {
        "logo": {"known": 5, "ambiguous": 1, "unknown": 0},
        "product": {"known": 0, "ambiguous": 0, "unknown": 1},
    }
    assert summary["top_brands"][:2] == [
        {"brand": "Acme", "findings": 2, "pictures": 1},
        {"brand": "Apex", "findings": 2, "pictures": 2},
    ]
    assert (summary["brands"], summary["with_known_brand"], summary["with_findings"]) == (3, 2, 3)
    assert (summary["pictures_with_copies"], summary["copy_claims"], summary["copy_kinds"]) == (1, 2, {"mirror": 2})
    assert summary["degraded"] == {"text": 4}
    assert summary["rate"] == 2.0


def test_the_order_of_rows_changes_nothing():
    shuffled = ROWS[:]
    random.Random(1).shuffle(shuffled)
    assert json.dumps(summarise(shuffled)) == json.dumps(summarise(ROWS))


def test_only_the_first_brands_are_listed_and_all_are_counted():
    rows = [a_result(f"{i}.jpg", [a_finding(f"Brand {i}")]) for i in range(50)]
    summary = summarise(rows, top=7)
    assert (summary["brands"], len(summary["top_brands"])) == (50, 7)


def test_nothing_scanned_is_a_summary_too():
    assert summarise([])["pictures"] == 0
    assert summarise([])["rate"] is None


def test_the_table_shows_counts_and_takes_names_as_text():
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=False).print(summary_table(summarise(ROWS, seconds=3.5)))
    text = out.getvalue()
    assert "[bold]<script>" in text
    assert "empty 2, truncated 1" in text
    assert "2 a second" in text
    assert "Apex" in text
