"""The truth of one view, as the arrays of `Views`: everything the ray-caster knows about every pixel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .camera import Camera, pixel_centres
from .meshes import Array, dot
from .render import View
from .scene import Moment, Scene
from .shading import normals_at, object_points
from .track import Track, points_of

PER_VIEW = ("depth", "depth_valid", "ray_length", "normals", "semantic", "instance", "object_coordinates")
TO_NEXT = ("flow", "flow_valid", "flow_known", "occlusion", "scene_flow")
TO_PREVIOUS = ("backward_flow", "backward_flow_valid", "backward_occlusion")
OF_PAIR = ("disparity", "disparity_valid")


def _image(values: Array, camera: Camera) -> Tensor:
    """Values per pixel [h * w, ...] as a tensor [1, channels, h, w]."""
    channels = values.shape[1] if values.ndim > 1 else 1
    by_channel = np.ascontiguousarray(values.reshape(-1, channels).T)
    return torch.from_numpy(by_channel).reshape(1, channels, camera.height, camera.width)


def _zeroed(values: Array, known: Array) -> Array:
    """Values where they are known, 0 elsewhere, in single precision."""
    return np.where(known if values.ndim == 1 else known[:, None], values, 0).astype(np.float32)


def view_truth(scene: Scene, moment: Moment, camera: Camera, view: View, names: set[str]) -> dict[str, Tensor]:
    """The named ones of PER_VIEW; see `Views` for what they mean."""
    hits = view.hits
    known = np.isfinite(hits.t)
    out: dict[str, Array] = {"depth": _zeroed(hits.t, known), "depth_valid": known}
    if "ray_length" in names:
        out["ray_length"] = _zeroed(np.where(known, hits.t, 0) * np.sqrt(dot(view.directions, view.directions)), known)
    if "normals" in names:
        normal = normals_at(moment, hits) @ camera.T_world_camera[:3, :3]
        out["normals"] = _zeroed(normal, known)
    instance = scene.instance[hits.face]
    if "object_coordinates" in names:
        out["object_coordinates"] = _zeroed(object_points(moment, instance, points_of(view)), known)
    if "semantic" in names:
        out["semantic"] = np.where(known, scene.kind[instance], 0).astype(np.int64)
    if "instance" in names:
        out["instance"] = np.where(known, instance, -1).astype(np.int64)
    return {name: _image(values, camera) for name, values in out.items() if name in names}


def flow_truth(track: Track, now: Camera, then: Camera, names: set[str]) -> dict[str, Tensor]:
    """The named ones of TO_NEXT, from what `track` found."""
    ahead = np.isfinite(track.pixels).all(1)
    flow = np.where(ahead[:, None], track.pixels - pixel_centres(now.width, now.height), 0)
    out = {"flow": flow.astype(np.float32), "flow_valid": track.seen, "flow_known": ahead,
           "occlusion": track.hidden}
    if "scene_flow" in names:
        moved = _in_camera(then, track.after) - _in_camera(now, track.before)
        out["scene_flow"] = _zeroed(moved, np.isfinite(moved).all(1))
    return {name: _image(values, now) for name, values in out.items() if name in names}


def _in_camera(camera: Camera, points: Array) -> Array:
    T = camera.T_world_camera
    return (points - T[:3, 3]) @ T[:3, :3]


def disparity_truth(view: View, camera: Camera, baseline: float, seen: Array) -> dict[str, Tensor]:
    """OF_PAIR: exact at every known pixel, valid where the other camera sees the same point."""
    known = np.isfinite(view.hits.t)
    disparity = camera.K[0, 0] * baseline / np.where(known, view.hits.t, np.inf)
    return {"disparity": _image(disparity.astype(np.float32), camera), "disparity_valid": _image(seen, camera)}
