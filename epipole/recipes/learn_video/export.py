"""Everything that a run leaves (docs/run-folder.md), but the report: streamed, every file whole or not there."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt8

from ...engine.checkpoint import write_bytes
from ...formats import kitti, npz, ply, png16, tum
from ...formats.atomic import make_folder, whole_folder
from ...formats.run import RunFiles, lengths_text
from ...sources.findings import Look
from ...sources.footage import Footage, Frame, resized
from ...types.errors import InputError
from ..description import write_description
from ..reconstruction import write_models
from ..train import save_model
from .agree import JoinedDepth
from .correspond import KeyImages
from .describe import Result, describe
from .fuse import Moved, fuse
from .predict import KeyDepth, Predicted, Predictor, typical_depth

LARGEST_PNG = 640           # pixels along the longer side
PREVIEWS, PREVIEW_WIDTH, PREVIEW_QUALITY = 150, 320, 78
BATCH = 8

Progress = Callable[[int, int], None]
Path4x4 = Float64[np.ndarray, "f 4 4"]


def write_outputs(
    out: str | Path,
    footage: Footage,
    look: Look,
    joined: JoinedDepth,
    moved: Moved,
    result: Result,
    *,
    device: str = "cpu",
    bf16: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the RUN folder, but for the report and the word that it is finished. Returns what stands in run.yaml.

    The world becomes the first camera, and, unless the result is metric, typical (median) depth becomes 1. Interrupted
    anywhere it leaves no half file that looks whole. `progress(frames done, frames in all)`.

    Raises:
        InputError: the disk is full or refuses, or the footage has other frames than when it was looked at.
    """
    out = make_folder(out)
    remove_leftovers(out)
    for name in ("mesh.ply", "mesh.glb"):  # of what stood here before, in its unit
        (out / name).unlink(missing_ok=True)
    keys, typical = joined.keys, typical_depth(joined, len(joined.keys))
    factor = 1.0 if result.metric else 1 / typical
    about = describe(footage, look, keys, result, typical * factor, factor)
    about["depth"]["doubt"] = joined.doubt
    write_description(out, about)
    depth = depth_of_frames(footage, joined, Predictor(result.system, device, bf16), result.T_world_camera, factor)
    write_frames(out, footage, len(look.times), depth, about["depth"]["png_scale"], progress, keys.key_frames)
    write_masks(out, keys, moved)
    path = from_first_camera(result.T_world_camera, factor)
    lengths = lengths_text(about)
    write_path(out, look.times, path, lengths)
    K_network = joined.scene.K.double().numpy()
    cloud = fuse(keys, path[keys.key_frames], K_network, scaled(joined, factor), typical * factor, moved=moved)
    ply.write(out / "cloud.ply", cloud.points, cloud.colours, lengths)
    write_models(RunFiles(out), footage, cloud.points, cloud.colours)
    save_model(out / "model.safetensors", result.system_name, result.config, result.system)
    about["left_out"] = cloud.left_out
    write_description(out, about)
    return about


def remove_leftovers(out: Path) -> None:
    """Unfinished files of a run that was killed."""
    for part in out.glob(".*.part*"):
        with suppress(OSError):  # a folder, or gone
            part.unlink()


def from_first_camera(T_world_camera: Path4x4, factor: float = 1.0) -> Path4x4:
    """The path with the first camera as the world, lengths times `factor`."""
    path = np.linalg.inv(T_world_camera[0]) @ T_world_camera
    path[:, :3, 3] *= factor
    path[0] = np.eye(4)
    return path


def scaled(depth_of: KeyDepth, factor: float) -> KeyDepth:
    """Depth of key frames in another unit."""
    def of_key_frame(k: int) -> Predicted:
        depth, log_variance = depth_of(k)
        return Predicted(depth * np.float32(factor), log_variance)

    return of_key_frame


def write_frames(
    out: Path, footage: Footage, frames: int, depth: Iterator[tuple[Frame, Predicted]], png_scale: float,
    progress: Progress | None = None, key_frames: Int64[np.ndarray, "k"] | None = None,
) -> None:
    """Depth of every frame (depth/, depth.npz), log_variance.npz and previews, in one pass over the footage."""
    small = set(previewed(frames, key_frames).tolist())
    png, done = png_size(footage.width, footage.height), 0
    with (whole_folder(out / "depth") as folder, whole_folder(out / "work" / "preview") as preview,
          npz.writing(out / "depth.npz") as add_depth, npz.writing(out / "log_variance.npz") as add_variance,
          ThreadPoolExecutor(2) as pool):  # fmt: skip

        def pictures(frame: Frame, z: Float32[np.ndarray, "h w"]) -> None:
            png16.write(folder / f"{frame.number:06d}.png", enlarged(z, png), png_scale)
            if frame.number in small:
                write_bytes(preview / f"{frame.number:06d}.jpg", jpeg(frame.image, footage.width / footage.height))

        while batch := list(islice(depth, BATCH)):
            writing = pool.map(pictures, *zip(*((frame, predicted.depth) for frame, predicted in batch), strict=True))
            for frame, predicted in batch:
                add_depth(f"{frame.number:06d}", predicted.depth.astype(np.float16))
                add_variance(f"{frame.number:06d}", predicted.log_variance.astype(np.float16))
            list(writing)  # waits, and raises what a thread raised
            done += len(batch)
            if progress:
                progress(done, frames)
        if done != frames:
            raise InputError(f"{footage.name} gave {done} of {frames} frames when read again; "
                             "see that nothing changes the footage and run the same command again.")  # fmt: skip


def previewed(frames: int, key_frames: Int64[np.ndarray, "k"] | None = None) -> Int64[np.ndarray, "n"]:
    """At most `PREVIEWS` frames, evenly spaced but for key frames in place of what is next to them: only of these it is
    known what moved."""
    even = np.linspace(0, frames - 1, min(PREVIEWS, frames)).round().astype(np.int64)
    if key_frames is None:
        return even
    nearest = key_frames[np.abs(key_frames - even[:, None]).argmin(1)]
    return np.unique(np.where(2 * np.abs(nearest - even) * len(even) < frames, nearest, even))


def depth_of_frames(
    footage: Footage, joined: JoinedDepth, predictor: Predictor, T_world_camera: Path4x4, factor: float
) -> Iterator[tuple[Frame, Predicted]]:
    """All frames at twice the network's size, and their depth times `factor`; the network looks at them in batches."""
    w, h = joined.keys.size
    stream = footage.read(2 * w, 2 * h)
    while batch := list(islice(stream, BATCH)):
        for frame, *said in zip(batch, *predictor(np.stack([resized(f.image, (w, h)) for f in batch])), strict=True):
            if frame.number >= len(T_world_camera):  # footage that grew; the count will say so
                depth, log_variance = said
            else:
                depth, log_variance = joined.of_frame(frame.number, Predicted(*said), T_world_camera[frame.number])
            yield frame, Predicted(depth * np.float32(factor), log_variance)


def png_size(width: int, height: int) -> tuple[int, int]:
    """The footage's (width, height), shrunk to `LARGEST_PNG` along the longer side if need be."""
    shrink = min(1.0, LARGEST_PNG / max(width, height))
    return max(1, round(shrink * width)), max(1, round(shrink * height))


def enlarged(depth: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    """Depth at (width, height), bilinear in inverse depth, of which planes are linear functions."""
    return 1 / cv2.resize(1 / depth, size, interpolation=cv2.INTER_LINEAR)


def jpeg(image: UInt8[np.ndarray, "h w 3"], aspect: float) -> bytes:
    """A preview of this aspect ratio (width / height)."""
    small = resized(image, (PREVIEW_WIDTH, max(1, round(PREVIEW_WIDTH / aspect))))
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])[1].tobytes()


def write_masks(out: Path, keys: KeyImages, moved: Moved) -> None:
    """mask.npz: one array per key frame."""
    with npz.writing(out / "mask.npz") as add:
        for k, number in enumerate(keys.key_frames):
            add(f"{number:06d}", np.asarray(moved(k), bool))


def write_path(out: Path, times: Float64[np.ndarray, "f"], path: Path4x4, lengths: str) -> None:
    """path_tum.txt, which says what its lengths are, and path_kitti.txt, which has no room for words."""
    tum.write(out / "path_tum.txt", times, path, lengths)
    kitti.write_poses(out / "path_kitti.txt", path)
