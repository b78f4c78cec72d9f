"""Files become pictures: found in sorted order, decoded once, upright sRGB."""

from vision.images.decode import read_picture, read_size

__all__ = ["read_picture", "read_size"]
