"""One step of self-supervised learning as in Godard 2019: 3 frames, 4 scales at full resolution, batch 4, 416 x 128.

    python benchmarks/geometry_step.py FOLDER [--steps 200] [--width 416]

run as a program compares the losses of plain and fast training on the first 400 frames of a folder (as `epipole train
--data` reads it): the same batches, and plain once more from another seed, which shows what is noise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from contest import Contest, Rival
from geometry_warp import unfused
from torch import Tensor, nn

from epipole.engine.precision import channels_last, networks_in_bf16
from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.geometry.warp import inverse_warp
from epipole.losses.smooth import edge_aware, mean_normalised
from epipole.losses.ssim import ssim_l1
from epipole.nets.depth_decoder import DepthDecoder, PoseDecoder
from epipole.nets.resnet import ResNet
from epipole.sources.plain import PlainFolder
from epipole.sources.wrap import resized

B, H, W = 4, 128, 416
Maps = tuple[list[Tensor], list[Tensor]]  # sigmoid maps, finest first; T_source_target of the frame before and after


class DepthNet(nn.Module):
    """14.3 M weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet(18)
        self.decoder = DepthDecoder(self.encoder.channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.decoder(self.encoder((image - 0.45) / 0.225), image.shape[-2:])


class PoseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet(18, 6)
        self.decoder = PoseDecoder(512)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.decoder(self.encoder((pairs - 0.45) / 0.225)[-1])[:, 0]


class Learner(nn.Module):
    """Depth of the middle frame and its motion to the frames beside it."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.depth, self.pose = DepthNet(), PoseNet()

    def forward(self, clip: Tensor) -> Maps:
        before, middle, after = clip.unbind(1)
        pairs = torch.cat([torch.cat([before, middle], 1), torch.cat([middle, after], 1)])  # in the order of time
        vectors = self.pose(pairs)
        T = se3_exp(vectors[:, [3, 4, 5, 0, 1, 2]])
        return self.depth(middle), [se3_inverse(T[: len(clip)]), T[len(clip):]]


def plain_loss(clip: Tensor, K: Tensor, maps: Maps) -> Tensor:
    """As the reference computes it: also what does not change from scale to scale, at every scale."""
    return sum((scale_loss(clip, K, maps, s, still(clip, unfused), unfused) for s in range(4)), clip.new_zeros(())) / 4


def fast_loss(clip: Tensor, K: Tensor, maps: Maps) -> Tensor:
    unmoved = still(clip, ssim_l1)
    return sum((scale_loss(clip, K, maps, s, unmoved, ssim_l1) for s in range(4)), clip.new_zeros(())) / 4


def still(clip: Tensor, photometric: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    """How far the sources are from the target without any warp: what does not get better by warping is masked."""
    return [photometric(clip[:, i], clip[:, 1]) for i in (0, 2)]


def scale_loss(
    clip: Tensor, K: Tensor, maps: Maps, s: int, unmoved: list[Tensor], photometric: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Minimum over the sources, and over not moving, of the photometric map; edge-aware smoothness."""
    sigmoid = maps[0][s]
    full = sigmoid if s == 0 else F.interpolate(sigmoid, clip.shape[-2:], mode="bilinear")
    depth = 1 / (0.01 + 9.99 * full)
    warped = [photometric(inverse_warp(clip[:, i], depth, T, K, K)[0], clip[:, 1])
              for i, T in zip((0, 2), maps[1], strict=True)]
    image = F.interpolate(clip[:, 1], sigmoid.shape[-2:], mode="area")
    smooth = edge_aware(mean_normalised(0.01 + 9.99 * sigmoid), image)
    return torch.cat([*unmoved, *warped], 1).min(1).values.mean() + 1e-3 / 2**s * (smooth[0].mean() + smooth[1].mean())


def trainer(fast: bool, seed: int = 0) -> Callable[[Tensor, Tensor], float]:
    """One step of Adam on a clip (b 3 3 h w) and its K, giving the loss."""
    learner = Learner(seed).train()
    if fast:
        channels_last(learner)
    optimiser = torch.optim.Adam(learner.parameters(), 1e-4, fused=fast)
    objective = fast_loss if fast else plain_loss

    def step(clip: Tensor, K: Tensor) -> float:
        with networks_in_bf16(learner, fast):
            loss = objective(clip, K, learner(clip))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def networks_alone(clip: Tensor) -> Callable[[], object]:
    """Forward and backward of the fast networks without any loss: what is left to save is above this."""
    learner = Learner().train()
    channels_last(learner)

    def step() -> None:
        with networks_in_bf16(learner):
            maps, motions = learner(clip)
        learner.zero_grad()
        torch.stack([x.mean() for x in (*maps, *motions)]).sum().backward()

    return step


def contests(threads: int) -> Iterator[Contest]:
    g = torch.Generator().manual_seed(0)
    clip = F.interpolate(torch.rand(3 * B, 3, H // 4, W // 4, generator=g), (H, W), mode="bicubic").clamp(0, 1)
    clip = clip.unflatten(0, (B, 3))
    K = intrinsics(0.58 * W, 1.92 * H, W / 2 - 0.5, H / 2 - 0.5).float().expand(B, 3, 3)
    plain, fast = trainer(False), trainer(True)
    yield Contest("one self-supervised step", lambda: fast(clip, K), (
        Rival("plain float32", lambda: plain(clip, K), 1.3 / 3.0),
        Rival("its bfloat16 networks alone", networks_alone(clip))), repeats=4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--width", type=int, default=W)
    arguments = parser.parse_args()
    folder = PlainFolder(arguments.folder)
    frames = [resized(folder[i].keep({"image", "K"}), arguments.width) for i in range(min(len(folder), 400))]
    image, K = torch.cat([f.image for f in frames]), torch.cat([f.K for f in frames])
    steps = {"plain": trainer(False), "fast": trainer(True), "plain, another seed": trainer(False, seed=1)}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    g = torch.Generator().manual_seed(0)
    print(f"| steps | {' | '.join(steps)} |\n|---|{'---|' * len(steps)}")
    for n in range(1, arguments.steps + 1):
        middle = torch.randint(1, len(image) - 1, (B,), generator=g)
        clip = torch.stack([image[middle + i] for i in (-1, 0, 1)], 1)
        for name, step in steps.items():
            losses[name].append(step(clip, K[middle]))
        if n % (arguments.steps // 5) == 0:
            means = (f"{statistics.mean(x[-(arguments.steps // 5):]):.4f}" for x in losses.values())
            print(f"| to {n} | {' | '.join(means)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
