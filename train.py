"""Train one stage: `python train.py detector|embedder|copies|calibration CONFIG.yaml`. The same program as `vision train`."""

import sys

from vision.cli.main import entry

if __name__ == "__main__":
    entry(["train", *(sys.argv[1:] or ["--help"])])
