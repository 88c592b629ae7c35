"""Optical flow without labels: census, smoothness, and flow there and back (Meister, Hur, Roth, AAAI 2018)."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import Stages, System
from ...geometry.costvolume import correlation_2d
from ...geometry.visibility import forward_backward, round_trip
from ...geometry.warp import flow_warp
from ...losses.census import grey, soft_census
from ...losses.photometric import masked_mean
from ...losses.robust import charbonnier
from ...losses.smooth import second_order_directions
from ...nets.flownet import FlowNetC, full_size
from ...types.errors import InputError
from ...types.pairs import next_views
from ...types.predictions import Flow
from ...types.views import Views

SMALLEST = 28  # pixels along a side with which a quarter of it takes a census of radius 3


@dataclass(frozen=True)
class Config:
    """The numbers of the authors' code. One of each tuple per scale: 1/4, 1/8, 1/16, 1/32, 1/64."""

    width: float = 1.0                      # share of FlowNetC's channels
    shared: int = 3                         # layers that see one image alone: the correlation is at 1 / 2^shared
    reach: int = 20                         # of the correlation, px at that size, in steps of ...
    stride: int = 2
    unit: float = 20.0                      # px of flow for 1 of the network's output
    weights: tuple[float, ...] = (12.7, 4.35, 3.9, 3.4, 1.1)
    radii: tuple[int, ...] = (3, 2, 2, 1, 1)  # of the census
    data: Literal["census", "brightness"] = "census"
    smoothness: float = 3.0                 # lambda_S
    consistency: float = 0.2                # lambda_C
    occlusion: bool = True                  # leave out what is occluded (the code's first stage: no)
    occluded: float = 12.4                  # lambda_p, for each pixel that is
    share: float = 0.01                     # alpha_1: occluded where |f + b|^2 > alpha_1 (|f|^2 + |b|^2) + alpha_2
    constant: float = 0.5                   # alpha_2, px^2
    border: float = 0.1                     # share of the shorter side along which nothing is compared
    power: float = 0.45                     # gamma of rho(x) = (x^2 + epsilon^2)^gamma, with epsilon 0.001


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, reach=8),   # 2.4 M weights
    # short trainings on images of 100 to 200 px, which under the paper's smoothness stay at no flow; 2.7 M weights
    "short": Config(width=0.25, shared=2, reach=6, stride=1, unit=5.0, smoothness=0.05),
}
PRESETS |= {  # what its parts are worth
    "short_brightness": replace(PRESETS["short"], data="brightness"),
    "short_all_seen": replace(PRESETS["short"], occlusion=False),
}


class UnFlow(System):
    """FlowNetC both ways between neighbours in a clip, taught by nothing but the images.

    What leaves the image counts as occluded, so that leaving it does not pay.
    """

    paper = "https://arxiv.org/abs/1711.07837"
    needs = frozenset({"image"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        cost = partial(correlation_2d, reach=config.reach, stride=config.stride)
        side = 2 * (config.reach // config.stride) + 1
        self.net = FlowNetC(cost, side**2, config.width, config.shared)

    def forward(self, views: Views) -> Flow:
        """Flow in pixels of every view to the next, of the last one to the first.

        Raises InputError for images that are not [scenes, views, 3, height, width].
        """
        first, second = next_views(views, "UnFlow")
        flow = full_size(self.pyramid(first, second)[0], *first.shape[-2:])
        return Flow(flow=flow.unflatten(0, views.image.shape[:2]))

    def pyramid(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b 2 _ _"]]:
        """Flow in pixels of the image at 1/4 .. 1/64 of the padded size."""
        return [self.config.unit * f for f in self.net(first, second)]

    def loss(self, views: Views) -> dict[str, Tensor]:
        """E of eq. 7 over all neighbours. Raises InputError as `either_way` does."""
        return self.either_way(views, self.config.occlusion)

    def stages(self) -> Stages:
        """First as if everything were seen, because flow that is wrong everywhere is occluded everywhere."""
        return {"all_seen": (("net",), partial(self.either_way, occlusion=False)), "occlusion": (("net",), self.loss)}

    def either_way(self, views: Views, occlusion: bool) -> dict[str, Tensor]:
        """E, with what is occluded left out or not.

        Raises InputError for single views and for images too small for a census at a quarter of the size.
        """
        next_views(views, "UnFlow")
        if views.image.shape[1] < 2 or min(views.image.shape[-2:]) < SMALLEST:
            raise InputError(f"UnFlow learns from two or more views of at least {SMALLEST} pixels along each side, "
                             f"not from {list(views.image.shape)}: give a clip, or larger images")
        first, second = views.image[:, :-1].flatten(0, 1), views.image[:, 1:].flatten(0, 1)
        return self.objective(first, second, self.pyramid(first, second), self.pyramid(second, first), occlusion)

    def objective(
        self,
        first: Float[Tensor, "b 3 h w"],
        second: Float[Tensor, "b 3 h w"],
        forward: list[Float[Tensor, "b 2 _ _"]],
        backward: list[Float[Tensor, "b 2 _ _"]],
        occlusion: bool,
    ) -> dict[str, Tensor]:
        """E = sum over scales of w_s (E_D + lambda_S E_S + lambda_C E_C), both ways, for given flow (px of the image).

        Scales at which a census or a second difference would have no pixel are left out.
        """
        E: dict[str, list[Tensor]] = defaultdict(list)
        for s, (w_s, radius) in enumerate(zip(self.config.weights, self.config.radii, strict=True), 2):
            I1, I2 = F.avg_pool2d(first, 2**s), F.avg_pool2d(second, 2**s)
            h, w = I1.shape[-2:]
            if min(h, w) <= 2 * radius:
                break
            f, b = (x[s - 2][..., :h, :w] / 2**s for x in (forward, backward))
            for one, two, there, back in ((I1, I2, f, b), (I2, I1, b, f)):
                for name, value in self.one_way(one, two, there, back, radius, occlusion).items():
                    E[name].append(w_s * value)
        return {name: torch.stack(values).sum() for name, values in E.items()}

    def one_way(
        self, I1: Float[Tensor, "b 3 h w"], I2: Float[Tensor, "b 3 h w"], f: Float[Tensor, "b 2 h w"],
        b: Float[Tensor, "b 2 h w"], radius: int, occlusion: bool,
    ) -> dict[str, Tensor]:
        """The terms of one direction at one scale, in pixels of this scale."""
        c = self.config
        rho = partial(charbonnier, power=c.power)
        inner = within(I1, c.border)
        seen = forward_backward(f, b, c.share, c.constant) if occlusion else torch.ones_like(inner)   # 1 - o, eq. 1
        f_D, cut = DATA[c.data](I1, flow_warp(I2, f)[0], radius)
        terms = {"data": masked_mean(rho(f_D), (inner & seen)[..., cut, cut])}                          # E_D, eq. 2
        bent = second_order_directions(f)
        terms["smoothness"] = c.smoothness * masked_mean(rho(bent.square()), inner[:, :, None, 1:-1, 1:-1])  # eq. 4
        left, _ = round_trip(f, b)
        terms["consistency"] = c.consistency * masked_mean(rho(left.square()), inner & seen)            # eq. 6
        if occlusion:
            terms["occluded"] = c.occluded * masked_mean((~seen).to(f), inner)
        return terms


def within(image: Float[Tensor, "b c h w"], border: float) -> Bool[Tensor, "b 1 h w"]:
    """Where a pixel is farther from the border than this share of the shorter side."""
    h, w = image.shape[-2:]
    rim = math.ceil(border * min(h, w))
    mask = torch.zeros_like(image[:, :1], dtype=torch.bool)
    mask[..., rim : h - rim, rim : w - rim] = True
    return mask


def ternary(I1: Tensor, I2: Tensor, radius: int) -> tuple[Tensor, slice]:
    """Squared soft Hamming distance, and which rows and columns it is known of."""
    return soft_census(grey(I1), grey(I2), radius).square(), slice(radius, -radius)


def brightness(I1: Tensor, I2: Tensor, radius: int) -> tuple[Tensor, slice]:
    """Squared difference in grey levels of each colour: what the census replaces."""
    return (255 * (I1 - I2)).square(), slice(None)


DATA: dict[str, Callable[[Tensor, Tensor, int], tuple[Tensor, slice]]] = {"census": ternary, "brightness": brightness}
