"""Arguments in, exit code out. The only room that prints; only `main.py` exits."""
