"""Known brands and their reference vectors: the nearest of them to a crop, and the folder that holds them."""

from vision.library.edits import NewBrand, NewReference
from vision.library.library import Library
from vision.library.state import Brand, Reference

__all__ = ["Brand", "Library", "NewBrand", "NewReference", "Reference"]
