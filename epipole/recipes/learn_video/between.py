"""Frames between key frames that see little of each other: what is near and quick is seen there too, and teaches.

The path stands on key frames far enough apart to show scale. Where a car drives metres from one to the next, half of
the picture has no checked flow; a frame half way sees both, and is placed by its flow to them.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ...geometry.anchors import Scene, triangulate
from ...geometry.motion import se3_interpolate
from ...sources.findings import Look
from ...sources.footage import Footage
from .adjust import adjust_some, put_back, windows
from .correspond import FlowStore, KeyImages
from .matches import homography_guesses
from .solve import Solution, edges_of
from .stages import Run, correspond, key_images, stored

ENOUGH = 0.7  # share of valid flow between neighbours from which there is nothing to gain


class Between(NamedTuple):
    """A frame of the footage, and the key frames (their indices) before and after it."""

    frame: int
    before: int
    after: int


def frames_between(
    key_frames: Int[np.ndarray, "n"], pairs: Int[np.ndarray, "p 2"], share: Float[np.ndarray, "p"],
    usable: Bool[np.ndarray, "f"], lost: list[int],
) -> list[Between]:
    """The middle one of the usable frames between neighbours that see less than `ENOUGH` of each other, but something.

    `share` of valid flow of each of the `pairs` of key frames.
    """
    seen, found = dict(zip(map(tuple, pairs.tolist()), share.tolist(), strict=True)), list[Between]()
    for a, (first, last) in enumerate(pairwise(key_frames.tolist())):
        inside = [f for f in range(first + 1, last) if usable[f]]
        if inside and seen.get((a, a + 1), 1.0) < ENOUGH and not {a, a + 1} & set(lost):
            found.append(Between(inside[len(inside) // 2], a, a + 1))
    return found


def with_frames_between(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, stores: list[FlowStore], path: Solution
) -> tuple[KeyImages, list[FlowStore], Solution]:
    """Key images, flow and path with those frames among them; as they were where there are none."""
    found = frames_between(keys.key_frames, stores[0].pairs, stores[0].share.mean(1), seen.usable, path.lost)
    if not found:
        return keys, stores, path
    dense = key_images(run, footage, sorted({*keys.key_frames.tolist(), *(b.frame for b in found)}), keys.size, "dense")
    index = np.searchsorted(dense.key_frames, keys.key_frames)
    at = [(int(index[b.before]), int(np.searchsorted(dense.key_frames, b.frame)), int(index[b.after])) for b in found]
    pairs = [pair for a, b, c in at for pair in ((a, b), (b, c))]
    near = correspond(run, "between", dense, pairs, homography_guesses(dense.gray))
    if not len(near):  # what lies between sees no more than they do
        return keys, stores, path
    for store in stores:
        store.pairs = index[store.pairs]
    stores = [*stores, near]
    with run.phase("place between"):
        path = stored(run.work / "path-dense.safetensors", lambda: placed(path, stores, index, at))
        unseen = sorted({b for _, b, _ in at} - set(near.pairs.flatten().tolist()))  # no flow places them
        return dense, stores, path._replace(lost=[*path.lost, *unseen])


def placed(path: Solution, stores: list[FlowStore], index: np.ndarray, at: list[tuple[int, int, int]]) -> Solution:
    """The frames in the middle of `at` begin half way between their neighbours and are adjusted by their flow to them,
    the poses of the key frames (whose new indices are `index`) held; then all depths are, by all flow."""
    n, (T, q, K, _) = len(index) + len(at), path.scene
    poses, depths, held = torch.eye(4).repeat(n, 1, 1), torch.full((n, q.shape[1]), 1.0), torch.zeros(n).bool()
    poses[index], depths[index], held[index] = T, q, True
    for a, b, c in at:
        poses[b] = se3_interpolate(poses[a], poses[c], torch.tensor(0.5))
    scene = Scene(poses, depths, K)
    (near, pixels), (edges, _) = edges_of(stores[-1:]), edges_of(stores)
    for _, b, _ in at:
        depths[b] = triangulate(scene, near, pixels, b, float(q.median()))
    for frames in windows(n):
        part = adjust_some(scene, near, pixels, frames, fixed=held[frames], iterations=6)
        scene = put_back(scene, part.scene, frames)
        part = adjust_some(scene, edges, pixels, frames, fixed=torch.ones(len(frames)).bool(), iterations=2)
        scene = put_back(scene, part.scene, frames)
    return path._replace(scene=scene, lost=[int(index[k]) for k in path.lost])
