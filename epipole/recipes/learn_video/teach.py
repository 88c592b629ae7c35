"""Stage 4: the depth network learns from pairs of key frames, their checked flow and the path."""

from functools import lru_cache
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry.anchors import Edges
from ...geometry.motion import se3_inverse
from ...types.views import Views
from .belief import Belief, doubted
from .correspond import FlowStore, KeyImages
from .predict import KeyDepth
from .solve import Solution, edges_of

GAMMA, BRIGHTNESS, COLOUR = (0.8, 1.25), (0.8, 1.2), (0.9, 1.1)  # drawn per pair, the same for both of its views
LEAST_SEEN = 2    # edges that must see an anchor for its depth to teach
PAIRS = 4         # of a batch


def anchor_seen(edges: Edges, n: int) -> Float[Tensor, "n m"]:
    """How many edges see each anchor of each frame."""
    return torch.zeros(n, edges.weight.shape[1]).index_add_(0, edges.source, (edges.weight > 0).float())


class Lessons:
    """Step -> batch of pairs (N = 2), every pair of key frames once an epoch, in an order drawn from (seed, epoch)."""

    def __init__(
        self, images: KeyImages, stores: list[FlowStore], solution: Solution, seed: int, belief: Belief | None = None
    ):
        self.images, self.stores, self.seed, self.belief = images, stores, seed, belief
        edges, self.pixels = edges_of(stores)
        self.follow(solution)
        self.seen = anchor_seen(edges, len(self.z)) >= LEAST_SEEN
        self.unit = 1.0 if belief is None else belief.unit(solution, self.seen)
        self.first = [0, *accumulate(len(s) for s in stores)]

    def follow(self, solution: Solution) -> None:
        """Teaches along this path, of the same key frames, from now on."""
        self.T_world_camera = se3_inverse(solution.scene.T_camera_world)
        self.K, self.z = solution.scene.K, 1 / solution.scene.inverse_depth

    def __len__(self) -> int:
        return self.first[-1]

    def __call__(self, step: int) -> Views:
        places = (divmod(i, len(self)) for i in range(step * PAIRS, (step + 1) * PAIRS))
        return Views.collate([varied(self.pair(self.order(epoch)[i])) for epoch, i in places])

    @lru_cache(maxsize=2)  # noqa: B019 (a batch may straddle two epochs; the cache lives as long as the lessons)
    def order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed((self.seed * 2654435761 + epoch) % 2**32)
        return torch.randperm(len(self), generator=generator).tolist()

    def place(self, index: int) -> tuple[FlowStore, int]:
        """The store and the row in it of a pair."""
        which = int(np.searchsorted(self.first, index, side="right")) - 1
        return self.stores[which], index - self.first[which]

    def frames(self, index: int) -> list[int]:
        """The two key frames of a pair."""
        store, row = self.place(index)
        return store.pairs[row].tolist()

    def pair(self, index: int) -> Views:
        """Two key frames with everything that teaches."""
        store, row = self.place(index)
        frames = store.pairs[row]
        image = torch.from_numpy(self.images.colour[frames]).permute(0, 3, 1, 2) / 255
        depth, known = (torch.stack(x) for x in zip(*(self.anchors(int(f)) for f in frames), strict=True))
        views = Views(
            image=image, K=self.K.expand(2, 3, 3), T_world_camera=self.T_world_camera[frames],
            flow=torch.from_numpy(store.flow[row]).float().permute(0, 3, 1, 2),
            flow_valid=torch.from_numpy(store.valid(row))[:, None], depth=depth, depth_valid=known,
        )
        return views if self.belief is None else doubted(views, self.unit * self.belief.of(frames))

    def anchors(self, frame: int) -> tuple[Float[Tensor, "1 h w"], Tensor]:
        """Triangulated depth where an anchor was seen often enough, and where that is."""
        w, h = self.images.size
        u, v = self.pixels.long().T
        depth, known = torch.ones(1, h, w), torch.zeros(1, h, w, dtype=torch.bool)
        depth[0, v, u], known[0, v, u] = self.z[frame], self.seen[frame]
        return depth, known


def varied(views: Views) -> Views:
    """The same views in other light: gamma, brightness and colour drawn once for all (Mahjourian 2018, narrower)."""
    gamma, brightness = (a + (b - a) * torch.rand(()) for a, b in (GAMMA, BRIGHTNESS))
    colour = COLOUR[0] + (COLOUR[1] - COLOUR[0]) * torch.rand(3, 1, 1)
    image = (views.image.clamp(min=1e-3) ** gamma * brightness * colour).clamp(0, 1)
    return Views(**views.fields() | {"image": image})


def learned_inverse_depth(depth_of: KeyDepth, solution: Solution) -> Float[Tensor, "n m"]:
    """The network's inverse depth at the anchors of every key frame."""
    u, v = solution.pixels.long().T
    rows = [torch.from_numpy(1 / depth_of(k).depth)[v, u] for k in range(len(solution.scene.inverse_depth))]
    return torch.stack(rows).to(solution.scene.inverse_depth)


def scale_per_frame(learned: Float[Tensor, "n m"], solution: Solution, seen: Tensor) -> Float[np.ndarray, "n"]:
    """Learned over triangulated depth, median over a key frame's anchors: 1 everywhere where scale did not drift."""
    ratio = (solution.scene.inverse_depth / learned).masked_fill(~seen, float("nan"))
    scale = ratio.nanmedian(1).values
    return scale.nan_to_num(float(scale.nanmedian())).double().numpy()


