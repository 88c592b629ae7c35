"""Judges classes of images, pixels or voxels from one confusion matrix, and how well segments keep their borders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Tally, check_pair


@dataclass(frozen=True)
class ClassProtocol(Protocol):
    """How classes are compared.

    classes  labels are 0 .. classes - 1
    ignore   true label that does not count
    border   share of an image's diagonal within which two borders are the same (Csurka et al. 2013)
    """

    classes: int
    ignore: int = 255
    border: float = 0.0075

    def words(self) -> str:
        return (f"{self.classes} classes, label {self.ignore} ignored, one confusion matrix over everything, means "
                f"over the classes that the truth has, borders within {100 * self.border:g} % of the diagonal, mean "
                "over images of the mean over their classes")


class ClassFrame(NamedTuple):
    """Predicted and true labels of one image, of its pixels (h, w), or of voxels."""

    prediction: Int[np.ndarray, "*shape"]
    truth: Int[np.ndarray, "*shape"]


def judge_classes(frames: Iterable[ClassFrame], protocol: ClassProtocol) -> list[Score]:
    """accuracy, class_accuracy (mean over classes), mean_iou, weighted_iou (by frequency), each beside what always
    saying the most frequent class scores, and boundary_f where the labels are of pixels.

    A class the truth lacks has no IoU of its own, but what is wrongly called so counts against the others. Raises
    InputError where nothing can be judged, for shapes that disagree and for labels that are no class.
    """
    counts, borders, images = np.zeros((protocol.classes, protocol.classes), np.int64), Tally("images"), 0
    for prediction, truth in frames:
        check_pair(prediction, truth, "labels")
        counts += confusion(prediction, truth, protocol)
        images += 1
        if truth.ndim == 2:
            borders.add({"boundary_f": boundary_f(prediction, truth, protocol)})
    if not counts.sum():
        raise InputError("no class can be judged: the truth has no label that counts")
    numbers, about = class_numbers(counts), f"{images} images, {int((counts.sum(1) > 0).sum())} classes present"
    constant = np.zeros_like(counts)
    constant[:, counts.sum(1).argmax()] = counts.sum(1)
    beside = class_numbers(constant)
    scores = [protocol.score(n, v, "", about, {"most frequent class": beside[n]}) for n, v in numbers.items()]
    return scores + [protocol.score(n, v, "", f"{borders.images} images") for n, v in borders.means().items()]


def confusion(
    prediction: Int[np.ndarray, "*shape"], truth: Int[np.ndarray, "*shape"], protocol: ClassProtocol
) -> Int64[np.ndarray, "K K"]:
    """How often the true class (row) was called by each class (column). Raises InputError for labels that are none."""
    K, counts = protocol.classes, truth != protocol.ignore
    t, p = truth[counts].astype(np.int64), prediction[counts].astype(np.int64)
    for labels, whose in ((t, "true"), (p, "predicted")):
        wrong = int(((labels < 0) | (labels >= K)).sum())
        if wrong:
            raise InputError(f"{wrong} {whose} labels are not among the classes 0 to {K - 1}")
    return np.bincount(t * K + p, minlength=K * K).reshape(K, K)


def class_numbers(counts: Int64[np.ndarray, "K K"]) -> dict[str, float]:
    """accuracy, class_accuracy, mean_iou and weighted_iou of a confusion matrix that is not empty."""
    hits, true = np.diag(counts).astype(np.float64), counts.sum(1).astype(np.float64)
    there = true > 0
    share, iou = hits[there] / true[there], hits[there] / (true + counts.sum(0) - hits)[there]
    return {"accuracy": float(hits.sum() / true.sum()), "class_accuracy": float(share.mean()),
            "mean_iou": float(iou.mean()), "weighted_iou": float((true[there] * iou).sum() / true.sum())}


def boundary_f(
    prediction: Int[np.ndarray, "h w"], truth: Int[np.ndarray, "h w"], protocol: ClassProtocol
) -> Float64[np.ndarray, "k"]:
    """F of the borders of every class in the truth that has one there or in the prediction: harmonic mean of the shares
    of the predicted border near the true one, and of the true one near the predicted one."""
    counts, reach = truth != protocol.ignore, protocol.border * np.hypot(*truth.shape)
    scores = []
    for label in np.unique(truth[counts]):
        p, g = (_border((x == label) & counts, counts) for x in (prediction, truth))
        if p.any() or g.any():
            both = _share_near(p, g, reach), _share_near(g, p, reach)
            scores.append(2 * both[0] * both[1] / sum(both) if sum(both) else 0.0)
    return np.array(scores, np.float64)


def _border(mask: Bool[np.ndarray, "h w"], counts: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask's pixels beside one that counts but is not in it (4-neighbours); the image's edge is no border."""
    outside = np.pad(counts & ~mask, 1)
    beside = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    return mask & beside


def _share_near(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"], reach: float) -> float:
    """Share of a's pixels at most `reach` pixels from one of b's; 0 where a or b is empty."""
    if not a.any() or not b.any():
        return 0.0
    distance = cv2.distanceTransform((~b).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[a] <= reach).mean())
