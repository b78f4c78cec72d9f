"""The image tower `vision_mobilenetv2_grid4`, registered with timm so that an open_clip config can name it.

MobileNetV2 up to stage 4 (stride 16, 96 channels), a 4 x 4 grid of averages instead of one average, one linear layer.
Pooling everything, the usual head, loses where the strokes are: on drawn crops of unseen brands the grid gained nine points.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models import register_model
from torch import nn

NAME = "vision_mobilenetv2_grid4"
CONFIG = "vision-logo-256"
SIZE = 128  # pixels of a picture's side where nothing else is said; any multiple of 16 will do
GRID = 4
CHANNELS = 96


class Grid4(nn.Module):
    """Pictures (n, 3, s, s) scaled to -1..1 become (n, num_classes); with num_classes 0 the whitened grid (n, 1536).

    `grid_mean` and `grid_scale` whiten the grid with figures taken once from the untrained features: fixed, not a layer that
    learns, because a BatchNorm without weights after a flatten does not export with a dynamic batch.
    """

    def __init__(self, num_classes: int = 256) -> None:
        super().__init__()
        whole = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same")
        self.conv_stem, self.bn1 = whole.conv_stem, whole.bn1
        self.blocks = nn.Sequential(*list(whole.blocks)[:5])
        _fold_batch_norms(self)
        for convolution in self.blocks[2:].modules():
            if isinstance(convolution, Conv2dSame) and convolution.groups > 1:
                convolution.__class__ = _HalvedAfter
        self.num_features = CHANNELS * GRID * GRID
        self.register_buffer("grid_mean", torch.zeros(self.num_features))
        self.register_buffer("grid_scale", torch.ones(self.num_features))
        self.default_cfg = {"input_size": (3, 128, 128), "pool_size": None}
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """timm's way to change the head; 0 leaves the grid as it is."""
        self.head: nn.Module = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_frozen(self, x: torch.Tensor) -> torch.Tensor:
        """The part that is never trained: stem and stages 0 and 1 (24 channels, stride 4)."""
        return self.blocks[:2](self.bn1(self.conv_stem(x)))

    def forward_grid(self, x: torch.Tensor) -> torch.Tensor:
        """From the frozen part to the whitened grid (n, 1536) float32."""
        grid = grid_of(self.blocks[2:](x)).flatten(1).float()
        return (grid - self.grid_mean) * self.grid_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings before they are given unit length."""
        return self.head(self.forward_grid(self.forward_frozen(x)))


def grid_of(found: torch.Tensor) -> torch.Tensor:
    """The averages (n, c, 4, 4) of 4 x 4 equal areas of a square (n, c, k, k); cells on a border count by their shares."""
    side = int(found.shape[-1])  # a tensor while an export traces
    fine = math.lcm(side, GRID)  # so many that the borders lie between cells
    if fine > side:
        found = nn.functional.interpolate(found, size=(fine, fine))
    return nn.functional.avg_pool2d(found, fine // GRID)


class _HalvedAfter(Conv2dSame):
    """A 3 x 3 depthwise convolution of stride 2 that, in training, runs at stride 1 and keeps every second row and column.

    The same numbers, in two thirds of the time of a whole training step: on CPUs the gradient of the strided convolution takes
    several times as long as that of the plain one.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled() or x.shape[-1] % 2 or x.shape[-2] % 2:
            return super().forward(x)
        # "same" padding over even sides adds a row below and a column to the right: windows begin at 0, 2, 4, ...
        return nn.functional.conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., 1::2, 1::2]


def _fold_batch_norms(module: nn.Module) -> None:
    """Each convolution takes the scale and shift of the batch norm behind it; only the activation stays in its place.

    The pretrained file has its statistics folded in already, so a batch norm would only cost time (a third of a step).
    """
    convolution: nn.Conv2d | None = None
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                convolution = child
            elif isinstance(child, nn.BatchNorm2d) and convolution is not None:
                convolution.bias = nn.Parameter(torch.zeros(convolution.out_channels))
                setattr(parent, name, getattr(child, "act", nn.Identity()))


@register_model  # type: ignore[untyped-decorator]
def vision_mobilenetv2_grid4(pretrained: bool = False, *, num_classes: int = 256, **_: Any) -> Grid4:
    """timm's entry. `pretrained` is refused: the backbone is a file of ours, loaded by `load_backbone`."""
    if pretrained:
        raise ValueError("load_backbone() loads the pretrained part")
    return Grid4(num_classes)


def untrained_clip() -> Any:
    """The untrained open_clip model of `vision/embed/configs/vision-logo-256.json`."""
    import open_clip

    open_clip.add_model_config(Path(__file__).resolve().parent.parent / "embed" / "configs")
    return open_clip.create_model(CONFIG, pretrained=None)


def load_backbone(tower: Grid4, path: Path) -> None:
    """Take the pretrained MobileNetV2 (timm's keys and batch norms) up to stage 4. Raises KeyError for other files."""
    from safetensors.torch import load_file

    found = {k: v.float() for k, v in load_file(str(path)).items()}
    plain = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same")
    plain.load_state_dict(found, strict=False)
    norms: dict[str, nn.BatchNorm2d] = {}
    convolution = ""
    for name, module in plain.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d):
            norms[convolution] = module
    with torch.no_grad():
        for name, module in tower.named_modules():
            if isinstance(module, nn.Conv2d):
                norm = norms[name]
                gain = norm.weight / (norm.running_var + norm.eps).sqrt()
                module.weight.copy_(found[f"{name}.weight"] * gain[:, None, None, None])
                module.bias.copy_(norm.bias - norm.running_mean * gain)


def load_weights(model: Any, path: Path) -> None:
    """Take both towers of a finished embedder (`model.safetensors`). Raises RuntimeError for other files."""
    from safetensors.torch import load_file

    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(str(path)).items()})
