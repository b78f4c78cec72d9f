"""Scans from the command line: what a user sees, keeps, and gets back after an interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from filelock import FileLock
from PIL import Image

from vision.cli.scan_pages import with_sources
from vision.library import Library
from vision.report.rows import row_schema
from vision.scan import Item
from vision.values import Result

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "datasets" / "samples" / "images"


def rows_of(out):
    """The rows of a scan, every one valid."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    validator = jsonschema.Draft202012Validator(row_schema())
    for row in rows:
        validator.validate(row)
    return rows


@pytest.fixture(scope="module")
def scanned(run, shop, tmp_path_factory):
    """One whole scan of the folder: the finished process and its output folder."""
    out = tmp_path_factory.mktemp("scan") / "out"
    return run("scan", shop, "--out", out), out


def test_without_arguments_it_explains_itself_with_an_example():
    done = subprocess.run([sys.executable, ROOT / "infer.py"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "Example: python infer.py datasets/samples" in done.stdout


def test_some_failed_pictures_make_exit_code_1_and_say_why(scanned):
    done, out = scanned
    assert done.returncode == 1, done.stderr
    failed = {row["path"]: row["error"]["code"] for row in rows_of(out) if row["status"] == "failed"}
    assert failed == {"shop/empty.jpg": "empty", "shop/page.png": "not_an_image", "shop/torn.jpg": "truncated"}


def test_every_picture_has_one_row_in_sorted_order(scanned, shop):
    _, out = scanned
    paths = [row["path"] for row in rows_of(out)]
    here = {f"shop/{p.relative_to(shop).as_posix()}" for p in shop.rglob("*") if p.is_file()}
    assert set(paths) == here
    assert len(paths) == len(here)
    assert paths[0] == min(here)


def test_boxes_lie_inside_their_picture(scanned):
    _, out = scanned
    for row in rows_of(out):
        for finding in row["findings"]:
            left, top, right, bottom = finding["box"]
            assert 0 <= left < right <= row["width"]
            assert 0 <= top < bottom <= row["height"]


def test_the_copied_picture_names_its_source(scanned):
    _, out = scanned
    again = next(row for row in rows_of(out) if row["path"] == "shop/sub/again ✂.jpg")
    first = next(row for row in rows_of(out) if row["sha256"] == again["sha256"])
    assert [claim["source"] for claim in again["copies"]] == [first["path"]]
    assert first["copies"] == []


def test_overlays_page_and_record_are_there(scanned):
    _, out = scanned
    ok = [row for row in rows_of(out) if row["status"] == "ok"]
    assert len(list((out / "overlays").iterdir())) == len(ok)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "again ✂.jpg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    record = json.loads((out / "scan.json").read_text())
    assert record["status"] == "complete"
    assert record["counts"]["pictures"] == len(rows_of(out))
    assert record["counts"]["failed"] == 3


def test_heat_maps_are_made_on_request_and_again_when_lost(run, shop, tmp_path):
    out = tmp_path / "out"
    picture = min(p for p in shop.iterdir() if p.name.startswith("cans"))
    assert run("scan", picture, "--out", out, "--heat-maps").returncode == 0
    (row,) = rows_of(out)
    explained = [
        f"0000000-cans-{place}.png"
        for place, finding in enumerate(row["findings"])
        if finding["verdict"] != "unknown" and finding["candidates"][0]["reference"]
    ]
    made = {path.name: path.read_bytes() for path in (out / "heat-maps").iterdir()}
    assert sorted(made) == sorted(explained) != []
    assert (out / "report.html").read_text(encoding="utf-8").count('alt="heat map"') == len(made)
    (out / "heat-maps" / explained[0]).unlink()
    assert run("scan", picture, "--out", out, "--heat-maps", "--resume").returncode == 0
    assert {path.name: path.read_bytes() for path in (out / "heat-maps").iterdir()} == made


def test_the_summary_is_on_stdout_and_all_else_on_stderr(scanned):
    done, _ = scanned
    assert "pictures" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_that_holds_something_is_refused(run, scanned, shop):
    _, out = scanned
    before = (out / "results.jsonl").read_bytes()
    done = run("scan", shop, "--out", out)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert (out / "results.jsonl").read_bytes() == before


def test_the_folder_that_one_is_in_is_scanned_without_the_results(run, tmp_path):
    """Overlays were scanned as pictures, claimed as copies, and the page failed."""
    for number in range(8):
        shutil.copy(SAMPLES / "mug.jpg", tmp_path / f"{number}.jpg")
    (tmp_path / "zzz").mkdir()
    shutil.copy(SAMPLES / "mug.jpg", tmp_path / "zzz" / "8.jpg")
    for options in ((), ("--resume",)):
        done = run("scan", ".", *options, "--threads", "1", "--batch", "1", cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
        assert len(rows_of(tmp_path / "vision-out")) == 9
        assert (tmp_path / "vision-out" / "report.html").is_file()
        assert not (tmp_path / "vision-out" / ".lock").exists()


def test_the_page_shows_each_row_its_own_picture_or_none():
    """Rows and files were joined by their place: a file more or less, and a row had another one's picture for evidence."""
    rows = [Result(path, None, None, None, "ok") for path in ("a.jpg", "b.jpg", "c.jpg", "c/\udcff.jpg")]
    items = [Item(path, path.upper()) for path in ("b.jpg", "bb.jpg", "c.jpg", "c/\udcff.jpg", "d.jpg")]
    joined = [(row.path, source) for row, source in with_sources(iter(rows), iter(items))]
    assert joined == [("a.jpg", None), ("b.jpg", "B.JPG"), ("c.jpg", "C.JPG"), ("c/\udcff.jpg", "C/\udcff.JPG")]


def test_a_folder_belongs_to_one_scan_at_a_time(run, shop, tmp_path):
    """Two scans into one folder wrote every row twice."""
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"):
        for options in ((), ("--resume",)):
            done = run("scan", shop, "--out", out, *options)
            assert (done.returncode, "another scan writes here" in done.stderr) == (2, True)
    assert not (out / "results.jsonl").exists()


def test_a_scan_that_was_killed_as_it_began_can_be_made_again(run, tmp_path):
    """What it left, half a record, passed for results of another scan."""
    shutil.copy(SAMPLES / "mug.jpg", tmp_path / "mug.jpg")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".scan.json.17.18.new").write_bytes(b"{")
    done = run("scan", "mug.jpg", "--out", out, "--no-report", cwd=tmp_path)
    assert (done.returncode, len(rows_of(out))) == (0, 1)
    (out / "results.jsonl").unlink()  # killed later: its record is there, and no row
    done = run("scan", "mug.jpg", "--out", out, "--no-report", "--resume", cwd=tmp_path)
    assert (done.returncode, len(rows_of(out)), "warning" in done.stderr) == (0, 1, False)


def test_a_picture_that_changed_since_its_row_was_written_is_told(run, tmp_path):
    shutil.copy(SAMPLES / "mug.jpg", tmp_path / "a.jpg")
    shutil.copy(SAMPLES / "mug.jpg", tmp_path / "b.jpg")
    arguments = ("scan", "a.jpg", "b.jpg", "--out", tmp_path / "out", "--no-report", "--no-overlays", "--no-copies")
    assert run(*arguments, cwd=tmp_path).returncode == 0
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    shutil.copy(SAMPLES / "shelf.jpg", tmp_path / "b.jpg")
    (tmp_path / "a.jpg").touch()
    record = json.loads((tmp_path / "out" / "scan.json").read_text())
    del record["settings"]["owner"]  # as an older version wrote it
    (tmp_path / "out" / "scan.json").write_text(json.dumps(record))
    done = run(*arguments, "--resume", cwd=tmp_path)
    assert (done.returncode, "warning: 'b.jpg' changed since" in done.stderr, "a.jpg" in done.stderr) == (
        0,
        True,
        False,
    )
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"settings": 1}'])
def test_a_damaged_record_is_no_scan_to_resume(run, shop, tmp_path, record):
    (tmp_path / "scan.json").write_bytes(record)
    done = run("scan", shop, "--out", tmp_path, "--resume")
    assert (done.returncode, "no record of a scan" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_ends_a_scan_in_one_line_and_it_goes_on_later(run, shop, tmp_path):
    """It ended as a scan with failed pictures does, with exit code 1."""
    script = (
        "import resource, signal, sys; from vision.cli.main import entry\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
        "entry(sys.argv[1:])"
    )
    arguments = ["scan", shop, "--out", tmp_path / "out", "--no-overlays", "--no-report", "--threads", "1"]
    full = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (full.returncode, "--resume" in full.stderr, "Traceback" in full.stderr) == (3, True, False)
    assert run(*arguments, "--resume").returncode == 1
    assert len(rows_of(tmp_path / "out")) == sum(1 for path in shop.rglob("*") if path.is_file())


def test_names_that_the_terminal_cannot_spell_stop_nothing(run, tmp_path):
    shutil.copy(SAMPLES / "mug.jpg", tmp_path / "味.jpg")
    done = run("copies", "add", tmp_path, "--index", tmp_path / "index", env={"PYTHONIOENCODING": "cp1252"})
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "味.png").write_bytes(b"")
    done = run("copies", "add", tmp_path, "--index", tmp_path / "index", env={"PYTHONIOENCODING": "cp1252"})
    assert (done.returncode, "Traceback" in done.stderr, "\\u5473.png" in done.stderr) == (1, False, True)


def test_a_fault_of_the_program_has_an_exit_code_of_its_own():
    script = "from vision.cli import main\nmain.main = lambda arguments: 1 / 0\nmain.entry()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (70, True)


def test_a_torn_scan_resumes_to_the_same_rows(run, scanned, shop, tmp_path):
    _, whole = scanned
    out = tmp_path / "out"
    out.mkdir()
    (out / "scan.json").write_bytes((whole / "scan.json").read_bytes())
    lines = (whole / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:37])
    done = run("scan", shop, "--out", out, "--resume")
    assert done.returncode == 1, done.stderr
    assert (out / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()
    assert {p.name for p in (out / "overlays").iterdir()} == {p.name for p in (whole / "overlays").iterdir()}


def test_a_scan_goes_on_when_a_picture_that_was_scanned_is_gone_or_broken_since(run, tmp_path):
    for number in range(2):
        Image.new("RGB", (64, 48), (90 * number, 40, 40)).save(tmp_path / f"{number}.png")
    inputs = [tmp_path / "0.png", tmp_path / "1.png", "--out", tmp_path / "out", "--no-report"]
    assert run("scan", *inputs).returncode == 0
    rows = (tmp_path / "out" / "results.jsonl").read_bytes()
    for overlay in (tmp_path / "out" / "overlays").iterdir():
        overlay.unlink()
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").write_bytes(b"no picture")
    assert run("scan", *inputs, "--resume").returncode == 0
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == rows


def test_a_calibration_of_another_version_is_refused_in_one_line(run, tmp_path):
    card = {"schema": "vision.card/1", "files": {}, "calibrations": {"vision": {"features": ["older"]}}}
    (tmp_path / "card.json").write_text(json.dumps(card))
    done = run("scan", tmp_path, "--verdict", tmp_path, "--out", tmp_path / "out")
    assert (done.returncode, "vision calibrate" in done.stderr) == (3, True)
    assert "Traceback" not in done.stderr


def test_a_killed_scan_resumes_to_the_same_rows(run, scanned, shop, tmp_path):
    _, whole = scanned
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, ROOT / "infer.py", shop, "--out", out, "--batch", "4", "--threads", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    rows = out / "results.jsonl"
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = run("scan", shop, "--out", out, "--resume")
    assert done.returncode == 1, done.stderr
    assert rows.read_bytes() == (whole / "results.jsonl").read_bytes()


def test_resuming_with_other_settings_is_refused(run, scanned, shop):
    _, out = scanned
    done = run("scan", shop, "--out", out, "--resume", "--min-score", "0.9")
    assert done.returncode == 2
    assert "min_score" in done.stderr


@pytest.mark.parametrize("options", [("--threads", "1"), ("--threads", "3")])
def test_the_number_of_workers_leaves_the_rows_the_same(run, scanned, shop, tmp_path, options):
    _, whole = scanned
    out = tmp_path / "out"
    run("scan", shop, "--out", out, "--no-overlays", "--no-report", *options)
    assert (out / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()


def test_the_size_of_a_batch_never_turns_one_brand_into_another(run, scanned, shop, tmp_path):
    _, whole = scanned
    out = tmp_path / "out"
    run("scan", shop, "--out", out, "--no-overlays", "--no-report", "--batch", "1")
    for one, many in zip(rows_of(out), rows_of(whole), strict=True):
        assert [f["brand"] for f in one["findings"]] == [f["brand"] for f in many["findings"]]
        for a, b in zip(one["findings"], many["findings"], strict=True):
            assert a["probability"] == pytest.approx(b["probability"], abs=0.01)


def test_a_list_on_standard_input_is_scanned(run, shop, tmp_path):
    names = sorted(str(p) for p in shop.glob("*.jpg"))[:2]
    out = tmp_path / "out"
    run("scan", "-", "--out", out, "--no-overlays", "--no-report", stdin="\n".join(names) + "\n")
    assert [row["path"] for row in rows_of(out)] == names


def test_a_missing_input_is_a_failed_row(run, tmp_path):
    out = tmp_path / "out"
    done = run("scan", tmp_path / "nowhere.jpg", "--out", out, "--no-overlays", "--no-report")
    assert done.returncode == 1
    assert [row["error"]["code"] for row in rows_of(out)] == ["not_found"]


def test_missing_models_make_exit_code_3(run, shop, tmp_path):
    done = run("scan", shop, "--out", tmp_path / "out", env={"VISION_WEIGHTS": str(tmp_path)})
    assert done.returncode == 3
    assert "error [missing]" in done.stderr


def test_a_rate_that_is_no_share_makes_exit_code_2(run, shop, tmp_path):
    done = run("scan", shop, "--out", tmp_path / "out", "--false-alarms", "7")
    assert done.returncode == 2
    assert "--false-alarms" in done.stderr


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_have_every_picture(run, shop, tmp_path, form):
    out = tmp_path / "out"
    done = run("scan", *sorted(shop.glob("*.jpg"))[:2], "--out", out, "--no-overlays", "--no-report", "--format", form)
    assert done.returncode in {0, 1}, done.stderr
    assert (out / f"results.{form}").stat().st_size > 0


def test_the_summary_as_json(run, shop, tmp_path):
    done = run("scan", shop / "empty.jpg", "--out", tmp_path / "out", "--json", "--no-overlays", "--no-report")
    assert json.loads(done.stdout)["failures"] == {"empty": 1}


@pytest.fixture(scope="module")
def poster(tmp_path_factory):
    """A folder with one large picture: twelve samples side by side, each as small as it would be in a photo of a shelf."""
    folder = tmp_path_factory.mktemp("large") / "poster"
    folder.mkdir()
    canvas = Image.new("RGB", (3200, 2400), (120, 125, 130))
    for number, path in enumerate(sorted((ROOT / "datasets" / "samples" / "images").iterdir())[:12]):
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((400, 400))
        canvas.paste(small, (800 * (number % 4) + 130, 800 * (number // 4) + 170))
    canvas.save(folder / "poster.jpg", quality=90)
    return folder


def test_tiles_and_views_find_more_in_a_large_picture_and_change_nothing_else(run, poster, tmp_path):
    rows = {}
    for name, options in {"off": (), "on": ("--tiles", "3", "--views", "flip")}.items():
        done = run("scan", poster, "--out", tmp_path / name, "--no-overlays", "--no-report", *options)
        assert done.returncode == 0, done.stderr
        rows[name] = rows_of(tmp_path / name)[0]
    assert len(rows["on"]["findings"]) > len(rows["off"]["findings"])
    for finding in rows["on"]["findings"]:
        left, top, right, bottom = finding["box"]
        assert 0 <= left < right <= 3200
        assert 0 <= top < bottom <= 2400
    same = ("sha256", "width", "height", "quality", "fingerprint", "copies", "degraded")
    assert [rows["on"][key] for key in same] == [rows["off"][key] for key in same]
    record = json.loads((tmp_path / "on" / "scan.json").read_text())["settings"]
    assert (record["tiles"], record["views"], record["size"] % 32) == (3, "flip", 0)
    done = run("scan", poster, "--out", tmp_path / "on", "--resume", "--views", "flip")
    assert done.returncode == 2
    assert "tiles" in done.stderr


@pytest.mark.parametrize("options", [("--tiles", "lots"), ("--tiles", "0"), ("--views", "odd"), ("--size", "100")])
def test_tiles_views_and_sizes_that_there_are_not_make_exit_code_2(run, shop, tmp_path, options):
    done = run("scan", shop, "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert options[1] in done.stderr


def test_a_damaged_picture_of_a_reference_costs_no_page(run, tmp_path):
    """Rows and summary were there, the page was not."""
    library = Library.create(tmp_path / "mine")
    library.add("Brindlow", SAMPLES / "mug.jpg")
    (kept,) = (tmp_path / "mine").glob("thumbnails-*.bin")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 255
    kept.write_bytes(bytes(data))
    done = run("scan", SAMPLES / "mug.jpg", "--library", tmp_path / "mine", "--out", tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "out" / "report.html").is_file()
    assert "WARNING" in done.stderr


@pytest.mark.parametrize("options", [["--no-copies", "--copies", "index"], ["--quick-copies"]])
def test_options_that_say_nothing_together_are_wrong_usage(run, shop, tmp_path, options):
    done = run("scan", shop, "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert "copies" in done.stderr


def test_when_the_reader_of_the_output_leaves_it_is_not_said_that_all_went_well():
    listing = [sys.executable, "-m", "vision", "library", "list", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(listing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_a_package_that_was_half_removed_is_no_reason_to_stop(run, tmp_path):
    (tmp_path / "gone-1.0.dist-info").mkdir()
    picture = next(SAMPLES.iterdir())
    done = run(
        "scan", picture, "--out", tmp_path / "out", "--no-report", "--no-overlays", "--text", "off",
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    versions = json.loads((tmp_path / "out" / "scan.json").read_text())["versions"]
    assert {"numpy", "onnxruntime", "faiss-cpu"} <= versions.keys()
