"""What each turn of finding the path gained: solving, adjusting, putting it together again by what was learned."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry.anchors import Edges, Scene, residuals
from .correspond import FlowStore, KeyImages
from .rejoin import drift
from .solve import edges_of, load_solution
from .teach import LEAST_SEEN, anchor_seen, scale_per_frame
from .unroll import UNROLLED

TURNS = {"solve": "path-1", "adjust": "path-2", "unroll": UNROLLED, "place between": "path-dense",
         "rejoin 1": "path-3", "rejoin 2": "path-4"}      # in RUN/work, as far as there are any


def turns(
    work: Path, keys: KeyImages, stores: list[FlowStore], learned: Float[Tensor, "n m"]
) -> list[dict[str, Any]]:
    """Of the path as each turn left it: median distance (px of the network) of its points from the flow, and by how
    much (per cent) its scale changes on the way against depth as it was learned in the end.

    All are held against the flow that was there in the end, so that they compare; the first of them know fewer key
    frames than `keys` where others were placed between.
    """
    edges, pixels = edges_of(stores)
    seen = anchor_seen(edges, len(keys)) >= LEAST_SEEN
    first = np.searchsorted(keys.key_frames, KeyImages.open(work / "keys").key_frames)
    found = []
    for name, file in TURNS.items():
        if (work / f"{file}.safetensors").exists():
            path = load_solution(work / f"{file}.safetensors")
            n = len(path.scene.inverse_depth)
            frames = torch.arange(n) if n == len(keys) else torch.from_numpy(first)
            scale = scale_per_frame(learned[frames], path, seen[frames])
            found.append({"name": name, "reprojection_px": round(distance(path.scene, edges, pixels, frames), 4),
                          "scale_drift_percent": round(100 * drift(scale), 2)})
    return found


def distance(scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"], frames: Tensor) -> float:
    """Median distance in px of the points of a scene, which has these of all frames, from where edges saw them."""
    local = torch.full((int(max(frames.max(), edges.source.max(), edges.target.max())) + 1,), -1, dtype=torch.long)
    local[frames] = torch.arange(len(frames))
    lengths = []
    for part in torch.nonzero((local[edges.source] >= 0) & (local[edges.target] >= 0))[:, 0].split(256):
        some = edges.subset(part)
        r, counts = residuals(scene, Edges(local[some.source], local[some.target], *some[2:]), pixels)
        lengths.append(r.norm(dim=-1)[counts])
    return float(torch.cat([*lengths, torch.zeros(0)]).median())  # NaN where nothing counts
