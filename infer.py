"""Scan pictures for brands and copies: `python infer.py FOLDER`. The same program as `vision scan`."""

import sys

from vision.cli.main import entry

if __name__ == "__main__":
    entry(["scan", *sys.argv[1:]])
