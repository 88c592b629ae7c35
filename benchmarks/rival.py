"""Paths of finished runs beside those that COLMAP's structure from motion (pycolmap) finds in the same frames.

    python benchmarks/rival.py RUN [RUN ...] [--truth FOLDER] [--every 1] [--threads 2] [--clip CLIP] [--work FOLDER]

A row for each RUN. Every `--every`th frame of its footage (of a folder; a video is written out) goes through pycolmap
with its own defaults: SIFT, exhaustive matching up to `EXHAUSTIVE` frames and sequential matching with `OVERLAP`
beyond, incremental mapping, the largest model. The camera is one for all frames: a pinhole held fixed where the run was
given K, else SIMPLE_RADIAL with the focal length sought. Both paths are aligned to the truth by Sim(3) over the frames
that pycolmap registered; ATE is the root mean square distance, extent the largest distance between two true cameras.
Without a truth both are compared with each other. Seconds and memory of pycolmap are those of a process of its own, of
epipole those that the run tells, and are of all frames.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EXHAUSTIVE, OVERLAP = 120, 12   # frames


def structure_from_motion(images: Path, work: Path, K: list[float] | None, size: list[int], threads: int) -> None:
    """Writes the registered images' positions, seconds and the process's peak memory as JSON to `work`/found.json."""
    import pycolmap

    began = time.monotonic()
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL" if K is None else "PINHOLE"
    reader.camera_params = "" if K is None else ",".join(map(str, K))
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    mapping = pycolmap.IncrementalPipelineOptions()
    extraction.use_gpu = matching.use_gpu = False
    extraction.num_threads = matching.num_threads = mapping.num_threads = threads
    if K is not None:
        mapping.ba_refine_focal_length = mapping.ba_refine_extra_params = False
    pycolmap.extract_features(work / "database.db", images, camera_mode=pycolmap.CameraMode.SINGLE,
                              reader_options=reader, extraction_options=extraction)
    if len(list(images.iterdir())) <= EXHAUSTIVE:
        pycolmap.match_exhaustive(work / "database.db", matching_options=matching)
    else:
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap = OVERLAP
        pycolmap.match_sequential(work / "database.db", matching_options=matching, pairing_options=pairing)
    models = pycolmap.incremental_mapping(work / "database.db", images, work / "models", options=mapping)
    largest = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
    found: dict = {"places": {}, "focal": None}
    if largest is not None:
        found["places"] = {image.name: image.projection_center().tolist() for image in largest.images.values()
                           if image.has_pose}
        camera = next(iter(largest.cameras.values()))
        found["focal"] = float(camera.mean_focal_length()) / camera.width * size[0]
    found |= {"seconds": time.monotonic() - began,
              "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    (work / "found.json").write_text(json.dumps(found))


def write_frames(clip: Path, folder: Path, every: int) -> dict[str, int]:
    """Frames of the footage as images; the number of each by its name."""
    import cv2

    from epipole.sources.folder import FolderFootage
    from epipole.sources.video import open_footage

    folder.mkdir()
    footage, numbers = open_footage(clip), {}
    photos = footage.files if isinstance(footage, FolderFootage) else []
    for i in range(0, len(photos), every):
        name = f"{i:06d}{photos[i].suffix}"
        shutil.copy(photos[i], folder / name)
        numbers[name] = i
    if not isinstance(footage, FolderFootage):
        for frame in footage.read(only=set(range(0, footage.count(), every))):
            numbers[f"{frame.number:06d}.png"] = frame.number
            cv2.imwrite(str(folder / f"{frame.number:06d}.png"), frame.image[..., ::-1])
    return numbers


def ate(places: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square distance after the best similarity."""
    import torch

    from epipole.geometry.align import umeyama

    c, R, t = (x.numpy() for x in umeyama(torch.from_numpy(places.copy()), torch.from_numpy(truth.copy())))
    return float(np.sqrt(((c * places @ R.T + t - truth) ** 2).sum(1).mean()))


def row(folder: Path, options: argparse.Namespace, work: Path) -> str:
    """A line of the table."""
    from epipole.formats.run import RunFiles
    from epipole.sources.plain import read_truth

    run = RunFiles(folder)
    clip = options.clip or Path(run.about["arguments"]["clip"])
    numbers = write_frames(clip, work / "images", options.every)
    given, K, (w, h) = run.about["intrinsics"]["source"] == "given", run.intrinsics, run.image_size
    order = {"images": str(work / "images"), "work": str(work), "size": [w, h], "threads": options.threads,
             "K": [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5] if given else None}
    subprocess.run([sys.executable, __file__, "--sfm", json.dumps(order)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": str(options.threads)})
    found = json.loads((work / "found.json").read_text())
    theirs = np.array(list(found["places"].values())).reshape(-1, 3)
    frames = [numbers[name] for name in found["places"]]
    ours, cost = run.path[frames, :3, 3], {s["name"]: s["value"] for s in run.about["scores"]}
    truth = read_truth(options.truth).T_world_camera[frames, :3, 3] if options.truth else theirs  # type: ignore[index]
    extent, unit = max(np.linalg.norm(truth[:, None] - truth, axis=-1).max(), 1e-9), run.about["footage"]["frames"]
    errors = [(ate(places, truth), 100 * ate(places, truth) / extent) for places in (ours, theirs)]
    shown = [f"{a:.4g} ({b:.2f} %)" for a, b in errors] if options.truth else [f"{errors[0][1]:.2f} % apart", ""]
    return (f"| {folder.name} | {len(numbers)} of {unit} | {len(frames)} | {shown[0]} | {shown[1]} "
            f"| {cost['wall_s']:.0f} ({unit} frames) | {found['seconds']:.0f} | {cost['peak_memory_mb']:.0f} "
            f"| {found['megabytes']:.0f} | {K[0, 0]:.1f} | {found['focal'] or 0:.1f} |")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--sfm", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sfm:
        order = json.loads(options.sfm)
        structure_from_motion(Path(order["images"]), Path(order["work"]), order["K"], order["size"], order["threads"])
        return
    print(f"{platform.processor() or platform.machine()}, {options.threads} threads for pycolmap\n\n"
          "| run | frames | registered by pycolmap | ATE epipole (of extent) | ATE pycolmap | s epipole | s pycolmap "
          "| MB epipole | MB pycolmap | f epipole | f pycolmap |\n|" + "---|" * 11, flush=True)
    for folder in options.runs:
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            print(row(folder, options, Path(work)), flush=True)


if __name__ == "__main__":
    main()
