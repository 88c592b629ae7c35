"""The room world as footage that was learned to perfection: frames on disk, a network that knows the true depth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from epipole.engine.system import System
from epipole.geometry.camera import resize_intrinsics
from epipole.recipes.learn_video.correspond import KeyImages
from epipole.sources.findings import Look
from epipole.sources.folder import FolderFootage
from epipole.sources.footage import resized
from epipole.sources.worlds import RoomWorld, Spec, write_world
from epipole.types.predictions import Depth
from epipole.types.views import Views

SPEC = Spec(seed=2, frames=24, width=192, height=144, speed=3.0)
SIZE = (112, 80)  # of the network: another aspect ratio than the footage's
KEYS = [2, 6, 10, 14, 17, 21]
METRES = 2.5      # a unit of the network


class KnowsTheRoom(System):
    """Recognises an image by its thumbnail and answers with the true depth, in units of `METRES`."""

    paper, needs, reads = "none", frozenset({"image"}), frozenset({"image"})

    def __init__(self, images: torch.Tensor, depth: torch.Tensor) -> None:
        super().__init__()
        self.thumbnail = nn.AdaptiveAvgPool2d(8)
        self.register_buffer("known", self.thumbnail(images).flatten(1))
        self.register_buffer("depth", depth)

    def forward(self, batch: Views) -> Depth:
        thumbnails = self.thumbnail(batch.image[:, 0]).flatten(1).float()
        depth = self.depth[torch.cdist(thumbnails, self.known).argmin(1)][:, None, None]
        return Depth(depth=depth, log_variance=torch.full_like(depth, -4.0))


class Room(NamedTuple):
    world: RoomWorld
    folder: Path
    footage: FolderFootage
    look: Look
    keys: KeyImages
    system: KnowsTheRoom
    path: np.ndarray        # T_world_camera of every frame, units of METRES, from the first camera
    K: np.ndarray           # of the footage
    K_network: np.ndarray


def learned_room(folder: Path, spec: Spec = SPEC, key_frames: list[int] = KEYS) -> Room:
    world = RoomWorld(spec)
    footage = FolderFootage(write_world(spec, folder / "room"))
    images = [resized(resized(f.image, (2 * SIZE[0], 2 * SIZE[1])), SIZE) for f in footage.read()]
    true = RoomWorld(Spec(**{**spec.__dict__, "width": SIZE[0], "height": SIZE[1]}))  # only for its shape
    true.K = resize_intrinsics(world.K, SIZE[0] / spec.width, SIZE[1] / spec.height)
    depth = [torch.nan_to_num(true[i].depth[0, 0], 100.0) / METRES for i in range(spec.frames)]
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    path = world.poses.numpy().copy()
    path[:, :3, 3] /= METRES
    K_network = true.K.numpy()
    keys = KeyImages.write(folder / "keys", footage, key_frames, SIZE)
    return Room(world, folder / "room", footage, a_look(footage, spec.frames, key_frames), keys,
                KnowsTheRoom(stacked, torch.stack(depth)), np.linalg.inv(path[0]) @ path, world.K.numpy(), K_network)


def a_look(footage: FolderFootage, frames: int, key_frames: list[int]) -> Look:
    ones, no = np.ones(frames), np.zeros(frames, bool)
    return Look("room", footage.width, footage.height, None, 0.035, np.arange(frames, dtype=float), ones, ones, ones,
                0.01 * ones, no, no.copy(), key_frames, [], [])
