"""Reads a RUN folder (docs/run-folder.md): every array lazily, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
import yaml
from jaxtyping import Bool, Float32, Float64

from ..geometry.camera import project, resize_intrinsics
from ..geometry.lenses import rays
from ..types.errors import InputError
from . import kitti, tum
from .calibration import Calibration, from_words
from .numbers import DAMAGED

SCALING = ".scaling"    # folder of files in a new unit, which are about to take their places
FAR = 5.0               # typical depths; what is farther is suspicious, and not in the map
FARTHEST, LEAST_SURE = 95.0, 90.0   # per cent of a frame's pixels are nearer, surer than those that no map takes
WITHOUT_METRES = "Metres were asked for, and the run stays up to scale"     # how a warning begins that says why
DOUBTFUL_METRES = "Lengths in metres may be wrong"                          # likewise


def scaling_text(scaling: Mapping[str, Any]) -> str:
    """What run.yaml says under `scaling`: the factor, what gave it, how far the frames differ and why it may be wrong,
    in one sentence without its full stop."""
    told = "one frame alone tells it, and how far others would differ is unknown" if scaling["frames"] == 1 else (
        f"{scaling['frames']} frames or pieces of the path tell it and differ by {scaling['spread_percent']:.1f} %")
    doubt = f"; doubtful: {scaling['doubt']}" if scaling.get("doubt") else ""
    return f"1 unit, as it was learned, is {scaling['factor']:.6g} m by the {scaling['by']}; {told}{doubt}"


def lengths_text(about: Mapping[str, Any]) -> str:
    """What unit all lengths of a run have by its run.yaml, in the line that stands in every file with room for one."""
    if about.get("scale") != "metres":
        return "lengths: up to one unknown factor"
    return "lengths: metres" + (f"; {scaling_text(about['scaling'])}" if about.get("scaling") else "")


class FrameArrays(Sequence[Float32[np.ndarray, "h w"]]):
    """One array per frame from an .npz archive, read when it is asked for; a slice gives a list."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where the archive is missing or damaged."""
        self.path = path
        try:
            self._archive = np.load(path)
            self._names = sorted(self._archive.files)
        except DAMAGED as error:
            raise InputError(f"{path} is missing or damaged; the same command again finishes a run") from error

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Float32[np.ndarray, "h w"]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Float32[np.ndarray, "h w"]]: ...
    def __getitem__(self, index: int | slice) -> Float32[np.ndarray, "h w"] | list[Float32[np.ndarray, "h w"]]:
        names = self._names[index]
        try:
            if isinstance(names, str):
                return self._archive[names].astype(np.float32)
            return [self._archive[name].astype(np.float32) for name in names]
        except DAMAGED as error:
            raise InputError(f"{self.path} is damaged at frame {names}; learn the clip again") from error


class RunFiles:
    """What a finished run left. `about` is the content of run.yaml.

    Raises InputError for a folder that is no run, or of which a part has another unit already; for a run that is not
    finished or that lost a file when what it lacks is asked for.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if (self.folder / SCALING).is_dir():
            raise InputError(f"giving {self.folder} metres was interrupted; the same command again finishes it")
        try:
            about = yaml.safe_load((self.folder / "run.yaml").read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.folder} is not a RUN folder: it has no run.yaml that can be read") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.folder / 'run.yaml'} is damaged; learn the clip again") from error
        if not isinstance(about, dict):
            raise InputError(f"{self.folder / 'run.yaml'} is empty; learn the clip again")
        self.about: dict[str, Any] = about

    @property
    def finished(self) -> bool:
        """Whether learning went to its end."""
        return bool(self.about.get("finished"))

    @cached_property
    def depth(self) -> FrameArrays:
        """z per frame at the network's resolution, in metres or up to one scale (`about['scale']`)."""
        return FrameArrays(self.folder / "depth.npz")

    @cached_property
    def log_variance(self) -> FrameArrays:
        """Log of the variance of log depth, per frame."""
        return FrameArrays(self.folder / "log_variance.npz")

    @cached_property
    def path(self) -> Float64[np.ndarray, "F 4 4"]:
        """T_world_camera of every frame."""
        return kitti.read_poses(self.folder / "path_kitti.txt")

    @cached_property
    def timestamps(self) -> Float64[np.ndarray, "F"]:
        """Seconds since the first frame."""
        return tum.read(self.folder / "path_tum.txt")[0]

    @property
    def intrinsics(self) -> Float64[np.ndarray, "3 3"]:
        """K in pixels of images of the size `image_size`."""
        fx, fy, cx, cy = (float(self._intrinsic(name)) for name in ("fx", "fy", "cx", "cy"))
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])

    @property
    def lens(self) -> Calibration | None:
        """The camera that took the footage, where it was straightened: of colmap/ and transforms.json. All else, also
        `intrinsics`, is of the straightened picture."""
        words = self.about.get("lens")
        return None if words is None else from_words(words, str(self.folder / "run.yaml"))

    def straight_pixels(
        self, pixels: Float64[np.ndarray, "n 2"]
    ) -> tuple[Float64[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
        """Where the picture that was learned shows what the footage shows at these pixels, and whether it does: the
        same pixels unless it was straightened."""
        at, seen = pixels, np.ones(len(pixels), bool)
        if self.lens is not None:
            ray, known = rays(torch.from_numpy(pixels.T[:, None].copy()), self.lens.camera)
            straight, front = project(ray, torch.from_numpy(self.intrinsics))
            at, seen = straight[:, 0].T.numpy(), (known & front)[0, 0].numpy()
        return at, seen & (at >= 0).all(1) & (at <= np.array(self.image_size) - 1).all(1)

    @property
    def depth_intrinsics(self) -> Float64[np.ndarray, "3 3"]:
        """K in pixels of `depth`."""
        (width, height), (h, w) = self.image_size, self.depth[0].shape
        return resize_intrinsics(torch.from_numpy(self.intrinsics), w / width, h / height).numpy()

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the footage."""
        return int(self._intrinsic("width")), int(self._intrinsic("height"))

    def _intrinsic(self, name: str) -> Any:
        try:
            return self.about["intrinsics"][name]
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.folder / 'run.yaml'} names no intrinsics; the run is not finished") from error
