"""Rows that a scan could have written, for the tests of the report."""

from vision.values import Candidate, CopyClaim, Failure, Finding, Fingerprint, Reading, Result

EVIL = "<script>alert(1)</script>\"'&\n\u202e\udcff 日本"


def a_finding(
    brand="Acme",
    box=(10.0, 20.0, 60.0, 50.0),
    *,
    verdict="known",
    probability=0.97,
    kind="logo",
    reference="acme/1",
    text_box=None,
):
    similarity = None if reference is None else 0.8123456
    read = "ACME" if brand else None
    rivals = (
        Candidate(brand or "Apex", similarity, probability, reference, read),
        Candidate("Zenith", 0.4, 0.01, "zenith/0"),
    )
    text = Reading("ACME", 0.9, text_box) if brand else None
    return Finding(
        kind, box, 0.91234567, verdict, brand if verdict == "known" else None, None, probability, rivals, text
    )


def a_claim(source="shop/a.jpg", probability=0.999):
    return CopyClaim(
        source, "scan", "mirror", 22, probability, (0.0, 0.0, 200.0, 100.0), None, "2026-01-05T10:00:00Z", "seller-9"
    )


def a_result(path="shop/b.jpg", findings=(), copies=(), *, width=200, height=100):
    return Result(
        path,
        "0" * 64,
        width,
        height,
        "ok",
        None,
        tuple(findings),
        tuple(copies),
        {"sharpness": 812.43219},
        Fingerprint("f" * 64, 80),
        ("text",),
    )


def a_failure(path="shop/broken.jpg", code="truncated"):
    return Result(path, None, None, None, "failed", Failure(code, "the file ends early"))
