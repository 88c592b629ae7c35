"""Where one image was taken from, seen against one key frame of known pose and depth."""

from typing import NamedTuple

import cv2
import numpy as np
import poselib
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8

from ...geometry.anchors import rays
from ...geometry.motion import move, rotation_to_quaternion
from .flow import Gray, quick_flow
from .predict import steep

ANCHORS = 600           # points of a key frame
BORDER = 0.08           # share of the side from which no anchors are taken; into half of it none are followed
INLIER_PX = 1.0         # of the network
ENOUGH = 24             # inliers with which a frame counts as placed,
ENOUGH_SHARE = 0.3      # the share of all anchors in view that they must be,
ENOUGH_LIKENESS = 0.5   # and the correlation of gray levels where the flow leads: flow into anything else is smooth too
FLOW_NOISE_PX = 0.5     # of the network: below this distance two key frames count the same

Pose = Float64[np.ndarray, "4 4"]
Camera = Float64[np.ndarray, "3 3"]


class Anchors(NamedTuple):
    """Pixels of a key frame (u, v; of the network) and their points in the world."""

    gray: Gray
    pixels: Int64[np.ndarray, "n 2"]
    points: Float64[np.ndarray, "n 3"]


def anchors_of(
    depth: Float[np.ndarray, "h w"], K: Camera, T_world_camera: Pose, gray: UInt8[np.ndarray, "2*h 2*w"]
) -> Anchors:
    """About `ANCHORS` pixels on a grid, well inside the image and away from edges of depth, and their points."""
    h, w = depth.shape
    known = np.isfinite(depth) & (depth > 0)
    usable = known & ~steep(np.where(known, depth, 1))
    left, top = round(BORDER * w), round(BORDER * h)
    stride = max(1.0, np.sqrt((w - 2 * left) * (h - 2 * top) / ANCHORS))
    v, u = np.meshgrid(np.arange(top, h - top, stride).astype(int), np.arange(left, w - left, stride).astype(int))
    pixels = np.stack([u.ravel(), v.ravel()], -1)
    pixels = pixels[usable[pixels[:, 1], pixels[:, 0]]]
    z = torch.from_numpy(depth[pixels[:, 1], pixels[:, 0]].astype(np.float64))
    camera = z[:, None] * rays(torch.from_numpy(pixels.astype(np.float64)), torch.from_numpy(K))
    return Anchors(gray, pixels, move(torch.from_numpy(T_world_camera), camera).numpy())


def locate(gray: Gray, key: Anchors, K: Camera, guess: Pose, seed: int) -> tuple[Pose, float] | None:
    """T_world_camera of an image by the points of one key frame, and its weight 1 / variance (up to a factor).

    `gray` is (2w, 2h), `K` and the error threshold are of the network's (w, h), `guess` is tried first. None where too
    few points are found again. To be called within `one_thread`.
    """
    observed = key.pixels + _flow_at(quick_flow(key.gray, gray), key.pixels)
    seen = _inside(observed, key.gray.shape)
    if seen.sum() < ENOUGH or _likeness(key.gray, gray, key.pixels[seen], observed[seen]) < ENOUGH_LIKENESS:
        return None
    camera = {"model": "PINHOLE", "width": key.gray.shape[1] // 2, "height": key.gray.shape[0] // 2,
              "params": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]}  # fmt: skip
    ransac = {"max_reproj_error": INLIER_PX, "seed": seed, "min_iterations": 10, "max_iterations": 200}
    refinement = {"loss_type": "CAUCHY", "loss_scale": INLIER_PX / 2}
    pose, info = poselib.estimate_absolute_pose(
        observed[seen], key.points[seen], camera, ransac, refinement, _camera_pose(guess)
    )
    inliers = int(info["num_inliers"])
    if inliers < max(ENOUGH, ENOUGH_SHARE * seen.sum()):
        return None
    distance = float(np.median(np.linalg.norm((observed - key.pixels)[seen], axis=1)))
    T_camera_world = np.vstack([pose.Rt, [0, 0, 0, 1]])
    return np.linalg.inv(T_camera_world), inliers / (distance**2 + FLOW_NOISE_PX**2)


def _flow_at(flow: Float[np.ndarray, "h w 2"], pixels: Int64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
    """Flow of pixels of the network, each of which is the area of 2 x 2 pixels of the flow."""
    u, v = 2 * pixels.T
    return (flow[v, u] + flow[v, u + 1] + flow[v + 1, u] + flow[v + 1, u + 1]).astype(np.float64) / 8


def _inside(pixels: Float64[np.ndarray, "n 2"], shape: tuple[int, ...]) -> Bool[np.ndarray, "n"]:
    last = np.array([shape[1] // 2, shape[0] // 2]) - 1
    return np.all((pixels >= BORDER / 2 * last) & (pixels <= (1 - BORDER / 2) * last), axis=1)


def _likeness(
    first: Gray, second: Gray, pixels: Int64[np.ndarray, "n 2"], observed: Float64[np.ndarray, "n 2"]
) -> float:
    """Correlation of gray levels at `pixels` of the first and `observed` of the second image; 0 without contrast."""
    a, b = _gray_at(first, pixels), _gray_at(second, observed)
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def _gray_at(gray: Gray, pixels: Float[np.ndarray, "n 2"] | Int64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n"]:
    at = (2 * pixels + 0.5).astype(np.float32)
    return cv2.remap(gray, at[:, :1], at[:, 1:], cv2.INTER_LINEAR)[:, 0].astype(np.float64)


def _camera_pose(T_world_camera: Pose) -> poselib.CameraPose:
    T = np.linalg.inv(T_world_camera)
    pose = poselib.CameraPose()
    pose.q = rotation_to_quaternion(torch.from_numpy(T[:3, :3].copy())).roll(1).numpy()  # w first
    pose.t = T[:3, 3]
    return pose
