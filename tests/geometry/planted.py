"""Points planted before a few cameras, and where exactly each camera sees them."""

import torch
from torch import Tensor

from epipole.geometry.anchors import Edges, Scene
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp

F64 = torch.float64


def planted(frames: int = 4, anchors: int = 12, seed: int = 0, k1: float | None = None) -> tuple[Scene, Edges, Tensor]:
    """A scene, every ordered pair of its frames as an edge that sees all anchors, and the anchors' pixels; float64."""
    lens = torch.zeros(0, dtype=F64) if k1 is None else torch.tensor([k1], dtype=F64)
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(anchors, 2, generator=generator, dtype=F64) * torch.tensor([120, 90])
    spread = torch.tensor([0.5, 0.5, 0.2, 0.08, 0.08, 0.08], dtype=F64)
    T = se3_exp(spread * torch.randn(frames, 6, generator=generator, dtype=F64))
    depth = 2 + 4 * torch.rand(frames, anchors, generator=generator, dtype=F64)
    scene = Scene(T, 1 / depth, intrinsics(100.0, 110.0, 60.0, 45.0), lens)
    source, target = torch.tensor([(i, j) for i in range(frames) for j in range(frames) if i != j]).T
    observed = torch.stack([seen_at(scene, pixels, int(i), int(j)) for i, j in zip(source, target, strict=True)])
    return scene, Edges(source, target, observed, torch.ones(len(source), anchors, dtype=F64)), pixels


def points(scene: Scene, pixels: Tensor, i: int, j: int) -> Tensor:
    """The anchors of frame i as points in the frame of camera j [m, 3], by way of the world."""
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[:, :1])], -1)
    ray = homogeneous @ torch.linalg.inv(scene.K).T
    if len(scene.lens):
        unit = lens_of(scene).straighten(ray[:, :2].T[..., None])[0][..., 0].T
        ray = unit / unit[:, 2:]
    local = ray / scene.inverse_depth[i][:, None]
    world = torch.cat([local, torch.ones_like(local[:, :1])], -1) @ torch.linalg.inv(scene.T_camera_world[i]).T
    return (world @ scene.T_camera_world[j].T)[:, :3]


def seen_at(scene: Scene, pixels: Tensor, i: int, j: int) -> Tensor:
    """Where camera j sees the anchors of frame i [m, 2]."""
    there = points(scene, pixels, i, j)
    if len(scene.lens):
        bent = lens_of(scene).bend(there.T[..., None])[0][..., 0].T
        there = torch.cat([bent, torch.ones_like(bent[:, :1])], -1)
    image = there @ scene.K.T
    return image[:, :2] / image[:, 2:]


def lens_of(scene: Scene) -> BrownConrady:
    """The scene's camera as the lenses have it."""
    zero = torch.zeros((), dtype=F64)
    return BrownConrady(scene.K, scene.lens[0], zero, zero, zero, zero)


def noisy(edges: Edges, px: float, seed: int = 1) -> Edges:
    """The same edges with Gaussian noise on what was seen."""
    grain = torch.randn(edges.observed.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return edges._replace(observed=edges.observed + px * grain)


def disturbed(scene: Scene, pose: float, log_depth: float, log_focal: float = 0.0, keep: int = 1) -> Scene:
    """The scene a little wrong: all poses but the first `keep`, all depths, the focal length."""
    generator = torch.Generator().manual_seed(2)
    twist = pose * torch.randn(len(scene.T_camera_world), 6, generator=generator, dtype=F64)
    twist[:keep] = 0
    q = scene.inverse_depth * torch.exp(log_depth * torch.randn(scene.inverse_depth.shape, generator=generator,
                                                                dtype=F64))
    K = scene.K.clone()
    K[0, 0], K[1, 1] = K[0, 0] * torch.tensor(log_focal).exp(), K[1, 1] * torch.tensor(log_focal).exp()
    return Scene(se3_exp(twist) @ scene.T_camera_world, q, K, scene.lens)
