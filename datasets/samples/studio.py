"""A photo studio in a few functions: surfaces with printed marks go in, a photograph and the exact box of each mark come out.

Mitsuba traces the light, so that shadows, reflections, focus and perspective are right without our doing. The same scene is
rendered a second time with nothing but the marks on it, which gives each mark's visible pixels, whatever bends or covers it.
Units are centimetres, z is up; colours are sRGB in [0, 1] until Mitsuba makes them linear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import drjit
import mitsuba as mi
import numpy as np
import numpy.typing as npt

mi.set_variant("scalar_rgb")  # no LLVM and no GPU needed; the same samples on every machine
Floats = npt.NDArray[np.float32]

SIZE = (640, 480)
NUMBERS = 256  # marks and products of one picture, at most


@dataclass(frozen=True)
class Paint:
    """How a surface looks. colour: (h, w, 3) sRGB in [0, 1]. marks: number of a mark to its (h, w) coverage in [0, 1].
    part_of: number of the mark that the whole surface belongs to, for example a product.

    rough: of the gloss, 0.02 polished to 0.6 satin, None for none at all. metal: a mirror under that roughness. bump: (h, w)
    heights in centimetres. cover: (h, w) opacity. glow: radiance of a screen or a sign with a lamp behind it.
    """

    colour: Floats
    marks: dict[int, Floats] = field(default_factory=dict)
    rough: float | None = None
    metal: bool = False
    bump: Floats | None = None
    cover: Floats | None = None
    glow: float = 0.0
    part_of: int | None = None


@dataclass(frozen=True)
class Camera:
    """Where it stands, what it looks at, its horizontal angle in degrees, and its lens opening in centimetres (0: all sharp)."""

    at: tuple[float, float, float]
    to: tuple[float, float, float]
    angle: float = 38.0
    opening: float = 0.0


class Studio:
    """Surfaces and light, to be photographed once."""

    def __init__(self, camera: Camera, sky: Floats, *, size: tuple[int, int] = SIZE) -> None:
        self.camera, self.sky, self.size = camera, sky, size
        self.surfaces: list[tuple[Floats, Paint]] = []

    def add(self, points: Floats, paint: Paint | Floats | Sequence[float]) -> None:
        """A surface: (h, w, 3) points, the first row the top edge of its paint, the first column the left. A colour is matt."""
        if not isinstance(paint, Paint):
            colour = np.asarray(paint, np.float32)
            paint = Paint(colour if colour.ndim == 3 else np.tile(colour, (2, 2, 1)))
        self.surfaces.append((np.asarray(points, np.float32), paint))

    def photograph(self, *, samples: int, seed: int, exposure: float = 1.0) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB, with the grain and the soft corners of a small camera."""
        linear = self._render({"type": "path", "max_depth": 6}, samples, seed)[..., :3]
        return developed(linear * exposure, seed)

    def boxes(self, *, least_pixels: int = 30) -> dict[int, tuple[float, float, float, float]]:
        """xyxy box of the visible pixels of each mark, right and bottom exclusive; marks that hardly show are left out.

        Each pixel of these renders is one ray and holds the number of what it hit; four of them see what one ray misses.
        """
        seen = [
            np.rint(self._render({"type": "aov", "aovs": "mark:albedo"}, 1, seed, numbered=True)[..., -3:-1] * NUMBERS)
            - 1
            for seed in range(4)
        ]
        found = {}
        for number in sorted({int(n) for layer in seen for n in np.unique(layer) if n >= 0}):
            ys, xs = np.nonzero(np.any([(layer == number).any(axis=2) for layer in seen], axis=0))
            if len(xs) >= least_pixels:
                found[number] = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        return found

    def _render(self, integrator: dict[str, Any], samples: int, seed: int, *, numbered: bool = False) -> Floats:
        drjit.set_thread_count(1)
        with tempfile.TemporaryDirectory() as folder:
            scene: dict[str, Any] = {
                "type": "scene",
                "integrator": integrator,
                "sensor": self._sensor(samples, sharp=numbered),
            }
            if not numbered:
                upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
                scene["sky"] = {"type": "envmap", "bitmap": mi.Bitmap(self.sky), "to_world": upright}
            for number, (points, paint) in enumerate(self.surfaces):
                path = Path(folder) / f"{number}.ply"
                _write_ply(path, points, paint.cover)
                shape: dict[str, Any] = {
                    "type": "ply",
                    "filename": str(path),
                    "bsdf": _numbers(paint) if numbered else _bsdf(paint),
                }
                if paint.glow and not numbered:
                    shape["emitter"] = {
                        "type": "area",
                        "radiance": _texture(_linear(paint.colour) * paint.glow, raw=True),
                    }
                scene[f"surface{number}"] = shape
            return np.array(mi.render(mi.load_dict(scene), seed=seed), dtype=np.float32)

    def _sensor(self, samples: int, *, sharp: bool) -> dict[str, Any]:
        camera, (width, height) = self.camera, self.size
        lens = camera.opening > 0 and not sharp
        sensor: dict[str, Any] = {
            "type": "thinlens" if lens else "perspective",
            "fov": camera.angle,
            "to_world": mi.ScalarTransform4f().look_at(origin=camera.at, target=camera.to, up=[0, 0, 1]),
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": height,
                "rfilter": {"type": "box" if sharp else "gaussian"},
            },
            "sampler": {"type": "multijitter", "sample_count": samples},
        }
        if lens:
            distance = float(np.linalg.norm(np.subtract(camera.at, camera.to)))
            sensor |= {"aperture_radius": camera.opening, "focus_distance": distance}
        return sensor


def developed(linear: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """Linear light to a picture as a small camera saves it: shoulder for the lights, soft corners, grain, some sharpening."""
    random = np.random.default_rng(seed)
    height, width = linear.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light = np.maximum(linear, 0) * (1 - 0.16 * (x**2 + y**2))[..., None]
    # Narkowicz 2015, ACES filmic tone curve
    toned = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    srgb = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * toned ** (1 / 2.4) - 0.055)
    picture = cv2.fastNlMeansDenoisingColored((srgb * 255).astype(np.uint8), None, 2, 5, 5, 15).astype(np.float32)
    grain = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 0.7) * 3.2
    picture += (
        grain[..., None]
        + cv2.GaussianBlur(random.normal(0, 1, (height, width, 3)).astype(np.float32), (0, 0), 1.1) * 2.4
    )
    picture += 0.35 * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _numbers(paint: Paint) -> dict[str, Any]:
    """Paint that says which mark (red) and which product (green) a ray hit, as (number + 1) / NUMBERS."""
    codes = np.zeros((*paint.colour.shape[:2], 3), np.float32)
    for number, cover in paint.marks.items():
        codes[cover > 0.4, 0] = (number + 1) / NUMBERS
    if paint.part_of is not None:
        codes[..., 1] = (paint.part_of + 1) / NUMBERS
    return _covered(
        paint, {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": _texture(codes, raw=True, nearest=True)}}
    )


def _bsdf(paint: Paint) -> dict[str, Any]:
    if paint.metal:
        bsdf: dict[str, Any] = {"type": "roughconductor", "material": "Al", "alpha": paint.rough or 0.1}
        bsdf["specular_reflectance"] = _texture(paint.colour)
    elif paint.rough is not None:
        bsdf = {
            "type": "roughplastic",
            "alpha": paint.rough,
            "diffuse_reflectance": _texture(paint.colour),
            "nonlinear": True,
        }
    else:
        bsdf = {"type": "diffuse", "reflectance": _texture(paint.colour)}
    if paint.bump is not None:
        height_map = np.repeat(paint.bump[..., None], 3, axis=2)
        bsdf = {"type": "bumpmap", "arbitrary": _texture(height_map, raw=True), "scale": 1.0, "bsdf": bsdf}
    return _covered(paint, {"type": "twosided", "bsdf": bsdf})


def _covered(paint: Paint, bsdf: dict[str, Any]) -> dict[str, Any]:
    if paint.cover is not None:
        opacity = np.repeat(paint.cover[..., None], 3, axis=2)
        bsdf = {"type": "mask", "opacity": _texture(opacity, raw=True), "bsdf": bsdf}
    return bsdf


def _texture(values: Floats, *, raw: bool = False, nearest: bool = False) -> dict[str, Any]:
    values = np.ascontiguousarray(values, np.float32)
    if raw:
        kind = "nearest" if nearest else "bilinear"
        return {"type": "bitmap", "bitmap": mi.Bitmap(values), "raw": True, "wrap_mode": "clamp", "filter_type": kind}
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)),
        "wrap_mode": "clamp",
    }


def _linear(srgb: Floats) -> Floats:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _write_ply(path: Path, points: Floats, cover: Floats | None) -> None:
    """A grid of points as triangles with smooth normals and texture coordinates; none where nothing covers."""
    height, width = points.shape[:2]
    # paint is spread by length on the surface, not by steps of the grid
    v = np.repeat(_lengths(points)[:, None], width, 1)
    u = np.repeat(_lengths(points.swapaxes(0, 1))[None, :], height, 0)
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(down, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    vertices = np.concatenate([points, normals, u[..., None], v[..., None]], axis=2).reshape(-1, 8).astype("<f4")
    index = np.arange(height * width).reshape(height, width)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)]).astype("<i4")
    if cover is not None:
        there = cv2.resize(cover, (width, height), interpolation=cv2.INTER_LINEAR).ravel() > 0
        triangles = triangles[there[triangles].any(axis=1)]
    faces = np.zeros(len(triangles), dtype=[("n", "u1"), ("i", "<i4", 3)])
    faces["n"], faces["i"] = 3, triangles
    names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz", "u", "v"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{names}"
    header += f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_bytes(header.encode() + vertices.tobytes() + faces.tobytes())


def _lengths(points: Floats) -> Floats:
    """How far each row of points is from the first, as a share of the whole way, averaged over the columns."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1)
    return np.concatenate([[0], np.cumsum(steps) / max(steps.sum(), 1e-9)]).astype(np.float32)


# Shapes: grids of points.


def sheet(centre: Sequence[float], right: Sequence[float], down: Sequence[float], steps: int = 2) -> Floats:
    """A flat rectangle: `right` from its left to its right edge, `down` from its top to its bottom edge."""
    v, u = np.mgrid[-0.5 : 0.5 : steps * 1j, -0.5 : 0.5 : steps * 1j]
    return (np.asarray(centre) + u[..., None] * np.asarray(right) + v[..., None] * np.asarray(down)).astype(np.float32)


def revolved(
    profile: Sequence[tuple[float, float]], centre: Sequence[float], *, steps: int = 128, turn: float = 0.0
) -> Floats:
    """A turned body: (radius, height) from top to bottom, around the vertical. Its paint starts at `turn` degrees."""
    radius, height = np.array(profile, np.float32).T
    angle = np.deg2rad(turn) + np.linspace(0, 2 * np.pi, steps)
    x, y = np.cos(angle), np.sin(angle)
    points = np.stack([radius[:, None] * x, radius[:, None] * y, np.repeat(height[:, None], steps, 1)], axis=2)
    return (points + np.asarray(centre)).astype(np.float32)


def tube(path: Floats, radius: float, steps: int = 32) -> Floats:
    """A bent rod around an (n, 3) path that lies in one vertical plane."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(path[1] - path[0], path[len(path) // 2] - path[0])
    side /= np.linalg.norm(side)
    other = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, steps)
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other[:, None, :]
    return (path[:, None, :] + radius * ring).astype(np.float32)


def box_faces(
    centre: Sequence[float], size: Sequence[float], *, turn: float = 0.0, soft: float = 0.15
) -> dict[str, Floats]:
    """The six faces of a box with edges rounded by `soft`: front, back, left, right, top, bottom, each to be painted upright.

    size: width, depth, height. The front looks along -y when `turn` is 0.
    """
    w, d, h = size
    views = {
        "front": ((0, -d / 2, 0), (w, 0, 0), (0, 0, -h)),
        "back": ((0, d / 2, 0), (-w, 0, 0), (0, 0, -h)),
        "left": ((-w / 2, 0, 0), (0, -d, 0), (0, 0, -h)),
        "right": ((w / 2, 0, 0), (0, d, 0), (0, 0, -h)),
        "top": ((0, 0, h / 2), (w, 0, 0), (0, -d, 0)),
        "bottom": ((0, 0, -h / 2), (w, 0, 0), (0, d, 0)),
    }
    inner = np.maximum(np.array([w, d, h]) / 2 - soft, 1e-3)
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    rotate = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    faces = {}
    for name, (at, right, down) in views.items():
        points = sheet(at, right, down, steps=40)
        core = np.clip(points, -inner, inner)
        away = points - core
        rounded = core + away / np.maximum(np.linalg.norm(away, axis=2, keepdims=True), 1e-9) * soft
        faces[name] = (rounded @ rotate + np.asarray(centre)).astype(np.float32)
    return faces


# Light and textures. Directions are a compass from above: 0 is +y (away from the camera), 90 is +x, 180 the camera's side.


def room_light(
    *, windows: Sequence[tuple[float, float, float, float, float]], fill: float = 0.35, warm: float = 0.0
) -> Floats:
    """A sky of soft boxes: each (direction in degrees, height, width, tall, strength); `fill` is the light of the walls."""
    height, width = 128, 256
    latitude, longitude = np.mgrid[90 : -90 : height * 1j, 0 : 360 : width * 1j]
    light = np.full((height, width), fill, np.float32) * (0.7 + 0.3 * np.sin(np.deg2rad(latitude)))
    for towards, up, wide, tall, strength in windows:
        across = np.abs((longitude - towards + 180) % 360 - 180)
        edge = np.clip((wide / 2 - across) / 4 + 0.5, 0, 1) * np.clip(
            (tall / 2 - np.abs(latitude - up)) / 4 + 0.5, 0, 1
        )
        light += (strength * edge).astype(np.float32)
    return np.stack([light * (1 + warm), light, light * (1 - warm)], axis=2).astype(np.float32)


def open_sky(*, sun: tuple[float, float], strength: float = 60.0, cloud: float = 0.5, seed: int = 0) -> Floats:
    """Daylight with thin clouds; sun: direction and height in degrees."""
    height, width = 256, 512
    latitude, longitude = np.mgrid[90 : -90 : height * 1j, 0 : 360 : width * 1j].astype(np.float32)
    up = np.clip(np.sin(np.deg2rad(latitude)), 0, 1)[..., None]
    blue, haze = np.array([0.25, 0.45, 0.85]), np.array([0.85, 0.92, 1.0])
    sky = haze + (blue - haze) * up**0.5
    clouds = np.clip(noise((height, width), (24, 60), seed, octaves=5) * 2.2 - 1.1 + cloud, 0, 1)[..., None]
    sky = sky + (1.05 - sky) * clouds
    sky = np.where(latitude[..., None] < 0, np.array([0.32, 0.31, 0.29]), sky)
    apart = np.sin(np.deg2rad(latitude)) * np.sin(np.deg2rad(sun[1]))
    apart = apart + np.cos(np.deg2rad(latitude)) * np.cos(np.deg2rad(sun[1])) * np.cos(np.deg2rad(longitude - sun[0]))
    disc = np.exp(-((np.rad2deg(np.arccos(np.clip(apart, -1, 1))) / 3.0) ** 2))[..., None]
    return (sky + disc * strength * np.array([1.0, 0.93, 0.82])).astype(np.float32)


def noise(shape: tuple[int, int], grain: float | tuple[float, float], seed: int, *, octaves: int = 1) -> Floats:
    """Smooth noise in about [0, 1]; grain: size of its features in pixels, down and across; each octave is half as large."""
    random = np.random.default_rng(seed)
    grain_y, grain_x = grain if isinstance(grain, tuple) else (grain, grain)
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = (
            max(2, int(shape[1] / max(grain_x / 2**octave, 1))) + 1,
            max(2, int(shape[0] / max(grain_y / 2**octave, 1))) + 1,
        )
        coarse = random.random((size[1], size[0]), dtype=np.float32)
        total += cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / sum(1 / 2**octave for octave in range(octaves))


def plain(colour: Sequence[float], *, size: tuple[int, int] = (512, 512), vary: float = 0.03, seed: int = 0) -> Floats:
    """A colour that is not quite even: (h, w, 3)."""
    uneven = 1 + vary * 2 * (noise(size, 120, seed, octaves=6) - 0.5)
    return (np.asarray(colour, np.float32) * uneven[..., None]).astype(np.float32)


def wood(size: tuple[int, int], *, dark: Sequence[float], light: Sequence[float], planks: int, seed: int) -> Floats:
    """Boards side by side, grain from left to right."""
    random = np.random.default_rng(seed)
    height = size[0]
    y = np.arange(height)[:, None]
    board = (y * planks // height).ravel()
    grain = noise(size, (7, 500), seed, octaves=4) * 0.4 + noise(size, (1.2, 70), seed + 1, octaves=1) * 0.6
    rings = 0.5 + 0.5 * np.sin(18 * (noise(size, (90, 900), seed + 2, octaves=3) + y / height * planks * 0.35))
    share = np.clip(0.55 * grain + 0.3 * rings + 0.25 * random.random(planks)[board][:, None], 0, 1)[..., None]
    colour = np.asarray(dark) + (np.asarray(light) - np.asarray(dark)) * share
    gap = np.abs((y * planks / height + 0.5) % 1 - 0.5) * height / planks
    colour = colour * np.where(gap < 1.6, 0.35, 1.0)[..., None]
    return colour.astype(np.float32)


def bricks(size: tuple[int, int], *, rows: int, seed: int) -> tuple[Floats, Floats]:
    """A wall of bricks: its colour and its relief (0 joints, 1 bricks)."""
    random = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    tall = height / rows
    long = tall * 3.0
    row = (y // tall).astype(int)
    column = ((x + (row % 2) * long / 2) // long).astype(int)
    tone = random.random((rows + 1, int(width / long) + 3)).astype(np.float32)[row, column]
    inside_y = np.minimum(y % tall, tall - y % tall) / tall
    inside_x = np.minimum((x + (row % 2) * long / 2) % long, long - (x + (row % 2) * long / 2) % long) / tall
    ragged = (noise(size, 9, seed, octaves=2) - 0.5) * 0.05
    solid = np.clip((np.minimum(inside_x, inside_y) - 0.055 + ragged) / 0.03, 0, 1)
    fine = noise(size, 4, seed + 1, octaves=3)
    brick = (
        np.array([0.50, 0.26, 0.19]) + (np.array([0.66, 0.38, 0.28]) - np.array([0.50, 0.26, 0.19])) * tone[..., None]
    ) * (0.82 + 0.36 * fine[..., None])
    mortar = np.array([0.62, 0.59, 0.55]) * (0.85 + 0.3 * fine[..., None])
    colour = mortar + (brick - mortar) * solid[..., None]
    return np.clip(colour, 0, 1).astype(np.float32), (solid * (0.9 + 0.2 * fine)).astype(np.float32)
