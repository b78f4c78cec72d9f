"""Weights with cards, from real and drawn data. Needs the extra `train`."""
