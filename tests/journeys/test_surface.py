"""The surface: every command explains itself, imports stay light, the README's examples run."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import vision
from vision.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]


def parsers(parser=None, name="vision"):
    parser = parser or build_parser()
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from parsers(inner, f"{name} {word}")


COMMANDS = dict(parsers())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_its_help_with_an_example(name):
    parser = COMMANDS[name]
    assert "Example: " in (parser.epilog or "")
    for action in parser._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction):
            assert action.help, f"{name} {action.option_strings[0]} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_that_parses(name):
    example = COMMANDS[name].epilog.split("Example: ")[1]
    for line in (
        example.replace("python infer.py", "vision scan").replace("python train.py", "vision train").split("&&")
    ):
        program, *words = shlex.split(line)
        assert program == "vision"
        build_parser().parse_args(words)


def test_importing_vision_brings_in_nothing_heavy():
    code = (
        "import sys, vision\ndir(vision)\n"
        "heavy = {'torch', 'faiss', 'cv2', 'onnxruntime', 'PIL', 'numpy', 'rich'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_help_brings_in_no_models():
    code = (
        "import sys\nfrom vision.cli.main import main\n"
        "try:\n    main(['scan', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'faiss', 'cv2', 'onnxruntime', 'PIL', 'numpy'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


def test_every_public_name_can_be_had():
    for name in vision.__all__:
        assert getattr(vision, name) is not None


def readme_blocks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", readme_blocks())
def test_the_readmes_python_runs(code, tmp_path):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_place_that_cannot_be_written_is_told_without_a_traceback(tmp_path, capsys):
    from vision.cli.main import main

    (tmp_path / "file").write_text("in the way")
    truth = str(ROOT / "datasets" / "samples" / "truth.jsonl")
    assert main(["datasets", "summary", truth, "--out", str(tmp_path / "file" / "below")]) == 2
    assert "file" in capsys.readouterr().err


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "vision", "--help"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "usage: vision" in done.stdout
