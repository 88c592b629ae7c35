"""Places that a long clip sees again for a moment only: between the few key frames that are compared all with all, a
crossing of its own way is easily missed, and the drift of a long path hides it from what follows of the geometry."""

from collections.abc import Callable, Iterable

from jaxtyping import Float
from torch import Tensor

from ...pipelines.places import candidates, describe, learn_vocabulary

WORDS = 32          # of the vocabulary: 16 kB a key frame
APART = 30          # key frames between the two of a pair: those nearer in time are alike anyway
ALIKE = 3           # of a key frame, at most
MOST_ASKED = 400    # pairs that are held against geometry, the most alike; it bounds the time


def revisits(
    number: int, words_of: Callable[[int], Float[Tensor, "_ d"]], some: Iterable[int]
) -> list[tuple[int, int]]:
    """Pairs a < b of `number` key frames that look alike by VLAD (`pipelines.places`), best first, at most
    `MOST_ASKED`. `words_of` tells a frame's descriptors, one frame after the other, so that only their sums are kept;
    those of `some` frames make the vocabulary. The same for the same frames."""
    known = [words_of(k) for k in some]
    if sum(map(len, known)) == 0:
        return []
    vocabulary = learn_vocabulary(known, WORDS)
    return candidates(describe(map(words_of, range(number)), vocabulary), APART, ALIKE)[:MOST_ASKED]
