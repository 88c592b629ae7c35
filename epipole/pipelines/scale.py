"""From the unit of a monocular map to metres: the factor that a known height, distance, path or speed gives, frame by
frame, and how far the frames differ."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..geometry.align import umeyama
from ..geometry.camera import normalise, project, transform
from ..geometry.ground import Ground, ground
from ..geometry.motion import se3_inverse
from ..geometry.robust import cauchy
from ..geometry.sample import sample
from ..types.errors import InputError

FEWEST = 3              # frames, or pieces of a path, that have to show the factor
WIDEST = 35.0           # per cent by which they may differ
FAR_OFF = 0.15          # of a path's extent, by which it may miss the known one (median)
SEEN = 0.05             # share of a frame's pixels whose depth has to be known
AGREES = 0.15           # depth of a point as two frames see it
ROUNDS = 10             # of reweighting
PIECES = 10             # of a path, whose ends are as far apart as a piece is long
LITTLE, ASLANT = 0.15, 5.0  # share of a frame and degrees from the camera's way, at which a ground is doubtful
CLEAR = 6.0             # times the noise of a satellite receiver's fixes that a piece of path has to be long
STILL = 0.3             # pieces shorter than this share of the median tell nothing


class Scale(NamedTuple):
    """`factor` times a length of the map is metres."""

    factor: float
    spread_percent: float | None    # 1.4826 median absolute deviation of the factors, of their median; of one: unknown
    frames: int             # that told it: frames, or pieces of the path
    by: str                 # what was known, in words
    doubt: str = ""         # why it may be wrong all the same, in words


def by_height(
    depths: Iterable[Float[Tensor, "1 h w"]], K: Float[Tensor, "3 3"], height: float,
    along: Float[Tensor, "n 3"] | None = None,
) -> Scale:
    """From the camera's height above the ground, in m. Frames that show no ground are left out; `along` says where the
    camera moves in each (`directions`), which is parallel to the ground where the height is constant.

    Raises InputError where too few show it, or they disagree.
    """
    generator = torch.Generator().manual_seed(0)
    asked = [ground(depth, K, generator, along=None if along is None else along[i]) for i, depth in enumerate(depths)]
    seen = [found for found in asked if found is not None]
    factors = [height * float(one.plane.norm()) for one in seen]
    scale = agreed(factors, f"camera height of {height:g} m above the ground",
                   f"the ground is seen in {len(seen)} of {len(asked)} frames")
    return scale._replace(doubt=_doubt_of_ground(seen, len(asked)))


def _doubt_of_ground(seen: Sequence[Ground], asked: int) -> str:
    """Why these may be other planes than the ground, in words; empty where that is not to be feared."""
    share, tilt = (median(values) for values in zip(*((one.share, one.tilt) for one in seen), strict=True))
    why = {
        f"only {len(seen)} of {asked} frames show the ground": 2 * len(seen) < asked,
        f"the plane found takes only {100 * share:.0f} % of a frame (median)": share < LITTLE,
        f"the plane found lies {tilt:.1f} degrees (median) aslant of the camera's way": tilt > ASLANT,
    }
    return ", ".join(said for said, holds in why.items() if holds)


def directions(T_world_camera: Float[Tensor, "n 4 4"], apart: int) -> Float[Tensor, "n 3"]:
    """Where the camera moves, in its own frame: from `apart` frames before to as many after. Not of unit length."""
    place, n = T_world_camera[:, :3, 3], len(T_world_camera)
    frames = torch.arange(n)
    moved = place[(frames + apart).clamp(max=n - 1)] - place[(frames - apart).clamp(min=0)]
    return (T_world_camera[:, :3, :3].mT @ moved[..., None])[..., 0]


def by_distance(
    depths: Iterable[Float[Tensor, "1 h w"]], T_world_camera: Float[Tensor, "n 4 4"], K: Float[Tensor, "3 3"],
    ends: Float[Tensor, "3 2"], metres: float,
) -> Scale:
    """From the distance between two points of the world (columns of `ends`), measured in every view that sees both
    where the map has them. Raises InputError where no view does, or they disagree."""
    factors = []
    for depth, T in zip(depths, T_world_camera, strict=True):
        if (length := _length_as_seen(depth, se3_inverse(T), K, ends)) is not None:
            factors.append(metres / length)
    return agreed(factors, f"distance of {metres:g} m between two pixels",
                  f"both points are seen in {len(factors)} frames", fewest=1)


def _length_as_seen(depth: Tensor, T_camera_world: Tensor, K: Tensor, ends: Tensor) -> float | None:
    there = transform(T_camera_world, ends[:, None])
    pixels, front = project(there, K)
    z, inside = sample(depth[None].to(pixels), pixels[None])
    agrees = (z[0] / there[2:] - 1).abs() < AGREES
    if not bool((front & inside[0] & agrees).all()):
        return None
    seen = there / there[2:] * z[0]
    return float((seen[:, 0, 0] - seen[:, 0, 1]).norm())


def by_path(positions: Float[Tensor, "n 3"], metres: Float[Tensor, "n 3"]) -> Scale:
    """From known positions of the camera, in m in any frame of reference: similarity (Umeyama 1991), reweighted, so
    that positions that are far off count little. Raises InputError where the paths have different shapes."""
    positions, metres = positions.double(), metres.double()
    scale, _, off = _laid_over(positions, metres)
    extent = float((metres - metres.mean(0)).norm(dim=-1).median())
    if not (scale > 0 and extent > 0 and float(off.median()) < FAR_OFF * extent):
        raise InputError("scale cannot be found: the known path and the learned one have different shapes; see that "
                         "they are of the same clip, or use another measurement")
    lag = max(1, len(positions) // PIECES)
    mine, known = (p[lag:] - p[:-lag] for p in (positions, metres))
    factors = _ratios(known.norm(dim=-1), mine.norm(dim=-1))
    return agreed(factors, "known positions of the camera", "the camera hardly moves")._replace(factor=float(scale))


def _laid_over(positions: Tensor, metres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale and rotation of the best similarity, reweighted, and how far it leaves the positions from each other, m."""
    weight = torch.ones_like(positions[:, 0])
    for _ in range(ROUNDS):
        scale, R, t = umeyama(positions, metres, weight=weight)
        off = (scale * positions @ R.mT + t - metres).norm(dim=-1)
        weight = cauchy(off, max(2 * float(off.median()), 1e-9))
    return scale, R, off


def by_fixes(positions: Float[Tensor, "n 3"], metres: Float[Tensor, "n 3"]) -> Scale:
    """From positions that are off by metres themselves, as those of a satellite receiver: the same similarity, whose
    scale their noise does not bias. The pieces that tell the spread are a tenth of the path long, or as much longer as
    it takes to be `CLEAR` times what the fixes are off by; each is seen along the way of the learned path, since noise
    makes short ways longer. Raises InputError where half of the path is not so long."""
    positions, metres = positions.double(), metres.double()
    scale, R, off = _laid_over(positions, metres)
    noise, n = float(off.median()), len(positions)
    for lag in range(max(1, n // PIECES), max(2, n // 2 + 1)):
        mine, known = (p[lag:] - p[:-lag] for p in (positions @ R.mT, metres))
        length = mine.norm(dim=-1)
        if float(scale * length.median()) > CLEAR * noise:
            break
    else:
        raise InputError(f"scale cannot be found by GPS: the fixes are {noise:.3g} m off the learned path (median), "
                         f"and no half of the way is {CLEAR:g} times as long; take a longer clip, see that the "
                         "fixes are of this one, or use another measurement")
    long = (length > STILL * length.median()) & (length > 0)
    factors = (known * mine).sum(-1)[long] / length[long] ** 2
    return agreed(factors.tolist(), "fixes of a satellite receiver (GPS)", "the camera hardly moves")._replace(
        factor=float(scale))


def by_depth(pairs: Iterable[tuple[Float[Tensor, "h2 w2"], Float[Tensor, "h w"]]], by: str) -> Scale:
    """From depth that is known in m for some pixels of frames, NaN elsewhere, beside the map's of the same frames, in
    any size: the median of their ratio. Frames in which fewer than `SEEN` of the pixels are known tell nothing."""
    factors, asked = [], 0
    for metres, depth in pairs:
        rows, columns = (((torch.arange(n) + 0.5) * m / n - 0.5).round().long()
                         for n, m in zip(depth.shape, metres.shape, strict=True))
        ratio = metres[rows][:, columns] / depth
        ratio, asked = ratio[(depth > 0) & (ratio > 0) & ratio.isfinite()], asked + 1
        if len(ratio) >= SEEN * depth.numel():
            factors.append(float(ratio.quantile(0.5)))
    return agreed(factors, by, f"{len(factors)} of {asked} frames have depth in m")


def by_speed(
    positions: Float[Tensor, "n 3"], times: Float[Tensor, "n"], speed: Float[Tensor, "n"], window: float = 1.0,
) -> Scale:
    """From the camera's speed in m/s at every frame; `times` in s, rising. Compared is how far the camera gets in
    `window` seconds, so that a path that trembles is not longer for it. Raises InputError where that says nothing."""
    positions, (start, end, metres) = positions.double(), stretches(times, speed, window)
    factors = _ratios(metres, (positions[end] - positions[start]).norm(dim=-1))
    return agreed(factors, f"speed of {float(speed.mean()):.3g} m/s (mean)",
                  f"the footage has {float(times[-1] - times[0]):.3g} s with the camera in motion")


def stretches(
    times: Float[Tensor, "n"], speed: Float[Tensor, "n"], window: float = 1.0
) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"], Float[Tensor, "k"]]:
    """First and last frames of all stretches of `window` seconds, and how far the camera gets in each, m."""
    times, speed = times.double(), speed.double()
    steps = times.diff()
    travelled = torch.cat([steps.new_zeros(1), (steps * (speed[1:] + speed[:-1]) / 2).cumsum(0)])
    end = torch.searchsorted(times, times + window)
    start = torch.arange(len(times))[end < len(times)]
    return start, end[start], travelled[end[start]] - travelled[start]


def _ratios(known: Tensor, mine: Tensor) -> list[float]:
    """Known lengths over the map's, of the pieces that are not short."""
    long = (mine > STILL * mine.median()) & (known > STILL * known.median()) & (mine > 0) & (known > 0)
    return (known[long] / mine[long]).tolist()


def world_points(
    depth: Float[Tensor, "1 h w"], T_world_camera: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"],
    pixels: Float[Tensor, "2 n"],
) -> Float[Tensor, "3 n"]:
    """What a view shows at pixels, in the world. Raises InputError for pixels outside it."""
    rows = pixels[:, None]
    z, inside = sample(depth[None].to(pixels), rows[None])
    if not bool(inside.all()):
        raise InputError("scale cannot be found: a pixel lies outside the picture")
    return transform(T_world_camera, z[0] * normalise(K, rows))[:, 0]


def agreed(factors: Sequence[float], by: str, otherwise: str, fewest: int = FEWEST) -> Scale:
    """Median and spread of what frames say. Raises InputError where they are too few or differ too much; `otherwise`
    says in words what there was to see."""
    if len(factors) < fewest:
        raise InputError(f"scale cannot be found by the {by}: {otherwise}; use another measurement")
    all_of_them = torch.tensor(factors, dtype=torch.float64)
    middle = all_of_them.quantile(0.5)
    spread = 100 * 1.4826 * float(((all_of_them - middle).abs() / middle).quantile(0.5))
    if not (math.isfinite(spread) and spread <= WIDEST):
        raise InputError(f"scale cannot be found by the {by}: the {len(factors)} frames that tell it differ by "
                         f"{spread:.0f} %; use another measurement")
    return Scale(float(middle), spread if len(factors) > 1 else None, len(factors), by)
