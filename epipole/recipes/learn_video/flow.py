"""Dense optical flow between two gray images, and the check that follows it forth and back."""

import threading

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Gray = UInt8[np.ndarray, "h w"]
Flow = Float[np.ndarray, "h w 2"]

TOLERANCE, SHARE, LONGEST = 0.5, 0.05, 20.0
"""Flow counts when following it forth and back ends within this many pixels plus this share of its length, of which no
more than the last number of pixels counts: a long flow is no excuse for being wrong."""


_per_thread = threading.local()  # a DIS object holds its buffers, so threads cannot share one


def _dis(finest: int) -> cv2.DISOpticalFlow:
    """DIS that stops at the scale 1 / 2^finest."""
    known = _per_thread.__dict__.setdefault("dis", {})
    if finest not in known:
        known[finest] = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        known[finest].setFinestScale(finest)
    return known[finest]


def dense_flow(first: Gray, second: Gray, guess: Flow | None = None) -> Flow:
    """Flow in pixels from `first` to `second` (DIS, Kroeger et al. 2016), down to the full resolution.

    With a guess g, `second` is first warped by it; the flow r to the warped image gives r(x) + g(x + r(x)).
    The same on every machine within `one_thread`.
    """
    if guess is None:
        return _dis(0).calc(first, second, None)  # type: ignore[call-overload]
    rest = _dis(0).calc(first, followed(second, guess), None)  # type: ignore[call-overload]
    return rest + followed(guess, rest)


def quick_flow(first: Gray, second: Gray) -> Flow:
    """The same down to half the resolution, enlarged: a quarter of the time, and as good for a motion of the camera,
    which hundreds of pixels determine together."""
    return _dis(1).calc(first, second, None)  # type: ignore[call-overload]


def followed(image: np.ndarray, flow: Flow, outside: float | None = None) -> np.ndarray:
    """image(x + flow(x)), linear between pixels; beyond the border the border's value, or `outside`."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    values = [outside or 0.0] * 4
    return cv2.remap(image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, None, border, values)


def consistent(forward: Flow, backward: Flow) -> Bool[np.ndarray, "h w"]:
    """Where |f(x) + b(x + f(x))| stays below the tolerance; what leaves the image never does."""
    returned = followed(backward, forward, outside=1e6)
    allowed = TOLERANCE + SHARE * np.minimum(np.linalg.norm(forward, axis=-1), LONGEST)
    return np.linalg.norm(forward + returned, axis=-1) < allowed


def both_ways(first: Gray, second: Gray, guess: tuple[Flow, Flow] | None) -> tuple[np.ndarray, np.ndarray]:
    """Flow in network pixels (2, h, w, 2) and its validity (2, h, w)."""
    there = dense_flow(first, second, guess and guess[0])
    back = dense_flow(second, first, guess and guess[1])
    flow = np.stack([there, back]) / 2
    valid = np.stack([consistent(there, back), consistent(back, there)])
    _, h, w = valid.shape
    blocks = valid.reshape(2, h // 2, 2, w // 2, 2)
    return flow.reshape(*blocks.shape, 2).mean((2, 4)), np.asarray(blocks.all((2, 4)))
