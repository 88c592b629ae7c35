"""The start of the main job's network: depth up to scale, taught on rendered worlds alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from ..engine.checkpoint import decided_once
from ..engine.fit import Train, fit, plan, torch_device
from ..engine.log import Log, Progress
from ..formats.atomic import whole_folder
from ..losses.photometric import masked_mean
from ..losses.weighting import laplace
from ..sources.worlds import FAMILIES, Spec, World
from ..sources.worlds.spec import Sensor
from ..systems.depth.eigen import augmented
from ..systems.depth.reprojection import PRESETS, ReprojectionDepth
from ..types.errors import InputError
from ..types.views import Views
from .learn_video.cache import Rows, RowWriter
from .train import sampled, save_model

SENSOR = Sensor(noise=0.006, full_well=10_000.0, exposure=0.02, vignetting=0.25, jpeg=90)
HOW = Train(learning_rate=2e-3, warmup=100, weight_decay=1e-2, clip=1.0, bf16=True, final=0.02)
STEPS = (1, 2, 4, 8)    # px between the two ends of a slope
SLOPES = 0.5            # weight of what is steeper or flatter than the truth (Li 2018, its alpha)
BATCH = 8


@dataclass(frozen=True)
class Worlds:
    """Scenes to learn from: of every family in turn, of all difficulties, with lenses from wide to long."""

    families: tuple[str, ...] = ("room",)
    scenes: int = 400
    frames: int = 6         # of each, far apart
    width: int = 192
    height: int = 144
    seed: int = 0

    def spec(self, scene: int) -> Spec:
        """Of this scene. Raises InputError for a family that there is not."""
        fov = float(np.random.default_rng((self.seed, scene)).uniform(45, 80))
        families, level = len(self.families), scene // max(len(self.families), 2) % 4
        spec = Spec(self.families[scene % families], seed=self.seed, scene=scene, difficulty=level, fov=fov,
                    frames=4 * self.frames, width=self.width, height=self.height, speed=12.0, sensor=SENSOR)
        if spec.family not in FAMILIES:
            raise InputError(f"there is no world family {spec.family!r}; there are {', '.join(FAMILIES)}")
        return spec


class Rendered:
    """Single images with their depth (0: unknown), rendered once and kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.images, self.depths = Rows(folder / "images.npy"), Rows(folder / "depths.npy")
        self.provides = Taught.needs

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Views:
        i = range(len(self))[index]
        depth = torch.from_numpy(self.depths[i].astype(np.float32))[None, None]
        image = torch.from_numpy(self.images[i]).permute(2, 0, 1)[None] / 255
        return Views(image=image, depth=depth.clamp(min=1e-3), depth_valid=depth > 0)

    @staticmethod
    def write(folder: Path, worlds: Worlds, processes: int = 2, progress: Progress | None = None) -> Rendered:
        """The same whatever the number of processes. Raises InputError where the disk refuses."""
        specs = [worlds.spec(scene) for scene in range(worlds.scenes)]
        shape = (worlds.height, worlds.width)
        if folder.exists():
            return Rendered(folder)
        if progress:
            progress.phase("render", len(specs), "scenes")
        with (whole_folder(folder) as part, RowWriter(part / "images.npy", (*shape, 3), np.uint8) as images,
              RowWriter(part / "depths.npy", shape, np.float16) as depths):  # fmt: skip
            for done, views in enumerate(rendered(specs, processes), 1):
                for image, depth in views:
                    images.append(image)
                    depths.append(depth)
                if progress:
                    progress.reach(done)
        return Rendered(folder)


def rendered(specs: list[Spec], processes: int) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """The views of each scene, in their order."""
    if processes < 2:
        yield from map(scene_views, specs)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(scene_views, specs)


def scene_views(spec: Spec) -> list[tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]]:
    """Every fourth frame of a clip: image, and depth that is 0 where there is none."""
    world, found = World(spec, Taught.needs), []
    for i in range(0, spec.frames, 4):
        views = world[i]
        image = (255 * views.image[0]).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        found.append((image, torch.where(views.depth_valid, views.depth, 0)[0, 0].float().numpy()))
    return found


class Taught(ReprojectionDepth):
    """The network of the main job with true depth as its teacher; the unit of every image is its own median depth."""

    needs = frozenset({"image", "depth", "depth_valid"})

    def loss(self, views: Views) -> dict[str, Tensor]:
        """|e|, the slopes of e at several distances (Li 2018, eq. 3-4), and the Laplace likelihood of e, where e is the
        log of predicted over true depth."""
        image, depth, valid = augmented(*(x.flatten(0, 1) for x in (views.image, views.depth, views.depth_valid)))
        predicted = self(Views(image=image[:, None]))
        error = predicted.depth[:, 0].log() - in_own_unit(depth, valid)
        log_b = predicted.log_variance[:, 0] / 2
        return {"depth": masked_mean(error.abs(), valid), "slopes": SLOPES * slopes(error, valid),
                "uncertainty": self.config.uncertainty * masked_mean(laplace(error.detach().abs(), log_b), valid)}


def in_own_unit(depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Log depth less its median over the known pixels of each image."""
    log = depth.clamp(min=1e-3).log()
    middle = log.masked_fill(~valid, float("nan")).flatten(1).nanmedian(1).values
    return log - middle.nan_to_num()[:, None, None, None]


def slopes(error: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    """Mean |difference| of errors this many pixels apart, along rows and columns, mean over `STEPS`."""
    parts = []
    for s in STEPS:
        across = masked_mean((error[..., s:] - error[..., :-s]).abs(), valid[..., s:] & valid[..., :-s])
        down = masked_mean((error[..., s:, :] - error[..., :-s, :]).abs(), valid[..., s:, :] & valid[..., :-s, :])
        parts.append(across + down)
    return torch.stack(parts).mean()


def pretrain(
    out: Path, worlds: Worlds, minutes: float = 20.0, steps: int | None = None, processes: int = 2, seed: int = 0,
    device: str = "auto", progress: Progress | None = None,
) -> Path:
    """Renders the worlds, teaches the network on them for so many minutes (or steps), and writes model.safetensors.

    Interrupted, the same call goes on. Raises InputError for a family that there is not, a folder of other weights, or
    a disk that refuses.
    """
    for k in range(len(worlds.families)):  # what cannot be is refused before anything is written
        worlds.spec(k)
    torch_device(device)
    if (out / "model.safetensors").exists() and not (out / "arguments.json").exists():
        raise InputError(f"{out} holds model.safetensors of something else: choose another folder with -o")
    wanted = asdict(worlds) | {"minutes": None if steps else minutes, "steps": steps, "seed": seed}
    if decided_once(out / "arguments.json", lambda: wanted) != json.loads(json.dumps(wanted)):
        raise InputError(f"{out} holds weights taught with other arguments: choose another folder with -o")
    frames = Rendered.write(out / "frames", worlds, processes, progress)
    torch.manual_seed(seed)
    system, batches = Taught(PRESETS["paper"]), sampled(frames, BATCH, seed)
    how = replace(HOW, seed=seed, device=device)

    def planned() -> dict[str, int]:
        return {"steps": steps or plan(system, batches, replace(how, seconds=60 * minutes)).steps}

    how = replace(how, steps=decided_once(out / "steps.json", planned)["steps"])
    fit(system, batches, how, log=Log(out / "log.jsonl", "pretrain", progress), checkpoint=out / "going.safetensors")
    save_model(out / "model.safetensors", "reprojection", system.config, system.half())  # a start need not be finer
    return out / "model.safetensors"
