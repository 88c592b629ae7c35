"""Reads what a report shows from a RUN folder (docs/run-folder.md). What is not there yet is None or empty."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Bool, Float, UInt8

from ..formats import kitti, mesh, ply
from ..formats.numbers import DAMAGED
from ..types.errors import InputError
from ..types.predictions import Depth, Motion
from .surface import Triangles, thinned


@dataclass(frozen=True)
class Cloud:
    """Coloured points in the first camera's frame; `total` of them stand in the file."""

    points: Float[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"]
    total: int


class RunFolder:
    """Read-only view of a RUN folder. Raises InputError when there is no readable `run.yaml`."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            about = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
        except OSError as e:
            raise InputError(f"{folder} is not a RUN folder: run.yaml cannot be read ({e.strerror}).") from e
        except (yaml.YAMLError, UnicodeDecodeError) as e:
            raise InputError(f"{folder / 'run.yaml'} is damaged; learn the clip again, or mend it by hand.") from e
        if not isinstance(about, dict):
            raise InputError(f"{folder / 'run.yaml'} is empty; learn the clip again.")
        self.about: dict[str, Any] = about
        self.damaged: list[str] = []  # files that could not be read so far

    def part(self, name: str) -> dict[str, Any]:
        """A mapping of `run.yaml`, empty when absent."""
        value = self.about.get(name)
        return value if isinstance(value, dict) else {}

    def items(self, name: str) -> list[Any]:
        """A list of `run.yaml`, empty when absent."""
        value = self.about.get(name)
        return value if isinstance(value, list) else []

    @property
    def skipped(self) -> list[tuple[int, int, str]]:
        """First frame, last frame, why."""
        spans: list[dict[str, Any]] = [s for s in self.items("skipped") if isinstance(s, dict) and "first" in s]
        return [(int(s["first"]), int(s.get("last", s["first"])), str(s.get("why") or "not stated")) for s in spans]

    @property
    def unit(self) -> str:
        """Of depth and path: "m", or "up to scale" when metres are unknown."""
        return "m" if self.about.get("scale") == "metres" else "up to scale"

    @property
    def typical(self) -> float:
        """Depth, in the run's unit."""
        return float(self.part("depth").get("typical", 1.0))

    @cached_property
    def frames(self) -> list[int]:
        """Numbers of the frames that have depth, ascending."""
        return sorted(int(k) for k in self._archive("depth.npz"))

    def depth(self, frames: Sequence[int]) -> Depth | None:
        """Depth, and log variance where it was written, of these frames [N,1,H,W]; None when there is no depth."""
        depth = self._stack("depth.npz", frames)
        if depth is None:
            return None
        log_variance = self._stack("log_variance.npz", frames)
        return Depth(depth=depth) if log_variance is None else Depth(depth=depth, log_variance=log_variance)

    @property
    def has_masks(self) -> bool:
        """Whether it is known of any frame what moved."""
        return len(self._archive("mask.npz")) > 0

    def moved(self, frame: int) -> Bool[np.ndarray, "h w"] | None:
        """Where a key frame moved, or no flow confirms it; None for any other frame."""
        archive, name = self._archive("mask.npz"), f"{frame:06d}"
        return self._read("mask.npz", lambda _: np.asarray(archive[name], bool)) if name in archive else None

    @cached_property
    def motion(self) -> Motion | None:
        """The learned path; None when there is none."""
        return self._read("path_kitti.txt", _motion)

    @cached_property
    def truth(self) -> Motion | None:
        """The true path, when `arguments.truth` names a folder that still holds a readable one."""
        folder = self.part("arguments").get("truth")
        poses = Path(folder) / "poses.txt" if isinstance(folder, str) else None
        return self._read(str(poses.absolute()), _motion) if poses is not None else None

    def cloud(self, most: int) -> Cloud | None:
        """At most `most` points of `cloud.ply`, drawn evenly over the file; None when there is none."""
        read = self._read("cloud.ply", ply.read)
        if read is None:
            return None
        points, colours = read
        known = np.isfinite(points).all(1)
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(known))[:most]
        return Cloud(points[chosen], colours[chosen], len(points)) if len(chosen) else None

    def surface(self, most: int) -> Triangles | None:
        """`mesh.ply`, thinned to at most `most` vertices; None when there is none, or no face of it is left."""
        read = self._read("mesh.ply", mesh.read_ply)
        if read is None:
            return None
        vertices, faces, colours = read
        triangles = thinned(Triangles(vertices, colours, faces, len(faces)), most)
        return triangles if len(triangles.faces) else None

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """The lines of `log.jsonl` that carry losses; a last line cut short by a kill is left out."""
        path = self.folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [entry for line in lines if isinstance(entry := _json(line), dict) and entry.get("loss")]

    def previews(self) -> dict[int, Path]:
        """Frame number -> small image in `work/preview`."""
        return {int(p.stem): p for p in sorted((self.folder / "work" / "preview").glob("*.jpg")) if p.stem.isdigit()}

    def _read(self, name: str, reader: Callable[[Path], Any]) -> Any:
        """What `reader` makes of a file; None when it is absent, or damaged, which is remembered."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return reader(path)
        except (InputError, *DAMAGED):
            if name not in self.damaged:
                self.damaged.append(name)
            return None

    def _archive(self, name: str) -> Any:
        archive = self._read(name, np.load)
        return {} if archive is None else archive

    def _stack(self, name: str, frames: Sequence[int]) -> torch.Tensor | None:
        archive = self._archive(name)
        keys = [f"{i:06d}" for i in frames]
        if not keys or any(k not in archive for k in keys):
            return None
        return torch.from_numpy(np.stack([archive[k] for k in keys])[:, None].astype(np.float32))


def _motion(path: Path) -> Motion:
    return Motion(T_first_camera=torch.from_numpy(kitti.read_poses(path)).float())


def evenly(items: Sequence[int], most: int) -> list[int]:
    """At most `most` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
