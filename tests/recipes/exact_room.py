"""The room world as if all that comes before learning had gone perfectly: exact flow, path and anchor depths."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from epipole.formats.atomic import whole_folder
from epipole.geometry.anchors import Scene
from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video.cache import RowWriter
from epipole.recipes.learn_video.correspond import FlowStore, KeyImages, chain_pairs
from epipole.recipes.learn_video.predict import KeyDepth, Predicted
from epipole.recipes.learn_video.solve import Solution, edges_of
from epipole.sources.folder import FolderFootage
from epipole.sources.worlds import RoomWorld, Spec, write_world

SPEC = Spec(seed=5, frames=20, width=96, height=64, speed=8.0)  # the network's size too; every frame is a key frame


class ExactRoom(NamedTuple):
    world: RoomWorld
    folder: Path            # of the footage
    keys: KeyImages
    store: FlowStore
    depth: torch.Tensor     # [n, h, w] of every key frame; its median over the clip is 1
    solution: Solution

    @property
    def depth_of(self) -> KeyDepth:
        return lambda k: Predicted(self.depth[k].numpy(), np.zeros_like(self.depth[k].numpy()))


def exact_room(folder: Path, spec: Spec = SPEC) -> ExactRoom:
    world = RoomWorld(spec)
    footage = FolderFootage(write_world(spec, folder / "room"))
    keys = KeyImages.write(folder / "keys", footage, range(spec.frames), (spec.width, spec.height))
    pairs = chain_pairs([0] * spec.frames, (1, 2, 4, 8))
    store = store_of(folder / "chain", pairs, [both_ways(world, a, b) for a, b in pairs])
    depth = torch.stack([world[i].depth[0, 0] for i in range(spec.frames)])
    pose, unit = world.poses.clone(), float(depth.median())
    pose[:, :3, 3] /= unit
    return ExactRoom(world, folder / "room", keys, store, depth / unit, solution_of(store, pose, depth / unit, world.K))


def solution_of(store: FlowStore, T_world_camera: torch.Tensor, depth: torch.Tensor, K: torch.Tensor) -> Solution:
    """What solving would give if it found exactly this."""
    _, pixels = edges_of([store])
    u, v = pixels.long().T
    scene = Scene(se3_inverse(T_world_camera).float(), 1 / depth[:, v, u], K.float())
    return Solution(scene, pixels, [], 0.0, 0.0)


def both_ways(world: RoomWorld, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact flow [2, h, w, 2] and where it is seen [2, h, w]."""
    flows, seen = zip(world.flow(a, b), world.flow(b, a), strict=True)
    return torch.stack(flows).permute(0, 2, 3, 1).numpy(), torch.cat(seen).numpy()


def store_of(folder: Path, pairs: list[tuple[int, int]], flows: list[tuple[np.ndarray, np.ndarray]]) -> FlowStore:
    """A store as `FlowStore.build` would leave it had it measured these flows."""
    _, h, w, _ = flows[0][0].shape
    with (whole_folder(folder) as part, RowWriter(part / "flow.npy", (2, h, w, 2), np.float16) as flow,
          RowWriter(part / "valid.npy", (2, (w * h + 7) // 8), np.uint8) as bits):
        for moved, valid in flows:
            flow.append(moved)
            bits.append(np.packbits(valid.reshape(2, -1), axis=-1))
        np.save(part / "pairs.npy", np.array(pairs, np.int64))
        np.save(part / "share.npy", np.array([valid.mean((1, 2)) for _, valid in flows], np.float32))
    return FlowStore.open(folder)
