"""Disparity by a plain encoder-decoder, without and with a correlation layer (Mayer et al., CVPR 2016)."""

from dataclasses import dataclass
from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import Stages, System
from ...geometry.costvolume import correlation_1d
from ...losses.flow import end_point_errors
from ...losses.photometric import masked_mean
from ...nets import disparity
from ...nets.flownet import full_size
from ...types.pairs import two_views
from ...types.predictions import Disparity
from ...types.views import Views

SCALES = 6  # 1/2, 1/4, ... 1/64 of the size


@dataclass(frozen=True)
class Config:
    """The paper's numbers; it moves the weight from coarse to fine scales in steps, of which the form is ours."""

    width: float = 1.0              # share of the paper's channels
    correlated: int = 40            # DispNetC: candidates 0, 1, ... px at a quarter of the size
    fade: float = 0.5               # weight of a scale for each step away from the one that counts most


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, correlated=24),
}


class DispNet(System):
    """One network sees both images on one channel axis; disparity at six scales, the error of each counts.

    Images are padded to multiples of 64.
    """

    paper = "https://arxiv.org/abs/1512.02134"
    needs = frozenset({"image", "disparity"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = self.network()

    def network(self) -> nn.Module:
        return disparity.DispNet(self.config.width)

    def forward(self, views: Views) -> Disparity:
        """Disparity (px) of the left image: that of half the size, enlarged bilinearly.

        Raises InputError for what is no pair of colour images.
        """
        return Disparity(disparity=full_size(self.pyramid(views)[0], *views.image.shape[-2:], scale=2))

    def pyramid(self, views: Views) -> list[Float[Tensor, "b 1 _ _"]]:
        """Disparity in pixels of the image at 1/2 .. 1/64 of the padded size."""
        return self.net(*two_views(views, type(self).__name__))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """What the last stage of training minimises: the finest scale counts most."""
        return self.about_scale(views, 0)

    def stages(self) -> Stages:
        """Each scale in its turn counts most, from 1/64 to 1/2."""
        return {f"scale{2 ** (s + 1)}": (("net",), partial(self.about_scale, scale=s)) for s in reversed(range(SCALES))}

    def about_scale(self, views: Views, scale: int) -> dict[str, Tensor]:
        """The loss in which this scale counts most, 0 the finest and 5 the coarsest."""
        weights, truth = [self.config.fade ** abs(s - scale) for s in range(SCALES)], views.disparity[:, 0]
        return self.objective(self.pyramid(views), truth, truth > 0, weights)

    def objective(
        self,
        pyramid: list[Float[Tensor, "b 1 _ _"]],
        truth: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
        weights: list[float],
    ) -> dict[str, Tensor]:
        """Weighted mean of |d_s - d| at every scale, d averaged down where it is known: epe_2 .. epe_64."""
        scales = end_point_errors(pyramid, truth, valid, finest=2)
        return {f"epe_{size}": w_s * masked_mean(error, known)
                for w_s, (size, error, known) in zip(weights, scales, strict=True)}


class DispNetC(DispNet):
    """Each image's features by shared weights, their correlation along the row, then as DispNet."""

    def network(self) -> nn.Module:
        count = self.config.correlated
        return disparity.DispNetC(partial(correlation_1d, disparities=count), count, self.config.width)
