"""The lens of footage whose camera nobody gave: it is found from the first path, and where it bends, the footage is
straightened as that of a given lens is, before anything else is made of it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ...engine.checkpoint import decided_once
from ...formats.calibration import Calibration
from ...geometry.anchors import Edges, Scene
from ...geometry.brown_conrady import BrownConrady
from ...geometry.camera import resize_intrinsics
from ...sources.footage import Footage
from ...sources.straight import Straight
from ...types.errors import InputError
from .adjust import MOST_FRAMES, adjust_some
from .correspond import FlowStore
from .solve import Solution, edges_of
from .stages import Run

BENT = 0.75          # px of the network by which a lens moves the picture's corners, from which it is straightened,
SURE = 1.6           # if k1, the parts' median, is so many standard errors of their mean
PARTS = 3            # of the footage that are asked apart,
LEAST_FRAMES = 4     # of so many key frames at least
MADE = ("keys", "chain", "matched", "path-1.safetensors")  # in RUN/work, of the footage as it was taken


class Lens(NamedTuple):
    """A radial lens of the footage's pinhole camera, and what tells how sure it is."""

    focal: float        # px of the footage
    k1: float           # x (1 + k1 r^2)
    spread: float       # standard deviation of k1 over parts of the footage, adjusted apart; inf of a single one
    corner: float       # px of the network by which it moves the picture's corners; negative: inwards
    parts: int = PARTS  # that were long enough to be asked

    @property
    def bends(self) -> bool:
        """Whether it is worth straightening, beyond doubt."""
        return self.parts > 1 and abs(self.corner) >= BENT and abs(self.k1) > SURE * self.spread / (self.parts - 1)**0.5

    def text(self, straightened: bool) -> str:
        """What was found and done, in a sentence."""
        differ = f"{'thirds' if self.parts == PARTS else 'two parts'} of the footage differ by {self.spread:.3f}"
        sure = differ if self.parts > 1 else "by few key frames"
        found = f"k1 = {self.k1:.3f} ({sure}) moves the corners by {abs(self.corner):.1f} px of the network's image"
        if straightened:
            return f"The lens bends straight lines: {found}. The footage was straightened."
        if abs(self.corner) < BENT:
            return f"The lens hardly bends: {found}. The camera is taken for a pinhole."
        return (f"The lens may bend straight lines, but how is not clear: {found}. The camera is taken for a pinhole; "
                "calibrate it with `epipole calibrate` and give --intrinsics FILE.")


def find_lens(path: Solution, edges: Edges, source: tuple[int, int], size: tuple[int, int]) -> Lens:
    """Thirds of the footage, adjusted apart with the focal length and k1 free. A lens in pixels is k1 / focal^2, which
    hardly depends on the focal length found with it: the median of that is taken, at the mean focal length."""
    exact = Scene(*(field.double() for field in path.scene))._replace(lens=torch.zeros(1, dtype=torch.float64))
    every = torch.arange(len(exact.inverse_depth))
    parts = [p[:MOST_FRAMES] for p in every.chunk(PARTS) if len(p) >= LEAST_FRAMES] or [every]
    found = [adjust_some(exact, edges, path.pixels, part, free_focal=True, iterations=30, tolerance=1e-5, damping=1e-8,
                         settle=1).scene for part in parts]
    focal = np.array([float(in_footage(scene.K, source, size)[0, 0]) for scene in found])
    strength = np.array([float(scene.lens) for scene in found]) / focal**2
    middle, typical = float(np.mean(focal)), float(np.median(strength))
    spread = float(np.std(strength)) if len(found) > 1 else np.inf
    corner = typical * (np.hypot(source[0] - 1, source[1] - 1) / 2) ** 3 * np.sqrt(np.prod(size) / np.prod(source))
    return Lens(middle, typical * middle**2, spread * middle**2, float(corner), len(found))


def in_footage(K: Tensor, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """K of the network's image in pixels of the footage."""
    return resize_intrinsics(K.double(), source[0] / size[0], source[1] / size[1])


def seen_through_own_lens(
    run: Run, footage: Footage, first: Callable[[], tuple[list[FlowStore], Solution]]
) -> tuple[Footage, str]:
    """The footage, straightened if its lens bends, and a sentence on that. What `first` gives and leaves in RUN/work,
    flow and a path of the footage as it was taken, is then removed. Decided once, and resumed after an interruption."""
    def decide() -> dict[str, float]:
        stores, path = first()
        with run.phase("lens"):
            return find_lens(path, edges_of(stores)[0], (footage.width, footage.height), stores[0].size)._asdict()

    lens = Lens(**decided_once(run.work / "lens.json", decide))
    straight = footage
    if lens.bends:
        with suppress(InputError):  # a lens beyond one radial term, of whose picture hardly anything would be left
            straight = Straight(footage, calibration(footage, lens.focal, lens.k1))
            remove_bent(run.work)
    return straight, lens.text(straight is not footage)


def remove_bent(work: Path) -> None:
    """Takes away what was made of the footage before it was straightened, once."""
    done = work / "straightened"
    if done.exists():
        return
    for name in MADE:
        if (work / name).is_dir():
            rmtree(work / name)
        else:
            (work / name).unlink(missing_ok=True)
    done.mkdir()


def calibration(footage: Footage, focal: float, k1: float) -> Calibration:
    """The camera of this footage, its axis in the middle."""
    K = torch.tensor([[focal, 0, (footage.width - 1) / 2], [0, focal, (footage.height - 1) / 2], [0, 0, 1]])
    zero = torch.zeros((), dtype=torch.float64)
    return Calibration(BrownConrady(K.double(), zero + k1, zero, zero, zero, zero), footage.width, footage.height)


def refocused(footage: Footage, K: Float64[np.ndarray, "3 3"]) -> Footage:
    """Footage that was straightened by its own lens, whose pinhole turned out to be `K`: the same pixels, by a lens of
    that focal length. Other footage as it is."""
    if not isinstance(footage, Straight) or not isinstance(footage.lens.camera, BrownConrady):
        return footage
    longer, lens = float(K[0, 0] / footage.K[0, 0]), footage.lens.camera
    return Straight(footage.footage, calibration(footage, longer * float(lens.K[0, 0]), longer**2 * float(lens.k1)))
