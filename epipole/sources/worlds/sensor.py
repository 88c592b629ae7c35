"""What a camera's shutter, lens, chip and encoder do to an image. The truth stays that of mid-exposure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera
from .meshes import Array
from .render import GAMMA
from .spec import Spec
from .spline import Path

SUBFRAMES = 6      # of an exposure that is blurred by motion
MEMORY = 0.95      # share of an exposure's deviation that the next frame keeps
LONGEST_WALK = 200  # frames after which no deviation is remembered


@dataclass(frozen=True)
class RollingCamera(Camera):
    """A camera that moves while its rows are read one after the other."""

    rows: Array | None = None  # [h, 4, 4] T_world_camera of every row

    def rays(self, pixels: Array) -> tuple[Array, Array]:
        """Origins and directions [n, 3], each from where the camera is when the pixel's row is read."""
        assert self.rows is not None
        T = self.rows[np.clip(np.rint(pixels[:, 1]), 0, self.height - 1).astype(int)]
        x = np.concatenate([self.normalised(pixels), np.ones((len(pixels), 1))], 1)
        return T[:, :3, 3], np.einsum("nij,nj->ni", T[:, :3, :3], x)


def exposures(spec: Spec, path: Path, index: int, camera: Camera) -> list[tuple[float, Camera]]:
    """Times in s and cameras whose images together make the one that is taken; the thing itself without blur and
    rolling shutter."""
    s, middle = spec.sensor, index / spec.fps
    if s.blur == 0 and s.rolling == 0:
        return [(middle, camera)]
    count = SUBFRAMES if s.blur else 1
    times = middle + s.blur / spec.fps * ((np.arange(count) + 0.5) / count - 0.5)
    row = s.rolling / spec.fps * (np.arange(spec.height) / (spec.height - 1) - 0.5)
    return [(float(t), RollingCamera(camera.K, camera.T_world_camera, camera.width, camera.height, camera.distortion,
                                     path.at(t + row).numpy())) for t in times]


def develop(spec: Spec, index: int, colour: Array) -> Array:
    """Image [h, w, 3] float32 in [0, 1] from linear colour [h * w, 3], after chip and encoder."""
    s, shape = spec.sensor, (spec.height, spec.width, 3)
    light = colour.reshape(shape)
    if s.exposure:
        steps = spec.random("exposure").standard_normal(index + 1)[::-1][:LONGEST_WALK]
        light = light * np.exp(s.exposure * (steps * MEMORY ** np.arange(len(steps))).sum())
    if s.vignetting:
        v, u = np.mgrid[-1:1:shape[0] * 1j, -1:1:shape[1] * 1j]
        light = light * (1 - s.vignetting * ((u * u + v * v) / 2) ** 2)[..., None]
    if s.full_well:
        photons = spec.random("photons", index).poisson(np.clip(light, 0, 1) * s.full_well)
        light = photons / s.full_well
    image = (np.clip(light, 0, 1) ** (1 / GAMMA)).astype(np.float32)
    if s.noise:
        grain = spec.random("noise", index).standard_normal(shape, np.float32)
        image = np.clip(image + np.float32(s.noise) * grain, 0, 1)
    return _through_jpeg(image, s.jpeg) if s.jpeg else image


def _through_jpeg(image: Array, quality: int) -> Array:
    pixels = (image[..., ::-1] * 255).round().astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1].astype(np.float32) / 255
