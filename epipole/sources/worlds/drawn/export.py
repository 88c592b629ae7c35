"""Drawn pictures as files: the images, what is true of them, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from epipole.formats.atomic import replacing
from epipole.types.errors import InputError
from epipole.types.views import Views

from ..export import Progress, claimed, frame_folder, write_image
from ..spec import Sensor, Spec
from ..truths import write_png
from .digits import Digits
from .shapes import KINDS, Shapes
from .slopes import Slopes, all_same, odd

CELL = 160   # px, about the width of a picture on the sheet
STRIP = 14   # px below it, for its labels
MARK = (255, 60, 0)  # colour of corners


class Kind(NamedTuple):
    """One family of drawn pictures."""

    source: Callable[[Spec], Shapes | Digits | Slopes]
    size: tuple[int, int]          # usual width and height, px
    tables: dict[str, str]         # files and their columns
    text: Callable[[int], str]     # how a label is written
    columns: int                   # of the sheet


DRAWN = {
    "shapes": Kind(Shapes, (160, 120), {"labels": "image,primitive", "corners": "image,u,v"}, KINDS.__getitem__, 4),
    "digits": Kind(Digits, (28, 28), {"labels": "image,digit"}, str, 8),
    "slopes": Kind(Slopes, (20, 20), {"labels": "image,rises", "questions": "sample,odd,all_same"}, str, 2),
}
"""The table of contents."""


def write_drawn(spec: Spec, folder: str | Path, progress: Progress | None = None) -> Path:
    """Draws all pictures of the spec into `folder`, the same bytes each time:

    color/NNNNNN.png   gray, 8 bit; of `slopes`, whose samples are several pictures, color/NNNNNN_K.png
    labels.csv         a line for each picture: image,primitive (its name), image,digit (0 to 9) or image,rises (0 or 1)
    corners.csv        of `shapes`, a line for each corner within the image: image,u,v (px, (0, 0) is the middle of the
                       top-left pixel)
    questions.csv      of `slopes`, a line for each sample: sample,odd,all_same (0 or 1)
    contact_sheet.png  pictures from all over the set, with their labels and corners
    world.yaml         the spec, last

    Raises InputError for a spec with a motion or a sensor, for there is no camera, and where the folder cannot be
    written or holds other pictures.
    """
    if spec.motion != "default" or spec.sensor != Sensor():
        raise InputError(f"{spec.family} are drawn without a camera; leave motion and sensor as they are")
    kind, folder = DRAWN[spec.family], claimed(folder, spec)
    source = kind.source(spec)
    count = len(source[0].image)
    frame_folder(folder / "color", {f"{name}.png" for i in range(len(source)) for name in _names(i, count)})
    (folder / "world.yaml").unlink(missing_ok=True)  # from here on the folder is not whole
    lines = {table: [columns] for table, columns in kind.tables.items()}
    for i in range(len(source)):
        views, names = source[i], _names(i, count)
        for name, image in zip(names, views.image, strict=True):
            write_png(folder / "color" / f"{name}.png", _bytes(image))
        for table, more in _rows(views, names, kind).items():
            lines[table] += more
        if progress:
            progress(i + 1, len(source))
    for table, rows in lines.items():
        with replacing(folder / f"{table}.csv") as part:
            part.write_text("".join(f"{row}\n" for row in rows))
    write_image(folder / "contact_sheet.png", drawn_sheet(spec))
    with replacing(folder / "world.yaml") as part:
        part.write_text(spec.to_yaml())
    return folder


def _rows(views: Views, names: list[str], kind: Kind) -> dict[str, list[str]]:
    """What one sample adds to the tables of its family."""
    rows = {"labels": [f"{name},{kind.text(int(k))}" for name, k in zip(names, views.label, strict=True)]}
    if "corners" in kind.tables:
        rows["corners"] = [f"{names[0]},{u:.4f},{v:.4f}" for u, v in _corners(views)]
    if "questions" in kind.tables:
        sample = names[0].split("_")[0]
        rows["questions"] = [f"{sample},{int(odd(views.label))},{int(all_same(views.label))}"]
    return rows


def _names(index: int, count: int) -> list[str]:
    """Of the pictures of one sample."""
    return [f"{index:06d}"] if count == 1 else [f"{index:06d}_{k}" for k in range(count)]


def _bytes(image: Tensor) -> UInt8[np.ndarray, "h w"]:
    return (image[0] * 255).round().byte().numpy()


def _corners(views: Views) -> list[list[float]]:
    """Of the first picture, px; none where pictures have no corners."""
    return views.keypoints[0][views.keypoints_valid[0]].tolist() if "keypoints" in views.fields() else []


def drawn_sheet(spec: Spec, rows: int = 5) -> UInt8[np.ndarray, "h w 3"]:
    """RGB picture of samples spread over the set, magnified, each above its labels, corners marked."""
    kind = DRAWN[spec.family]
    source, zoom = kind.source(spec), max(1, round(CELL / 2 / spec.width)) * 2
    pick = np.linspace(0, len(source) - 1, kind.columns * rows).astype(int)
    cells = [_cell(source[int(i)], zoom, kind.text) for i in pick]
    return np.vstack([np.hstack(cells[k : k + kind.columns]) for k in range(0, len(cells), kind.columns)])


def _cell(views: Views, zoom: int, text: Callable[[int], str]) -> UInt8[np.ndarray, "h w 3"]:
    pictures = []
    for image, label in zip(views.image, views.label, strict=True):
        gray = _bytes(image).repeat(zoom, 0).repeat(zoom, 1)
        picture = np.pad(np.repeat(gray[..., None], 3, -1), ((0, STRIP), (0, 2), (0, 0)))
        cv2.putText(picture, text(int(label)), (2, len(picture) - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1)
        pictures.append(picture)
    for u, v in _corners(views):
        at = (round((u + 0.5) * zoom - 0.5), round((v + 0.5) * zoom - 0.5))
        cv2.circle(pictures[0], at, 4, MARK, 1, cv2.LINE_AA)
    return np.hstack(pictures)
