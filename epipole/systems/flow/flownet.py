"""Optical flow learned from pairs with known flow (Dosovitskiy et al., ICCV 2015)."""

from dataclasses import dataclass
from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.costvolume import correlation_2d
from ...losses.flow import end_point_errors
from ...nets import flownet
from ...nets.flownet import full_size
from ...types.pairs import next_views
from ...types.predictions import Flow
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers; those that only the authors' code or its PyTorch port tells are marked [code]."""

    width: float = 1.0              # share of the paper's channels
    shared: int = 3                 # layers that see one image alone: the correlation is at 1 / 2^shared of the size
    reach: int = 20                 # of the correlation: displacements up to this at that size, px ...
    stride: int = 2                 # ... in steps of this
    unit: float = 20.0              # px of flow for 1 of the network's output [code]
    weights: tuple[float, ...] = (0.005, 0.01, 0.02, 0.08, 0.32)  # of 1/4, 1/8, 1/16, 1/32, 1/64 [code]


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, shared=2, reach=6, stride=1, unit=5.0),  # for images of 100 to 200 px: a quarter of
    # the paper's 512 px, and so are steps and unit; 2.4 and 2.7 M weights
}


class FlowNetS(System):
    """One network sees both images on one channel axis; flow at five scales, the end-point error of each counts.

    Every view's flow leads to the next view, the last one's to the first. Images are padded to multiples of 64.
    """

    paper = "https://arxiv.org/abs/1504.06852"
    needs = frozenset({"image", "flow", "flow_known"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = self.network()

    def network(self) -> nn.Module:
        return flownet.FlowNetS(self.config.width)

    def forward(self, views: Views) -> Flow:
        """Flow in pixels of every view: that of a quarter of the size, enlarged bilinearly.

        Raises InputError for images that are not [scenes, views, 3, height, width].
        """
        flow = self.config.unit * full_size(self.pyramid(views)[0], *views.image.shape[-2:])
        return Flow(flow=flow.unflatten(0, views.image.shape[:2]))

    def pyramid(self, views: Views) -> list[Float[Tensor, "b 2 _ _"]]:
        """Flow in `unit` pixels of every view [scenes * views] at 1/4 .. 1/64 of the padded size."""
        return self.net(*next_views(views, type(self).__name__))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """Weighted end-point errors of the five scales, epe_4 .. epe_64, also of what is hidden in the next view or
        leaves it, but not of flow longer than the image's larger side."""
        flow, known = views.flow.flatten(0, 1), views.flow_known.flatten(0, 1)
        sane = flow.norm(dim=1, keepdim=True) < max(flow.shape[-2:])  # a point that passes the camera goes anywhere
        return self.objective(self.pyramid(views), flow, known & sane)

    def objective(
        self, pyramid: list[Float[Tensor, "b 2 _ _"]], flow: Float[Tensor, "b 2 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> dict[str, Tensor]:
        """sum over scales of w_s / b sum over pixels |f_s - f / unit|, f averaged down where it is known."""
        scales = end_point_errors(pyramid, flow / self.config.unit, valid, finest=4)
        return {f"epe_{size}": w_s * (error * known).sum() / len(flow)
                for w_s, (size, error, known) in zip(self.config.weights, scales, strict=True)}


class FlowNetC(FlowNetS):
    """Each image's features by shared weights, their correlation over a square of displacements, then as FlowNetS."""

    def network(self) -> nn.Module:
        reach, stride = self.config.reach, self.config.stride
        side = 2 * (reach // stride) + 1
        cost = partial(correlation_2d, reach=reach, stride=stride)
        return flownet.FlowNetC(cost, side**2, self.config.width, self.config.shared)
