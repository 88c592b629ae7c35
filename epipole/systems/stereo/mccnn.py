"""Disparity by a learned similarity of patches and a chain without learning behind it (MC-CNN; Zbontar & LeCun,
JMLR 2016)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import System
from ...geometry.aggregate import cross_aggregate, cross_arms, seen_from_right, semi_global
from ...geometry.costvolume import correlation_1d
from ...geometry.disparity import bilateral, could_match, fill_from_around, fill_from_left, median_filter, subpixel
from ...geometry.sample import sample
from ...losses.census import grey
from ...losses.photometric import masked_mean
from ...losses.stereo import left_right
from ...nets.mccnn import Decision, PatchTower
from ...types.pairs import two_views
from ...types.predictions import Disparity
from ...types.views import Views

WORST = 1.0       # cost where the right image does not see the pixel; no match costs more
AGREE = 1.1       # px by which whole disparities of both views may differ and be one: 1, with room for rounding


@dataclass(frozen=True)
class Chain:
    """What differs between the networks: their size, and the chain's numbers for KITTI 2012, as the authors' code
    has them. Those that measure grey do so in standard deviations of the image."""

    channels: int
    P1: float                           # semi-global matching, see `geometry.aggregate.semi_global`
    P2: float
    Q2: float
    V: float
    edge: float
    arm: int = 0                        # px, cross-based aggregation: arms are shorter
    alike: float = 0.0                  # and cross smaller differences of grey
    crosses: tuple[int, int] = (0, 0)   # aggregations before and after semi-global matching
    sigma: float = 7.74                 # px, of the bilateral filter
    blur: float = 5.0                   # px of disparity from which on neighbours do not count in it


@dataclass(frozen=True)
class Config:
    """The paper's numbers for KITTI 2012."""

    disparities: int = 228              # candidates 0, 1, ... px
    layers: int = 4                     # of the tower; a patch has 2 layers + 1 pixels along each side
    fast: Chain = Chain(64, 4.0, 55.72, 7.5, 1.5, 0.02)
    accurate: Chain = Chain(112, 1.32, 24.25, 6.0, 2.0, 0.08, 5, 0.13, (2, 0), 5.99, 6.0)
    units: int = 384                    # of the deciding layers
    deciding: int = 4                   # of which there are so many
    Q1: float = 3.0
    margin: float = 0.2                 # by which a match must be more similar than a wrong patch
    positions: int = 64                 # in each pair of images that teach in a step
    right: float = 1.0                  # px that a matching patch may be off, either way
    wrong: tuple[float, float] = (4.0, 10.0)  # px that a wrong patch is off, either way
    augment: bool = True                # turn, stretch and shear patches and change their light, by up to ...
    rotation: float = 7.0               # degrees
    stretch: float = 0.9                # horizontal scale, the least
    shear: float = 0.1
    contrast: float = 1.3               # factor
    brightness: float = 0.7             # standard deviations, of both patches alike ...
    light: float = 0.3                  # and between them


PRESETS = {
    "paper": Config(),
    "small": Config(
        disparities=32, units=48, deciding=2,
        fast=Chain(32, 4.0, 55.72, 7.5, 1.5, 0.02, sigma=2.0, blur=2.0),
        accurate=Chain(24, 1.32, 24.25, 6.0, 2.0, 0.08, 5, 0.13, (2, 0), 2.0, 2.0),
    ),                                  # for images of some 100 to 200 px
}


class MCCNNFast(System):
    """A tower describes the patch around every pixel of both grey images; the cosine of two descriptions is their
    similarity, its negative the cost that semi-global matching smooths. Without gradient from the disparity.
    """

    paper = "https://arxiv.org/abs/1510.05970"
    needs = frozenset({"image", "disparity", "disparity_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.build()

    def build(self) -> None:
        self.chain = self.config.fast
        self.tower = PatchTower(self.chain.channels, self.config.layers)

    @torch.no_grad()
    def forward(self, views: Views) -> Disparity:
        """Disparity (px) of the left image. Raises InputError for what is no pair of colour images."""
        left, right = (standardised(image) for image in two_views(views, "MC-CNN"))
        cost = self.cost(left, right)
        smooth = self.aggregated(cost, left, right)
        mirrored = seen_from_right(cost, WORST).flip(-1)
        other = self.aggregated(mirrored, right.flip(-1), left.flip(-1)).flip(-1)
        return Disparity(disparity=self.refined(smooth, winner(smooth), winner(other)))

    def cost(self, left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d h w"]:
        """The negative cosine of the descriptions."""
        one, two = (F.normalize(self.described(image)) for image in (left, right))
        return unseen_worst(-one.shape[1] * correlation_1d(one, two, self.config.disparities))

    def described(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
        """The description of every pixel's patch; the image's border is repeated outwards."""
        return self.tower(F.pad(image, 4 * [self.tower.margin], mode="replicate"))

    def aggregated(
        self, cost: Float[Tensor, "b d h w"], left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b d h w"]:
        """Cross-based aggregation, semi-global matching, cross-based aggregation   (4.1, 4.2)."""
        c = self.chain
        arms = [cross_arms(image, c.arm, c.alike) for image in (left, right)]
        for _ in range(c.crosses[0]):
            cost = cross_aggregate(cost, *arms)
        cost = semi_global(cost, left, right, c.P1, c.P2, self.config.Q1, c.Q2, c.V, c.edge)
        for _ in range(c.crosses[1]):
            cost = cross_aggregate(cost, *arms)
        return cost

    def refined(
        self, cost: Float[Tensor, "b d h w"], left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b 1 h w"]:
        """The left view's disparity, checked against the right one's, filled, between pixels, and filtered   (4.3)."""
        (gap, inside), _ = left_right(left, right)
        match = inside & (gap < AGREE)
        mismatch = inside & ~match & could_match(right, self.config.disparities, AGREE)
        whole = fill_from_around(torch.where(mismatch, left, fill_from_left(left, match)), mismatch)
        return bilateral(median_filter(subpixel(whole, cost)), self.chain.sigma, self.chain.blur)

    def loss(self, views: Views) -> dict[str, Tensor]:
        """What tells a match from a wrong patch, at random pixels whose disparity is known."""
        left, right = (standardised(image) for image in two_views(views, "MC-CNN"))
        at, d, known = self.drawn(views.disparity[:, 0], views.disparity_valid[:, 0])
        shape, c = d.shape, self.config
        off = torch.empty_like(d).uniform_(*c.wrong) * (2 * torch.randint_like(d, 2) - 1)
        near = torch.empty_like(d).uniform_(-c.right, c.right)
        A, (gain, shift, between) = self.changes(d)
        one = gain * self.patches(left, at, A) + shift
        match, wrong = (
            gain * self.patches(right, at - torch.stack([d - o, torch.zeros_like(d)], -1), A) + shift + between
            for o in (near, off)
        )
        terms = self.objective(*(self.tower(patch.flatten(0, 1)) for patch in (one, match, wrong)))
        return {name: masked_mean(term.reshape(shape), known) for name, term in terms.items()}

    def objective(
        self, one: Float[Tensor, "n c 1 1"], match: Float[Tensor, "n c 1 1"], wrong: Float[Tensor, "n c 1 1"]
    ) -> dict[str, Float[Tensor, "n"]]:
        """max(0, margin + s_wrong - s_match) of the cosines of the descriptions   (eq. 2)."""
        match_, wrong_ = (F.cosine_similarity(one, other).flatten() for other in (match, wrong))
        hinge = F.margin_ranking_loss(match_, wrong_, torch.ones_like(match_), self.config.margin, reduction="none")
        return {"hinge": hinge}

    def drawn(
        self, truth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
        """Random pixels (x, y) of each pair, their disparity, and whether it is known: not where none is."""
        w = truth.shape[-1]
        flat = valid.flatten(1)
        k = torch.multinomial((flat | ~flat.any(1, keepdim=True)).float(), self.config.positions, replacement=True)
        known = flat.gather(1, k)
        at = torch.stack([k % w, torch.div(k, w, rounding_mode="floor")], -1).to(truth)
        return at, torch.where(known, truth.flatten(1).gather(1, k), 0), known

    def changes(self, like: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b n 2 2"], Float[Tensor, "3 b n 1 1 1"]]:
        """How a patch's pixels lie about its centre, and factor, summand and difference of its light."""
        c, share = self.config, float(self.config.augment)

        def draw(low: float, high: float) -> Tensor:
            return torch.empty_like(like).uniform_(low, high)

        turn, shear = share * math.radians(c.rotation) * draw(-1.0, 1.0), share * c.shear * draw(-1.0, 1.0)
        wide = 1 / (1 - share * (1 - draw(c.stretch, 1.0)))
        rows = [wide * turn.cos(), shear * turn.cos() - turn.sin(), wide * turn.sin(), shear * turn.sin() + turn.cos()]
        gain = (share * math.log(c.contrast) * draw(-1.0, 1.0)).exp()
        light = torch.stack([gain, share * c.brightness * draw(-1.0, 1.0), share * c.light * draw(-1.0, 1.0)])
        return torch.stack(rows, -1).unflatten(-1, (2, 2)), light[..., None, None, None]

    def patches(
        self, image: Float[Tensor, "b 1 h w"], at: Float[Tensor, "b n 2"], A: Float[Tensor, "b n 2 2"]
    ) -> Float[Tensor, "b n 1 s s"]:
        """Looked up bilinearly at (x, y) + A (i, j) for i, j = -layers .. layers."""
        side = torch.arange(-self.config.layers, self.config.layers + 1).to(image)
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy")).flatten(1)
        places = at[..., None] + A @ grid                                                 # [b n 2 s*s]
        found, _ = sample(image, places.transpose(1, 2))
        return found.transpose(1, 2).unflatten(-1, (len(side), len(side)))


class MCCNN(MCCNNFast):
    """The accurate one: a second network decides from both descriptions whether they match; costs are aggregated over
    crosses as well. Slower by about the number of its deciding weights."""

    def build(self) -> None:
        self.chain = self.config.accurate
        self.tower = PatchTower(self.chain.channels, self.config.layers, last_relu=True)
        self.decide = Decision(self.chain.channels, self.config.units, self.config.deciding)

    def cost(self, left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d h w"]:
        """One minus the probability of a match."""
        one, two = self.described(left), self.described(right)
        w, slices = left.shape[-1], []
        for d in range(self.config.disparities):
            odds = self.decide(one[..., d:], two[..., : w - d]) if d < w else one[:, :1, :, :0]
            slices.append(F.pad(torch.sigmoid(-odds), (min(d, w), 0), value=WORST))
        return torch.cat(slices, 1)

    def objective(
        self, one: Float[Tensor, "n c 1 1"], match: Float[Tensor, "n c 1 1"], wrong: Float[Tensor, "n c 1 1"]
    ) -> dict[str, Float[Tensor, "n"]]:
        """Binary cross-entropy of a match and of a wrong patch, half each   (3.2)."""
        yes, no = self.decide(one, match).flatten(), self.decide(one, wrong).flatten()
        return {"match": F.softplus(-yes) / 2, "wrong": F.softplus(no) / 2}


def standardised(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Grey of mean 0 and standard deviation 1 in every image; a uniform one is 0."""
    luma = grey(image)
    centred = luma - luma.mean((-2, -1), keepdim=True)
    return centred / centred.square().mean((-2, -1), keepdim=True).clamp(min=1e-8).sqrt()


def unseen_worst(cost: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """The worst cost where x < d."""
    d, x = (torch.arange(n, device=cost.device) for n in (cost.shape[1], cost.shape[-1]))
    return torch.where(x >= d[:, None, None], cost, WORST)


def winner(cost: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 1 h w"]:
    """The disparity that costs least."""
    return cost.argmin(1, keepdim=True).to(cost.dtype)
