"""Labelled pictures: read from files of any common format, checked, converted and summed up."""

# The formats that are read and written, what classes can be called, and what becomes of the pictures. Here, where nothing heavy
# is imported, for the command line.
FORMATS = ("coco", "voc", "yolo", "csv", "jsonl")
NAMINGS = ("label", "kind", "brand")
IMAGES = ("copy", "link", "leave")
