"""What was learned, and what run.yaml says about it (docs/run-folder.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from ...engine.system import System
from ...formats.calibration import as_words
from ...sources.findings import Look, Span
from ...sources.footage import Footage
from ..description import plain
from ..train import installed, versions
from .correspond import KeyImages

PNG_SCALE = 2000.0          # values per typical depth: as fine as float16 there, and room for 32 typical depths


@dataclass(frozen=True)
class Intrinsics:
    """K in pixels of the footage, where it came from, and how well the footage shows it."""

    K: Float64[np.ndarray, "3 3"]
    source: str                     # "given" or "estimated"
    verdict: str
    sd_percent: float | None = None


@dataclass(frozen=True)
class Result:
    """What was learned. Path and network have one unit; metric says that it is the metre."""

    T_world_camera: Float64[np.ndarray, "f 4 4"]
    intrinsics: Intrinsics
    system: System
    system_name: str                # in the table of contents
    config: Any
    arguments: Mapping[str, Any]
    metric: bool = False
    skipped: Sequence[Span] = ()    # beyond what the look skipped
    warnings: Sequence[str] = ()
    phases: Sequence[Mapping[str, Any]] = ()
    scores: Sequence[Mapping[str, Any]] = ()
    healthy: Mapping[str, Sequence[float]] = field(default_factory=dict)


def describe(
    footage: Footage, look: Look, keys: KeyImages, result: Result, typical: float, factor: float
) -> dict[str, Any]:
    """What stands in run.yaml. `depth.model_factor` times the depth of model.safetensors is the depth in the files."""
    fx, fy, cx, cy = (result.intrinsics.K[i] for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    w, h = footage.width, footage.height
    skipped = sorted([*look.skipped, *result.skipped], key=lambda span: span.first)
    return plain({
        "epipole": installed("epipole"), "finished": False, "arguments": result.arguments,
        "versions": versions(),
        "footage": {"name": footage.name, "sha256": footage.sha256(), "frames": len(look.times), "width": w,
                    "height": h, "fps": footage.fps},
        "intrinsics": {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": w, "height": h,
                       "source": result.intrinsics.source, "verdict": result.intrinsics.verdict,
                       "sd_percent": result.intrinsics.sd_percent},
        "lens": None if footage.lens is None else as_words(footage.lens),
        "scale": "metres" if result.metric else "unknown",
        "depth": {"png_scale": PNG_SCALE / typical, "width": keys.size[0], "height": keys.size[1],
                  "typical": typical, "model_factor": factor},
        "found": look.found, "key_frames": keys.key_frames, "skipped": [asdict(span) for span in skipped],
        "phases": result.phases, "warnings": result.warnings, "scores": result.scores, "healthy": result.healthy,
    })  # fmt: skip
