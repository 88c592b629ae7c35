"""What spoils a gray picture without moving its corners (the augmentation of MagicPoint, DeTone et al. 2017)."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

Gray = Float[np.ndarray, "h w"]

AMOUNT = (0.0, 0.35, 1.0, 1.5)  # of all of it, by difficulty; 1 is MagicPoint's own
MEAN = (60.0, 195.0)            # of a spoiled picture, so that little is lost below black and above white
SOFTNESS = 0.45                 # px, standard deviation of the blur of every picture that is spoiled


def spoil(image: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Blurred, shaded, of another contrast and brightness, smeared, noisy; levels 0 to 255. Amount 0 leaves it as it
    is."""
    if amount == 0:
        return image
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), SOFTNESS)
    image = shade(image, amount, rng)
    contrast, mean = rng.uniform(1 - min(0.7 * amount, 0.85), 1 + 0.8 * amount), float(image.mean())
    brighter = np.clip(mean + rng.uniform(-75, 75) * amount, *MEAN)
    image = np.clip((image - mean) * contrast + brighter, 0, 255)
    image = smear(image, int(rng.integers(1, 2 + round(6 * amount))), rng.uniform(0, np.pi))
    image = image + rng.uniform(0, 15 * amount) * rng.standard_normal(image.shape)
    speckled = rng.random(image.shape) < rng.uniform(0, 0.0035 * amount)
    image = np.where(speckled, 255.0 * (rng.random(image.shape) < 0.5), image)
    return np.clip(image, 0, 255).astype(np.float32)


def shade(image: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Soft dark and light patches: 20 ellipses under a wide blur."""
    height, width = image.shape
    mask, least = np.zeros((height, width), np.float32), min(height, width)
    for _ in range(20):
        axes = np.maximum(rng.uniform(0.02, 0.2, 2) * least, 1).astype(int)
        middle = (rng.uniform(0, 1, 2) * [width, height]).astype(int)
        cv2.ellipse(mask, middle.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    kernel = int(rng.uniform(0.2, 0.4) * least) | 1
    soft = cv2.GaussianBlur(mask, (kernel, kernel), 0)
    return np.clip(image * (1 - np.clip(rng.uniform(-0.5, 0.8) * amount, -0.9, 0.9) * soft), 0, 255)


def smear(image: Gray, length: int, angle: float) -> Gray:
    """The mean along a straight way of so many pixels, its middle at the pixel itself."""
    if length < 2:
        return image
    half, far = (length - 1) / 2, np.linspace(-(length - 1) / 2, (length - 1) / 2, 4 * length)
    side = 2 * int(np.ceil(half)) + 1
    kernel = np.zeros((side + 2, side + 2), np.float32)
    x, y = far * np.cos(angle) + side // 2 + 1, far * np.sin(angle) + side // 2 + 1
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    s, t = y - i, x - j
    for di, dj, weight in ((0, 0, (1 - s) * (1 - t)), (0, 1, (1 - s) * t), (1, 0, s * (1 - t)), (1, 1, s * t)):
        np.add.at(kernel, (i + di, j + dj), weight)
    return cv2.filter2D(image.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
