"""One YAML file describes a training: data, settings, seed, where the weights go. Command-line `key=value` pairs change it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from vision.errors import UsageError, package_missing


def load_config(path: Path, changes: Sequence[str] = (), *, stage: str | None = None) -> dict[str, Any]:
    """The parsed YAML with `a.b=value` changes applied (values are read as YAML) and environment variables left as they are.

    stage: what it is for, one of `config.schema.yaml`, by which it is then checked.
    Raises UsageError (bad_config, bad_option), BackendError (package_missing) without PyYAML or jsonschema.
    """
    yaml, loader = _yaml()
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), loader)
    except FileNotFoundError:
        raise UsageError("bad_config", "no such file", path=str(path)) from None
    except (OSError, UnicodeError) as error:
        raise UsageError("bad_config", f"cannot be read: {error}", path=str(path)) from None
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
        try:
            place[last] = yaml.load(text, loader)
        except yaml.YAMLError:
            raise UsageError("bad_option", f"the value of {change!r} is no valid YAML") from None
    if stage is not None:
        check_config(config, stage, path)
    return config


def check_config(config: dict[str, Any], stage: str, path: Path) -> None:
    """Raise UsageError (bad_config) for a setting that the stage does not know, lacks, or cannot have; path is named in it."""
    try:
        import jsonschema
    except ImportError:
        raise package_missing("jsonschema", "train") from None
    yaml, _ = _yaml()
    schema = yaml.safe_load(
        resources.files("vision.training").joinpath("config.schema.yaml").read_text(encoding="utf-8")
    )
    validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{stage}", "$defs": schema["$defs"]})
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error is None:
        return
    where = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", ()))
        unknown = next(str(key) for key in error.instance if key not in known)
        near = difflib.get_close_matches(unknown, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        name = f"{where}.{unknown}" if where else unknown
        raise UsageError("bad_config", f"there is no setting {name!r}", path=str(path), hint=hint)
    what = f"{where}: {error.message}" if where else error.message
    raise UsageError("bad_config", what, path=str(path))


def _yaml() -> tuple[Any, Any]:
    """PyYAML and its safe loader, which here takes 1e-4 for a number as YAML 1.2 does."""
    try:
        import yaml
    except ImportError:
        raise package_missing("PyYAML", "train") from None

    class Loader(yaml.SafeLoader):
        pass

    exponent = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", exponent, list("-+.0123456789"))
    return yaml, Loader
