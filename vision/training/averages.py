"""Weights between those that a training began with and those that it ended with.

A fine-tuned network forgets some of what it does not see again; the average of both ends often knows what each of them knew
(WiSE-FT: Wortsman et al. 2022). Both must be of one kin, the end trained from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vision.errors import UsageError

Weights = dict[str, torch.Tensor]


def start_share(config: Mapping[str, Any], *, starts_trained: bool) -> float:
    """The share in what is exported, in [0, 1], of the weights that `start` names; 0 by default.

    starts_trained: whether these are of the same kind of network, or only a part of it, or none. Raises UsageError (bad_config).
    """
    share = float(config.get("start_share", 0.0))
    if not 0 <= share <= 1 or (share and not starts_trained):
        raise UsageError("bad_config", f"start_share {share}", hint="0 to 1, of trained weights that `start` names")
    return share


def joined(last: Mapping[str, torch.Tensor], first: Mapping[str, torch.Tensor], share: float) -> Weights:
    """`last` with that share of `first`; what is no fraction, as counters are, stays that of `last`."""
    return {k: torch.lerp(v, first[k], share) if v.is_floating_point() else v.clone() for k, v in last.items()}
