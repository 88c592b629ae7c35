"""The plain folder layout: frames, and beside them what is known of camera, path and depth.

    images              in the folder itself or in image/, images/, color/
    intrinsics.txt      K at the images' size, three rows of three numbers
    poses.txt           one row-major 3x4 camera-to-world matrix per image, metres
    depth/NNNNNN.png    16 bit, millimetres unless the file tells its own scale, 0 unknown
    sparse_depth.npz    arrays frame, x, y (pixels of the images), z (metres)
    cameras.json        in place of intrinsics.txt and poses.txt: fx fy cx cy, frames [{file, c2w}]; scale unknown

Lens distortion that cameras.json may name is not read: K alone describes the camera.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from ..formats import kitti, png16
from ..formats.numbers import DAMAGED
from ..types.errors import InputError
from ..types.views import Views
from .folder import FolderFootage

MILLIMETRES = 1000.0  # per unit of depth
OFF_CENTRE, SAME_SHARE = 1.4, 1.15  # a centre as far off in x as in y is that of another size of image
OFF_CENTRE, SAME_SHARE = 1.4, 1.15  # a centre as far off in x as in y is that of another size of image
MOST_ZOOM = 20.0  # a focal length of more image widths or heights than this is a mistake


class KnownDepth(NamedTuple):
    """z at pixels (x, y) of an image of width x height."""

    pixels: Float64[np.ndarray, "n 2"]
    z: Float64[np.ndarray, "n"]
    width: int
    height: int


@dataclass(frozen=True)
class DepthMaps:
    """Dense depth from 16-bit images: frame -> file."""

    files: dict[int, Path]

    @property
    def known(self) -> list[int]:
        """The frames that have depth."""
        return sorted(self.files)

    def __getitem__(self, frame: int) -> KnownDepth:
        if frame not in self.files:
            return KnownDepth(np.zeros((0, 2)), np.zeros(0), 1, 1)
        z, valid = png16.read(self.files[frame], scale=MILLIMETRES)
        y, x = np.nonzero(valid)
        pixels = np.stack([x, y], 1).astype(np.float64)
        return KnownDepth(pixels, z[valid].astype(np.float64), z.shape[1], z.shape[0])


@dataclass(frozen=True)
class SparseDepth:
    """Points of all frames, sorted by frame."""

    frames: Int64[np.ndarray, "n"]
    pixels: Float64[np.ndarray, "n 2"]
    z: Float64[np.ndarray, "n"]
    width: int
    height: int

    @property
    def known(self) -> list[int]:
        """The frames that have depth."""
        return np.unique(self.frames).tolist()

    def __getitem__(self, frame: int) -> KnownDepth:
        mine = slice(*np.searchsorted(self.frames, [frame, frame + 1]).tolist())
        return KnownDepth(self.pixels[mine], self.z[mine], self.width, self.height)


@dataclass(frozen=True)
class Truth:
    """What a plain folder knows beside its images; None where it knows nothing."""

    folder: Path
    images: list[Path]
    width: int
    height: int
    K: Float64[np.ndarray, "3 3"] | None
    T_world_camera: Float64[np.ndarray, "F 4 4"] | None
    depth: DepthMaps | SparseDepth | None
    metric: bool  # lengths are metres

    @property
    def unit(self) -> str:
        """Of path and depth."""
        return "m" if self.metric else "units of the truth"


def read_truth(folder: str | Path) -> Truth:
    """Reads a plain folder; raises InputError where there are no images, or what stands beside does not fit them."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one of images with poses.txt, depth/ and the like beside")
    footage = FolderFootage(folder)
    images, width, height = footage.files, footage.width, footage.height
    depth = _sparse(folder / "sparse_depth.npz", len(images), width, height) or _maps(folder / "depth", images)
    K, poses, metric = _camera_and_path(folder, images)
    if K is not None:
        check_intrinsics(K, width, height, folder)
    return Truth(folder, images, width, height, K, poses, depth, metric)


def _camera_and_path(
    folder: Path, images: list[Path]
) -> tuple[Float64[np.ndarray, "3 3"] | None, Float64[np.ndarray, "F 4 4"] | None, bool]:
    """K, the path, and whether it is in metres."""
    files = folder / "intrinsics.txt", folder / "poses.txt"
    if (folder / "cameras.json").is_file() and not any(file.is_file() for file in files):
        return *_cameras(folder / "cameras.json", images), False
    K = kitti.read_intrinsics(files[0]) if files[0].is_file() else None
    poses = kitti.read_poses(files[1]) if files[1].is_file() else None
    if poses is not None and len(poses) != len(images):
        raise InputError(f"{files[1]} has {len(poses)} poses for {len(images)} images; it needs one line per image")
    return K, poses, True


def _cameras(path: Path, images: list[Path]) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "F 4 4"]]:
    try:
        content = json.loads(path.read_text())
        fx, fy, cx, cy = (float(content[name]) for name in ("fx", "fy", "cx", "cy"))
        poses = {Path(frame["file"]).name: np.array(frame["c2w"], np.float64) for frame in content["frames"]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of fx fy cx cy and frames with file and c2w ({error})") from error
    if missing := [image.name for image in images if image.name not in poses]:
        raise InputError(f"{path} knows no pose of {missing[0]} ({len(missing)} of {len(images)} images are missing)")
    path_of_images = [poses[image.name] for image in images]
    if any(T.shape != (4, 4) for T in path_of_images):
        raise InputError(f"{path} holds a c2w that is not a 4x4 matrix")
    return camera_matrix((fx, fy, cx, cy)), np.stack(path_of_images)


def camera_matrix(given: tuple[float, float, float, float] | str | Path) -> Float64[np.ndarray, "3 3"]:
    """K from fx, fy, cx, cy, or from a file with the 3x3 matrix; raises InputError for what is neither."""
    if isinstance(given, str | Path):
        return kitti.read_intrinsics(given)
    fx, fy, cx, cy = given
    if not (0 < fx < np.inf and 0 < fy < np.inf):
        raise InputError(f"focal lengths of {fx:g} and {fy:g} pixels are impossible; give fx,fy,cx,cy")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def check_intrinsics(K: Float64[np.ndarray, "3 3"], width: int, height: int, place: str | Path) -> None:
    """Raises InputError for a K that cannot be that of the images of this size in this place."""
    inside = 0 < K[0, 2] < width and 0 < K[1, 2] < height
    if not inside or K[0, 0] > MOST_ZOOM * width or K[1, 1] > MOST_ZOOM * height:
        raise InputError(f"the intrinsics of {place} do not fit images of {width}x{height}; "
                         "give K in pixels of these images")
    x, y = 2 * K[0, 2] / (width - 1), 2 * K[1, 2] / (height - 1)  # 1 where the centre is in the middle
    if max(x, 1 / x) > OFF_CENTRE and max(x / y, y / x) < SAME_SHARE:
        raise InputError(f"the intrinsics of {place} seem to be those of images of {round(x * width)}x"
                         f"{round(y * height)}, not {width}x{height}; give K in pixels of these images")


def _maps(folder: Path, images: list[Path]) -> DepthMaps | None:
    """Depth maps named like their image, or by the frame's number."""
    files = {file.stem: file for file in folder.glob("*.png")}
    found = {i: files.get(image.stem) or files.get(f"{i:06d}") for i, image in enumerate(images)}
    known = {i: file for i, file in found.items() if file is not None}
    if files and not known:
        raise InputError(f"{folder} holds {len(files)} depth maps, but none is named like an image or 000000.png")
    return DepthMaps(known) if known else None


def _sparse(path: Path, frames: int, width: int, height: int) -> SparseDepth | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            table = np.stack([arrays[name].astype(np.float64) for name in ("frame", "x", "y", "z")], 1)
        frame, x, y, z = table[np.argsort(table[:, 0], kind="stable")].T.reshape(4, len(table))
    except (KeyError, *DAMAGED) as error:
        raise InputError(f"{path} does not hold arrays frame, x, y, z of one length ({error})") from error
    inside = (frame >= 0) & (frame < frames) & (x > -1) & (x < width) & (y > -1) & (y < height) & (z > 0)
    if not (inside & np.isfinite(z)).all():
        raise InputError(f"{path} has points outside the {frames} images of {width}x{height}, or whose z is not "
                         "a positive number")
    return SparseDepth(frame.astype(np.int64), np.stack([x, y], 1), z, width, height)


class PlainFolder:
    """A plain folder as a source: `folder[i]` is one unbatched view (N = 1) with all that is known of its frame.

    Depth falls on the image's pixels: each known point on the pixel nearest to it, the nearest point first.
    A K that is given stands in for the folder's own.
    """

    def __init__(self, folder: str | Path, K: Float64[np.ndarray, "3 3"] | None = None) -> None:
        self.truth = read_truth(folder)
        if K is not None:
            check_intrinsics(K, self.truth.width, self.truth.height, folder)
            self.truth = replace(self.truth, K=K)
        self._footage = FolderFootage(self.truth.folder)
        known = {"K": self.truth.K, "T_world_camera": self.truth.T_world_camera,
                 "depth": self.truth.depth, "depth_valid": self.truth.depth}
        self.provides = frozenset({"image", *(name for name, value in known.items() if value is not None)})

    def __len__(self) -> int:
        return len(self.truth.images)

    def __getitem__(self, index: int) -> Views:
        """Frame `index`; raises IndexError beyond the last."""
        i = range(len(self))[index]
        image = next(iter(self._footage.read(only={i}))).image
        fields = {"image": torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255}
        if self.truth.K is not None:
            fields["K"] = torch.from_numpy(self.truth.K).float()[None]
        if self.truth.T_world_camera is not None:
            fields["T_world_camera"] = torch.from_numpy(self.truth.T_world_camera[i]).float()[None]
        if self.truth.depth is not None:
            depth = torch.from_numpy(rasterise(self.truth.depth[i], self.truth.width, self.truth.height))[None, None]
            fields["depth"], fields["depth_valid"] = depth, depth > 0
        return Views(**fields)


def rasterise(known: KnownDepth, width: int, height: int) -> Float32[np.ndarray, "h w"]:
    """Known points as an image of this size, 0 where no point falls; of several on a pixel the nearest counts."""
    x, y = np.rint((known.pixels + 0.5) * [width / known.width, height / known.height] - 0.5).astype(np.int64).T
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    depth = np.full((height, width), np.inf, np.float32)
    np.minimum.at(depth, (y, x), known.z.astype(np.float32))
    return np.where(np.isfinite(depth), depth, np.float32(0))
