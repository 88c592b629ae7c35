"""Depth of key frames with what flow measured, kept on disk, and of any frame with what key frames around it say."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ...formats.atomic import whole_folder
from ...geometry.camera import project, transform, unproject
from ...geometry.motion import se3_inverse
from ...geometry.sample import sample
from ...sources.findings import Look
from .cache import Rows, RowWriter
from .correspond import FlowStore, KeyImages, flow_leaving, in_order
from .doubt import Two, doubt
from .measure import evened, joined, measured, prior, texture
from .predict import KeyDepth, Predicted
from .solve import Solution, one_thread

SAME = (1.0, 0.5, 0.2)
"""Of log depth, round by round: a difference at which another frame's word counts a quarter. What is farther off in the
last round is another surface; a wide first round reaches the right pixel from a bad guess."""
AROUND = 2          # key frames before and after a frame that it is compared with
STRANGERS = 4 * AROUND + 1, 2 * AROUND + 1  # key frames apart, the first that a clip has: such two share no neighbour
ASKED = 24          # key frames that are compared with strangers, evenly spread


def agreed(
    log_depth: Float[Tensor, "h w"], information: Float[Tensor, "h w"], others: Float[Tensor, "v 2 h w"],
    T_other_this: Float[Tensor, "v 4 4"], K: Float[Tensor, "3 3"],
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """log z and its information (1 / variance), joined with those of `others` (their two channels) at the points that
    they see too: looked up where the depth so far says, three times. Others learned from the same flow and err alike:
    n equal ones add sqrt(n) of one's information."""
    now, weight, K = log_depth, torch.zeros_like(others[:, 1:]), K.expand(len(others), 3, 3)
    for same in SAME:
        cloud = transform(T_other_this, unproject(now.exp().expand(len(others), 1, -1, -1), K))
        pixels, front = project(cloud, K)
        there, inside = sample(others, pixels)
        apart = there[:, :1] - cloud[:, 2:].clamp(min=1e-3).log()
        weight = there[:, 1:] * (front & inside) / (1 + (apart / same).square()).square()
        total = information + weight.sum(0)[0]
        now = now + (information * (log_depth - now) + (weight * apart).sum(0)[0]) / total
    return now, information + weight.square().sum(0)[0].sqrt()


class JoinedDepth:
    """What is known of the depth of frames along a path: the network's word, joined with flow's and with that of the
    key frames around, but for those whose pose is a guess. In the unit of the path of the key frames."""

    def __init__(self, folder: Path, keys: KeyImages, path: Solution, seen: Look) -> None:
        self.rows, self.keys, self.scene, self.lost = Rows(folder / "joined.npy"), keys, path.scene, set(path.lost)
        self.cuts, self._row = seen.cuts, lru_cache(maxsize=4 * AROUND)(self._read)
        self.T_world_camera = se3_inverse(self.scene.T_camera_world)

    @staticmethod
    def build(
        folder: Path, keys: KeyImages, path: Solution, seen: Look, stores: list[FlowStore], depth_of: KeyDepth
    ) -> "JoinedDepth":
        """Joins the network's depth of every key frame with what its flow measures; found again if it was kept."""
        if folder.exists():
            return JoinedDepth(folder, keys, path, seen)
        leaving, (w, h) = flow_leaving(stores), keys.size

        def row(said: tuple[int, Predicted]) -> Float32[np.ndarray, "2 h w"]:
            k, predicted = said
            seen_from = [] if k in path.lost else leaving[k]  # without a pose flow measures nothing
            found = measured(k, path.scene, seen_from, texture(keys.gray[k]))
            return np.stack(evened(joined(predicted, found), keys.colour[k], keys.gray[k]))

        with (whole_folder(folder) as part, RowWriter(part / "joined.npy", (2, h, w), np.float32) as rows,
              one_thread()):  # fmt: skip
            for known in in_order(row, ((k, depth_of(k)) for k in range(len(keys))), threads=2):
                rows.append(known)
        return JoinedDepth(folder, keys, path, seen)

    def __call__(self, k: int) -> Predicted:
        """Of a key frame."""
        return self._told(self._of_key_frame(k))

    def of_frame(self, number: int, predicted: Predicted, T_world_camera: Float64[np.ndarray, "4 4"]) -> Predicted:
        """Of any frame of the footage, of which the network alone says `predicted`."""
        k = int(np.searchsorted(self.keys.key_frames, number))
        if k < len(self.keys) and self.keys.key_frames[k] == number:
            return self(k)
        return self._told(self._agreed(prior(predicted), self.around(number), T_world_camera))

    @cached_property
    def doubt(self) -> float:
        """What deviations are multiplied with, by what key frames say that learned nothing of each other's depth."""
        return doubt(self._strangers(), self.scene.K)

    def around(self, number: int) -> list[int]:
        """The key frames before and after a frame in its shot, but for itself."""
        frames = self.keys.key_frames
        shot, shots = (np.searchsorted(self.cuts, n, side="right") for n in (number, frames))
        near = np.setdiff1d(np.flatnonzero(shots == shot), list(self.lost))
        return [*near[frames[near] < number][-AROUND:].tolist(), *near[frames[near] > number][:AROUND].tolist()]

    def _strangers(self) -> Iterator[Two]:
        frames = np.setdiff1d(np.arange(len(self.keys)), list(self.lost))
        shots = np.searchsorted(self.cuts, self.keys.key_frames, side="right")
        gap = next((gap for gap in STRANGERS if gap < len(frames)), len(frames))
        pairs = [(int(a), int(b)) for a, b in zip(frames, frames[gap:], strict=False) if shots[a] == shots[b]]
        for i in np.unique(np.linspace(0, len(pairs) - 1, min(ASKED, len(pairs))).round().astype(int)):
            a, b = pairs[i]
            T = self.scene.T_camera_world[b] @ self.T_world_camera[a]
            yield Two(_known(self._of_key_frame(a)), _known(self._of_key_frame(b)), T)

    def _told(self, known: Predicted) -> Predicted:
        return known._replace(log_variance=known.log_variance + np.float32(2 * np.log(self.doubt)))

    def _of_key_frame(self, k: int) -> Predicted:
        T_world_camera = self.T_world_camera[k].double().numpy()
        return self._agreed(Predicted(*self.rows[k]), self.around(int(self.keys.key_frames[k])), T_world_camera)

    def _agreed(self, own: Predicted, near: list[int], T_world_camera: Float64[np.ndarray, "4 4"]) -> Predicted:
        if not near:
            return own
        T = self.scene.T_camera_world[near] @ torch.from_numpy(T_world_camera).to(self.scene.T_camera_world)
        log_depth, information = _known(own)
        others = torch.stack([self._row(k) for k in near])
        log_depth, information = agreed(log_depth, information, others, T, self.scene.K)
        return Predicted(log_depth.exp().numpy(), -information.log().numpy())

    def _read(self, k: int) -> Float[Tensor, "2 h w"]:
        return _known(Predicted(*self.rows[k]))


def _known(predicted: Predicted) -> Float[Tensor, "2 h w"]:
    """log z and its information."""
    return torch.from_numpy(np.stack([np.log(predicted.depth), np.exp(-predicted.log_variance)]))
