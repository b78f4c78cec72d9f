"""Labelled pictures: read from files of any common format, checked, converted and summed up."""
