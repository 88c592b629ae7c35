"""Depth from Videos in the Wild (Gordon, Li, Jonschkowski, Angelova, ICCV 2019): depth, ego-motion, the motion of
objects and the camera's intrinsics from unlabelled clips of unknown cameras."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.camera import project, unproject
from ...geometry.motion import euler_to_rotation, se3, se3_interpolate, se3_inverse
from ...geometry.pyramid import area_means, halvings
from ...geometry.sample import sample
from ...losses.cycles import EPSILON, rotation_cycle, translation_cycle
from ...losses.photometric import masked_mean
from ...losses.smooth import edge_aware, mean_normalised, wrapped_variation
from ...losses.weighted_ssim import weighted_structure
from ...nets.gordon import MotionFieldNet, PixelMotion, RandomLayerNorm, SharedLens, SoftplusDepthNet
from ...nets.jitter import coin, colour_jitter
from ...types.errors import InputError
from ...types.predictions import DepthAndMotion
from ...types.views import Views

SMALLEST = 17  # px along a side with which features of 1/16 of the size have moments


@dataclass(frozen=True)
class Config:
    """The numbers of the authors' code; where ours differ the comment says so."""

    width: float = 1.0              # share of the paper's channels
    rgb: float = 0.85
    consistency: float = 1e-2       # of depth
    ssim: float = 1.5               # 3.0 with a factor of 0.5
    smoothness: float = 1e-2        # of inverse depth
    motion_smoothness: float = 1e-3
    cycle_rotation: float = 1e-3
    cycle_translation: float = 1e-2
    motion: float = 0.01            # factor that lets motions start near zero; it is learned
    rotation: float = 1.0           # rotation's such factor over translation's
    noise: float = 0.5              # of the moments, once ...
    ramp: int = 10_000              # ... so many steps are over; it rises with their square
    smallest: int = 20              # px, objects of at most so many are taken for errors
    dilation: int = 8               # px by which the boxes around objects grow
    augment: bool = True            # mirror half the clips, other colours for half of them
    scales: int = 1                 # of images compared, each half the last; the paper's is the full one alone
    one_camera: bool = False        # all clips are one camera's, with square pixels; learned as such (ours)
    settle: int = 0                 # steps in which motion alone is learned, neither depth nor a shared lens (ours)
    mobile: bool = True             # points move by themselves, anywhere where no mask says where; else none does


PRESETS = {
    "paper": Config(),
    "small": Config(0.25, scales=3),  # 3.7 M weights; the other is for one camera's scenes at rest
    "small_static": Config(0.25, scales=3, smoothness=1e-3, rotation=4.0, one_camera=True, settle=750, mobile=False),
}


class Movement(NamedTuple):
    """Of the points of one view into another, pixel by pixel."""

    R: Float[Tensor, "b 3 3"]
    t: Float[Tensor, "b 3 h w"]


class Pair(NamedTuple):
    """What happens between a view and the next."""

    into_next: Movement     # of this view's points
    into_this: Movement     # of the next view's points
    K: Float[Tensor, "b 3 3"]


class Gordon(System):
    """A depth network, and one that finds in a pair the camera's motion, a motion for every pixel, and the intrinsics.
    A clip needs no K. Depth and motion share one unknown scale; the focal length is seen by rotations alone."""

    paper = "https://arxiv.org/abs/1904.04998"
    needs = frozenset({"image"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config, self.settle = config, config.settle
        self.depth_net = SoftplusDepthNet(config.width)
        self.motion_net = MotionFieldNet(config.width, config.motion, config.rotation)
        if config.one_camera:
            self.lens = SharedLens()
        self.settled, self.steps = True, nn.Buffer(torch.zeros(()))  # the steps of training, which the noise follows

    def forward(self, views: Views) -> DepthAndMotion:
        """Depth of every view, the lesser of its own and its mirror image's, and the camera's path, each step half way
        between what the pair tells forward and backward; of a single view, depth alone."""
        image, flat = views.image, views.image.flatten(0, 1)
        own, mirrored = self.depth_net(flat), self.depth_net(flat.flip(-1)).flip(-1)
        depth = torch.minimum(own, mirrored).unflatten(0, image.shape[:2])
        path, half = [torch.eye(4).to(depth).expand(len(depth), 4, 4)], torch.full_like(depth[:, 0, 0, 0, 0], 0.5)
        for first, second in pairwise(image.unbind(1)):
            there, back = (rigid(m) for m in (self.motion(first, second), self.motion(second, first)))
            path.append(path[-1] @ se3_interpolate(there, se3_inverse(back), half))
        path_known = {"T_first_camera": torch.stack(path, 1)} if len(path) > 1 else {}
        return DepthAndMotion(depth=depth, **path_known)

    def motion(self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> PixelMotion:
        """How the second view's points move into the first camera."""
        motion = PixelMotion(*self.motion_net(torch.cat([first, second], 1)))
        return self.lens(motion, self.settled) if self.config.one_camera else motion

    def intrinsics(self, views: Views) -> Float[Tensor, "b 3 3"]:
        """K in pixels, the mean over all neighbours in the clip and both orders. Raises InputError for single views."""
        orders = [order for a, b in pairwise(checked(views).unbind(1)) for order in ((a, b), (b, a))]
        return torch.stack([camera(self.motion(*order), views.image.shape[-2:]) for order in orders]).mean(0)

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The sum over all neighbours, both ways.

        Raises InputError for single views, and for images too small to have moments."""
        image, mobile = checked(views), self.mobile(views)
        if self.training:
            self.steps += 1
            if self.config.augment:
                heads = coin(image)
                image, mobile = (torch.where(heads, x.flip(-1), x) for x in (colour_jitter(image), mobile))
        self.begin(float(self.steps))
        depth = self.depth_net(image.flatten(0, 1)).unflatten(0, image.shape[:2])
        depth = depth if self.settled else depth.detach()
        motions = [(self.motion(a, b), self.motion(b, a)) for a, b in pairwise(image.unbind(1))]
        sizes = halvings(image.shape[-2:], self.config.scales, SMALLEST)
        found = [self.at_size(motions, *(area_means(x, size) for x in (image, depth, mobile))) for size in sizes]
        return {name: torch.stack([terms[name] for terms in found]).sum() for name in found[0]}

    def at_size(
        self, motions: list[tuple[PixelMotion, PixelMotion]], image: Float[Tensor, "b n 3 h w"],
        depth: Float[Tensor, "b n 1 h w"], mobile: Float[Tensor, "b n 1 h w"],
    ) -> dict[str, Tensor]:
        """The loss of images of one size."""
        pairs, size = [], image.shape[-2:]
        for i, (into_i, into_j) in enumerate(motions):
            K = (camera(into_i, size) + camera(into_j, size)) / 2
            pairs.append(Pair(movement(into_j, mobile[:, i]), movement(into_i, mobile[:, i + 1]), K))
        return self.objective(image, depth, pairs)

    def begin(self, step: float) -> None:
        """Let the moments be as noisy as they should be at this step of training, and that be learned which should."""
        self.settled = step > self.settle
        for layer in self.modules():
            if isinstance(layer, RandomLayerNorm):
                layer.sigma = self.config.noise * min(step / self.config.ramp, 1.0) ** 2

    def mobile(self, views: Views) -> Float[Tensor, "b n 1 h w"]:
        """1 where things may move by themselves."""
        return torch.full_like(views.image[:, :, :1], float(self.config.mobile))

    def objective(
        self, image: Float[Tensor, "b n 3 h w"], depth: Float[Tensor, "b n 1 h w"], pairs: list[Pair]
    ) -> dict[str, Tensor]:
        """The loss for given depth, and for what happens between each view and the next."""
        c, terms = self.config, defaultdict[str, list[Tensor]](list)
        for d, I in zip(depth.unbind(1), image.unbind(1), strict=True):
            terms["smoothness"] += [c.smoothness * m.mean() for m in edge_aware(mean_normalised(1 / d), I)]
        for i, (into_next, into_this, K) in enumerate(pairs):
            this, that = (torch.cat([image[:, k], depth[:, k]], 1) for k in (i, i + 1))
            for a, b, into_b, into_a in ((this, that, into_next, into_this), (that, this, into_this, into_next)):
                terms["motion_smoothness"].append(c.motion_smoothness * wrapped_variation(into_b.t).mean())
                terms["cycle_rotation"].append(c.cycle_rotation * rotation_cycle(into_a.R, into_b.R).mean())
                for name, value in self.one_way(a, b, into_b, into_a, K).items():
                    terms[name].append(value)
        return {name: torch.stack(values).sum() for name, values in terms.items()}

    def one_way(
        self, a: Float[Tensor, "b 4 h w"], b: Float[Tensor, "b 4 h w"], into_b: Movement, into_a: Movement,
        K: Float[Tensor, "b 3 3"],
    ) -> dict[str, Tensor]:
        """View a against what view b shows of it; colours and depth of both. Where b sees something nearer, nothing
        counts: M_occ is where a's points are before b's surface."""
        c = self.config
        pixels, Z, front = warped(a[:, 3:], into_b, K)
        seen, inside = sample(b, pixels)
        synthetic, D_s, inside = seen[:, :3], seen[:, 3:], inside & front
        M_occ = inside & (D_s > Z)
        gap = (D_s - Z).detach().square()
        spread = (gap * M_occ).sum((2, 3), keepdim=True) / (M_occ.sum((2, 3), keepdim=True) + 1) + 1e-4
        unlike, weight = weighted_structure(synthetic, a[:, :3], spread / (gap + spread) * inside)
        t_a, t_b = into_b.t, sample(into_a.t, pixels.detach())[0]
        return {
            "rgb": c.rgb * masked_mean((synthetic - a[:, :3]).abs(), M_occ),
            "consistency": c.consistency * masked_mean((D_s - Z).abs(), M_occ),
            "ssim": c.ssim * (unlike.mean(1, keepdim=True) * weight).sum() / weight.sum().clamp(min=EPSILON),
            "cycle_translation": c.cycle_translation * masked_mean(translation_cycle(into_a.R, t_a, t_b), M_occ),
        }


class GordonMasked(Gordon):
    """The same where it is known what may move: within boxes around the instances a pixel has a motion of its own, and
    everywhere else it has the camera's."""

    needs = frozenset({"image", "instance"})

    def mobile(self, views: Views) -> Float[Tensor, "b n 1 h w"]:
        """1 within the boxes around all instances that are not too small, grown by `dilation`."""
        reach, instance = 2 * self.config.dilation + 1, views.instance
        boxes = torch.zeros_like(instance, dtype=torch.bool)
        for number in instance.unique().tolist():
            own = instance == number if number >= 0 else torch.zeros_like(boxes)
            own = own & (own.sum((-2, -1), keepdim=True) > self.config.smallest)
            boxes = boxes | (own.any(-2, keepdim=True) & own.any(-1, keepdim=True))
        flat = boxes.flatten(0, 1).to(views.image)
        return F.max_pool2d(flat, reach, 1, self.config.dilation).unflatten(0, boxes.shape[:2])


def checked(views: Views) -> Float[Tensor, "b n 3 h w"]:
    """The images of a clip of two views or more that are large enough. Raises InputError for anything else."""
    image = views.image
    if image.ndim != 5 or image.shape[1] < 2 or image.shape[2] != 3 or min(image.shape[-2:]) < SMALLEST:
        raise InputError("Depth from Videos in the Wild learns from clips of 2 or more colour frames, at least "
                         f"{SMALLEST} pixels along each side, not from images {list(image.shape)}")
    return image


def camera(motion: PixelMotion, size: Sequence[int]) -> Float[Tensor, "b 3 3"]:
    """K in pixels of images of (height, width)."""
    side = torch.tensor([size[1], size[0]]).to(motion.focal)
    top = torch.cat([torch.diag_embed(side * motion.focal), (side * motion.centre - 0.5)[..., None]], -1)
    return torch.cat([top, torch.tensor([0.0, 0, 1]).to(top).expand(len(top), 1, 3)], 1)


def rigid(motion: PixelMotion) -> Float[Tensor, "b 4 4"]:
    """The camera's alone."""
    return se3(euler_to_rotation(motion.rotation), motion.translation)


def movement(motion: PixelMotion, mobile: Float[Tensor, "b 1 h w"]) -> Movement:
    """t(p) = t_background + residual(p) M(p)."""
    t = motion.translation[..., None, None] + area_means(motion.residual, mobile.shape[-2:]) * mobile
    return Movement(euler_to_rotation(motion.rotation), t)


def warped(
    depth: Float[Tensor, "b 1 h w"], movement: Movement, K: Float[Tensor, "b 3 3"]
) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]:
    """Where every pixel's point goes (px), how deep it lies there, and if it is in front."""
    moved = torch.einsum("bij,bjhw->bihw", movement.R, unproject(depth, K)) + movement.t
    pixels, front = project(moved, K)
    return pixels, moved[:, 2:], front
