"""Footage of a camera with a lens as a pinhole in its place would have taken it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ..formats.calibration import Calibration, pinhole
from ..formats.camera_files import read_camera
from ..geometry.camera import intrinsics, pixel_grid, resize_intrinsics
from ..geometry.lenses import Pinhole, project, rays, resize, undistort_map
from ..geometry.unified import ExtendedUnified
from ..types.errors import InputError
from .footage import Footage, Frame, resized
from .plain import camera_matrix, check_intrinsics

WIDEST = 100.0      # degrees along a side: beyond, a plane picture is all margin
LEAST_KEPT = 0.05   # share of the picture that has to remain; of a fisheye whose circle is whole it is 0.15
FINER = 2           # times as many pixels are bent straight as are asked for, as far as there are so many
PROBES = 96         # pixels along the longer side where it is seen whether a lens covers the picture
AHEAD = 1e-3        # z of a unit ray, below which no plane picture shows it

Bounds = tuple[float, float, float, float]
"""Left, top, right, bottom in the plane z = 1."""


class Straight(Footage):
    """The same frames in the same size, straight lines straight.

    `K` is the pinhole's: its axis is the lens's, its focal lengths have the same ratio, and it shows as much as leaves
    no empty border, at most `WIDEST` along a side. `lens` is the camera that took the frames. Tables are made once for
    every size that is read.

    Raises InputError for a lens that does not cover the picture, or leaves little of it.
    """

    lens: Calibration

    def __init__(self, footage: Footage, lens: Calibration) -> None:
        super().__init__(footage.path, footage.width, footage.height, footage.fps, footage.announced)
        self.footage, self.lens, self.K = footage, lens, pinhole_for(lens)
        self.kept = share_kept(lens, self.K)
        if not covers(lens, self.K) or self.kept < LEAST_KEPT:
            raise InputError(f"by this calibration a {type(lens.camera).__name__} took {footage.name}, but such a lens "
                             f"shows too little in a picture of {lens.width}x{lens.height}: calibrate the camera anew, "
                             "with the board in all corners")
        self._tables: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def count(self) -> int:
        return self.footage.count()

    def sha256(self) -> str:
        return self.footage.sha256()

    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        size = self.size(width, height)
        fine = min(FINER * size[0], self.width), min(FINER * size[1], self.height)
        across, between = self._table(fine)
        for frame in self.footage.read(*fine, only):
            straight = cv2.remap(frame.image, across, between, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            yield frame._replace(image=resized(straight, size))
        self.warnings = [self.text(), *self.footage.warnings]

    def text(self) -> str:
        """What was straightened, in a sentence."""
        angles = (2 * math.degrees(math.atan(side / 2 / f)) for side, f in
                  ((self.width, self.K[0, 0]), (self.height, self.K[1, 1])))
        return (f"straightened as a pinhole of {' x '.join(f'{angle:.0f}' for angle in angles)} degrees, which keeps "
                f"{100 * self.kept:.0f} % of the {type(self.lens.camera).__name__}'s picture")

    def _table(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        if size not in self._tables:
            x, y = source_pixels(self.lens, self.K, size)[0].numpy().astype(np.float32)
            self._tables[size] = cv2.convertMaps(x, y, cv2.CV_16SC2)
        return self._tables[size]


def seen_through(
    footage: Footage, given: tuple[float, float, float, float] | str | Path | None
) -> tuple[Footage, Float64[np.ndarray, "3 3"] | None]:
    """The footage as a pinhole shows it, and its K in pixels of these frames: straightened where the file `given`
    describes a lens that bends. None where nothing is given.

    Raises InputError for a camera that cannot have taken the footage.
    """
    if given is None:
        return footage, None
    size = footage.width, footage.height
    camera = pinhole(camera_matrix(given), *size) if isinstance(given, tuple) else read_camera(given, *size)
    check_intrinsics(camera.K, *size, footage.name)
    straight = straightened(footage, camera)
    return straight, straight.K if isinstance(straight, Straight) else camera.K


def straightened(footage: Footage, lens: Calibration) -> Footage:
    """The footage itself where the lens is none. Raises InputError for lenses that the files of a run cannot name."""
    if isinstance(lens.camera, Pinhole):
        return footage
    if isinstance(lens.camera, ExtendedUnified):
        raise InputError(f"{footage.name} was taken by a unified camera, for which transforms.json has no words: "
                         "calibrate it as a fisheye, with `epipole calibrate`")
    return Straight(footage, lens)


def pinhole_for(lens: Calibration) -> Float64[np.ndarray, "3 3"]:
    """K, at the picture's size, of the pinhole that shows the most of it without an empty border."""
    left, top, right, bottom = inner_bounds(lens)
    fx, fy = float(lens.K[0, 0]), float(lens.K[1, 1])
    w, h = lens.width - 1, lens.height - 1
    zoom = max(w / (fx * max(right - left, AHEAD)), h / (fy * max(bottom - top, AHEAD)))
    centre = w / 2 - zoom * fx * (left + right) / 2, h / 2 - zoom * fy * (top + bottom) / 2
    return intrinsics(zoom * fx, zoom * fy, *centre).numpy()


def inner_bounds(lens: Calibration) -> Bounds:
    """A rectangle of the plane z = 1 that the lens shows whole: between the innermost points of the picture's edges,
    but no wider than `WIDEST`."""
    grid = pixel_grid(lens.height, lens.width, lens.camera.K)
    limit = math.tan(math.radians(WIDEST) / 2)

    def innermost(edge: Tensor, axis: int, side: float) -> float:
        ray, seen = rays(edge, lens.camera)
        ahead = (seen & (ray[2:] > AHEAD))[0]
        at = side * ray[axis][ahead] / ray[2][ahead]
        return side * min([*at.tolist(), limit])

    return (innermost(grid[:, :, :1], 0, -1.0), innermost(grid[:, :1], 1, -1.0), innermost(grid[:, :, -1:], 0, 1.0),
            innermost(grid[:, -1:], 1, 1.0))


def source_pixels(
    lens: Calibration, K: Float64[np.ndarray, "3 3"], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Where pixels of the straight picture at `size` lie in the bent one at `size`, and which the lens sees."""
    x, y = size[0] / lens.width, size[1] / lens.height
    straight = resize_intrinsics(torch.from_numpy(K), x, y)
    return undistort_map(resize(lens.camera, x, y), straight, size[1], size[0], torch.eye(3, dtype=torch.float64))


def probes(lens: Calibration) -> tuple[int, int]:
    """A size of the picture at which little is computed."""
    shrink = min(1.0, PROBES / max(lens.width, lens.height))
    return max(2, round(shrink * lens.width)), max(2, round(shrink * lens.height))


def covers(lens: Calibration, K: Float64[np.ndarray, "3 3"]) -> bool:
    """Whether the lens sees every pixel of the straight picture within the bent one."""
    w, h = size = probes(lens)
    (x, y), seen = source_pixels(lens, K, size)
    inside = (x > -0.5) & (x < w - 0.5) & (y > -0.5) & (y < h - 0.5)
    return bool((inside & seen[0]).all())


def share_kept(lens: Calibration, K: Float64[np.ndarray, "3 3"]) -> float:
    """Share of the bent picture that the straight one shows."""
    w, h = probes(lens)
    grid = pixel_grid(h, w, lens.camera.K)
    ray, seen = rays(grid, resize(lens.camera, w / lens.width, h / lens.height))
    straight = Pinhole(resize_intrinsics(torch.from_numpy(K), w / lens.width, h / lens.height))
    (x, y), front = project(ray, straight)
    shown = (seen & front)[0] & (x > -0.5) & (x < w - 0.5) & (y > -0.5) & (y < h - 0.5)
    return float(shown.double().mean())
