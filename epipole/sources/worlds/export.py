"""A world as files: the plain folder layout that every command reads, a contact sheet to look at, a video."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from epipole.formats import kitti, png16
from epipole.formats.atomic import make_folder, replacing
from epipole.types.errors import InputError
from epipole.types.views import Views

from .spec import Spec
from .truths import TRUTHS, check_truths
from .world import World

JPEG_QUALITY = 97
MILLIMETRES = 1000.0

Progress = Callable[[int, int], None]
"""Told (frames done, frames in all) after every frame."""


def write_world(
    spec: Spec, folder: str | Path, progress: Progress | None = None, workers: int = 1, truth: Collection[str] = ()
) -> Path:
    """Renders the clip into `folder`: `color/NNNNNN.jpg`, `depth/NNNNNN.png` (16 bit, mm), `intrinsics.txt`,
    `poses.txt` (KITTI rows, camera to world), `contact_sheet.png`, and last `world.yaml`, the spec. `truth` adds any of

    normals        `normals/` (16-bit RGB, component = value / 32767.5 - 1, in camera axes; black: unknown)
    semantic       `semantic/` (8 bit, class; `classes.txt` names them)
    instance       `instance/` (16 bit, number of the thing plus one; 0: none)
    flow           `flow/NNNNNN.flo` to the next frame, `occlusion/` (0: seen there, 255: hidden, 128: outside)
    backward_flow  the same to the frame before, in `backward_flow/` and `backward_occlusion/`
    disparity      `disparity/` (16 bit, 1/256 px; 0: unknown), `right/` (images), `baseline.txt` (m)
    focus          `focus/K/NNNNNN.png` of ten slices K, `focus.txt` (m at which they are focused)
    scene          `scene.npz`: voxels, signed distances and points of the whole scene, see `clip_truths.write_scene`
    imu            `imu.csv`, `T_camera_imu.txt`: what an inertial sensor reads, see `clip_truths.write_imu`

    The same spec gives the same bytes for any number of worker processes. Raises InputError for a truth that there is
    not, and where the folder cannot be written or holds the frames of another clip.
    """
    check_truths(truth)
    world = _open(spec)
    _ = world.poses  # a motion that the family does not have is refused before anything is written
    folder = claimed(folder, spec)
    _make_frame_folders(folder, len(world), truth)
    for name in truth:
        if (whole := TRUTHS[name].clip) is not None:
            whole(world, folder)
    kitti.write_intrinsics(folder / "intrinsics.txt", world.K.numpy())
    kitti.write_poses(folder / "poses.txt", world.poses.numpy())
    for done, _ in enumerate(_write_frames(spec, folder, tuple(truth), workers), 1):
        if progress:
            progress(done, len(world))
    write_image(folder / "contact_sheet.png", contact_sheet(world))
    with replacing(folder / "world.yaml") as part:
        part.write_text(spec.to_yaml())
    return folder


def claimed(folder: str | Path, spec: Spec) -> Path:
    """The folder, made where it is missing. Raises InputError if it holds another clip, which stays as it was."""
    folder = make_folder(folder)
    if (folder / "world.yaml").is_file() and Spec.from_yaml(folder / "world.yaml") != spec:
        raise InputError(f"{folder} holds another clip, which its world.yaml tells of; give an empty folder")
    return folder


def is_written(spec: Spec, folder: str | Path, truth: Collection[str] = ()) -> bool:
    """Whether the folder holds this very clip, whole, with these truths. Raises InputError for a world.yaml of
    something else."""
    folder, kinds = Path(folder), [TRUTHS[name] for name in truth]
    if not (folder / "world.yaml").is_file() or Spec.from_yaml(folder / "world.yaml") != spec:
        return False
    return all((folder / name).exists() for kind in kinds for name in (*kind.folders, *kind.files))


def _write_frames(spec: Spec, folder: Path, truth: tuple[str, ...], workers: int) -> Iterable[None]:
    write = partial(_write_frame, spec, folder, truth)
    if workers <= 1:
        yield from map(write, range(spec.frames))
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(write, range(spec.frames), chunksize=4)


@lru_cache(maxsize=1)
def _open(spec: Spec) -> World:
    """A worker builds its world once."""
    return World(spec)


def _write_frame(spec: Spec, folder: Path, truth: tuple[str, ...], index: int) -> None:
    view = _open(spec)[index]
    write_image(folder / "color" / f"{index:06d}.jpg", rgb(view.image[0]))
    depth = np.where(view.depth_valid[0, 0].numpy(), view.depth[0, 0].numpy(), 0)
    depth = np.where(depth * MILLIMETRES > png16.LARGEST, 0, depth)  # too far for the file: unknown, not nearer
    png16.write(folder / "depth" / f"{index:06d}.png", depth, MILLIMETRES)
    for name in truth:
        if (one := TRUTHS[name].frame) is not None:
            one(_open(spec), folder, index)


def _make_frame_folders(folder: Path, frames: int, truth: Collection[str]) -> None:
    kinds = {"color": "jpg", "depth": "png"}
    for name in truth:
        kinds |= TRUTHS[name].folders
    for kind, suffix in kinds.items():
        frame_folder(folder / kind, {f"{i:06d}.{suffix}" for i in range(frames)})
    (folder / "world.yaml").unlink(missing_ok=True)  # from here on the folder is not whole


def frame_folder(folder: Path, files: set[str]) -> Path:
    """The folder, made where it is missing; raises InputError if it holds anything but these files."""
    if others := {f.name for f in make_folder(folder).iterdir()} - files:
        raise InputError(f"{folder} holds files of another clip ({min(others)}); give an empty folder")
    return folder


def write_image(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """RGB bytes as JPEG or PNG, whichever the suffix says."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)
    with replacing(path) as part:
        part.write_bytes(data.tobytes())


def rgb(image: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image as RGB bytes."""
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


def _depth_colours(view: Views, limits: tuple[float, float]) -> UInt8[np.ndarray, "h w 3"]:
    """Inverse depth from far (blue) to near (red); black where nothing is seen."""
    (low, high), known = limits, view.depth_valid[0, 0].numpy()
    near = 1 / np.where(known, view.depth[0, 0].numpy(), np.inf)
    level = np.clip((near - low) / max(high - low, 1e-9), 0, 1)
    colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colours, 0).astype(np.uint8)


def _limits(views: list[Views]) -> tuple[float, float]:
    """The 2nd and 98th percentile of all inverse depths, 1/m, so that one near thing does not darken a whole sheet."""
    near = [1 / view.depth[view.depth_valid].numpy() for view in views]
    low, high = np.quantile(np.concatenate(near), [0.02, 0.98])
    return float(low), float(high)


def contact_sheet(world: World, count: int = 8, columns: int = 4) -> UInt8[np.ndarray, "h w 3"]:
    """RGB picture of `count` views spread over the clip, each above its inverse depth, all in the same colours."""
    views = [world[int(i)] for i in np.linspace(0, len(world) - 1, count)]
    limits = _limits(views)
    cells = [np.vstack([rgb(v.image[0]), _depth_colours(v, limits)]) for v in views]
    return np.vstack([np.hstack(cells[k : k + columns]) for k in range(0, count, columns)])


def write_video(folder: str | Path, path: str | Path, fps: int = 30) -> Path:
    """The frames of a folder written by `write_world` as a video (MPEG-4 at its highest quality).

    Raises InputError if the folder holds no frames, one that cannot be read, or if the video cannot be written.
    """
    folder, path = Path(folder), Path(path)
    files = sorted((folder / "color").glob("*.jpg"))
    if not files:
        raise InputError(f"{folder} holds no frames color/*.jpg; write a world there first")
    with replacing(path) as part, av.open(str(part), "w") as video:
        stream = video.add_stream("mpeg4", rate=fps, options={"qmin": "1", "qmax": "2"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = _read(files[0]).shape[:2]
        for file in files:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(_read(file), format="bgr24")))
        video.mux(stream.encode())
    return path


def _read(file: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A frame as BGR bytes."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{file} is damaged; write the world again")
    return image.astype(np.uint8)
