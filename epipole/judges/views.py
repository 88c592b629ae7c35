"""Judges new views against photographs: L1, PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Tally, check_finite, check_pair

WINDOW, SIGMA = 11, 1.5  # of SSIM, px
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for images in [0, 1]


@dataclass(frozen=True)
class ViewProtocol(Protocol):
    """ceiling: the PSNR in dB of images so alike that it would be higher, or infinite."""

    ceiling: float = 100.0

    def words(self) -> str:
        return (f"images in [0, 1], predictions clipped to it, pixels that are known; PSNR of each image, at most "
                f"{self.ceiling:g} dB; SSIM by Gaussian windows of {WINDOW} px, sigma {SIGMA:g}, that lie inside and "
                "are known; mean over images")


class ViewFrame(NamedTuple):
    """A predicted image in [0, 1], the true one, where it is known if not everywhere, and, if there is one, the nearest
    view that was given, to compare with."""

    prediction: Float[np.ndarray, "c h w"]
    truth: Float[np.ndarray, "c h w"]
    valid: Bool[np.ndarray, "h w"] | None = None
    nearest: Float[np.ndarray, "c h w"] | None = None


def judge_views(frames: Iterable[ViewFrame], protocol: ViewProtocol | None = None) -> list[Score]:
    """l1, psnr (dB), ssim, beside a grey image of the truth's mean and, where it is given, a copy of the nearest view.

    An image without a whole window has no SSIM. Raises InputError where no pixel is known, for shapes that disagree,
    and for images that are not finite where they are judged.
    """
    protocol = protocol or ViewProtocol()
    tallies = {name: Tally("images") for name in ("", "mean colour", "nearest view")}
    for frame in frames:
        check_pair(frame.prediction, frame.truth, "image")
        valid = np.ones(frame.truth.shape[1:], bool) if frame.valid is None else frame.valid
        if not valid.any():
            continue
        mean = np.broadcast_to(frame.truth[:, valid].mean(1)[:, None, None], frame.truth.shape)
        for name, image in (("", frame.prediction), ("mean colour", mean), ("nearest view", frame.nearest)):
            if image is not None:
                tallies[name].add(_numbers(image, frame.truth, valid, protocol))
    own = tallies.pop("")
    if not own.images:
        raise InputError("no view can be judged: no pixel of the truth is known")
    beside = {name: tally.means() for name, tally in tallies.items() if tally.images == own.images}
    return [protocol.score(name, value, "dB" if name == "psnr" else "", f"{own.count(name)} images",
                           {rival: numbers[name] for rival, numbers in beside.items()})
            for name, value in own.means().items()]


def ssim(a: Float64[np.ndarray, "h w"], b: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "y x"]:
    """SSIM of images in [0, 1] (Wang et al. 2004) at the centres of windows that lie inside, (h - 10) x (w - 10)."""
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return similarity / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))


def _numbers(
    image: Float[np.ndarray, "c h w"], truth: Float[np.ndarray, "c h w"], valid: Bool[np.ndarray, "h w"],
    protocol: ViewProtocol,
) -> dict[str, Float64[np.ndarray, "_"]]:
    where = np.broadcast_to(valid, truth.shape)
    check_finite(image, "predicted image", where)
    check_finite(truth, "true image", where)
    a, b = (np.where(where, x, 0).astype(np.float64).clip(0, 1) for x in (image, truth))
    error = (a - b)[where]
    psnr = -10 * np.log10(max((error**2).mean(), 10 ** (-protocol.ceiling / 10)))
    numbers = {"l1": np.abs(error), "psnr": np.array([psnr])}
    if min(valid.shape) < WINDOW:
        return numbers
    whole = _inner(cv2.erode(valid.astype(np.uint8), np.ones((WINDOW, WINDOW)))) > 0
    return numbers | {"ssim": np.concatenate([ssim(x, y)[whole] for x, y in zip(a, b, strict=True)])}


def _blur(x: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "y x"]:
    return _inner(cv2.GaussianBlur(x, (WINDOW, WINDOW), SIGMA))


def _inner(x: np.ndarray) -> np.ndarray:
    """Without the border over which a window would hang."""
    r = WINDOW // 2
    return x[r:-r, r:-r]
