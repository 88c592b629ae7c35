"""Depth and motion of two views by networks that improve on their own answer (Ummenhofer et al., CVPR 2017)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import Stages, System
from ...geometry.camera import intrinsics, normalise, pixel_grid, project
from ...geometry.chain import in_one_unit
from ...geometry.motion import se3_inverse
from ...geometry.pyramid import pyramid_level
from ...geometry.share import extent, rigid_share, share_warp
from ...geometry.triangulation import inverse_depth_of_flow
from ...geometry.zoom import with_intrinsics
from ...losses.depth import scale_invariant_gradient
from ...losses.photometric import masked_mean
from ...losses.robust import charbonnier
from ...losses.two_views import Scene, Truth, true_scene
from ...nets.demon import MULTIPLE, FlowBlock, MotionBlock, RefinementNet
from ...types.errors import InputError
from ...types.pairs import next_views
from ...types.predictions import TwoViewGeometry
from ...types.views import Views

FOCAL = (0.89115971, 1.18821287)    # of the one camera that the networks know, as shares of width and height
STEPS = (1, 2, 4, 8, 16)            # h of the scale-invariant gradient, px


@dataclass(frozen=True)
class Config:
    """The paper's numbers; the weights of the losses are those of its code."""

    height: int = 192                   # of what the networks see; images of any size and lens are brought there
    width: int = 256
    channels: float = 1.0               # share of the paper's
    iterations: int = 3                 # of the iterative net (training in the paper's code: 4)
    flow: float = 500.0                 # of flow as a share of the image's size
    flow_gradient: float = 250.0
    coarse: float = 0.25                # share of `flow` for the flow at 1/32 of the size (ours; the code lets it fade)
    confidence: float = 25.0
    confidence_gradient: float = 25.0
    sharpness: float = 10.0             # confidence is to be exp(-sharpness |error of flow|)
    depth: float = 150.0                # of inverse depth, in units of one over the baseline
    depth_gradient: float = 375.0
    normal: float = 25.0
    rotation: float = 160.0
    translation: float = 45.0
    epsilon: float = 1e-2               # of the scale-invariant gradient
    residual: bool = False              # the refinement net says what is to be added to the depth it enlarges (ours)
    start: float = 0.1                  # inverse depth before anything is learned (ours)
    near: float = 0.1                   # baselines; what is nearer counts as being here (ours)
    far: float = 100.0                  # baselines; what is farther, or behind, counts as being here (ours)


PRESETS = {
    "paper": Config(),
    # 9.1 M weights. At flow near 0 relative differences weigh 1 / epsilon, beside which a short training sees no flow.
    "small": Config(height=96, width=128, channels=0.5, iterations=1, flow_gradient=0.0, confidence_gradient=0.0,
                    residual=True),
}


class Demon(System):
    """Inverse depth, normals, flow with confidence, and motion of every view and the next one, the last one's being the
    first. The bootstrap net answers, the iterative net improves on the answer, the refinement net enlarges it.

    A pair's unit is its baseline. Flow within is a share of the image's width and height.
    """

    paper = "https://arxiv.org/abs/1612.02401"
    needs = frozenset({"image", "K", "T_world_camera", "depth", "depth_valid"})
    reads = frozenset({"image", "K"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        c = self.config = config
        if c.height % MULTIPLE or c.width % MULTIPLE or c.iterations < 1:
            raise ValueError(f"height and width must be multiples of {MULTIPLE} and iterations at least 1")
        size = (c.height, c.width, c.start, c.channels)
        self.bootstrap_flow = FlowBlock(0, c.channels)
        self.bootstrap_motion = MotionBlock(3 + 4, *size)           # second image warped, flow with confidence
        self.iterative_flow = FlowBlock(3 + 2 + 1 + 3, c.channels)  # second image warped, flow, inverse depth, normals
        self.iterative_motion = MotionBlock(3 + 4 + 1, *size)       # as bootstrap, and inverse depth from the flow
        self.refinement = RefinementNet(0.0 if c.residual else c.start, c.channels)

    def forward(self, views: Views) -> TwoViewGeometry:
        """Of every view, at the size of the images; lengths in the unit of the first pair."""
        shape, size, K = views.image.shape[:2], views.image.shape[-2:], views.K.flatten(0, 1)
        said = dict(self.answers(*self.pairs(views)))  # of what is answered again and again, the last
        scene, refined = said["iterative_motion"], said["refinement"]
        maps = (refined, scene.normals, said["iterative_flow"][1])
        rho, normals, flow = (with_intrinsics(x, camera(x), K, *size)[0] for x in maps)
        here = pixel_grid(size[0], size[1], K).expand(len(K), 2, *size)
        there = project(normalise(K, here), camera(refined))[0] + flow[:, :2] * extent(refined)
        there = project(normalise(camera(refined), there), views.K.roll(-1, 1).flatten(0, 1))[0]
        depth, path = in_one_unit(self.depth(rho).unflatten(0, shape), scene.motion().unflatten(0, shape), views.K)
        flat = {"flow": there - here, "confidence": flow[:, 2:].clamp(0, 1), "normals": F.normalize(normals, dim=1)}
        fields = {name: x.unflatten(0, shape) for name, x in flat.items()}
        return TwoViewGeometry(depth=depth, T_first_camera=path, **fields)

    def pairs(self, views: Views) -> tuple[Float[Tensor, "b 3 y x"], Float[Tensor, "b 3 y x"]]:
        """Every view and the next, about 0, as the camera that the networks know sees them.

        Raises InputError for anything but two or more colour images of each scene.
        """
        first, _ = next_views(views, "DeMoN")
        if views.image.shape[1] < 2:
            raise InputError("DeMoN compares views: give two or more of each scene")
        h, w = self.config.height, self.config.width
        image, K = pyramid_level(views.image, views.K, [min(first.shape[-2], h), min(first.shape[-1], w)])
        K_new = camera(first.new_empty(len(first), 1, h, w))
        seen = with_intrinsics(image.flatten(0, 1), K.flatten(0, 1), K_new, h, w)[0] - 0.5
        return seen, seen.unflatten(0, views.image.shape[:2]).roll(-1, 1).flatten(0, 1)

    def answers(
        self, first: Float[Tensor, "b 3 y x"], second: Float[Tensor, "b 3 y x"]
    ) -> Iterator[tuple[str, Any]]:
        """What each network says in turn: of flow, maps at 1/32 and 1/4 of the size; of motion, a Scene at 1/4; at last
        the refined inverse depth. No gradient leads from one iteration into the one before."""
        pair, small = torch.cat([first, second], 1), F.avg_pool2d(second, 4)
        coarse, flow = self.bootstrap_flow(pair, small[:, :0])
        yield "bootstrap_flow", (coarse, flow)
        scene = described(*self.bootstrap_motion(pair, torch.cat([share_warp(small, flow[:, :2]), flow], 1)))
        yield "bootstrap_motion", scene
        for _ in range(self.config.iterations):
            before = Scene(*(x.detach() for x in scene))
            T, K = before.motion(), camera(small)
            share, seen = rigid_share(self.depth(before.rho), T, K, K)
            share = torch.where(seen, share, 0)
            known = [share_warp(small, share), share, before.rho, before.normals]
            coarse, flow = self.iterative_flow(pair, torch.cat(known, 1))
            yield "iterative_flow", (coarse, flow)
            triangulated = inverse_depth_of_flow(flow[:, :2] * extent(flow), T, K, K).clamp(0, 1 / self.config.near)
            known = [share_warp(small, flow[:, :2]), flow, triangulated]
            scene = described(*self.iterative_motion(pair, torch.cat(known, 1)))
            yield "iterative_motion", scene
        enlarged = F.interpolate(scene.rho.detach(), first.shape[-2:])
        refined = self.refinement(first, enlarged)
        yield "refinement", refined + enlarged if self.config.residual else refined

    def depth(self, rho: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Its reciprocal within the bounds that the Config sets."""
        return 1 / rho.clamp(1 / self.config.far, 1 / self.config.near)

    def stages(self) -> Stages:
        """The order of training."""
        return {stage: (learning, partial(self.loss, stage=stage))
                for stage, (learning, _) in self.course().items() if stage != "all"}

    def course(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """The networks that learn in every stage, and how many answers that takes; "all" at once is ours."""
        k = 2 * self.config.iterations
        return {
            "flow1": (("bootstrap_flow",), 1), "motion1": (("bootstrap_motion",), 2),
            "flow2": (("iterative_flow",), 3), "motion2": (("iterative_motion",), 4),
            "iterative": (("iterative_flow", "iterative_motion"), 2 + k), "refine": (("refinement",), 3 + k),
            "all": (tuple(name for name, _ in self.named_children()), 3 + k),
        }

    def loss(self, views: Views, stage: str = "all") -> dict[str, Tensor]:
        """Summed over what the networks that learn in this stage say."""
        (learning, count), pairs = self.course()[stage], self.pairs(views)
        truths = {scale: self.truth(views, scale) for scale in (1, 4, 32)}
        terms: dict[str, list[Tensor]] = defaultdict(list)
        for name, said in islice(self.answers(*pairs), count):
            if name in learning:
                for term, value in self.objective(said, truths).items():
                    terms[term].append(value)
        return {term: torch.stack(values).sum() for term, values in terms.items()}

    def truth(self, views: Views, scale: int) -> Truth:
        """What is true of each pair at 1 / scale of the networks' size."""
        h, w = self.config.height // scale, self.config.width // scale
        T = (se3_inverse(views.T_world_camera.roll(-1, 1)) @ views.T_world_camera).flatten(0, 1)
        depth, valid, K = (x.flatten(0, 1) for x in (views.depth, views.depth_valid, views.K))
        at = camera(depth.new_empty(len(depth), 1, h, w))
        (depth, inside), (valid, _) = (with_intrinsics(x, K, at, h, w, "nearest") for x in (depth, valid.to(depth)))
        return true_scene(depth, inside & (valid > 0.5), T, at)

    def objective(self, said: Any, truths: dict[int, Truth]) -> dict[str, Tensor]:
        """The terms of one answer: a Scene, the refined inverse depth, or flow at two scales."""
        if isinstance(said, Scene):
            return self.motion_terms(said, truths[4])
        if isinstance(said, Tensor):
            return {f"refined_{term}": value for term, value in self.depth_terms(said, truths[1]).items()}
        coarse, fine = said
        return self.flow_terms(coarse, fine, truths[32], truths[4])

    def flow_terms(
        self, coarse: Float[Tensor, "b 4 _ _"], fine: Float[Tensor, "b 4 h w"], at_32: Truth, at_4: Truth
    ) -> dict[str, Tensor]:
        """Flow and confidence at two scales, their relative differences at the finer one."""
        c, terms = self.config, list[tuple[Tensor, Tensor]]()
        for maps, truth in ((coarse, at_32), (fine, at_4)):
            flow, confidence = maps.split(2, 1)
            wanted = torch.exp(-c.sharpness * (flow.detach() - truth.flow).abs())
            terms.append((apart(flow, truth.flow, truth.followed), apart(confidence, wanted, truth.followed)))
        (e_5, e_conf_5), (e, e_conf) = terms
        return {"flow": c.flow * (e + c.coarse * e_5), "confidence": c.confidence * (e_conf + c.coarse * e_conf_5),
                "flow_gradient": c.flow_gradient * self.edges(flow, truth.flow, truth.followed),
                "confidence_gradient": c.confidence_gradient * self.edges(confidence, wanted, truth.followed)}

    def depth_terms(self, rho: Float[Tensor, "b 1 h w"], truth: Truth) -> dict[str, Tensor]:
        """Inverse depth and its relative differences."""
        c, given = self.config, (rho, truth.scene.rho, truth.known)
        return {"depth": c.depth * apart(*given), "depth_gradient": c.depth_gradient * self.edges(*given)}

    def motion_terms(self, scene: Scene, truth: Truth) -> dict[str, Tensor]:
        """Depth, normals, rotation, and translation where there is any."""
        c = self.config
        turn, shift = ((a - b).square() for a, b in zip(scene[2:], truth.scene[2:], strict=True))
        return self.depth_terms(scene.rho, truth) | {
            "normal": c.normal * apart(scene.normals, truth.scene.normals, truth.flat),
            "rotation": c.rotation * charbonnier(turn).sum(1).mean(),
            "translation": c.translation * masked_mean(charbonnier(shift).sum(1, keepdim=True), truth.moves),
        }

    def edges(
        self, a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """sum over h of mean |g_h[a] - g_h[b]|."""
        maps = [scale_invariant_gradient(a, b, valid, h, self.config.epsilon) for h in STEPS]
        return torch.stack([masked_mean(*m) for m in maps]).sum()


def apart(
    a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """mean sqrt(|a - b|^2 + 1e-5) over the valid pixels, less what it is at 0."""
    return masked_mean(charbonnier((a - b).square().sum(1, keepdim=True), 1e-5**0.5), valid)


def described(maps: Float[Tensor, "b 4 h w"], numbers: Float[Tensor, "b 7"]) -> Scene:
    """The answer of a network of depth and motion; its scale is that of the inverse depth."""
    return Scene(maps[:, :1] * numbers[:, 6, None, None, None], maps[:, 1:], numbers[:, :3], numbers[:, 3:6])


def camera(like: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b 3 3"]:
    """Intrinsics of the one camera that the networks know, for maps of this size."""
    h, w = like.shape[-2:]
    return intrinsics(FOCAL[0] * w, FOCAL[1] * h, 0.5 * w - 0.5, 0.5 * h - 0.5).to(like).expand(len(like), 3, 3)
