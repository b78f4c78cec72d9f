"""`vision evaluate`: figures with intervals, from labelled pictures."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.datasets import DATA
from vision.cli.looks import add_looks
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.evaluate.tables import Table
    from vision.recognise import Recogniser

KINDS = ("logo", "product")
WORST_TOLD = 10  # false claims of copies on the terminal; all are in the files


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `evaluate` command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure on labelled pictures",
        epilog="Example: vision evaluate detector datasets/samples",
    )
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    _register_detector(actions)
    embedder = actions.add_parser(
        "embedder",
        help="brands of true boxes: top-1, top-5 against clean drawings, and against a few photographs",
        description="Looks up the crop of every true box among vector drawings, and among crops of train.jsonl beside it.",
        epilog="Example: vision evaluate embedder flickrlogos27/dev.jsonl",
    )
    embedder.add_argument("data", type=Path, nargs="+", metavar="SET", help="labelled pictures that name brands")
    embedder.add_argument("--embedder", metavar="NAME/TAG", help="another open_clip model (extra train)")
    embedder.add_argument("--json", action="store_true", help="print the figures as JSON")
    embedder.set_defaults(run=run_embedder)
    _register_recognition(actions)
    _register_copies(actions)


def _register_detector(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    detector = actions.add_parser(
        "detector",
        help="boxes: average precision, recall, false boxes, worst pictures; compare what was tried",
        description="Class-agnostic figures of boxes with 95 % intervals, by set, kind and size, on the whole ranked list and "
        "at the operating point. DIR gets the rows of each set (results.jsonl), figures.json, figures.csv, curves.png, worst.jpg "
        "(truth green, hits blue, false boxes red) and worst.jsonl. Needs the extra evaluate.",
        epilog="Example: vision evaluate detector datasets/samples --out runs/evaluation",
    )
    detector.add_argument(
        "data",
        type=Path,
        nargs="*",
        metavar="DATA",
        help=DATA,
    )
    detector.add_argument(
        "--out",
        type=Path,
        default=Path("runs/evaluate-detector"),
        metavar="DIR",
        help="where rows and figures go, over those of an earlier run (runs/evaluate-detector)",
    )
    detector.add_argument("--kind", choices=["logo", "product", "all"], default="all", help="what is judged (all)")
    detector.add_argument("--detector", metavar="PATH", help="your own YOLO export or model folder (the shipped one)")
    add_looks(detector)
    detector.add_argument(
        "--results", type=Path, metavar="RESULTS.jsonl", help="judge these rows, or an earlier DIR, without detecting"
    )
    detector.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="pictures without brands: what is reported there"
    )
    detector.add_argument("--score", type=float, metavar="S", help="operating point (the model's own)")
    detector.add_argument("--threads", type=int, metavar="N", help="pictures examined at once (one a core)")
    detector.add_argument(
        "--compare", type=Path, nargs="+", metavar="RUN", help="table of runs: folders of trainings and of evaluations"
    )
    detector.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    detector.add_argument("--note", type=Path, metavar="FOLDER", help="keep the main figures in the card of this model")
    detector.add_argument("--json", action="store_true", help="print the figures as JSON")
    detector.set_defaults(run=run_detector)


def _register_recognition(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recognition = actions.add_parser(
        "recognition",
        help="brands of boxes: ranks, claims, strangers, few references, library size, attacks",
        description="Looks up every labelled logo box that names a brand, as a scan would, and measures by vision, by text and "
        "by both what is ranked first, what would be claimed, and how strangers are told from known brands. Sections: top1, "
        "calibration, openset, fewshot (the default), size, attacks, spelling, claims. DIR gets figures.json, "
        "figures.csv, by_brand.csv, report.md, plots.png, mistakes.jpg, alarms.jpg. Intervals are 95 %, over pictures. "
        "Needs the extra evaluate.",
        epilog="Example: vision evaluate recognition datasets/samples/truth.jsonl --sections top1 --out runs/recognition",
    )
    recognition.add_argument("data", type=Path, nargs="+", metavar="DATA", help=DATA)
    recognition.add_argument("--library", type=Path, metavar="DIR", help="brand library (the shipped one)")
    recognition.add_argument(
        "--embedder", metavar="NAME/TAG", help="another open_clip model (extra train); the library must match"
    )
    recognition.add_argument(
        "--kinds", metavar="KIND,...", help="references to search: drawing, photo (all that the library holds)"
    )
    recognition.add_argument(
        "--out", type=Path, default=Path("runs/evaluate-recognition"), metavar="DIR", help="(runs/evaluate-recognition)"
    )
    recognition.add_argument(
        "--sections", metavar="NAME,...", help="what is measured (top1,calibration,openset,fewshot)"
    )
    recognition.add_argument(
        "--text", choices=["auto", "always", "off"], default="always", help="read names where (always)"
    )
    recognition.add_argument(
        "--verdict", type=Path, metavar="DIR", help="calibration made by vision calibrate (the shipped one)"
    )
    recognition.add_argument("--false-alarms", type=float, default=0.01, metavar="RATE", help="as a scan's (0.01)")
    recognition.add_argument(
        "--jitter",
        type=float,
        nargs="?",
        const=0.15,
        default=0.0,
        metavar="SHARE",
        help="shake each edge of the true boxes by up to so much of a side, as a detector does (0; 0.15 without SHARE)",
    )
    recognition.add_argument(
        "--boxes", choices=["true", "detector"], default="true", help="cut true boxes, or the detector's on them (true)"
    )
    recognition.add_argument(
        "--references",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATA",
        help="further sets whose crops serve as photographs of brands, beside the other pictures of DATA",
    )
    recognition.add_argument("--unseen", type=Path, metavar="FILE", help="list of brands that no training saw")
    recognition.add_argument("--photos", type=Path, metavar="FOLDER", help="pictures without brands, for openset")
    recognition.add_argument(
        "--results",
        type=Path,
        nargs="+",
        metavar="RESULTS.jsonl",
        help="for claims: rows of a scan of each DATA, then of --photos where they are given",
    )
    recognition.add_argument("--sizes", metavar="N,...", help="for size: brands; 0 for all (100,1000,4000,0,50000)")
    recognition.add_argument("--draws", type=int, default=5, metavar="N", help="random choices of photographs (5)")
    recognition.add_argument("--splits", type=int, default=10, metavar="N", help="random halves of the brands (10)")
    recognition.add_argument("--seed", type=int, default=0, metavar="S", help="of all that is random (0)")
    recognition.add_argument("--threads", type=int, metavar="N", help="pictures examined at once (one a core)")
    recognition.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    recognition.add_argument("--json", action="store_true", help="print the figures as JSON")
    recognition.set_defaults(run=run_recognition)


def _register_copies(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    copies = actions.add_parser(
        "copies",
        help="edited copies found and false claims made, beside peers",
        description="Makes 65 edits of N of the photographs, indexes all of them (some in the frames and captions that copies "
        "wear too) and asks for the source of every copy. Recall counts what the index claims as it ships; the bars for 1e-6 and "
        "for 0 false claims are found afterwards. Sections: battery, furniture (different pictures in the same frames), flat "
        "(marks of different brands; extra train), by default; packshots (a folder of different products), alone (furniture, two "
        "pictures at a time without an index). DIR gets the battery, the claims, figures.json, figures.csv, families.png, and "
        "false claims, missed copies and claimed pairs as .jsonl and .jpg. Needs the extra evaluate.",
        epilog="Example: vision evaluate copies photos --n 80 --peers pdq,orb --out runs/copies",
    )
    copies.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="folder of different photographs, 200 px or more a side"
    )
    copies.add_argument(
        "--out",
        type=Path,
        default=Path("runs/evaluate-copies"),
        metavar="DIR",
        help="where all goes; a battery that was begun there is gone on with (runs/evaluate-copies)",
    )
    copies.add_argument("--n", type=int, default=80, metavar="N", help="photographs that are copied (80)")
    copies.add_argument("--seed", type=int, default=7, metavar="S", help="of all that is random (7)")
    copies.add_argument(
        "--battery",
        type=Path,
        metavar="DIR",
        help="search this battery, made before from the same PHOTOS, and make none",
    )
    copies.add_argument(
        "--peers",
        metavar="NAME,...",
        help="peers in the same table: pdq, pdq_8way, phash, dhash, whash, orb; none for none (all installed)",
    )
    copies.add_argument("--sections", metavar="NAME,...", help="what is measured (battery,furniture,flat)")
    copies.add_argument(
        "--packshots", type=Path, metavar="FOLDER", help="for packshots: pictures of different products"
    )
    copies.add_argument("--marks", type=int, default=2000, metavar="N", help="for flat: marks that are drawn (2000)")
    copies.add_argument(
        "--claims", type=Path, metavar="CLAIMS.jsonl", help="judge these rows on the battery instead of searching"
    )
    copies.add_argument("--threads", type=int, metavar="N", help="pictures examined at once (one a core)")
    copies.add_argument("--edits", action="store_true", help="print recall by edit too")
    copies.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    copies.add_argument("--json", action="store_true", help="print the figures as JSON")
    copies.set_defaults(run=run_copies)


def run_detector(args: argparse.Namespace) -> int:
    """Measure boxes, or compare what was measured."""
    if args.compare:
        if args.data or args.results or args.photos:
            raise UsageError("bad_option", "--compare takes folders of runs, and nothing else is measured with it")
        from vision.evaluate.compare import compare, tables

        compared = compare(args.compare)
        return _print(compared, tables(compared), args)
    from vision.evaluate.detector import evaluate_detector, write_evaluation
    from vision.evaluate.figures import plain, slices_of
    from vision.evaluate.plots import require_matplotlib
    from vision.evaluate.tables import figure_table

    require_matplotlib()
    if args.note:
        from vision.evaluate.note import note_figures, read_card

        read_card(args.note)  # rather now than after an hour
    detector, looks = None, {}
    if args.results is None:
        from vision.detect import Detector

        detector = Detector.load(args.detector, size=args.size)
        looks = {k: v for k, v in (("tiles", args.tiles), ("views", args.views)) if v != "off"}
    with _progress() as progress:
        evaluation = evaluate_detector(
            args.data,
            args.out,
            detector=detector,
            results=args.results,
            photos=args.photos,
            kinds=KINDS if args.kind == "all" else (args.kind,),
            score=args.score,
            threads=args.threads,
            looks=looks,
            command=shlex.join(["vision", *sys.argv[1:]]),
            progress=progress,
        )
    write_evaluation(evaluation, args.out)
    if args.note:
        note_figures(args.note, evaluation.figures)
    found = plain(evaluation.figures)
    code = _print(found, [figure_table(list(slices_of(found)))] if args.data else [], args)
    if not args.json:
        if args.data:
            print(
                "P / R and false boxes: at the operating point; where unboxed logos are known, on those pictures only"
            )
        for kind, mistakes in found["mistakes"].items():
            told = (f"{name} {', '.join(f'{why} {n:,}' for why, n in own.items())}" for name, own in mistakes.items())
            print(f"{kind} mistakes there: {'; '.join(told)}")
        for kind, photos in found.get("photos", {}).items():
            if kind in KINDS:
                print(
                    f"photos: {photos['boxes_a_picture']:.3f} {kind} boxes a picture from score {photos['score']:.2f} on"
                )
        print(f"figures, curves and worst pictures: {args.out}")
    return code


def _print(figures: dict[str, Any], tables: Sequence[Table], args: argparse.Namespace) -> int:
    """Figures as JSON, or tables; wide ones where output goes to a file."""
    if args.json:
        print(json.dumps(figures))
        return 0
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 220)
    for table in tables:
        if args.markdown:
            print(table.markdown() + "\n")
        else:
            console.print(table.rich(console.width))
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[int], Callable[[int], None]]]:
    """What `evaluate_detector` tells its progress: a bar on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:

        def begin(total: int) -> Callable[[int], None]:
            task = progress.add_task("detect", total=total)
            return lambda done: progress.advance(task, done)

        yield begin


def run_embedder(args: argparse.Namespace) -> int:
    """Measure look-ups by the embedder alone."""
    from vision.embed import Embedder
    from vision.evaluate.embedder import evaluate_embedder
    from vision.library.sources import load_drawings

    return _show(evaluate_embedder(Embedder.load(args.embedder), args.data, load_drawings()), args.json)


def run_recognition(args: argparse.Namespace) -> int:
    """Measure recognition."""
    from vision.datasets.labelled import read_names
    from vision.evaluate.figures import plain
    from vision.evaluate.plots import require_matplotlib
    from vision.evaluate.recognition.report import tables, write_recognition
    from vision.evaluate.recognition.run import DEFAULT, Options, check_sections, evaluate_recognition, rankers_of
    from vision.evaluate.recognition.size import SIZES
    from vision.scan import read_verdict
    from vision.verdict import OperatingPoint

    require_matplotlib()
    sections = args.sections.split(",") if args.sections else list(DEFAULT)
    if ("claims" in sections) != bool(args.results):
        raise UsageError("bad_option", "the section claims judges rows of a scan", hint="--results RESULTS.jsonl")
    check_sections(name for name in sections if name != "claims")
    detector = None
    if args.boxes == "detector":
        from vision.detect import Detector

        detector = Detector.load()
    card, _ = read_verdict(args.verdict)
    options = Options(
        sections=[name for name in sections if name != "claims"],
        jitter=args.jitter,
        detector=detector,
        references=args.references,
        unseen=read_names(str(args.unseen)) if args.unseen else None,
        photos=args.photos,
        sizes=_numbers(args.sizes) if args.sizes else SIZES,
        draws=args.draws,
        splits=args.splits,
        seed=args.seed,
        threads=args.threads,
    )
    recogniser = _recogniser(args, card)
    with _told() as progress:
        evaluation = evaluate_recognition(
            recogniser,
            args.data,
            rankers_of(recogniser, card, OperatingPoint.from_card(card, args.false_alarms)),
            options,
            card=card,
            command=shlex.join(["vision", *sys.argv[1:]]),
            progress=progress,
        )
    if args.results:
        evaluation.figures["sections"]["claims"] = _claims(args)
    write_recognition(evaluation, recogniser.library, args.out)
    found = plain(evaluation.figures)
    if args.json:
        print(json.dumps(found))
        return 0
    for title, table in tables(found):
        print(f"**{title}**" if args.markdown else title)
        _print({}, [table], args)
    print(f"figures, plots and mistakes: {args.out}")
    return 0


def run_copies(args: argparse.Namespace) -> int:
    """Measure copy detection."""
    from vision.evaluate.copies.report import edit_table, main_table, worst_lines, write_copies
    from vision.evaluate.copies.run import DEFAULT, Options, evaluate_copies
    from vision.evaluate.figures import plain
    from vision.evaluate.plots import require_matplotlib
    from vision.report.lettering import printable

    require_matplotlib()
    peers = None if args.peers is None else [name for name in args.peers.split(",") if name != "none"]
    options = Options(
        sections=args.sections.split(",") if args.sections else [*DEFAULT, *(["packshots"] if args.packshots else [])],
        battery=args.battery,
        n=args.n,
        seed=args.seed,
        peers=peers,
        claims=args.claims,
        marks=args.marks,
        packshots=args.packshots,
        threads=args.threads,
    )
    with _told() as progress:
        evaluation = evaluate_copies(
            args.photos, args.out, options, command=shlex.join(["vision", *sys.argv[1:]]), tell=progress
        )
    write_copies(evaluation, args.out)
    found = plain(evaluation.figures)
    by_edit = edit_table(found) if args.edits else None
    code = _print(found, [main_table(found), *([by_edit] if by_edit else [])], args)
    if not args.json:
        for line in worst_lines(found)[:WORST_TOLD]:
            print(printable(line))
        print(f"figures, claims and pictures of what went wrong: {args.out}")
    return code


def _recogniser(args: argparse.Namespace, card: dict[str, Any]) -> Recogniser:
    """Embedder, library and reader, as a scan has them."""
    from vision.embed import Embedder
    from vision.library import Library
    from vision.recognise import Recogniser
    from vision.verdict import Calibration

    embedder = Embedder.load(args.embedder)
    library = Library.open(args.library, embedder=embedder) if args.library else Library.default(embedder=embedder)
    if args.kinds:
        library = library.subset(kinds=args.kinds.split(","))
    reader = None
    if args.text != "off":
        from vision.text import TextReader

        reader = TextReader.load()
    alone = Calibration.from_card(card["calibrations"]["vision"])
    return Recogniser(embedder, library, reader, text=args.text, vision_alone=alone)


def _claims(args: argparse.Namespace) -> dict[str, Any]:
    """What scans claimed on each set, and on photographs without brands."""
    from vision.evaluate.detector import set_names
    from vision.evaluate.recognition.claims import alarm_figures, evaluate_claims
    from vision.report.rows import read_rows

    rest = len(args.results) - len(args.data)
    if rest not in (0, 1):
        raise UsageError(
            "bad_option", f"{len(args.results)} results for {len(args.data)} sets", hint="one for each, in order"
        )
    found = {
        name: evaluate_claims(data, results)
        for name, data, results in zip(set_names(args.data), args.data, args.results, strict=False)
    }
    if rest:
        found["photos"] = alarm_figures(list(read_rows(args.results[-1])))
    return found


def _numbers(text: str) -> list[int]:
    """Whole numbers with commas between them. Raises UsageError (bad_option)."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0:
        raise UsageError("bad_option", f"{text!r} are no sizes", hint="100,1000,0")
    return numbers


@contextmanager
def _told() -> Iterator[Callable[[str], Callable[[int], Callable[[int], None]]]]:
    """What `evaluate_recognition` tells its progress: a bar for each thing that is done, on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: lambda _: lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:

        def begin(what: str) -> Callable[[int], Callable[[int], None]]:
            def of(total: int) -> Callable[[int], None]:
                task = progress.add_task(what, total=total)
                return lambda done: progress.advance(task, done)

            return of

        yield begin


def _show(figures: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(figures))
        return 0
    for name, value in figures.items():
        print(f"{name:32} {value:.4f}" if isinstance(value, float) else f"{name:32} {value}")
    return 0
