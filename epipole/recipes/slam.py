"""A clip seen by CNN-SLAM: frame by frame, with the depth of a trained system, into a RUN folder (docs/run-folder.md)
without the parts that only learning leaves: model.safetensors, mask.npz and log.jsonl."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..engine.fit import torch_device
from ..engine.system import System
from ..formats import ply
from ..formats.calibration import Calibration, as_words
from ..formats.camera_files import in_size
from ..formats.run import RunFiles, lengths_text
from ..geometry.camera import resize_intrinsics
from ..pipelines.cnn_slam import CnnSlam, Config
from ..pipelines.key_frames import KeyFrame
from ..sources.contents import sha256_of
from ..sources.footage import Footage, Frame
from ..sources.plain import check_intrinsics
from ..sources.straight import Straight, seen_through, straightened
from ..sources.video import open_footage
from ..types.errors import InputError
from ..types.predictions import Depth, Prediction
from ..types.views import Views
from .description import plain, write_description
from .learn_video.cache import RowWriter
from .learn_video.correspond import KeyImages
from .learn_video.describe import PNG_SCALE
from .learn_video.export import from_first_camera, write_frames, write_path
from .learn_video.folder import alone
from .learn_video.fuse import fuse
from .learn_video.predict import Predicted
from .learn_video.solve import network_intrinsics, network_size
from .reconstruction import write_models
from .slam_depth import SlamDepth
from .slam_folder import begin_anew, claim, is_whole
from .train import installed, load_model, versions

MODEL = "model.safetensors"
LEAST_FRAMES = 2

Progress = Callable[[int, int], None]


class Model(NamedTuple):
    """A depth system, and as far as a RUN tells it: the size (width, height) it sees, K of the camera that taught it,
    the size of that camera's images, and its lens. `sha256` is of its file."""

    system: System
    size: tuple[int, int] | None = None
    K: Float64[np.ndarray, "3 3"] | None = None
    image_size: tuple[int, int] | None = None
    lens: Calibration | None = None
    sha256: str = ""

    def focal(self, size: tuple[int, int]) -> float | None:
        """Focal length, px, of the images that taught it, at the size of the network."""
        return None if self.K is None or self.image_size is None else float(self.K[0, 0] * size[0] / self.image_size[0])


def slam(
    clip: Path, model: Path, out: Path, *, intrinsics: tuple[float, float, float, float] | Path | None = None,
    device: str = "auto", progress: Progress | None = None, tell: Callable[[str], object] = print,
) -> Path:
    """Sees a clip by CNN-SLAM with the depth of `model`, a RUN folder or a model.safetensors, and leaves path, depth of
    every frame and map in the folder `out`, which is returned.

    Without `intrinsics` the clip has the camera of the RUN. `progress` is told (frames done, of how many). A run that
    is finished is left as it is; of one that was interrupted `tell` says that it begins anew.
    Raises InputError for what cannot be read or written, a model that needs more than images and intrinsics, intrinsics
    that nobody knows, and a folder that holds something else or is at work.
    """
    began, footage, found = time.monotonic(), open_footage(clip), open_model(model)
    (footage, K), given = _camera(intrinsics, found, footage), intrinsics is not None
    size = found.size or network_size(footage.width, footage.height)
    begun = claim(out, {"clip": footage.sha256(), "model": found.sha256, "intrinsics": K})
    if begun and is_whole(out):
        return out
    arguments = {"clip": clip, "model": model, "intrinsics": intrinsics, "device": device}
    with alone(out / "work"):
        if begun:
            tell(f"{out} holds this run half made: it begins anew")
        begin_anew(out)
        seer = CnnSlam(depth_method(found.system, torch_device(device)), Config(trained_focal=found.focal(size)),
                       folder=out / "work")
        K_small = network_intrinsics(torch.from_numpy(K), (footage.width, footage.height), size)
        times = _watch(seer, footage, K_small, size, out / "work", progress)
        about = _about(footage, seer, K, given, size, len(times), arguments)
        _write(out, footage, seer, K_small, size, times, about)
        phases = [{"name": "slam", "seconds": round(time.monotonic() - began, 1)}]
        write_description(out, about | {"phases": phases, "finished": True})
    return out


def open_model(path: Path) -> Model:
    """The depth system of a RUN folder or of a file. Raises InputError for anything else."""
    run, file = (path, path / MODEL) if path.is_dir() else (path.parent, path)
    system = load_model(file)
    says = get_type_hints(type(system).forward).get("return", Prediction)
    if not system.reads <= {"image", "K"} or not issubclass(says, Depth):
        raise InputError(f"the system in {path} makes {says.__name__} of {', '.join(sorted(system.reads))}: "
                         "give one that tells depth from an image")
    only = Model(system, sha256=sha256_of(file))
    try:
        about = RunFiles(run)
        depth = about.about["depth"]
        size = int(depth["width"]), int(depth["height"])
        return only._replace(size=size, K=about.intrinsics, image_size=about.image_size, lens=about.lens)
    except (InputError, KeyError, TypeError):  # what `epipole train` left knows no camera
        return only


def depth_method(system: System, device: torch.device) -> Callable[[Views], Depth]:
    """What the system says of one unbatched view, on the CPU."""
    system = system.eval().to(device)

    @torch.inference_mode()
    def depth_of(view: Views) -> Depth:
        said = system(view.keep(system.reads).map(lambda x: x[None]).to(device))
        return Depth(**{name: said.fields()[name][0, :1].float().cpu().clone()
                        for name in ("depth", "log_variance") if name in said.fields()})

    return depth_of


def _camera(
    given: tuple[float, float, float, float] | Path | None, model: Model, footage: Footage
) -> tuple[Footage, Float64[np.ndarray, "3 3"]]:
    """The footage, straight if need be, and its K."""
    straight, K = seen_through(footage, given)
    if K is not None:
        return straight, K
    if model.K is None or model.image_size is None:
        raise InputError("nobody knows the camera: give --intrinsics, or as the model a RUN that epipole learned")
    if model.lens is not None:
        straight = straightened(footage, in_size(model.lens, footage.width, footage.height, "the RUN"))
    w, h = model.image_size
    K = straight.K if isinstance(straight, Straight) else resize_intrinsics(
        torch.from_numpy(model.K), footage.width / w, footage.height / h).numpy()
    check_intrinsics(K, footage.width, footage.height, footage.name)
    return straight, K


def _watch(
    seer: CnnSlam, footage: Footage, K: Tensor, size: tuple[int, int], work: Path, progress: Progress | None
) -> Float64[np.ndarray, "f"]:
    """Steps through the clip. Depth and variance of every frame go to disk, and what is known of every key frame once
    it will not change; returns the frames' times."""
    (w, h), times, total = size, [], footage.count()
    with ExitStack() as stack:
        frames, keys = (stack.enter_context(RowWriter(work / f"{name}.npy", (2, h, w), np.float32))
                        for name in ("frames", "keys"))
        seer.finished = lambda _, key: keys.append(_rows(key.depth.log, key.depth.variance.log()))
        for frame in footage.read(w, h):
            image = torch.from_numpy(frame.image).permute(2, 0, 1)[None].float() / 255
            view = Views(image=image, K=K[None].float())
            seer.step(view)
            seen = seer.seen(view)
            frames.append(_rows(seen.depth.log(), seen.log_variance))
            times.append(frame.time)
            if progress is not None:
                progress(len(times), max(total, len(times)))
        if len(times) < LEAST_FRAMES:
            raise InputError(f"{footage.name} has {len(times)} frames that can be read; a path needs {LEAST_FRAMES}")
        last: KeyFrame = seer.keys[len(seer.key_frames) - 1]
        keys.append(_rows(last.depth.log, last.depth.variance.log()))
    return np.array(times)


def _rows(log: Tensor, log_variance: Tensor) -> np.ndarray:
    return torch.cat([log, log_variance], 1)[0].numpy()


def _write(
    out: Path, footage: Footage, seer: CnnSlam, K_small: Float[Tensor, "3 3"], size: tuple[int, int],
    times: Float64[np.ndarray, "f"], about: dict[str, Any],
) -> None:
    """Everything but run.yaml, in the unit of the first key frame; loops are closed before."""
    path = from_first_camera(seer.result().T_first_camera.double().numpy())
    known = SlamDepth(out / "work", seer, path, K_small)
    images = KeyImages.write(out / "work" / "key_images", footage, seer.key_frames, size)
    typical = float(np.median([np.median(known(frame).depth) for frame in seer.key_frames]))
    about["depth"] |= {"png_scale": PNG_SCALE / typical, "typical": typical, "doubt": known.doubt}
    write_description(out, about)
    write_frames(out, footage, len(times), _each(footage, size, known), about["depth"]["png_scale"])
    lengths = lengths_text(about)
    write_path(out, times, path, lengths)
    cloud = fuse(images, path[seer.key_frames], K_small.double().numpy(), lambda k: known(seer.key_frames[k]), typical)
    ply.write(out / "cloud.ply", cloud.points, cloud.colours, lengths)
    write_models(RunFiles(out), footage, cloud.points, cloud.colours)
    about["left_out"] = cloud.left_out


def _each(
    footage: Footage, size: tuple[int, int], known: Callable[[int], Predicted]
) -> Iterator[tuple[Frame, Predicted]]:
    for frame in footage.read(2 * size[0], 2 * size[1]):
        yield frame, known(frame.number)


def _about(
    footage: Footage, seer: CnnSlam, K: Float64[np.ndarray, "3 3"], given: bool, size: tuple[int, int], frames: int,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    """What stands in run.yaml."""
    w, h, lost = footage.width, footage.height, len(seer.lost)
    names = ", ".join(map(str, seer.lost[:10])) + (", ..." if lost > 10 else "")
    verdict = "taken as given" if given else "those of the run that learned the model"
    return plain({
        "epipole": installed("epipole"), "finished": False, "arguments": arguments, "versions": versions(),
        "pipeline": {"name": "cnn_slam", "config": asdict(seer.config)},
        "footage": {"name": footage.name, "sha256": footage.sha256(), "frames": frames, "width": w, "height": h,
                    "fps": footage.fps},
        "intrinsics": {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "width": w, "height": h,
                       "source": "given", "verdict": verdict, "sd_percent": None},
        "lens": None if footage.lens is None else as_words(footage.lens),
        "scale": "unknown", "depth": {"width": size[0], "height": size[1], "model_factor": 1.0}, "found": [],
        "key_frames": seer.key_frames, "skipped": [], "phases": [], "scores": [], "healthy": {},
        "warnings": [f"{lost} frames could not be aligned with their key frame (frames {names}): their pose is a guess"]
        if lost else [],
    })  # fmt: skip
