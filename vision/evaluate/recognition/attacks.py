"""What may happen to a mark between artwork and crop, each by itself and at one strength: blur, JPEG, colours, turns, erasure.

Pure. An attack gets a piece of a picture around a box and gives a changed piece with the box where the mark is then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vision.values import Pixels

Corners = npt.NDArray[np.float32]
Random = np.random.Generator
# pixels (h, w, 3) uint8 RGB; box (4,) xyxy pixels inside it
Attack = Callable[[Pixels, Corners, Random], tuple[Pixels, Corners]]


def blur(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """Gaussian, sigma of 4 % of the box's short side, at least one pixel."""
    import cv2

    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), max(1.0, 0.04 * _short(box))), dtype=np.uint8), box


def jpeg(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """JPEG of quality 15."""
    import simplejpeg

    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=15)
    return np.asarray(simplejpeg.decode_jpeg(data), dtype=np.uint8), box


def low_resolution(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """So small that the box's short side has 16 pixels; what is smaller already is halved."""
    import cv2

    scale = min(0.5, 16 / _short(box))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    back = np.array([size[0] / pixels.shape[1], size[1] / pixels.shape[0]] * 2, dtype=np.float32)
    return small, box * back


def recolour(pixels: Pixels, box: Corners, random: Random) -> tuple[Pixels, Corners]:
    """Hues turned by 60 to 300 degrees: another colourway of the same mark."""
    import cv2

    hsv = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(random.integers(30, 151))) % 180  # cv2 halves degrees
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8), box


def grey(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """Without colour."""
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    return np.repeat(np.rint(luma).astype(np.uint8)[..., None], 3, axis=2), box


def invert(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """Its negative."""
    return 255 - pixels, box


def mirror(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
    """Left to right."""
    width = pixels.shape[1]
    return pixels[:, ::-1], np.array([width - box[2], box[1], width - box[0], box[3]], dtype=np.float32)


def erase(pixels: Pixels, box: Corners, random: Random) -> tuple[Pixels, Corners]:
    """A quarter of the box, one of its sides or corners, covered with the colour that is commonest around it."""
    left, top, right, bottom = (int(v) for v in np.rint(box))
    ground = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    wide, high = right - left, bottom - top
    shapes = [(wide // 4, high), (wide, high // 4), (wide // 2, high // 2)]
    w, h = shapes[int(random.integers(3))]
    x = left if random.random() < 0.5 else right - w
    y = top if random.random() < 0.5 else bottom - h
    changed = pixels.copy()
    changed[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = ground.astype(np.uint8)
    return changed, box


def turned(degrees: float) -> Attack:
    """Turned clockwise about the box's centre; the box is the upright one around the mark, as a label would have it."""

    def turn(pixels: Pixels, box: Corners, _: Random) -> tuple[Pixels, Corners]:
        import cv2

        height, width = pixels.shape[:2]
        centre = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)  # cv2 counts from the middle of the first pixel
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), -degrees, 1.0)
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        # quarter turns have a cosine of some 1e-17, not 0
        size = int(np.ceil(width * cos + height * sin - 1e-6)), int(np.ceil(width * sin + height * cos - 1e-6))
        middle = matrix @ np.array([(width - 1) / 2, (height - 1) / 2, 1.0])
        matrix[:, 2] += (np.array(size) - 1) / 2 - middle
        done = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = matrix @ np.array([centre[0], centre[1], 1.0]) + 0.5
        wide, high = box[2] - box[0], box[3] - box[1]
        # the mark hardly fills its corners: the upright box of an ellipse in it
        w, h = np.hypot(wide * cos, high * sin) / 2, np.hypot(wide * sin, high * cos) / 2
        return np.asarray(done, dtype=np.uint8), np.array([x - w, y - h, x + w, y + h], dtype=np.float32)

    return turn


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        "blur": blur,
        "jpeg": jpeg,
        "low resolution": low_resolution,
        "recolour": recolour,
        "grey": grey,
        "invert": invert,
        "mirror": mirror,
        "erase a quarter": erase,
        "turn 15": turned(15),
        "turn 90": turned(90),
        "turn 180": turned(180),
    }
)


def _short(box: Corners) -> float:
    return max(float(min(box[2] - box[0], box[3] - box[1])), 1.0)
