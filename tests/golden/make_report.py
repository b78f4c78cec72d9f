"""Make report.html again, after a change of the page that was meant: `python tests/golden/make_report.py`."""

from pathlib import Path

from vision.report.page import write_page
from vision.report.summary import summarise
from vision.values import Candidate, CopyClaim, Failure, Finding, Fingerprint, Reading, Result

HERE = Path(__file__).parent
KNOWN = Finding(
    "logo",
    (412.0, 96.5, 530.2, 141.0),
    0.91,
    "known",
    "Coca-Cola",
    None,
    0.97,
    (
        Candidate("Coca-Cola", 0.81, 0.97, "coca-cola/3", "Coca-Cola"),
        Candidate("Cola Turka", 0.52, 0.01, "cola-turka/1"),
    ),
    Reading("Coca-Cola", 0.88, (420.0, 100.0, 520.0, 138.0)),
)
CLOSE = Finding(
    "logo",
    (0.0, 0.0, 64.0, 32.0),
    0.55,
    "ambiguous",
    None,
    None,
    0.48,
    (Candidate("Ærø & <b>Sons</b>", 0.61, 0.48, "aero/0"), Candidate("Cola Turka", 0.6, 0.44, "cola-turka/1")),
)
STRANGER = Finding(
    "product",
    (100.0, 100.0, 1280.0, 960.0),
    0.4,
    "unknown",
    None,
    None,
    0.02,
    (Candidate("Cola Turka", 0.31, 0.02, "cola-turka/1"),),
    Reading("4X", 0.31),
)
WHOLE = Finding(
    "image",
    (0.0, 0.0, 1280.0, 960.0),
    0.5,
    "known",
    "Nameonly",
    None,
    0.91,
    (Candidate("Nameonly", None, 0.91, None, "NAME ONLY"), Candidate("Cola Turka", 0.4, 0.02, "cola-turka/1")),
)
ROWS = [
    Result(
        "shop/a.jpg",
        "0" * 64,
        1280,
        960,
        "ok",
        None,
        (KNOWN, CLOSE, STRANGER, WHOLE),
        (),
        {"sharpness": 812.4},
        Fingerprint("f" * 64, 90),
    ),
    Result(
        "shop/b\udce9.jpg",
        "1" * 64,
        1280,
        960,
        "ok",
        copies=(CopyClaim("shop/a.jpg", "scan", "mirror", 22, 0.999, None, None, "2026-01-05T10:00:00Z", "seller-9"),),
        degraded=("text",),
    ),
    Result("shop/broken.jpg", None, None, None, "failed", Failure("truncated", "the file ends early")),
]


def write(out: Path) -> None:
    """The page of three rows, without pictures: what JPEG encoders make differs between their versions."""
    write_page(
        ((row, row) for row in ROWS),
        out,
        open_pixels=lambda _: None,
        thumbnail=lambda reference: b"RIFF\x04\x00\x00\x00WEBP" if reference == "coca-cola/3" else None,
        artwork=lambda brand: b"RIFF\x05\x00\x00\x00WEBP" if brand == "Cola Turka" else None,
        summary=summarise(ROWS, seconds=1.5),
        details={"Settings": {"false_alarms": 0.01}, "Versions": {"vision": "0.1.0"}},
        title="Golden",
    )


if __name__ == "__main__":
    write(HERE / "report.html")
