"""The detector's whole path on a tiny set: train, stop, go on, export, detect, train on from what was exported."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")

from vision import weights  # noqa: E402
from vision.detect import Detector  # noqa: E402
from vision.detect.yolo import letterbox, to_input  # noqa: E402
from vision.errors import UsageError, WeightsError  # noqa: E402
from vision.geometry import iou  # noqa: E402
from vision.images import read_picture  # noqa: E402
from vision.training.config import load_config  # noqa: E402
from vision.training.detector import train_detector  # noqa: E402
from vision.training.detector_data import DetectorData, Stage, draw_batch, load_data, stages_of  # noqa: E402
from vision.training.detector_loss import (  # noqa: E402
    LenientBCE,
    StrengthAssigner,
    anchor_weights,
    padded_alone,
    padded_strengths,
)
from vision.training.detector_views import ALONE, Example, make_labels, turned  # noqa: E402
from vision.training.draw.scene import Ink, Stock, draw_scene  # noqa: E402
from vision.training.export import export_model, import_weights  # noqa: E402
from vision.training.network import build_network  # noqa: E402

pytestmark = pytest.mark.train
TINY = Path(__file__).parents[2] / "datasets" / "detector_tiny.yaml"


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 drawn pictures as a labelled set, looked through in full, of three made-up brands."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "images").mkdir()
    mark = np.zeros((60, 90, 4), np.uint8)
    mark[8:52, 8:82] = (200, 40, 40, 255)
    stock = Stock(((1.0, (Ink(mark),)),), longest=(96, 128))
    rows = []
    for seed in range(16):
        scene = draw_scene(stock, seed)
        name = f"images/{seed}.png"
        Image.fromarray(scene.pixels).save(folder / name)
        high, wide = scene.pixels.shape[:2]
        boxes = [{"box": b.box, "kind": b.kind, "brand": f"Brand {seed % 3}"} for b in scene.boxes]
        rows.append({"image": name, "width": wide, "height": high, "boxes": boxes, "exhaustive": True})
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return folder / "train.jsonl"


def tiny_config(tiny_set: Path, export: Path, *changes: str) -> dict[str, Any]:
    """`datasets/detector_tiny.yaml` without the vector logos that take half a minute to draw."""
    config = load_config(TINY, changes)
    config |= {"real": [str(tiny_set)], "held_out_brands": ["Brand 2"], "export": str(export)}
    config["drawn"] = {"n": 6, "longest": [96, 128]}
    for stage in config["stages"]:
        stage["shares"] = {"logos": 0.5, "drawn": 0.5}
    return config


@pytest.fixture(scope="module")
def trained(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run folder and the model folder of an unbroken run."""
    out = tmp_path_factory.mktemp("run")
    return out, train_detector(tiny_config(tiny_set, out / "model"), out=out, resume=False)


def test_a_run_leaves_metrics_a_plot_and_a_model_that_detects(trained: tuple[Path, Path]) -> None:
    out, model = trained
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == [2, 4]
    assert all(math.isfinite(float(r["class_loss"])) and 0 <= float(r["recall10"]) <= 1 for r in rows)
    assert (out / "metrics.png").stat().st_size > 1000
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert run["config"]["steps"] == run["steps"] == 4
    assert (out / "held-out" / "curves.png").stat().st_size > 1000
    judged = json.loads((out / "held-out" / "figures.json").read_text(encoding="utf-8"))
    assert judged["sets"]["held-out-brands"]["logo"]["boxed"]["pictures"] == 5
    card = json.loads((model / "card.json").read_text(encoding="utf-8"))
    assert card["schema"] == "vision.card/1"
    assert card["trained"]["steps"] == 4
    assert set(card["operating_point"]) == {"logo", "product"}
    detector = Detector.load(model)
    assert detector.name == card["name"]
    found = detector.detect([np.zeros((50, 80, 3), np.uint8)] * 3, min_score=0.0, max_boxes=5)
    assert [len(f) for f in found] == [5, 5, 5]


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(
    tiny_set: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    config = tiny_config(tiny_set, tmp_path / "model", "steps=2")
    # the schedule must be that of four steps, so the run is stopped from outside at its first checkpoint
    from vision.training.detector import DetectorRun

    class StoppedHereError(Exception):
        pass

    class StoppedRun(DetectorRun):
        def save(self) -> None:
            super().save()
            raise StoppedHereError

    with pytest.raises(StoppedHereError):
        StoppedRun(config | {"steps": 4}, tmp_path).train()
    train_detector(config | {"steps": 4}, out=tmp_path, resume=True)
    unbroken = torch.load(trained[0] / "last.ckpt", weights_only=True)
    resumed = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for key, value in unbroken["average"].items():
        torch.testing.assert_close(resumed["average"][key], value, rtol=1e-4, atol=1e-5)


def test_with_a_start_share_the_export_lies_between_start_and_end(
    tiny_set: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    start = trained[1] / "model.safetensors"
    config = tiny_config(tiny_set, tmp_path / "model", f"start={start}", "start_share=0.25")
    model = train_detector(config, out=tmp_path, resume=False)
    first = build_network(str(start)).state_dict()
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)["chosen"]
    moved = 0
    for key, value in build_network(str(model / "model.safetensors")).state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * first[key] + 0.75 * last[key], rtol=2e-3, atol=1e-3)
            moved += not torch.equal(first[key], last[key])
    assert moved > 100


@pytest.mark.parametrize(("start", "share"), [("yolov8n.yaml", 0.5), ("model.safetensors", 1.5)])
def test_a_start_share_must_be_one_and_needs_trained_weights(
    tiny_set: Path, trained: tuple[Path, Path], tmp_path: Path, start: str, share: float
) -> None:
    path = trained[1] / start if start.endswith(".safetensors") else start
    with pytest.raises(UsageError) as caught:
        train_detector(
            tiny_config(tiny_set, tmp_path, f"start={path}", f"start_share={share}"), out=tmp_path, resume=False
        )
    assert (caught.value.code, "start_share" in caught.value.message) == ("bad_config", True)


def test_onnx_gives_the_answers_of_torch_for_any_batch_and_shape(trained: tuple[Path, Path]) -> None:
    # trained for four steps a network answers everything alike: random weights of some size tell more
    network = build_network("yolov8n.yaml")
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.requires_grad:
            torch.nn.init.kaiming_normal_(parameter)
    folder = export_model(network, trained[0] / "random", size=96, names=("logo", "product"), card={"name": "random"})
    rng = np.random.default_rng(0)
    network.eval()
    session = weights.session(folder / "model.onnx")
    for wide, size, stride in [(90, 96, None), (90, 96, 32), (200, 128, 32), (30, 160, 32), (70, 32, 32)]:
        pictures = [rng.integers(0, 255, (70, wide, 3)).astype(np.uint8) for _ in range(3)]
        batch = to_input([letterbox(p, size, stride)[0] for p in pictures])
        with torch.no_grad():
            expected = network(torch.from_numpy(batch))[0].numpy()
        assert np.ptp(expected[:, 4:]) > 1e-3
        for rows in (batch, batch[:1]):
            answer = session.run(None, {"images": rows})[0]
            np.testing.assert_allclose(answer[:, :4], expected[: len(rows), :4], atol=0.05)
            np.testing.assert_allclose(answer[:, 4:], expected[: len(rows), 4:], atol=1e-3)


def test_an_export_without_a_card_is_read_by_its_own_metadata(trained: tuple[Path, Path], tmp_path: Path) -> None:
    alone = tmp_path / "mine.onnx"
    alone.write_bytes((trained[1] / "model.onnx").read_bytes())
    known = Detector.load(alone).settings
    assert (known.size, known.stride, known.kinds, known.parts) == (96, 32, ("logo", "product"), False)
    assert Detector.load(alone, size=160).settings.size == 160


def test_training_goes_on_from_what_was_exported(trained: tuple[Path, Path]) -> None:
    network = build_network(str(trained[1] / "model.safetensors"))
    saved = torch.load(trained[0] / "last.ckpt", weights_only=True)["average"]
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, saved[key], rtol=2e-3, atol=2e-4)


def test_a_pickle_is_read_only_when_trusted(tmp_path: Path) -> None:
    network = build_network("yolov8n.yaml")
    network.names = {0: "Nike", 1: "bottle"}
    torch.save({"model": network, "train_args": {"imgsz": 100}}, tmp_path / "mine.pt")
    for refused in (
        lambda: import_weights(tmp_path / "mine.pt", tmp_path / "out", trust_pickle=False),
        lambda: build_network(str(tmp_path / "mine.pt")),
    ):
        with pytest.raises(UsageError):
            refused()
    assert not (tmp_path / "out").exists()
    detector = Detector.load(import_weights(tmp_path / "mine.pt", tmp_path / "out", trust_pickle=True))
    assert (detector.settings.size, detector.settings.kinds) == (128, ("logo", "product"))
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(WeightsError):
        import_weights(tmp_path / "junk.pt", tmp_path / "out2", trust_pickle=True)


def test_held_out_brands_are_never_shown(tiny_set: Path, tmp_path: Path) -> None:
    data = load_data(tiny_config(tiny_set, tmp_path))
    shown = {name: len(group) for name, group in data.groups.items()}
    assert len(data.held_out) == 5
    assert shown == {"logos": 11, "products": 0, "photos": 0, "packshots": 0, "drawn": 6}
    assert all(b.brand == "Brand 2" for p in data.held_out for b in p.boxes)


def test_the_same_step_shows_the_same_batch(tiny_set: Path, tmp_path: Path) -> None:
    data = load_data(tiny_config(tiny_set, tmp_path))

    def batch(step: int) -> np.ndarray:
        return draw_batch(data, Stage(1, {"logos": 1}, (96,)), step, seed=1, batch=4)[0]

    np.testing.assert_array_equal(batch(3), batch(3))
    assert (batch(3) != batch(4)).any()


def test_a_false_alarm_counts_where_somebody_looked() -> None:
    labels = make_labels([((0, 0, 32, 32), 0)], [(0, 0.25, 0, 0, 48, 96), (0, 0.0, 0, 0, 96, 16)])
    weighed = anchor_weights([labels], 96, [8, 16, 32])[0]
    assert weighed.shape == (144 + 36 + 9, 2)
    fine = weighed[:144].reshape(12, 12, 2)  # rows, columns, kinds at stride 8
    assert fine[0, 0, 0] == fine[1, 11, 0] == 0
    assert fine[5, 2, 0] == 0.25
    assert fine[5, 8, 0] == 1
    assert (fine[..., 1] == 1).all()
    assigner = StrengthAssigner(torch.nn.Identity())
    loss = LenientBCE(assigner)
    scores, targets = torch.full((1, 189, 2), 2.0), torch.zeros(1, 189, 2)
    targets[0, 0, 0] = 0.7  # assigned to the true box: taught in full, though it lies in a region
    plain = loss(scores, targets)
    loss.weights = weighed[None]
    lenient = loss(scores, targets)
    assert lenient[0, 0, 0] == plain[0, 0, 0] > 0
    assert lenient[0, 1, 0] == 0 < plain[0, 1, 0]
    loss.weights = torch.zeros(1, 189, 2)
    nobody_looked = loss(scores, targets)
    assert nobody_looked[0, 0, 1] == plain[0, 0, 1] > 0  # a logo is no product
    assert nobody_looked[0, 1:].sum() == 0
    assigner.predicted = torch.zeros(1, 189, dtype=torch.bool)
    assigner.predicted[0, 7] = True  # it sees a product that stands alone as a logo
    as_a_whole = loss(scores, targets)
    assert as_a_whole[0, 7, 0] == plain[0, 7, 0] > 0
    assert as_a_whole[0, 7, 1] == as_a_whole[0, 8:].sum() == 0


def test_packshots_are_taught_by_what_stands_out_from_the_white(tmp_path: Path) -> None:
    pixels = np.full((80, 100, 3), 255, np.uint8)
    pixels[20:60, 30:90] = (40, 60, 90)
    Image.fromarray(pixels).save(tmp_path / "mug.png")
    Image.fromarray(pixels // 2).save(tmp_path / "dark.png")  # no white ground: nothing is known of it
    rows = [{"image": "mug.png"}, {"image": "dark.png"}]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = {
        "stages": [{"until": 1, "shares": {"packshots": 1.0}}],
        "packshots": {"path": str(tmp_path / "shots.jsonl")},
        "unsearched_weight": 0.25,
        "size": 96,
    }
    (example,) = load_data(config).groups["packshots"]
    assert example.labels.kinds.tolist() == [1]
    np.testing.assert_allclose(example.labels.boxes, [[30, 20, 90, 60]], atol=2)
    assert example.labels.regions[:, 0].tolist() == [0, ALONE]
    with pytest.raises(KeyError):
        load_data({name: value for name, value in config.items() if name != "packshots"})


def test_a_product_that_stands_alone_is_no_logo_as_a_whole() -> None:
    class Assigned(torch.nn.Module):
        def forward(self, _: Any, boxes: torch.Tensor) -> tuple[Any, ...]:
            return None, None, torch.zeros(*boxes.shape[:2], 2), None, torch.zeros(boxes.shape[:2])

    packshot = make_labels([((20, 20, 80, 60), 1)], [(0, 0.0, 20, 20, 80, 60), (ALONE, 0.0, 20, 20, 80, 60)])
    assert anchor_weights([packshot], 96, [8])[0].reshape(12, 12, 2)[5, 5].tolist() == [0, 1]
    assigner = StrengthAssigner(Assigned())
    predicted = torch.tensor([[[22.0, 20, 78, 60], [22, 20, 40, 30], [0, 0, 0, 0]]] * 2)
    assigner.alone = padded_alone([make_labels([], []), packshot])
    assigner(None, predicted)
    assert assigner.predicted is not None
    assert assigner.predicted.tolist() == [[False] * 3, [True, False, False]]
    assigner.alone = padded_alone([make_labels([], [])])
    assigner(None, predicted[:1])
    assert assigner.predicted is None


def test_a_logo_that_its_source_passed_over_is_taught_less_strongly() -> None:
    class Assigned(torch.nn.Module):
        def forward(self) -> tuple[Any, ...]:
            numbers = torch.tensor([[0, 1, 1], [0, 0, 0]])
            return None, None, torch.full((2, 3, 2), 0.8), None, numbers

    boxes = [((0, 0, 9, 9), 0), ((20, 20, 40, 40), 0)]
    assigner = StrengthAssigner(Assigned())
    assigner.strengths = padded_strengths([make_labels(boxes, [], [1.0, 0.4]), make_labels([], [])])
    scores = assigner()[2]
    torch.testing.assert_close(scores[0, :, 0], torch.tensor([0.8, 0.32, 0.32]))
    assert (scores[1] == 0.8).all()
    assigner.strengths = padded_strengths([make_labels([], []), make_labels([], [])])
    assert (assigner()[2] == 0.8).all()


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    from vision.errors import DatasetError

    with pytest.raises(DatasetError):
        load_data({"stages": [{"until": 1, "shares": {"logos": 1.0}}], "unsearched_weight": 0.25, "size": 96})
    with pytest.raises(UsageError):
        train_detector({"size": 96}, out=tmp_path, resume=False)


def test_a_batch_holds_what_its_group_holds() -> None:
    example = Example(np.full((96, 96, 3), 90, np.uint8), make_labels([((10, 10, 80, 80), 1)], []))
    data = DetectorData({"products": (example,), "photos": ()}, ())
    pixels, labels = draw_batch(data, Stage(1, {"products": 1}, (64, 128), whole=True), 0, seed=0, batch=3)
    assert pixels.shape in {(3, 64, 64, 3), (3, 128, 128, 3)}
    assert all(found.kinds.tolist() == [1] for found in labels)


@pytest.mark.parametrize("ends", [[], [0.5], [0.6, 0.4, 1]])
def test_stages_must_cover_the_run(ends: list[float]) -> None:
    with pytest.raises(UsageError):
        stages_of({"size": 96, "stages": [{"until": end, "shares": {"logos": 1}} for end in ends]})


def test_a_turned_picture_keeps_its_boxes_on_what_they_hold() -> None:
    pixels = np.zeros((40, 70, 3), np.uint8)
    pixels[5:15, 50:66] = 255
    example = Example(pixels, make_labels([((50, 5, 66, 15), 0)], [(1, 0.0, 50, 5, 66, 15)]))
    for quarters in range(5):
        shown = turned(example, quarters)
        for left, top, right, bottom in (shown.labels.boxes[0].astype(int), shown.labels.regions[0, 2:].astype(int)):
            assert (shown.pixels[top:bottom, left:right] == 255).all()
            assert int((shown.pixels > 0).sum()) == 3 * (right - left) * (bottom - top)


def test_sources_that_are_left_out_are_not_read(tiny_set: Path, tmp_path: Path) -> None:
    from vision.errors import DatasetError

    config = tiny_config(tiny_set, tmp_path) | {"sources_left_out": [tiny_set.parent.name]}
    for stage in config["stages"]:
        stage["shares"] = {"logos": 1}
    with pytest.raises(DatasetError, match="logos"):
        load_data(config)


def test_8_bit_convolutions_find_what_float_ones_find(tmp_path: Path) -> None:
    root = TINY.parents[1]
    network = build_network(str(root / "weights" / "detector" / "model.safetensors"))
    pictures = sorted((root / "datasets" / "samples" / "images").glob("*.jpg"))
    inputs = [to_input([letterbox(read_picture(p).pixels, 416)[0]]) for p in pictures]
    card = json.loads((root / "weights" / "detector" / "card.json").read_text(encoding="utf-8"))
    kept = {k: card[k] for k in ("name", "operating_point", "nms_iou", "part_suppression")}
    detectors = []
    for name, calibration in (("float", []), ("int8", inputs)):
        export_model(network, tmp_path / name, size=416, names=("logo", "product"), card=kept, calibration=calibration)
        detectors.append(Detector.load(tmp_path / name))
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("float", "int8")]
    assert sizes[1] < 0.7 * sizes[0]
    for expected, found in zip(*(d.detect(pictures, min_score=0.3) for d in detectors), strict=True):
        sure = expected.scores >= 0.6  # of doubtful boxes suppression may keep another
        assert (iou(expected.boxes[sure], found.boxes).max(axis=1, initial=0) >= 0.8).all()
