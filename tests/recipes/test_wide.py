"""Pairs far apart in time: found where frames see the same place, with a guess of where to look."""

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene, reproject
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.recipes.learn_video.wide import (
    APART,
    LEAST_OVERLAP,
    NEAR,
    ZOOM,
    overlaps,
    reach,
    rigid_guesses,
    wide_pairs,
)
from epipole.sources.worlds import RoomWorld, Spec
from tests.recipes.exact_room import SPEC
from tests.scene import plane_clip

SIZE = (96, 64)
K = torch.tensor([[80.0, 0, 47.5], [0, 80.0, 31.5], [0, 0, 1]])


def pixels() -> torch.Tensor:
    v, u = torch.meshgrid(torch.arange(4.0, 64, 8), torch.arange(4.0, 96, 8), indexing="ij")
    return torch.stack([u, v], -1).reshape(-1, 2)


def wall(positions: list[float]) -> Scene:
    """Cameras beside each other that look at a wall at depth 1."""
    twist = torch.zeros(len(positions), 6)
    twist[:, 0] = -torch.tensor(positions)
    return Scene(se3_exp(twist), torch.ones(len(positions), 96), K)


def overlap(scene: Scene) -> np.ndarray:
    """Share of every frame's anchors that fall into every other frame, the smaller of both directions."""
    found, n = overlaps(scene, pixels(), SIZE, 0.0), len(scene.T_camera_world)
    share = np.eye(n, dtype=np.float32)
    share[found.a, found.b] = share[found.b, found.a] = found.share
    return share


def naive_overlap(scene: Scene) -> np.ndarray:
    """The same, pair by pair and point by point."""
    n, some, (w, h) = len(scene.T_camera_world), torch.arange(3, 96, 7), SIZE
    q = scene.inverse_depth
    low, high = torch.quantile(q, torch.tensor([0.05, 0.95]), dim=1)
    thin = scene._replace(inverse_depth=q[:, some].clamp(low[:, None], high[:, None]))
    share = np.zeros((n, n), np.float32)
    for a in range(n):
        Y, _ = reproject(thin, pixels()[some], torch.full((n,), a), torch.arange(n))
        z = Y[..., 2].clamp(min=NEAR)
        u, v = (Y[..., i] / z * scene.K[i, i] + scene.K[i, 2] for i in range(2))
        seen = (Y[..., 2] > NEAR) & (u > 0) & (u < w - 1) & (v > 0) & (v < h - 1) & (z > 1 / ZOOM) & (z < ZOOM)
        share[a] = seen.float().mean(1).numpy()
    return np.minimum(share, share.T)


def naive_pairs(scene: Scene, known: set, shots: list[int], most: int) -> list[tuple[int, int]]:
    """`wide_pairs` by tables of all against all."""
    share = naive_overlap(scene)
    taken = np.zeros(share.shape, bool)
    for pair in known:
        taken[pair] = True
    first, second = np.nonzero(np.triu(share > LEAST_OVERLAP, 3))
    chosen = []
    for i in np.argsort(-share[first, second], kind="stable"):
        x, y = int(first[i]), int(second[i])
        near = taken[max(0, x - APART) : x + APART + 1, max(0, y - APART) : y + APART + 1]
        if len(chosen) < most and shots[x] == shots[y] and not (near.any() if y - x > 8 else taken[x, y]):
            taken[x, y] = True
            chosen.append((x, y))
    return sorted(chosen)


def wandering(seed: int, n: int = 60, step: float = 0.4) -> Scene:
    """A camera that walks and turns at random through points at very different depths."""
    generator = torch.Generator().manual_seed(seed)
    twist = (torch.randn(n, 6, generator=generator) * torch.tensor([step] * 3 + [0.1] * 3)).cumsum(0)
    return Scene(se3_exp(twist), torch.exp(0.7 * torch.randn(n, 96, generator=generator)), K)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_all_against_all(seed):
    scene = wandering(seed, step=(0.1, 0.4, 1.0, 3.0)[seed])
    share = naive_overlap(scene)
    for least in (0.0, LEAST_OVERLAP):
        found = overlaps(scene, pixels(), SIZE, least, apart=2)
        first, second = np.nonzero(np.triu(share > least, 2))
        np.testing.assert_array_equal(np.stack([found.a, found.b]), np.stack([first, second]))
        np.testing.assert_array_equal(found.share, share[first, second])
    shots = [0] * 25 + [1] * 35
    for most in (3, 1000):
        pairs = wide_pairs(scene, pixels(), SIZE, chain(60), shots, most)
        assert pairs == naive_pairs(scene, chain(60), shots, most)


@pytest.mark.parametrize("least", [0.0, LEAST_OVERLAP])
def test_nothing_beyond_reach_is_seen(least):
    """And the reach is not so long that it would spare nothing."""
    scene = wandering(5, 80, 1.0)
    place, share = se3_inverse(scene.T_camera_world)[:, :3, 3], naive_overlap(scene)
    some = scene._replace(inverse_depth=scene.inverse_depth[:, 3::7])
    beyond = torch.cdist(place, place) > reach(some, SIZE, least)[:, None]
    assert share[beyond.numpy()].max() <= least
    assert beyond.float().mean() > 0.03


def test_frames_at_one_place_see_the_same():
    np.testing.assert_array_equal(overlap(wall([0.5, 0.5, 0.5])), np.ones((3, 3)))


def test_overlap_of_a_wall_is_the_part_in_both_pictures():
    share = overlap(wall([0.0, 0.6, 5.0]))  # moves by 48 px: half the picture
    assert share[0, 1] == pytest.approx(0.5, abs=0.12)
    assert share[0, 2] == 0
    np.testing.assert_array_equal(share, share.T)


def test_what_is_seen_from_afar_is_not_the_same_picture():
    for times, share in ((1.5, 0.45), (2.5, 0.0)):  # as far away: 1 / times^2 of its picture is in the first's
        away = wall([0.0, 0.0])
        away.T_camera_world[1, 2, 3] = times - 1
        away.inverse_depth[1] = 1 / times
        assert overlap(away)[0, 1] == pytest.approx(share, abs=0.15)


def there_and_back() -> Scene:
    """40 frames, every step 0.4 to the side: a third of the picture."""
    way = (0.4 * np.arange(20)).tolist()
    return wall(way + way[::-1])


def chain(n: int) -> set[tuple[int, int]]:
    return {(a, a + gap) for a in range(n) for gap in (1, 2, 3, 5) if a + gap < n}


def test_the_way_back_closes_loops_and_repeats_nothing():
    scene, known = there_and_back(), chain(40)
    pairs = wide_pairs(scene, pixels(), SIZE, known, [0] * 40, 100)
    share = overlap(scene)
    assert len(pairs) > 10
    assert pairs == sorted(set(pairs))
    assert not set(pairs) & known
    assert all(a < b and share[a, b] > LEAST_OVERLAP for a, b in pairs)
    assert any(b - a > 25 for a, b in pairs)


def test_most_and_shots_are_kept():
    scene = there_and_back()
    assert len(wide_pairs(scene, pixels(), SIZE, chain(40), [0] * 40, 5)) == 5
    cut = [0] * 20 + [1] * 20
    assert all((a < 20) == (b < 20) for a, b in wide_pairs(scene, pixels(), SIZE, chain(40), cut, 100))


def test_a_camera_that_goes_on_has_no_wide_pairs():
    far = wall((0.4 * np.arange(12)).tolist())
    assert wide_pairs(far, pixels(), SIZE, chain(12), [0] * 12, 100) == []


def test_the_guess_for_a_slanted_plane_is_its_exact_flow():
    small, large = plane_clip(1, 2, 64, 96), plane_clip(1, 2, 128, 192)
    u, v = pixels().long().T
    scene = Scene(se3_inverse(small.T_world_camera[0]), 1 / small.depth[0, :, 0, v, u], small.K[0, 0])
    guesses = rigid_guesses(scene, pixels(), SIZE)((0, 1))
    for guess, flow in zip(guesses, large.flow[0], strict=True):
        error = np.linalg.norm(guess - flow.permute(1, 2, 0).numpy(), axis=-1)[24:-24, 24:-24]
        assert flow.norm(dim=0).median() > 3
        assert np.median(error) < 0.02
        assert error.max() < 0.2


@pytest.mark.parametrize("pair", [(0, 1), (3, 5), (12, 11)])
def test_the_guess_is_near_the_exact_flow_of_a_room(exact, pair):
    large = RoomWorld(Spec(**SPEC.__dict__ | {"width": 2 * SIZE[0], "height": 2 * SIZE[1]}))
    large.path = exact.world.path
    guesses = rigid_guesses(exact.solution.scene, exact.solution.pixels, SIZE)(pair)
    for (a, b), guess in zip((pair, pair[::-1]), guesses, strict=True):
        flow, seen = large.flow(a, b)
        truth = flow.permute(1, 2, 0).numpy()[seen[0].numpy()]
        error = np.linalg.norm(guess[seen[0].numpy()] - truth, axis=-1)
        length = np.median(np.linalg.norm(truth, axis=-1))
        assert length > 5
        assert np.median(error) < 0.25 * length


def test_no_motion_is_no_flow(exact):
    there, back = rigid_guesses(exact.solution.scene, exact.solution.pixels, SIZE)((5, 5))
    assert there.shape == (128, 192, 2)
    assert np.abs(there).max() < 1e-3
    assert np.abs(back).max() < 1e-3
