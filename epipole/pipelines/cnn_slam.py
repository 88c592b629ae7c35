"""CNN-SLAM: dense monocular SLAM with learned depth (Tateno, Tombari, Laina & Navab, CVPR 2017); trains nothing.

A network says how deep key frames are. Every frame is aligned with its key frame directly, by the pixels with contrast,
each weighted by how sure its depth is; every frame then refines the key frame's depth where there is contrast; a pose
graph joins the key frames. `CnnSlam.step` takes frame by frame; memory holds the last key frames' images and depth, and
of everything older poses; its features lie on disk.

Depth is in its logarithm here, where the paper has depth itself, and the graph is one of similarities: the scale of
learned depth differs from image to image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.motion import angle, se3, se3_inverse
from ..geometry.rotations import rotation_to_six, six_to_rotation
from ..geometry.sim3 import sim3_inverse, sim3_parts
from ..geometry.splat import splat_nearest
from ..geometry.warp import reproject
from ..types.predictions import Depth, Motion
from ..types.views import Views
from . import direct, key_frames, loops, narrow_stereo
from .key_frames import KeyFrame, inherit, matched_scale, met, relative_scale
from .mapping import DepthMethod
from .narrow_stereo import LogDepth
from .place_file import PlaceFile
from .places import FeatureMethod, root_sift
from .pose_graph import Link, optimise, rescaled, rigid


@dataclass(frozen=True)
class Config:
    """Lengths are shares of the key frame's median depth, errors of depth those of its logarithm."""

    trained_focal: float | None = None
    """Focal length (px, of the views) of the images that taught the network: depth is multiplied by f / trained_focal.
    None: it learned from this camera."""
    baseline: float = 0.12
    """Distance from the key frame at which a view becomes the next,"""
    turn: float = 0.2
    """or angle, radians,"""
    seen: float = 0.7
    """or share of the key frame's pixels in view below which it does."""
    lost: float = 0.4
    """Share of pixels in view, and of those that fit, below which a view is not placed by alignment."""
    similar: float = 0.5
    """Distance from a key frame within which another one, not its neighbour, is linked to it,"""
    similar_turn: float = 0.4
    """with no larger angle (radians) between them."""
    links: int = 2
    """Such links of a key frame, at most."""
    sigma_rotation: float = 0.003
    sigma_translation: float = 0.01
    sigma_scale: float = 0.02
    """Standard deviations of an aligned motion (radians, share of median depth) and of the scale that goes with it."""
    guess: float = 30.0
    """Factor by which these are larger for a view that could not be aligned."""
    keep: int = 40
    """Key frames whose image and depth stay in memory."""
    depth: key_frames.Config = field(default_factory=key_frames.Config)
    tracking: direct.Config = field(default_factory=direct.Config)
    stereo: narrow_stereo.Config = field(default_factory=narrow_stereo.Config)
    closing: loops.Config = field(default_factory=lambda: loops.Config(apart=10))
    """Of key frames, which are far apart already."""


class Tracked(NamedTuple):
    """A frame: its key frame, and its pose as seen from there in the key frame's unit."""

    key: int
    T_key_view: Float[Tensor, "4 4"]


Finished = Callable[[int, KeyFrame], None]
"""What is told of a key frame (its number among key frames) once its depth will not change any more."""


class CnnSlam:
    """`step(view)` for every view in order (unbatched, N = 1, with image and K), `seen(view)` for the depth of the last
    one, `result()` for the path. `depth_of` says how deep a view is. `describe` finds what tells places apart, which is
    kept in a file without a name in `folder`."""

    def __init__(self, depth_of: DepthMethod, config: Config | None = None, finished: Finished | None = None,
                 describe: FeatureMethod = root_sift, folder: Path | None = None) -> None:
        self.depth_of, self.config, self.finished, self.describe = depth_of, config or Config(), finished, describe
        self.frames: list[Tracked] = []
        self.lost: list[int] = []                # frames whose pose is a guess
        self.keys: dict[int, KeyFrame] = {}      # the last ones, and which frame each is
        self.key_frames: list[int] = []
        self.places = PlaceFile(folder)          # of all key frames whose depth is final
        self.links: list[Link] = []
        self.S_world_key = torch.zeros(0, 4, 4, dtype=torch.float64)

    @torch.no_grad()
    def step(self, view: Views) -> None:
        """Takes in one view: it refines its key frame, or becomes the next."""
        grey, K = _grey(view), view.K[0].float()
        if not self.keys:
            self._begin(KeyFrame(grey, K, self._predicted(view)), torch.eye(4, dtype=torch.float64))
            return
        current = len(self.key_frames) - 1
        key, guess = self.keys[current], self._extrapolated()
        found = self._align(key, grey, K, se3_inverse(guess))
        placed = min(found.seen, found.fits) >= self.config.lost
        T_key_view = se3_inverse(found.T_view_key) if placed else guess
        if not placed:
            self.lost.append(len(self.frames))
        if placed and not self._far(key, T_key_view, found.seen):
            self.frames.append(Tracked(current, T_key_view))
            refined = narrow_stereo.refine(key.grey, key.depth, grey, K, found.T_view_key.float(), self.config.stereo)
            self.keys[current] = key._replace(depth=refined)
            return
        self._next(KeyFrame(grey, K, self._predicted(view)), key, T_key_view, placed)

    @torch.no_grad()
    def seen(self, view: Views) -> Depth:
        """Depth of the view that was stepped last, in the unit of its key frame: what the key frame knows, seen from
        the view, joined with what the network says of the view, at the key frame's scale."""
        key, T = self.keys[self.frames[-1].key], se3_inverse(self.frames[-1].T_key_view).float()
        pixels, z, _ = reproject(key.depth.log.exp(), T[None], key.K[None], view.K[:1].float())
        variance, z, hit = splat_nearest(key.depth.variance, pixels, z, *key.grey.shape[-2:])
        own = self._predicted(view)
        log = torch.where(hit, z, 1).log()
        shift = (log - own.log)[hit].median() if hit.any() else 0.0
        carried = LogDepth(log, torch.where(hit, variance + self.config.depth.propagation**2, torch.inf))
        joined = met(own._replace(log=own.log + shift), carried)
        return Depth(depth=joined.log.exp(), log_variance=joined.variance.log())

    @torch.no_grad()
    def result(self) -> Motion:
        """The path of all frames, in the unit of the first key frame; loops between places that look alike are sought
        now. `step` may follow."""
        self.close_loops()
        path = rigid(self.S_world_key[[f.key for f in self.frames]] @ torch.stack([f.T_key_view for f in self.frames]))
        return Motion(T_first_camera=path.float())

    def units(self) -> Float[Tensor, "f"]:
        """What a unit of every frame's depth is in units of the path."""
        return sim3_parts(self.S_world_key[[frame.key for frame in self.frames]])[0]

    def close_loops(self) -> list[Link]:
        """Links key frames far apart in time that show the same place, and lets the graph judge them."""
        newest = len(self.key_frames) - 1
        self.places.put(newest, self._place(self.keys[newest]))
        K, found = self.keys[newest].K, []
        for a, b in loops.alike(self.places, self.config.closing):
            link = loops.link(self.places[a], self.places[b], a, b, K, self.config.closing)
            found += [] if link is None else [link]
        if found:
            self.S_world_key = optimise([*self.links, *found], self.S_world_key).S_world_camera
        return found

    def _begin(self, key: KeyFrame, S_world_key: Float[Tensor, "4 4"]) -> None:
        """Takes up a key frame; the oldest one in memory is let go."""
        number = len(self.key_frames)
        if number:
            before = self.keys[number - 1]
            self.places.put(number - 1, self._place(before))
            if self.finished is not None:
                self.finished(number - 1, before)
        self.key_frames.append(len(self.frames))
        self.frames.append(Tracked(number, torch.eye(4, dtype=torch.float64)))
        self.keys[number] = key
        self.keys.pop(number - self.config.keep, None)
        self.S_world_key = torch.cat([self.S_world_key, S_world_key[None]])

    def _next(self, new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"], placed: bool) -> None:
        """A new key frame inherits from the one before (section 3.3) and is linked to it and to others near; then the
        graph is solved (section 3.5)."""
        before, T = len(self.key_frames) - 1, T_key_new.float()
        new = inherit(new, key, T, self.config.depth) if placed else matched_scale(new, key, T)
        self._begin(new, self.S_world_key[before] @ T_key_new)
        link = self._link(before, before + 1, T_key_new, new, 1.0 if placed else self.config.guess)
        self.links.append(link._replace(trusted=True))
        similar = self._similar(before + 1)
        self.links += similar
        if similar:
            self.S_world_key = optimise(self.links, self.S_world_key).S_world_camera

    def _similar(self, number: int) -> list[Link]:
        """Links to key frames in memory, other than the one before, that the new one stands near to (section 3.5)."""
        new, found = self.keys[number], list[Link]()
        near = [(self._distance(k, number), k) for k in self.keys if k < number - 1]
        for distance, k in sorted(near):
            if distance > self.config.similar or len(found) >= self.config.links:
                break
            guess = rigid(sim3_inverse(self.S_world_key[number]) @ self.S_world_key[k])
            aligned = self._align(self.keys[k], new.grey, new.K, guess)
            if min(aligned.seen, aligned.fits) >= self.config.seen:
                T_k_new = se3_inverse(aligned.T_view_key)
                scale = torch.tensor(relative_scale(new, self.keys[k], T_k_new.float())).double()
                found.append(self._link(k, number, rescaled(T_k_new, scale), new, 1.0))
        return found

    def _distance(self, k: int, number: int) -> float:
        """From one key frame to another, in median depths; inf where they look in different directions."""
        T = rigid(sim3_inverse(self.S_world_key[k]) @ self.S_world_key[number])
        if float(angle(T[:3, :3])) > self.config.similar_turn:
            return math.inf
        return float(T[:3, 3].norm()) / self.keys[k].typical

    def _link(self, a: int, b: int, S_a_b: Float[Tensor, "4 4"], second: KeyFrame, doubt: float) -> Link:
        c = self.config
        return Link(a, b, S_a_b, doubt * c.sigma_rotation, doubt * c.sigma_translation * second.typical,
                    doubt * c.sigma_scale, trusted=False)

    def _align(self, key: KeyFrame, grey: Float[Tensor, "1 1 h w"], K: Float[Tensor, "3 3"],
               T_view_key: Float[Tensor, "4 4"]) -> direct.Alignment:
        c = self.config.tracking
        return direct.align(direct.reference(key.grey, key.depth.log.exp(), key.depth.variance, key.K, c), grey, K,
                            T_view_key, c)

    def _extrapolated(self) -> Float[Tensor, "4 4"]:
        """T_key_view of the next view if the camera goes on as before. Its rotation is made one again: in such products
        what rounding leaves of the last two would grow 1 + sqrt(2) times a view."""
        last = self.frames[-1]
        if len(self.frames) < 2 or self.frames[-2].key != last.key:
            return last.T_key_view
        T = last.T_key_view @ se3_inverse(self.frames[-2].T_key_view) @ last.T_key_view
        return se3(six_to_rotation(rotation_to_six(T[:3, :3])), T[:3, 3])

    def _far(self, key: KeyFrame, T_key_view: Float[Tensor, "4 4"], seen: float) -> bool:
        c = self.config
        moved, turned = float(T_key_view[:3, 3].norm()) / key.typical, float(angle(T_key_view[:3, :3]))
        return moved > c.baseline or turned > c.turn or seen < c.seen

    def _predicted(self, view: Views) -> LogDepth:
        """The network's word, for the focal length of this camera (section 3.2), and what it knows of its errors."""
        said, c, focal = self.depth_of(view), self.config.depth, self.config.trained_focal
        focal = 1.0 if focal is None else float(view.K[0, 0, 0]) / focal
        log = (focal * said.depth[:1]).float().log()
        unsure = said.log_variance[:1].float().exp() if "log_variance" in said else torch.full_like(log, c.prior**2)
        return LogDepth(log, unsure.clamp(c.least**2, c.prior**2))

    def _place(self, key: KeyFrame) -> loops.Place:
        gray = (255 * key.grey[0, 0]).round().to(torch.uint8).numpy()
        return loops.at_features(self.describe(np.ascontiguousarray(gray)), key.depth.log[0, 0].exp())


def _grey(view: Views) -> Float[Tensor, "1 1 h w"]:
    return view.image[:1].float().mean(1, keepdim=True)
