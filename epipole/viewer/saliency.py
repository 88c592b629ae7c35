"""What a network looks at, as pictures that are bright there."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .markup import section, text
from .page import write_page
from .preview import encode_exact

ARM = 4                          # px, half of the cross that marks the pixel
MARK = (255, 40, 40)
NAMES = ("Left image", "Right image")


def write_saliency(
    target: Path, title: str, image: Float[np.ndarray, "2 3 h w"], saliency: Float[np.ndarray, "2 h w"], x: int,
    y: int, disparity: float,
) -> Path:
    """The panel as a page of its own, and where it stands. Raises InputError where it cannot be written."""
    return write_page(target, title, section("saliency", text(title), saliency_panel(image, saliency, x, y, disparity)))


def saliency_panel(
    image: Float[np.ndarray, "2 3 h w"], saliency: Float[np.ndarray, "2 h w"], x: int, y: int, disparity: float
) -> str:
    """Both images of a pair, dark where the disparity at (x, y) of the left one does not depend on them, as HTML. A
    cross marks the pixel on the left, and on the right where it is found again.

    `image` in [0, 1]; brightness is its product with the square root of `saliency` in [0, 1], so that what matters
    little is seen beside what matters most. `disparity` in px.
    """
    seen = image * np.sqrt(saliency.clip(0, 1))[:, None]
    places = (x, round(x - disparity))
    figures = "".join(
        f'<figure><figcaption>{text(name)}</figcaption><img alt="{text(name)}" style="width:100%" '
        f'src="{_address(_marked(view, at, y))}"></figure>' for name, view, at in zip(NAMES, seen, places, strict=True))
    return (f'<div class="screens">{figures}</div><p>How much the disparity of {disparity:.1f} px at the cross depends '
            "on each pixel: it is as bright as the square root of its share of the largest dependence.</p>")


def _marked(view: Float[np.ndarray, "3 h w"], x: int, y: int) -> np.ndarray:
    """RGB with a cross around (x, y), which itself stays visible; as much of it as lies inside."""
    picture = np.round(255 * view.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0).copy()
    h, w = picture.shape[:2]
    for k in (*range(-ARM, 0), *range(1, ARM + 1)):
        for u, v in ((x + k, y), (x, y + k)):
            if 0 <= u < w and 0 <= v < h:
                picture[v, u] = MARK
    return picture


def _address(picture: np.ndarray) -> str:
    return f"data:image/webp;base64,{base64.b64encode(encode_exact(picture)).decode()}"
