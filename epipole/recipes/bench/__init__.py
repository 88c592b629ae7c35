"""Systems and baselines beside each other: the same budget, the same unseen data, one table."""

from .fields import FIELDS, systems_of
from .program import Bench, bench

__all__ = ["FIELDS", "Bench", "bench", "systems_of"]
