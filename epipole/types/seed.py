"""Seeds that every random generator takes."""

from .errors import InputError

SEEDS = 2**63  # torch's generator takes twice as many, and some that follow from one are a little larger


def check_seed(seed: int) -> int:
    """The seed; raises InputError for one that is negative or too large for a random generator."""
    if not 0 <= seed < SEEDS:
        raise InputError(f"the seed {seed} is not one of 0 to {SEEDS - 1}; choose one of these")
    return seed
