"""A finding's evidence in words: the nearest reference, the runner-up and by how much, what was read and whom it names."""

from __future__ import annotations

from vision.report.lettering import printable
from vision.report.overlay import SURELY, percent
from vision.values import Candidate, Finding, Reading


def runner_up(finding: Finding) -> Candidate | None:
    """The brand that would have been named next; null where no brand was within reach, or no other was found."""
    return finding.candidates[1] if finding.verdict != "unknown" and len(finding.candidates) > 1 else None


def margin(finding: Finding) -> float | None:
    """By how much the first candidate is more similar than the second one, in [-2, 2]; null when one of them has no picture.

    Under 0 where something else than similarity, as what was read, put the first one first.
    """
    if len(finding.candidates) < 2:
        return None
    first, second = (candidate.similarity for candidate in finding.candidates[:2])
    return None if first is None or second is None else first - second


def rivals_told(finding: Finding) -> str | None:
    """The runner-up with the margin, of an unknown finding the nearest brand and how far it is; null when there is none."""
    if not finding.candidates:
        return None
    first, second = finding.candidates[0], runner_up(finding)
    if finding.verdict == "unknown":
        seen = "known by name" if first.similarity is None else f"similarity {first.similarity:.2f}"
        return f"nearest {_with_role(first)}, {seen}, {_percent(first.probability)}"
    if second is None:
        return "no other brand comes near"
    told = f"next {_with_role(second)} {_percent(second.probability)}"
    between = margin(finding)
    if between is None:
        nameless = first if first.similarity is None else second
        return f"{told}, no margin: {printable(nameless.brand)} is known by name"
    return f"{told}, margin {between:+.2f}".replace("-", "−") if between < 0 else f"{told}, margin {between:.2f}"


def _with_role(candidate: Candidate) -> str:
    """Its name, and that it could not be named where that is so."""
    return printable(candidate.brand) + (" (a rival, never named)" if candidate.rival else "")


def orientation_told(finding: Finding) -> str | None:
    """How the mark stands where that is not upright."""
    told = {
        "mirrored": "mirrored",
        "turned_90": "turned by 90°",
        "turned_180": "upside-down",
        "turned_270": "turned by 270°",
    }
    return f"recognised {told[finding.orientation]}" if finding.orientation in told else None


def reading_told(finding: Finding) -> str | None:
    """What was read, and which brand's name it fits; null when nothing was. How sure the reader was is told where it was not."""
    fits = [candidate for candidate in finding.candidates if candidate.read is not None][:2]
    parts = [f"{_quoted(candidate.read or '', finding.text)} fits {printable(candidate.brand)}" for candidate in fits]
    if finding.text is not None and all(candidate.read != finding.text.string for candidate in fits):
        string = _quoted(finding.text.string, finding.text)
        parts.insert(0, f"{string} fits none of these brands" if finding.candidates and not fits else string)
    return f"reads {', '.join(parts)}" if parts else None


def _quoted(string: str, text: Reading | None) -> str:
    doubt = text is not None and text.string == string and text.confidence < SURELY
    return f"“{printable(string)}”" + (f" ({_percent(text.confidence)} sure)" if text is not None and doubt else "")


def _percent(probability: float) -> str:
    # rows are rounded: a candidate's 0 is not quite none
    return percent(max(probability, 1e-4)).replace(" ", "\N{NO-BREAK SPACE}")
