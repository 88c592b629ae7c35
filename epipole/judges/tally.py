"""Means of errors over pixels that pass by once: memory grows with neither pixels nor images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Shaped

from ..types.errors import InputError

Average = Literal["images", "pixels"]  # the mean of the images' means, or one mean over all pixels


def average_words(average: Average) -> str:
    """Which mean it is, for a protocol."""
    return "mean over images of their means" if average == "images" else "mean over the pixels of all images"


class Tally:
    """Named means, by the mean over images or over pixels; an image without pixels of a name does not count there."""

    def __init__(self, average: Average = "pixels") -> None:
        self.average = average
        self._sum: dict[str, float] = {}
        self._weight: dict[str, float] = {}
        self._images: dict[str, int] = {}
        self.images = 0

    def add(self, errors: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
        """The errors of one image's pixels, by name."""
        self.images += any(x.size for x in errors.values())
        for name, x in errors.items():
            if not x.size:
                continue
            mean, weight = float(np.mean(x, dtype=np.float64)), 1 if self.average == "images" else x.size
            self._images[name] = self.count(name) + 1
            self._sum[name] = self._sum.get(name, 0.0) + weight * mean
            self._weight[name] = self._weight.get(name, 0) + weight

    def count(self, name: str) -> int:
        """How many images had a pixel of this name."""
        return self._images.get(name, 0)

    def means(self) -> dict[str, float]:
        """The mean of every name that had a pixel."""
        return {name: total / self._weight[name] for name, total in self._sum.items()}


def check_pair(prediction: Shaped[np.ndarray, "..."], truth: Shaped[np.ndarray, "..."], what: str) -> None:
    """Raises InputError unless both are of one shape."""
    if prediction.shape != truth.shape:
        raise InputError(f"the predicted {what} is {_size(prediction)} and the true one {_size(truth)}; "
                         "bring the prediction to the truth's size")


def check_finite(values: Shaped[np.ndarray, "..."], what: str, where: Bool[np.ndarray, "..."] | None = None) -> None:
    """Raises InputError, with the count, if some of the values, or of those `where` they are judged, are not finite."""
    bad = ~np.isfinite(values)
    count = int((bad if where is None else bad & where).sum())
    if count:
        raise InputError(f"{count} values of the {what} are not finite and cannot be judged")


def _size(x: Shaped[np.ndarray, "..."]) -> str:
    return "x".join(map(str, x.shape)) or "a number"
