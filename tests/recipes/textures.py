"""A plane texture known in closed form at every point, footage of it, and the truth of the phone frames."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from epipole.sources.footage import Footage, Frame


def texture(u: np.ndarray, v: np.ndarray, seed: int = 0) -> np.ndarray:
    """uint8 sum of sinusoids with wavelengths of 7 to 70 pixels: nothing to interpolate, nothing below a pixel."""
    draw = np.random.default_rng(seed)
    value = np.zeros(u.shape)
    for wavelength in np.geomspace(7, 70, 60):
        angle, phase = draw.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / wavelength
        value += wavelength**0.3 * np.cos(k * (u * np.cos(angle) + v * np.sin(angle)) + phase)
    return np.clip(128 + 40 * value / 14, 0, 255).round().astype(np.uint8)


def seen(H_texture_image: np.ndarray, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """The texture as a camera shows it whose pixel x sees the point H x."""
    v, u = np.mgrid[: size[1], : size[0]]
    x, y, z = np.einsum("ij,jhw->ihw", H_texture_image, np.stack([u, v, np.ones_like(u)]))
    return texture(x / z, y / z, seed)


def shift(u: float, v: float) -> np.ndarray:
    return np.array([[1, 0, u], [0, 1, v], [0, 0, 1.0]])


def turn(degrees: float, centre: tuple[float, float], zoom: float = 1.0) -> np.ndarray:
    return np.vstack([cv2.getRotationMatrix2D(centre, degrees, zoom), [0, 0, 1]])


class ListedFootage(Footage):
    """Gray images as footage."""

    def __init__(self, images: list[np.ndarray]) -> None:
        super().__init__(Path("listed"), images[0].shape[1], images[0].shape[0], None, len(images))
        self.images = images

    def count(self) -> int:
        return len(self.images)

    def sha256(self) -> str:
        return "0" * 64

    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        for number, image in enumerate(self.images):
            if only is None or number in only:
                image = cv2.resize(image, self.size(width, height), interpolation=cv2.INTER_AREA)
                yield Frame(number, float(number), np.repeat(image[..., None], 3, 2))


class FoxTruth:
    """Cameras of the phone frames: epipolar errors of pixels seen at another size."""

    def __init__(self, folder: Path) -> None:
        cameras = json.loads((folder / "cameras.json").read_text())
        fx, fy, cx, cy = (cameras[key] for key in ("fx", "fy", "cx", "cy"))
        self.K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        self.distortion = np.array([cameras[key] for key in ("k1", "k2", "p1", "p2")])
        self.size = np.array([cameras["width"], cameras["height"]])
        frames = sorted(cameras["frames"], key=lambda frame: frame["file"])
        self.T_world_camera = np.array([frame["c2w"] for frame in frames])

    def epipolar_error(
        self, first: int, second: int, x: np.ndarray, y: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """Sampson distance, in pixels of `size`, of x in frame `first` and y in frame `second`."""
        scale = self.size / np.array(size)
        rays = [cv2.undistortPoints(((p + 0.5) * scale - 0.5).astype(float)[:, None], self.K, self.distortion)[:, 0]
                for p in (x, y)]  # fmt: skip
        a, b = (np.c_[ray, np.ones(len(ray))] for ray in rays)
        T = np.linalg.inv(self.T_world_camera[second]) @ self.T_world_camera[first]
        t = T[:3, 3]
        E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ T[:3, :3]
        lines, back = a @ E.T, b @ E
        error = np.abs((b * lines).sum(1)) / np.sqrt((lines[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1))
        return error * self.K[0, 0] / scale[0]
