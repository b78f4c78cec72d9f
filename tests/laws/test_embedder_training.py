"""Terms and tests of the embedder's training on vectors small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.train
for package in ("torch", "open_clip", "timm"):
    pytest.importorskip(package)

import torch  # noqa: E402

from vision.errors import UsageError  # noqa: E402
from vision.geometry import crop, pad  # noqa: E402
from vision.recognise import CROP_PADDING  # noqa: E402
from vision.training import precision  # noqa: E402
from vision.training.crops import cut_with_spare, plain_crop, vary_crop  # noqa: E402
from vision.training.depthwise import FiveByFive, HalvedAfter  # noqa: E402
from vision.training.embedder_accuracy import few_shot_accuracy  # noqa: E402
from vision.training.embedder_data import Photos, TrainingData  # noqa: E402
from vision.training.embedder_losses import Queue, photo_loss  # noqa: E402
from vision.training.tower import TRUNKS, Grid4, grid_of  # noqa: E402

EAST, NORTH = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def loss(vectors, brands, sources, queue=None) -> float:
    rows = torch.stack(vectors), torch.tensor(brands), torch.tensor(sources)
    return float(photo_loss(*rows, queue or Queue(4, 2), scale=16.0, margin=0.1))


def test_photographs_of_one_brand_cost_less_when_they_are_alike():
    alike = loss([EAST, EAST, NORTH, NORTH], [0, 0, 1, 1], [0, 1, 2, 3])
    mixed = loss([EAST, NORTH, EAST, NORTH], [0, 0, 1, 1], [0, 1, 2, 3])
    assert alike < 0.01
    assert mixed > 10


def test_one_like_photograph_of_the_brand_is_enough():
    assert loss([EAST, EAST, NORTH], [0, 0, 0], [0, 1, 2]) == pytest.approx(
        loss([EAST, EAST], [0, 0], [0, 1]) * 2 / 3, abs=1.0
    )
    # two artworks of a brand beside a rival: each needs only its own twin
    assert loss([EAST, EAST, NORTH, NORTH, -EAST], [0, 0, 0, 0, 1], [0, 1, 2, 3, 4]) < 0.01


def test_crops_of_one_picture_say_nothing_of_each_other():
    assert loss([EAST, NORTH], [0, 0], [5, 5]) == 0
    assert loss([EAST, EAST, EAST], [0, 0, 1], [5, 6, 5]) < loss([EAST, EAST, EAST], [0, 0, 1], [5, 6, 7])


def test_earlier_batches_are_rivals_and_the_oldest_are_forgotten():
    queue = Queue(4, 2)
    assert loss([EAST, EAST], [0, 0], [0, 1], queue) < 0.01
    with_rival = Queue(4, 2)
    with_rival.add(torch.stack([EAST] * 4), torch.tensor([7] * 4), torch.tensor([90, 91, 92, 93]))
    assert loss([EAST, EAST], [0, 0], [0, 1], with_rival) > 1
    with_rival.add(torch.stack([NORTH] * 4), torch.tensor([7] * 4), torch.tensor([90, 91, 92, 93]))
    assert loss([EAST, EAST], [0, 0], [0, 1], with_rival) < 0.01
    again = Queue(4, 2)
    again.restore(with_rival.state())
    assert torch.equal(again.vectors, with_rival.vectors)
    assert again.at == with_rival.at


class _MeanColour(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


def plain(colour) -> np.ndarray:
    return np.full((34, 34, 3), colour, np.uint8)


def test_few_shot_counts_photographs_that_find_their_brand_in_another_picture():
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    right = TrainingData(
        held_out_real=[("red", Photos(-1, [plain(red)] * 4, [0, 1, 2, 3]))],
        real=[Photos(0, [plain(green)] * 4, [4, 5, 6, 7]), Photos(1, [plain(blue)] * 4, [8, 9, 10, 11])],
    )
    assert few_shot_accuracy(_MeanColour(), right) == 1
    alone = TrainingData(held_out_real=[("red", Photos(-1, [plain(red)] * 4, [0, 0, 0, 0]))], real=right.real)
    assert few_shot_accuracy(_MeanColour(), alone) == 0, "a crop met one of its own picture"
    assert np.isnan(few_shot_accuracy(_MeanColour(), TrainingData()))


def test_a_plain_crop_is_what_a_scan_cuts():
    picture = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    box = np.array([[100, 120, 220, 200]], np.float32)
    found = plain_crop(cut_with_spare(picture, box[0].tolist()), 64)
    from vision.embed.contract import stretch

    expected = stretch(crop(picture, pad(box, CROP_PADDING, 400, 400)[0]), 64)
    assert np.abs(found.astype(int) - expected).mean() < 12  # the same place up to a pixel: noise differs by 85


def test_mirrored_and_turned_crops_are_the_shares_that_are_asked_for():
    crop = np.zeros((80, 80, 3), np.uint8)
    crop[:, 40:] = 255

    def light(**shares) -> np.ndarray:
        found = vary_crop(crop, np.random.default_rng(3), 64, **shares).astype(int)
        return np.array([found[:, -16:].mean() - found[:, :16].mean(), found[-16:].mean() - found[:16].mean()])

    assert light()[0] > 60
    assert light(mirrored=1.0)[0] < -60
    assert abs(light(turned=1.0)[0]) < abs(light(turned=1.0)[1]) or light(turned=1.0)[0] < -60


@pytest.mark.parametrize("side", [8, 10, 12])
def test_a_grid_is_the_averages_of_equal_areas(side):
    found = torch.rand(2, 3, side, side)
    fine = np.kron(found.numpy(), np.ones((4, 4)))
    expected = fine.reshape(2, 3, 4, side, 4, side).mean(axis=(3, 5))
    np.testing.assert_allclose(grid_of(found).numpy(), expected, atol=1e-6)


def quickened(name: str) -> list:
    found = Grid4(TRUNKS[name]).blocks[2:].modules()
    kinds = {(type(m), m.kernel_size): m for m in found if isinstance(m, HalvedAfter | FiveByFive)}
    return [pytest.param(m, id=f"{name} {kind.__name__} {kernel[0]}") for (kind, kernel), m in kinds.items()]


@pytest.mark.parametrize("convolution", [m for name in TRUNKS for m in quickened(name)])
def test_the_fast_gradient_of_a_depthwise_convolution_is_the_true_one(convolution):
    torch.manual_seed(0)

    def gradients(run) -> list:
        x = start.clone().requires_grad_()
        found = run(x)
        weights = convolution.weight, convolution.bias
        return [found, *torch.autograd.grad((found * pull).sum(), (x, *weights))]

    side = 16 // convolution.stride[0]
    start, pull = torch.randn(2, convolution.in_channels, 16, 16), torch.randn(2, 1, side, side)
    with torch.no_grad():
        torch.testing.assert_close(convolution(start), super(type(convolution), convolution).forward(start))
    for fast, true in zip(
        gradients(convolution), gradients(super(type(convolution), convolution).forward), strict=True
    ):
        torch.testing.assert_close(fast, true, atol=1e-4, rtol=1e-4)


def test_each_tower_has_its_kinds_of_depthwise_convolutions():
    names = {parameter.id for name in TRUNKS for parameter in quickened(name)}
    lite = "vision_efficientnet_lite2_grid4"
    assert names == {
        "vision_mobilenetv2_grid4 HalvedAfter 3",
        f"{lite} HalvedAfter 5",
        f"{lite} HalvedAfter 3",
        f"{lite} FiveByFive 5",
    }


def test_bfloat16_is_used_where_it_is_asked_for_or_the_machine_has_it(monkeypatch):
    for has_it in (True, False):
        monkeypatch.setattr(precision, "_cpu_has_bf16", lambda has_it=has_it: has_it)
        assert precision.use_bf16("auto") is has_it
        assert precision.use_bf16("auto", device="cuda") is True
        assert precision.use_bf16(True) is True
        assert precision.use_bf16(False) is False
    with pytest.raises(UsageError, match="bf16"):
        precision.use_bf16("fast")
