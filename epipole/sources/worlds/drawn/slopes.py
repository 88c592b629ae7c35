"""Lines that rise or fall: is the number of rising ones odd, do all go the same way? The first question cannot be
learned from its answers alone once there are three lines (Shalev-Shwartz et al. 2017), the second one can."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from epipole.types.errors import InputError
from epipole.types.views import Views

from ..spec import Spec
from .strokes import ink

STEEPNESS = (0.1, 1.3)           # rad of the line against the horizontal, either way
PEN = 1.5                        # px
NOISE = (0.0, 0.05, 0.15, 0.3)   # standard deviation by difficulty, full range = 1
AGREEING = 0.5                   # share of samples whose lines all go the same way, where it is asked for


class Slopes:
    """`slopes[i]` is `count` pictures [count 1 h w] of one line each (20 x 20 px in the lesson), and as their labels
    whether it rises to the right (1) or falls (0).

    agree   half of all samples are made to agree, for the question `all_same`; else each line goes as it likes, and
            `odd` is true for half of all samples
    Raises InputError for a spec of another family.
    """

    provides = frozenset({"image", "label"})

    def __init__(self, spec: Spec, count: int = 4, agree: bool = False) -> None:
        if spec.family != "slopes":
            raise InputError(f"Slopes draws the family 'slopes', not {spec.family!r}")
        self.spec, self.count, self.agree = spec, count, agree

    def __len__(self) -> int:
        return self.spec.frames

    def __getitem__(self, index: int) -> Views:
        s, i = self.spec, range(len(self))[index]
        rng = s.random("slopes", i)
        rising = rng.integers(0, 2, self.count)
        if self.agree:
            rising = _agreeing(rising, rng)
        images = [self._line(bool(up), rng) for up in rising]
        return Views(image=torch.from_numpy(np.stack(images))[:, None], label=torch.from_numpy(rising))

    def _line(self, up: bool, rng: np.random.Generator) -> np.ndarray:
        s = self.spec
        angle = rng.uniform(*STEEPNESS) * (-1 if up else 1)  # v points down
        middle = (np.array([s.width, s.height]) - 1) / 2 + rng.uniform(-0.2, 0.2, 2) * [s.width, s.height]
        along = (s.width + s.height) * np.array([np.cos(angle), np.sin(angle)])
        image = ink([np.stack([middle - along, middle + along])], s.width, s.height, PEN)
        return np.clip(image + NOISE[s.difficulty] * rng.standard_normal(image.shape), 0, 1).astype(np.float32)


def _agreeing(rising: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same signs, but in half of all cases all of them one sign, and in the others not."""
    count = len(rising)
    if rng.random() < AGREEING:
        return np.repeat(rising[:1], count)
    if count > 1 and (rising == rising[0]).all():
        rising[rng.integers(count)] ^= 1
    return rising


def odd(label: Int64[Tensor, "*b n"]) -> Bool[Tensor, "*b"]:
    """Whether the number of rising lines is odd."""
    return label.sum(-1) % 2 == 1


def all_same(label: Int64[Tensor, "*b n"]) -> Bool[Tensor, "*b"]:
    """Whether all lines rise or all fall."""
    return (label == label[..., :1]).all(-1)
