"""`python -m vision` is the command `vision`."""

from vision.cli.main import entry

entry()
