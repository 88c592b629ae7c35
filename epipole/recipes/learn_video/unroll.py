"""Rolling shutter: a frame's rows are read one after the other while the camera moves, each from a pose of its own.

Flow between such frames is turned into what a camera would have seen that takes each frame at once, in the middle of
its read-out: every pixel moves to where its point stood then, by the pose of its row. That pose lies on the smooth way
through the key frames, and the point where the anchors' depth has it, so that path and flow take turns.
"""

from pathlib import Path
from shutil import rmtree

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline
from torch import Tensor

from ...formats.atomic import whole_folder
from ...geometry.anchors import rays
from ...geometry.motion import se3_inverse
from .cache import RowWriter
from .correspond import FlowStore
from .solve import STRIDE, Solution
from .stages import Run, refined, stored

TURNS = 3           # of flow and path
FARTHEST = 20.0     # typical depths and their inverse, between which anchors are believed
PATH = "path-unrolled-{}"
UNROLLED = PATH.format(TURNS - 1)


def with_whole_frames(
    run: Run, stores: list[FlowStore], path: Solution, numbers: Int[np.ndarray, "n"], shots: Int[np.ndarray, "n"],
    share: float, free_focal: bool,
) -> tuple[list[FlowStore], Solution]:
    """Flow and path as of whole frames, where read-out from top to bottom takes this share of a frame's time. The flow
    of every turn but the last is removed again."""
    whole = stores
    for turn in range(TURNS):
        file, folder = run.work / f"{PATH.format(turn)}.safetensors", run.work / f"unrolled-{turn}"
        last, before = turn == TURNS - 1, path
        if last or not file.exists():
            with run.phase("unroll"):
                speed = speeds(before, numbers, shots)
                whole = [unrolled(folder / str(k), store, before, speed, share) for k, store in enumerate(stores)]
        path = stored(file, lambda before=before, flow=whole: refined(run, before, flow, free_focal))
        if not last:
            rmtree(folder, ignore_errors=True)
    return whole, path


def speeds(path: Solution, numbers: Int[np.ndarray, "n"], shots: Int[np.ndarray, "n"]) -> Float[Tensor, "n 6"]:
    """Velocity and angular velocity (v, w) per frame of every key frame, in its own axes, by splines through the key
    frames of its shot; 0 where there is but one."""
    T, found = se3_inverse(path.scene.T_camera_world).double().numpy(), np.zeros((len(numbers), 6), np.float32)
    for shot in np.unique(shots):
        mine = np.flatnonzero(shots == shot)
        if len(mine) > 1:
            R, times = T[mine, :3, :3], numbers[mine].astype(np.float64)
            v = CubicSpline(times, T[mine, :3, 3])(times, 1)
            found[mine, :3] = np.einsum("nij,ni->nj", R, v)
            found[mine, 3:] = RotationSpline(times, Rotation.from_matrix(R))(times, 1)
    return torch.from_numpy(found)


def unrolled(folder: Path, store: FlowStore, path: Solution, speed: Float[Tensor, "n 6"], share: float) -> FlowStore:
    """The store as of whole frames, made or remembered. Raises InputError where the disk refuses."""
    if folder.exists():
        return FlowStore.open(folder)
    (w, h), valid_share = store.size, np.zeros_like(store.share)
    folder.parent.mkdir(exist_ok=True)
    with (whole_folder(folder) as part, RowWriter(part / "flow.npy", (2, h, w, 2), np.float16) as flows,
          RowWriter(part / "valid.npy", (2, (w * h + 7) // 8), np.uint8) as bits):  # fmt: skip
        for p, (a, b) in enumerate(store.pairs.tolist()):
            raw, valid = store.flow[p].astype(np.float32), store.valid(p)
            both = [whole_flow(raw[k], valid[k], path, source, target, speed, share)
                    for k, (source, target) in enumerate(((a, b), (b, a)))]
            flow, seen = (np.stack(part) for part in zip(*both, strict=True))
            flows.append(flow)
            bits.append(np.packbits(seen.reshape(2, -1), axis=-1))
            valid_share[p] = seen.mean((1, 2))
        np.save(part / "pairs.npy", store.pairs)
        np.save(part / "share.npy", valid_share)
    return FlowStore(folder)


def whole_flow(
    flow: Float[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"], path: Solution, source: int, target: int,
    speed: Float[Tensor, "n 6"], share: float,
) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """Flow of the pixels of a whole frame to where a whole frame sees their points, and where it is known."""
    h, w = valid.shape
    K, T = path.scene.K, path.scene.T_camera_world
    pixels = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).float()
    nearness = anchors_everywhere(path, source, (w, h))
    read = pixels - delay(pixels, nearness, K, speed[source], share, h)     # where the source's rows had the point
    moved, seen = looked_up(flow, valid, read.numpy())
    there = read + torch.from_numpy(moved)                                  # where the target's rows have it
    ray = torch.cat([rays(pixels, K), nearness[..., None]], -1) @ (T[target] @ se3_inverse(T[source]))[:3].mT
    nearness = nearness / ray[..., 2].clamp(min=1e-2)
    return (there + delay(there, nearness, K, speed[target], share, h) - pixels).numpy(), seen


def delay(
    pixels: Float[Tensor, "h w 2"], nearness: Float[Tensor, "h w"], K: Float[Tensor, "3 3"], speed: Float[Tensor, "6"],
    share: float, height: int,
) -> Float[Tensor, "h w 2"]:
    """How far points (with their inverse depth) move over the image from the time of their row to the middle row's, to
    first order in the camera's motion between both."""
    late = share * (pixels[..., 1:] / (height - 1) - 0.5).clamp(-0.5, 0.5)
    ray = rays(pixels, K)
    v, w = speed[:3], speed[3:].expand_as(ray)
    at = ray + late * (torch.linalg.cross(w, ray) + nearness[..., None] * v)
    focal = torch.stack([K[0, 0], K[1, 1]])
    return at[..., :2] / at[..., 2:].clamp(min=0.1) * focal + K[:2, 2] - pixels


def anchors_everywhere(path: Solution, frame: int, size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Inverse depth of every pixel, linear between the anchors of a frame."""
    q, first = path.scene.inverse_depth[frame].numpy(), STRIDE // 2
    typical = float(np.median(q))
    grid = q.reshape(len(range(first, size[1], STRIDE)), -1).clip(typical / FARTHEST, typical * FARTHEST)
    u, v = ((np.arange(n, dtype=np.float32) - first) / STRIDE for n in size)
    whole = cv2.remap(grid.astype(np.float32), *np.meshgrid(u, v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(whole)


def looked_up(
    flow: Float[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"], at: Float[np.ndarray, "h w 2"]
) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """Flow between pixels, and where all that it is taken from is valid."""
    u, v = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    found = cv2.remap(np.ascontiguousarray(flow), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    sure = cv2.remap(valid.astype(np.float32), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(found), np.asarray(sure > 0.999)
