"""The factor to metres by an inertial sensor's readings, on paths that are known with all their derivatives."""

import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3, so3_exp
from epipole.pipelines.inertial_scale import Readings, by_inertia, excitation
from epipole.sources.worlds.imu import Errors, measure
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.spline import Path
from epipole.types.errors import InputError

UNIT, FPS = 0.17, 30.0      # of the map, in m^-1
F64 = torch.float64
EXACT = Errors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def path(frames: int = 480, sway: float = 0.15, turn: float = 0.2, pace: float = 0.2, seed: int = 0) -> Path:
    """A camera that is carried along x with `pace` m a knot (two a second), sways and turns (radians)."""
    g = torch.Generator().manual_seed(seed)
    n = int(2 * frames / FPS) + 5
    place = sway * torch.randn(n, 3, generator=g, dtype=F64)
    place[:, 0] += pace * torch.arange(n)
    knots = se3(so3_exp(turn * torch.randn(n, 3, generator=g, dtype=F64)), place)
    return Path(knots, 2 * np.arange(frames) / FPS, FPS)


def read(way: Path, errors: Errors | None, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Readings]:
    """Poses, times, and what a sensor with these errors, mounted anyhow, reads."""
    spec = Spec("room", frames=len(way.frames), fps=FPS, seed=seed)
    imu = measure(spec, way, errors=errors)
    times = torch.arange(len(way.frames), dtype=F64) / FPS
    M = imu.T_camera_imu
    gyro, force = (torch.from_numpy(values @ M[:3, :3].T) for values in (imu.gyro, imu.acceleration))
    return way.poses, times, Readings(torch.from_numpy(imu.times), gyro, force, torch.from_numpy(M[:3, 3].copy()))


def learned(T: torch.Tensor, off: float = 0.0, turned: float = 0.0, seed: int = 0) -> torch.Tensor:
    """In the map's unit and in axes of its own, every frame a little off (m, radians)."""
    g = torch.Generator().manual_seed(seed)
    R = T[:, :3, :3] @ so3_exp(turned * torch.randn(len(T), 3, generator=g, dtype=F64))
    place = T[:, :3, 3] + off * torch.randn(len(T), 3, generator=g, dtype=F64)
    A = so3_exp(torch.tensor([0.7, -2.0, 0.4], dtype=F64))
    return se3(A @ R, UNIT * place @ A.mT)


def test_exact_readings_tell_the_exact_factor():
    T, times, readings = read(path(), None)
    found = by_inertia(learned(T), times, readings)
    assert found.factor * UNIT == pytest.approx(1, abs=1e-3)
    assert found.spread_percent < 0.1
    assert found.frames == 3


def test_a_phones_readings_and_a_path_that_trembles():
    T, times, readings = read(path(900), Errors())
    found = by_inertia(learned(T, 0.01, 0.004), times, readings)
    assert found.factor * UNIT == pytest.approx(1, abs=0.02)
    assert found.spread_percent < 4


def test_where_the_sensor_sits_and_what_it_adds_itself():
    """Half a metre of lever, and biases that a cheap chip has: without them in the model the factor is wrong."""
    T, times, readings = read(path(turn=0.4), None)
    lever = torch.tensor([0.3, -0.3, 0.2], dtype=F64)
    camera = T.clone()
    camera[:, :3, 3] -= T[:, :3, :3] @ lever        # the path is the sensor's, the camera sits elsewhere
    found = by_inertia(learned(camera), times, readings._replace(lever=lever))
    assert found.factor * UNIT == pytest.approx(1, abs=2e-3)
    off = torch.tensor([0.2, -0.1, 0.15], dtype=F64)
    biased = readings._replace(force=readings.force + off, gyro=readings.gyro + off / 4)
    assert by_inertia(learned(T), times, biased).factor * UNIT == pytest.approx(1, abs=0.02)


def test_a_camera_that_gains_speed_all_the_way():
    """What the sensor feels on the whole is then twenty degrees off the way up."""
    way, gain = path(), torch.tensor([0.0, 3.5, 0.0], dtype=F64)
    T, times, readings = read(way, None)
    T[:, :3, 3] += gain * times[:, None] ** 2 / 2
    R = way.at(readings.times.numpy())[:, :3, :3]
    found = by_inertia(learned(T), times, readings._replace(force=readings.force + (R.mT @ gain[:, None])[..., 0]))
    assert found.factor * UNIT == pytest.approx(1, abs=2e-3)


def test_the_paths_noise_does_not_shrink_the_factor():
    """The camera sways by as much as every frame is off; a factor that multiplied the path would be halved."""
    T, times, readings = read(path(900, sway=0.1, pace=0.0), EXACT)
    assert by_inertia(learned(T, 0.06, 0.002), times, readings).factor * UNIT == pytest.approx(1, abs=0.06)


def test_frames_that_are_far_off_count_little():
    T, times, readings = read(path(), Errors())
    away = learned(T, 0.01)
    away[5::60, :3, 3] *= 1.8
    away[6::60, :3, 3] *= 1.8
    assert by_inertia(away, times, readings).factor * UNIT == pytest.approx(1, abs=0.01)


def test_stretches_with_a_gap_in_the_readings_are_left_out():
    T, times, readings = read(path(960), Errors())
    whole = by_inertia(learned(T), times, readings)
    kept = (readings.times < 5) | (readings.times > 5.15)
    gap = Readings(*(values[kept] for values in readings[:3]), readings.lever)
    found = by_inertia(learned(T), times, gap)
    assert (whole.frames, found.frames) == (4, 3)
    assert found.factor * UNIT == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("turn", "speed"), [(0.0, 3.0), (0.2, 3.0), (0.2, 0.0)])
def test_without_changes_of_velocity_readings_tell_no_lengths(turn, speed):
    """A steady drive, straight ahead or looking around; and a camera that turns on the spot."""
    T, times, readings = read(path(480, 0.0, turn, 0.0), Errors())
    T[:, 0, 3] += speed * times
    with pytest.raises(InputError, match="too evenly") as error:
        by_inertia(learned(T, 0.005, 0.002), times, readings)
    assert "\n" not in str(error.value)
    if not turn:
        assert excitation(times, readings) < 0.02


def test_what_is_not_the_clips_is_refused():
    T, times, readings = read(path(), Errors())
    other = read(path(seed=1), Errors())[2]
    turned = so3_exp(torch.tensor([1.5, 0, 0], dtype=F64))
    axes = readings._replace(gyro=readings.gyro @ turned.mT, force=readings.force @ turned.mT)
    for wrong in (other, axes):
        with pytest.raises(InputError, match="turn by"):
            by_inertia(learned(T), times, wrong)
    drifted = learned(T)
    drifted[:, :3, 3] *= (2 ** torch.linspace(0, 4, len(T), dtype=F64))[:, None]
    with pytest.raises(InputError, match="differ"):
        by_inertia(drifted, times, readings)
    with pytest.raises(InputError, match="stretches"):
        by_inertia(learned(T)[:60], times[:60], readings)
    assert excitation(times, readings) > 0.05
