"""How well marks are recognised: true boxes against a library, known and unknown brands, few references, attacks, claims."""

from vision.evaluate.recognition.crops import Crops, Plan, gather
from vision.evaluate.recognition.rankers import RankedBrand, Ranker
from vision.evaluate.recognition.worlds import Looks, Neighbors, World

__all__ = ["Crops", "Looks", "Neighbors", "Plan", "RankedBrand", "Ranker", "World", "gather"]
