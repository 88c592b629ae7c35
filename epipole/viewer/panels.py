"""One panel per prediction type, as HTML that the report's scripts bring to life."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..geometry.align import umeyama
from ..types.predictions import Depth, Motion
from .colour import ColourScale, depth_ends, depth_ticks, deviation_ends, deviation_ticks, fit_scale, inverse
from .marks import WIDTH, Mark, Mask, stripes
from .markup import number, script_data, text
from .plots import equal_frame
from .preview import decode, encode_exact
from .run_folder import evenly

STOPS = 24  # colours from which a legend's gradient is made


@dataclass(frozen=True)
class Layer:
    """One picture per frame, its caption and, where colours stand for numbers, its legend and lookup."""

    caption: str
    pictures: list[str]            # data addresses; "" where a frame has none
    legend: str = ""
    lookup: dict[str, object] | None = None


def depth_panel(
    depth: Depth | None, frames: Sequence[int], photos: Mapping[int, bytes], unit: str, fps: float = 0.0,
    notes: Mapping[int, str] | None = None, masks: Mapping[Mark, Sequence[Mask | None]] | None = None,
) -> str:
    """Footage, depth and uncertainty side by side, one colour scale each for all `frames`, with a slider.

    `depth` [N,1,H,W] and `masks`, marks to be switched on, belong to `frames`; `photos` are JPEGs by frame number;
    `notes` are shown with their frame.
    """
    layers = [layer for layer in (_footage(frames, photos), *_depth_layers(depth, unit)) if layer]
    if not layers:
        return ""
    aspect = _aspect(depth, photos)
    data = {"frames": list(frames), "fps": fps, "notes": [(notes or {}).get(i, "") for i in frames],
            "marks": [_mark(mark, of, aspect) for mark, of in (masks or {}).items()],
            "layers": [{"pictures": x.pictures, "lookup": x.lookup} for x in layers]}
    figures = "".join(f'<figure><canvas aria-label="{x.caption}"></canvas>{x.legend}'
                      f'<figcaption>{x.caption}<output></output></figcaption></figure>' for x in layers)
    return (f'<div class="player" data-layers="{len(layers)}" style="--aspect:{aspect:.4f}">'
            f'<div class="screens">{figures}</div><div class="controls">'
            '<button type="button" class="play" aria-label="Play or pause">Play</button>'
            f'<input type="range" min="0" max="{len(frames) - 1}" value="0" aria-label="Frame">'
            f'<output class="clock">frame {frames[0]}</output></div>{"".join(_switch(mark) for mark in masks or {})}'
            f'</div>{script_data("player-data", data)}')


def _mark(mark: Mark, masks: Sequence[Mask | None], aspect: float) -> dict[str, object]:
    """A picture to lay over each frame ("" where it marks nothing), and what share is marked (null: not known)."""
    size = WIDTH, round(WIDTH / aspect)
    return {"percent": [None if mask is None else round(100 * float(mask.mean()), 1) for mask in masks],
            "pictures": [_address(encode_exact(stripes(mask, mark, size)), "webp")
                         if mask is not None and mask.any() else "" for mask in masks]}


def _switch(mark: Mark) -> str:
    """A box to tick, with a patch of the stripes."""
    r, g, b = mark.colour
    return (f'<label class="mark"><input type="checkbox"><i style="background:repeating-linear-gradient('
            f'{90 + 45 * mark.lean}deg,rgb({r} {g} {b}) 0 2px,#000 2px 4px,#888 4px 8px)"></i>{mark.name}'
            "<output></output></label>")


def _aspect(depth: Depth | None, photos: Mapping[int, bytes]) -> float:
    """Width over height of the footage; a network's picture may be stretched, and is shown in the footage's shape."""
    photo = decode(next(iter(photos.values()))) if photos else None
    height, width = photo.shape[:2] if photo is not None else depth.depth.shape[-2:] if depth is not None else (3, 4)
    return width / height


def _footage(frames: Sequence[int], photos: Mapping[int, bytes]) -> Layer | None:
    if not photos:
        return None
    return Layer("Footage", [_address(photos[i], "jpeg") if i in photos else "" for i in frames])


def _depth_layers(depth: Depth | None, unit: str) -> list[Layer]:
    if depth is None:
        return []
    z = inverse(depth.depth[:, 0].numpy())
    layers = [_layer(f"Depth z ({unit})", z, fit_scale(z, "turbo"), "depth", unit)]
    if "log_variance" in depth:
        log_variance = depth.log_variance[:, 0].numpy().astype(np.float64)
        layers.append(_layer("Uncertainty of depth", log_variance, fit_scale(log_variance, "magma"), "deviation", "%"))
    return layers


def _layer(caption: str, values: Float[np.ndarray, "n h w"], scale: ColourScale, kind: str, unit: str) -> Layer:
    pictures = [_address(encode_exact(shrink_exactly(scale.paint(v))), "webp") for v in values]
    ticks = depth_ticks(scale) if kind == "depth" else deviation_ticks(scale)
    colours = scale.table[::-1] if kind == "depth" else scale.table
    low, high = (number(end, 2) for end in (depth_ends if kind == "depth" else deviation_ends)(scale))
    ends = (f"near, ≤ {low}", f"far, ≥ {high}") if kind == "depth" else (f"sure, ≤ {low}%", f"unsure, ≥ {high}%")
    lookup = {"low": scale.low, "high": scale.high, "kind": kind, "unit": unit,
              "table": [f"{r:02x}{g:02x}{b:02x}" for r, g, b in scale.table.tolist()]}
    return Layer(text(caption), pictures, legend(colours, ticks, ends, "%" if unit == "%" else ""), lookup)


def shrink_exactly(image: np.ndarray, width: int = 320) -> np.ndarray:
    """At most `width` pixels wide by leaving out pixels: no colour is mixed, so every one still has its number."""
    step = math.ceil(image.shape[1] / width)
    return np.ascontiguousarray(image[step // 2 :: step, step // 2 :: step])


def legend(colours: np.ndarray, ticks: Sequence[tuple[float, float]], ends: tuple[str, str], unit: str) -> str:
    """A colour bar with numbers at their places (0 to 1) and a word at either end."""
    chosen = colours[np.linspace(0, 255, STOPS).round().astype(int)].tolist()
    stops = ",".join(f"rgb({r} {g} {b})" for r, g, b in chosen)
    marks = "".join(f'<i style="left:{100 * place:.1f}%">{number(value, 2)}{unit}</i>' for value, place in ticks)
    return (f'<div class="legend"><div class="ramp" style="background:linear-gradient(90deg,{stops})"></div>'
            f'<div class="marks">{marks}</div><div class="ends"><span>{ends[0]}</span><span>{ends[1]}</span></div>'
            "</div>")


def motion_panel(motion: Motion, unit: str, truth: Motion | None = None) -> str:
    """The camera path from above and from the side, in equal axes; the true one beside it after a Sim(3) alignment."""
    path = motion.T_first_camera[:, :3, 3].numpy().astype(np.float64)
    paths = [path] if truth is None else [path, aligned(truth, motion)]
    side = 0 if np.ptp(path[:, 0]) > np.ptp(path[:, 2]) else 2
    views = [("From above", (0, 2), (1, 1), ("x, right", "z, forward")),
             ("From the side", (side, 1), (1, -1), (("x, right", "", "z, forward")[side], "−y, up"))]
    figures = []
    for title, axes, signs, names in views:
        flat = [p[:, axes] * np.array(signs, np.float64) for p in paths]
        figures.append(f"<figure>{_path_svg(title, flat, names, unit)}<figcaption>{title}</figcaption></figure>")
    key = '<span class="key learned">learned path</span>' + (
        '<span class="key true">true path, moved onto it by a similarity</span>' if truth is not None else "")
    return (f'<div class="paths">{"".join(figures)}</div><p class="keys">{key}<span class="key start">start</span>'
            f'<span class="key end">end</span><span class="key here">frame shown above</span></p>')


def _path_svg(title: str, paths: Sequence[np.ndarray], names: tuple[str, str], unit: str) -> str:
    plot = equal_frame(np.concatenate(paths))
    plot.axes(f"{names[0]} ({unit})", names[1])
    for path, style in zip(reversed(paths), ("learned",) if len(paths) == 1 else ("true", "learned"), strict=True):
        plot.line(path[evenly(range(len(path)), 1500)], style)
    (u0, v0), (u1, v1) = plot.at(*paths[0][0]), plot.at(*paths[0][-1])
    track = evenly(range(len(paths[0])), 300)
    spots = [[i, *(round(float(c), 1) for c in p)] for i, p in zip(track, plot.place(paths[0][track]), strict=True)]
    plot.parts.append(f'<circle class="start" cx="{u0}" cy="{v0}" r="5"/>'
                      f'<rect class="end" x="{u1 - 4.5:.1f}" y="{v1 - 4.5:.1f}" width="9" height="9"/>'
                      f'<circle class="here" cx="{u0}" cy="{v0}" r="4.5"/>')
    return plot.svg(f"Camera path, {title.lower()}", f' class="path" data-track="{spots}"')


def aligned(truth: Motion, motion: Motion) -> Float[np.ndarray, "n 3"]:
    """Camera centres of `truth` moved onto those of `motion` by the best similarity (Umeyama 1991)."""
    source, target = (m.T_first_camera[:, :3, 3].double() for m in (truth, motion))
    c, R, t = umeyama(source, target)
    return np.asarray((c * (source @ R.mT) + t).numpy(), np.float64)


def _address(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
