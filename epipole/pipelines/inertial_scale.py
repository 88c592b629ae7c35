"""From the unit of a monocular path to metres by an inertial sensor: the linear alignment with which VINS-Mono begins
(Qin et al. 2018, section V-B), window by window.

Within a window all follows from the readings but where it begins, how fast, and the accelerometer's bias; windows
share the factor and the way down. The unknown is the factor's inverse, which multiplies the readings: the noise is the
path's, and a factor that multiplied it would come out too small.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.align import nearest_rotation
from ..geometry.motion import angle, so3_exp, so3_log
from ..geometry.robust import cauchy
from ..types.errors import InputError
from .scale import FEWEST, ROUNDS, STILL, Scale, agreed

GRAVITY = 9.81          # m/s^2
WINDOW = 8.0            # s; a third of shorter clips. Learned paths err in what happens within a few seconds
SHORTEST = 1.0          # s, of a window
LEAST_FRAMES = 8        # of a window
MOST_APART = 0.1        # s between two readings
LEAST_FELT = 0.02       # m by which the camera has to leave even ways (root mean square)
BIAS = 0.5              # m/s^2, standard deviation of the accelerometer's, and of what a tilt of the path adds
LAG = 1.0               # s over which turns are compared
TURNED, SHARE = 0.03, 0.5   # radians and share of a turn by which gyro and path may differ (median)
NO_MOTION = ("scale cannot be found by the IMU: the camera moves too evenly, and without changes of its velocity "
             "readings tell no lengths; move it to and fro, or use another measurement")


class Readings(NamedTuple):
    """Of an inertial sensor, in the camera's axes: angular velocity (rad/s) and specific force (m/s^2), and where it
    sits in the camera's frame (m)."""

    times: Float[Tensor, "n"]
    gyro: Float[Tensor, "n 3"]
    force: Float[Tensor, "n 3"]
    lever: Float[Tensor, "3"]


class Window(NamedTuple):
    """What a window's frames are explained by: the path, and what multiplies the factor's inverse without gravity, the
    bias, and time. World axes; s and m, places in the path's unit."""

    place: Float[Tensor, "m 3"]
    felt: Float[Tensor, "m 3"]
    bias: Float[Tensor, "m 3 3"]
    time: Float[Tensor, "m"]


class Integrals(NamedTuple):
    """Of the readings at some times, in the axes of the first: the turn since then, and the specific force integrated
    twice, beside what each axis of the accelerometer would have added to it."""

    R: Float[Tensor, "f 3 3"]
    moved: Float[Tensor, "f 3 4"]


def by_inertia(T_world_camera: Float[Tensor, "f 4 4"], times: Float[Tensor, "f"], readings: Readings) -> Scale:
    """The factor by readings that cover all the `times` (s) of the frames; the spread is that of the windows.

    Raises InputError where the camera's velocity hardly changes, gyro and path turn differently, or windows disagree.
    """
    T, times = T_world_camera.double(), times.double()
    readings = readings._replace(gyro=readings.gyro - gyro_bias(T[:, :3, :3], times, readings))
    parts = windows_of(T, times, readings)
    if len(parts) < FEWEST:
        raise InputError(f"scale cannot be found by the IMU: its readings and the frames have {len(parts)} stretches "
                         f"of at least {SHORTEST:g} s with {LEAST_FRAMES} frames in common; use another measurement")
    if felt(parts) < LEAST_FELT:
        raise InputError(NO_MOTION)
    inverse, factors = _solved(parts, T[:, :3, :3], times, readings)
    if not inverse > 0:
        raise InputError("scale cannot be found by the IMU: its readings contradict the path; see that they are of the "
                         "same clip, in the camera's axes, or use another measurement")
    return agreed(factors, "readings of an IMU", f"{len(factors)} stretches of the clip tell it")._replace(
        factor=1 / inverse)


def excitation(times: Float[Tensor, "f"], readings: Readings) -> float:
    """By how much (m) the readings alone have the camera leave steadily accelerated ways at these times."""
    still = torch.eye(4, dtype=torch.float64).repeat(len(times), 1, 1)
    still[:, :3, :3] = integrated(times.double(), readings).R
    parts = windows_of(still, times.double(), readings)
    return felt(parts) if parts else 0.0


def felt(parts: Sequence[Window]) -> float:
    """Root mean square of what is left (m) of the way by the readings without what unknown place, velocity, gravity and
    biases of both sensors may make of it: polynomials of third degree, and the accelerometer's bias as it turns."""
    square, count = 0.0, 0
    for part in parts:
        t, eye = part.time[:, None, None], torch.eye(3).to(part.felt).expand(len(part.time), 3, 3)
        s = t / t[-1]
        own = torch.cat([eye, s * eye, s**2 * eye, s**3 * eye, part.bias], -1)
        Q = torch.linalg.qr(own.reshape(-1, own.shape[-1])).Q
        way = part.felt.reshape(-1)
        square, count = square + float((way - Q @ (Q.mT @ way)).square().sum()), count + len(t)
    return float((square / max(count, 1)) ** 0.5)


def gyro_bias(R: Float[Tensor, "f 3 3"], times: Float[Tensor, "f"], readings: Readings) -> Float[Tensor, "3"]:
    """What has to be taken off the gyro for it to turn as the path does, within `LAG` seconds (median). Raises
    InputError where they turn differently all the same."""
    ahead = torch.searchsorted(times, times + LAG)
    start = torch.arange(len(times))[ahead < len(times)]
    ahead, bias = ahead[start], torch.zeros(3, dtype=torch.float64)
    if not len(start):
        return bias
    seen = R[start].mT @ R[ahead]
    for _ in range(4):
        C = integrated(times, readings._replace(gyro=readings.gyro - bias)).R
        off = so3_log(seen.mT @ C[start].mT @ C[ahead])
        bias = bias + (off / (times[ahead] - times[start])[:, None]).quantile(0.5, 0)
    differ, turn = float(off.norm(dim=1).quantile(0.5)), float(angle(seen).quantile(0.5))
    if differ > max(TURNED, SHARE * turn):
        raise InputError(f"scale cannot be found by the IMU: in {LAG:g} s its gyro and the path turn by "
                         f"{57.3 * differ:.0f} degrees from each other (median); see that the file is of this clip, "
                         "and in the camera's axes or with T_camera_imu.txt beside it")
    return bias


def integrated(times: Float[Tensor, "f"], readings: Readings) -> Integrals:
    """At times within those of the readings."""
    t, h = readings.times, readings.times.diff()[:, None]
    turn = so3_exp(h * (readings.gyro[1:] + readings.gyro[:-1]) / 2)
    C = _products(torch.cat([torch.eye(3).to(turn)[None], turn]))
    pull = C @ torch.cat([readings.force[..., None], torch.eye(3).to(C).expand(len(C), 3, 3)], -1)
    speed, moved = _sums(pull[:-1] / 2 + pull[1:] / 2, h), torch.zeros_like(pull)
    moved[1:] = (h[..., None] * speed[:-1] + h[..., None] ** 2 * (2 * pull[:-1] + pull[1:]) / 6).cumsum(0)
    last = torch.searchsorted(t, times, right=True).sub(1).clamp(0, len(t) - 2)
    since = (times - t[last])[:, None, None]
    rise = (pull[last + 1] - pull[last]) / h[last][..., None]
    within = moved[last] + since * speed[last] + since**2 / 2 * pull[last] + since**3 / 6 * rise
    return Integrals(C[last] @ so3_exp(since[..., 0] * (readings.gyro[last] + readings.gyro[last + 1]) / 2), within)


def _sums(values: Tensor, h: Tensor) -> Tensor:
    """Running sums of values times the steps between readings, from 0."""
    return torch.cat([torch.zeros_like(values[:1]), (h[..., None] * values).cumsum(0)])


def _products(R: Tensor) -> Tensor:
    """Running products R_0 R_1 ... R_k, in as many rounds as the number of matrices has binary digits."""
    step = 1
    while step < len(R):
        R = torch.cat([R[:step], R[:-step] @ R[step:]])
        step *= 2
    return R


def windows_of(T: Float[Tensor, "f 4 4"], times: Float[Tensor, "f"], readings: Readings) -> list[Window]:
    """Stretches without a gap in the readings, cut out of the clip one after the other. The gyro turns within each; the
    path's rotations say together how it lies in the world."""
    length = min(WINDOW, float(times[-1] - times[0]) / FEWEST)
    number = ((times - times[0]) / length * (1 - 1e-9)).floor().long()
    gap = torch.nonzero(readings.times.diff() > MOST_APART)[:, 0]
    broken = set(torch.cat([((readings.times[gap + k] - times[0]) / length).floor().long() for k in (0, 1)]).tolist())
    whole = integrated(times, readings)
    found = []
    for k in range(int(number[-1]) + 1 if length >= SHORTEST else 0):
        at = torch.nonzero(number == k)[:, 0]
        if len(at) < LEAST_FRAMES or k in broken:
            continue
        C, time = whole.R[at], times[at] - times[at[0]]
        moved = nearest_rotation((T[at, :3, :3] @ C.mT).sum(0)) @ whole.moved[at]
        felt = moved[..., 0] - T[at, :3, :3] @ readings.lever
        found.append(Window(T[at, :3, 3], _unhurried(felt, time), _unhurried(moved[..., 1:], time), time))
    return found


def _unhurried(values: Tensor, time: Tensor) -> Tensor:
    """Less a straight line through the first and last: place and velocity are unknown anyway, and large after long."""
    along = (time / time[-1]).view(-1, *[1] * (values.ndim - 1))
    return values - values[:1] - along * (values[-1:] - values[:1])


def _solved(
    parts: Sequence[Window], R: Tensor, times: Tensor, readings: Readings
) -> tuple[float, list[float]]:
    """The factor's inverse, and the factors of the windows that the camera's motion tells anything in. The way down is
    refined in its tangent plane, where its length stays 9.81 m/s^2 (Qin et al. 2018, eq. 11)."""
    down, inverse, noise = _mean_down(R, times, readings), 0.0, 0.0
    weights = [torch.ones_like(part.time) for part in parts]
    for _ in range(2 * ROUNDS):
        stiff = noise / (BIAS * inverse) if inverse > 0 and noise > 0 else 1e6
        left = [_without_unknowns(p, down, w, stiff) for p, w in zip(parts, weights, strict=True)]
        gram = torch.stack([A.mT @ A for A in left])
        x = torch.linalg.lstsq(gram.sum(0)[:3, :3], gram.sum(0)[:3, 3]).solution
        off = [(A[:, 3] - A[:, :3] @ x)[: 3 * len(w)].view(-1, 3).norm(dim=1) / w.sqrt()
               for A, w in zip(left, weights, strict=True)]
        middle = float(torch.cat(off).quantile(0.5))
        weights = [cauchy(o, max(2 * middle, 1e-12)) for o in off]
        inverse, noise = float(x[0]), max(middle / 1.54, 1e-12)     # median length of a vector of unit normals: 1.54
        if inverse <= 0:
            return inverse, []
        down = torch.nn.functional.normalize(down + _tangents(down) @ x[1:] / inverse, dim=0)
    own, told = (gram[:, 0, 3] - gram[:, 0, 1:3] @ x[1:]) / gram[:, 0, 0], gram[:, 0, 0].sqrt()
    return inverse, (1 / own[(told > STILL * told.quantile(0.5)) & (own > 0)]).tolist()


def _mean_down(R: Tensor, times: Tensor, readings: Readings) -> Tensor:
    """Against what the sensor feels on the whole."""
    during = (readings.times >= times[0]) & (readings.times <= times[-1])
    pull = R[torch.searchsorted(times, readings.times[during])] @ readings.force[during][..., None]
    return -torch.nn.functional.normalize(pull.mean(0)[:, 0], dim=0)


def _tangents(down: Tensor) -> Tensor:
    """Two unit vectors [3 2] across a direction."""
    return torch.linalg.svd(down[None]).Vh[1:].mT


def _without_unknowns(part: Window, down: Tensor, weight: Tensor, stiff: float) -> Float[Tensor, "k 4"]:
    """Weighted columns of the factor's inverse and the turn of the way down, and the path, with all taken off that the
    window's first place, velocity and bias may explain. A bias costs `stiff` times its size over the factor."""
    m, t = len(part.time), part.time[:, None, None]
    eye, root = torch.eye(3).to(part.place).expand(m, 3, 3), weight.sqrt()[:, None, None]
    own = torch.cat([eye, t * eye, -part.bias], -1) * root
    fall = t**2 / 2 * GRAVITY
    shared = torch.cat([part.felt[..., None] + fall * down[:, None], fall * _tangents(down), part.place[..., None]], -1)
    prior = torch.cat([torch.zeros(3, 6), stiff * torch.eye(3)], 1).to(own)
    Q = torch.linalg.qr(torch.cat([own.reshape(-1, 9), prior])).Q
    A = torch.cat([(shared * root).reshape(-1, 4), torch.zeros(3, 4).to(own)])
    return A - Q @ (Q.mT @ A)
