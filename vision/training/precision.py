"""Whether a training multiplies in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vision.errors import UsageError


def use_bf16(setting: bool | Literal["auto"], *, device: str = "cpu") -> bool:
    """What a config's `bf16` means on this machine: `auto` is yes on a GPU and on CPUs that have instructions for it.

    There autocast halves the time of a step; on a CPU without them it takes ten times as long and more.
    Raises UsageError (bad_config).
    """
    if isinstance(setting, bool):
        return setting
    if setting != "auto":
        raise UsageError("bad_config", f"bf16 {setting!r}", hint="auto, true or false")
    return device == "cuda" or _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
