"""How much `read_picture` costs over the decoders themselves, on pictures drawn here, all in one run.

    python benchmarks/decode.py [--rounds 30]

One thread. Every decoder gets the same bytes in memory in turn, and the best of all rounds counts, so that a busy machine
disturbs the ratios little. Ours also reads the header, checks size and scans, turns, and takes the digest of the bytes.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from vision.images import read_picture
from vision.quality import measure

SIZES = ((640, 480), (1280, 960), (4000, 3000))


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft shapes under fine grain: about 1.7 bits a pixel at quality 88, as photos of shops have."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 32, width // 32, 3)).astype(np.float32)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 14, (height, width, 1)).astype(np.float32), (3, 3), 0)[..., None]
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88, **options)
    return stream.getvalue()


def best_ms(decoders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(decoders, float("inf"))
    for _ in range(rounds):
        for name, decode in decoders.items():
            start = time.perf_counter()
            decode()
            best[name] = min(best[name], (time.perf_counter() - start) * 1000)
    return best


def one_size(width: int, height: int, rounds: int) -> None:
    image = photograph(width, height)
    exif = Image.Exif()
    exif[0x0112] = 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, dressed = encoded(image), encoded(image, exif=exif, icc_profile=srgb)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    png = stream.getvalue()
    half = width // 2
    picture = read_picture(plain)
    figures = best_ms(
        {
            "simplejpeg": lambda: simplejpeg.decode_jpeg(plain, "RGB", strict=True),
            "cv2": lambda: cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR),
            "Pillow": lambda: np.asarray(Image.open(io.BytesIO(plain)).convert("RGB")),
            "ours": lambda: read_picture(plain),
            "ours, EXIF turn and sRGB profile": lambda: read_picture(dressed),
            f"simplejpeg, at least {half} px": lambda: simplejpeg.decode_jpeg(plain, "RGB", min_width=half),
            f"ours, reduce_to={half}": lambda: read_picture(plain, reduce_to=half),
            "Pillow, PNG": lambda: np.array(Image.open(io.BytesIO(png)).convert("RGB")),
            "ours, PNG": lambda: read_picture(png),
            "quality.measure": lambda: measure(picture),
        },
        rounds,
    )
    print(f"{width} x {height}, {len(plain) // 1000} kB")
    for name, ms in figures.items():
        print(f"  {name:34} {ms:8.2f} ms   {ms / figures['simplejpeg']:5.2f} x simplejpeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="at 4000 x 3000 a sixth of them")
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    for width, height in SIZES:
        one_size(width, height, rounds if width < 2000 else max(3, rounds // 6))


if __name__ == "__main__":
    main()
