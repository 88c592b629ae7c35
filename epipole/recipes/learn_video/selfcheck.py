"""Stage 5: the run judges itself without any truth, beside what it must beat, and says what went wrong."""

import numpy as np
import torch
from jaxtyping import Float

from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import se3_inverse
from ...geometry.sample import sample
from ...judges.score import Score
from ...losses.photometric import masked_mean
from ...losses.ssim import ssim_l1
from ...types.views import Views
from .predict import KeyDepth
from .rejoin import drift
from .teach import Lessons

PAIRS = 48              # pairs of key frames that are looked at, evenly spread
DRIFT = 0.10            # change of scale along the path worth a warning
FLAT = 0.02             # spread of log depth within a frame below which depth has collapsed to a plane
PROTOCOL = f"{PAIRS} pairs of the key frames that taught, pixels whose flow passed its check"


def reprojection(views: Views, depth: torch.Tensor) -> tuple[float, float]:
    """Mean photometric error (0.85 DSSIM + 0.15 L1) and median distance to the flow (px) under this depth."""
    image, K, flow, seen = views.image[0], views.K[0], views.flow[0], views.flow_valid[0]
    T_b_a = se3_inverse(views.T_world_camera[0].flip(0)) @ views.T_world_camera[0]
    pixels, front = project(transform(T_b_a, unproject(depth, K)), K)
    synthetic, inside = sample(image.flip(0), pixels)
    mask = seen & front & inside
    apart = (pixels - pixel_grid(image.shape[-2], image.shape[-1], image) - flow).norm(dim=1, keepdim=True)
    middle = float(apart[mask].median()) if bool(mask.any()) else float("nan")
    return float(masked_mean(ssim_l1(synthetic, image), mask)), middle


def check(depth_of: KeyDepth, lessons: Lessons, scale: Float[np.ndarray, "n"]) -> tuple[list[Score], list[str]]:
    """Scores of the key frames' depth with their baselines, and warnings in words."""
    rows, spread = [], []
    for index in np.linspace(0, len(lessons) - 1, min(PAIRS, len(lessons))).astype(int):
        views = Views.collate([lessons.pair(int(index))])
        depth = torch.from_numpy(np.stack([depth_of(k).depth for k in lessons.frames(int(index))]))[:, None]
        spread.append(float(depth.log().flatten(1).std(1).mean()))
        constant = torch.full_like(depth, float(depth.median()))
        still = views.image[0], views.image[0].flip(0)
        seen = views.flow_valid[0]
        length = views.flow[0].norm(dim=1, keepdim=True)
        identity = float(masked_mean(ssim_l1(*still), seen)), float(length[seen].median())
        rows.append([*reprojection(views, depth), *reprojection(views, constant), *identity])
    learned_p, learned_r, constant_p, constant_r, identity_p, identity_r = np.nanmean(rows, axis=0)
    scores = [
        Score("self_photometric", learned_p, "", "lower", PROTOCOL,
              {"constant depth": constant_p, "no motion": identity_p}),
        Score("self_reprojection", learned_r, "px", "lower", PROTOCOL,
              {"constant depth": constant_r, "no motion": identity_r}),
    ]
    return scores, warnings(float(np.mean(spread)), scores, scale)


def warnings(spread: float, scores: list[Score], scale: Float[np.ndarray, "n"]) -> list[str]:
    """Collapse, a depth no better than a constant one, and drift of scale, in words."""
    found = []
    if spread < FLAT:
        found.append("Depth has collapsed: every frame is nearly flat. Give more minutes, or more parallax.")
    for score in scores:
        if not np.isfinite(score.value):
            found.append(f"{score.name} could not be computed: no pair of key frames shows the same things.")
        worse = [name for name, value in score.baselines.items() if value <= score.value]
        if worse:
            found.append(f"By {score.name} the learned depth is no better than {' or '.join(worse)}: do not trust it.")
    if drift(scale) > DRIFT:
        found.append(f"Depth and path disagree by {100 * drift(scale):.0f} % on how scale changes along the path: "
                     "distances in its parts may not compare.")
    return found
