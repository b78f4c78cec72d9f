"""One YAML file describes a training: data, settings, seed, where the weights go. Command-line `key=value` pairs change it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision.errors import UsageError, package_missing


def load_config(path: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The parsed YAML with `a.b=value` changes applied (values are read as YAML) and environment variables left as they are.

    Raises UsageError (bad_config, bad_option), BackendError (package_missing) without PyYAML.
    """
    try:
        import yaml
    except ImportError:
        raise package_missing("PyYAML", "train") from None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("bad_config", "no such file", path=str(path)) from None
    except yaml.YAMLError as error:
        raise UsageError("bad_config", f"no valid YAML: {error}", path=str(path)) from None
    if not isinstance(config, dict):
        raise UsageError("bad_config", "a mapping is expected", path=str(path))
    for change in changes:
        name, found, text = change.partition("=")
        if not found:
            raise UsageError("bad_option", f"{change!r} is not key=value")
        *parents, last = name.split(".")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError("bad_option", f"{parent!r} in {name!r} is a value, not a section")
        place[last] = yaml.safe_load(text)
    return config
