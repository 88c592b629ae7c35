"""Small clips made by tests: textured scenes seen by a camera that walks, turns or stands, written as video files."""

from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "h w 3"]
WIDTH, HEIGHT = 160, 120


def write_video(
    path: Path, images: Iterable[Image], fps: int = 10, times: list[int] | None = None, rotation: int | None = None
) -> Path:
    """MPEG-4 part 2; `times` are presentation times in 1/fps s, `rotation` is in degrees, counter-clockwise."""
    with path.open("wb") as file, av.open(file, "w", format=path.suffix[1:].replace("mkv", "matroska")) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", 4_000_000, 12
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
                if rotation is not None:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def texture(seed: int, width: int = 3 * WIDTH, height: int = 3 * HEIGHT) -> Image:
    """Blobs of all sizes in random colours."""
    rng, image = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for size in (4, 8, 16, 32, 64):
        coarse = rng.normal(size=(-(-height // size) + 1, -(-width // size) + 1, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 35 * image, 0, 255).astype(np.uint8)


def walking(frames: int, pixels: float = 3.0, seed: int = 0) -> list[Image]:
    """A camera that moves sideways past a wall and posts in front of it, which go by at `pixels` a frame."""
    wall, near = texture(seed), texture(seed + 1)
    rows = np.arange(near.shape[0])[:, None]
    post = ((np.arange(near.shape[1])[None] // 24 % 3 == 0) & (rows >= 0)).astype(np.uint8)
    return [
        np.where(_shifted(post, pixels * i)[..., None] > 0, _shifted(near, pixels * i), _shifted(wall, pixels * i / 3))
        for i in range(frames)
    ]


def turning(frames: int, degrees: float = 0.8, seed: int = 0) -> list[Image]:
    """A camera that turns on the spot: K R K^-1 about the centre, focal length one width."""
    wide = texture(seed)
    K = np.array([[WIDTH, 0, (WIDTH - 1) / 2], [0, WIDTH, (HEIGHT - 1) / 2], [0, 0, 1.0]])
    K_wide = K + np.array([[0, 0, WIDTH], [0, 0, HEIGHT], [0, 0, 0]])
    images = []
    for i in range(frames):
        R, _ = cv2.Rodrigues(np.radians(degrees) * (i - frames / 2) * np.array([0.4, 1.0, 0.5]))
        images.append(cv2.warpPerspective(wide, K @ R @ np.linalg.inv(K_wide), (WIDTH, HEIGHT)))
    return images


def standing(frames: int, noise: float = 2.0, seed: int = 0) -> list[Image]:
    """A camera that does not move, with noise of the sensor."""
    rng, image = np.random.default_rng(seed), texture(seed)[:HEIGHT, :WIDTH].astype(float)
    return [np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8) for _ in range(frames)]


def _shifted(image: np.ndarray, pixels: float) -> np.ndarray:
    move = np.array([[1, 0, -(pixels % (image.shape[1] - WIDTH))], [0, 1, -HEIGHT]], float)
    return cv2.warpAffine(image, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
