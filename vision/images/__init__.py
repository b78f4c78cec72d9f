"""Files become pictures: found in sorted order, decoded once, upright sRGB."""

from vision.images.decode import read_picture

__all__ = ["read_picture"]
