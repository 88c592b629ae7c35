"""Tables seen through a lens: focus stacks against rays through the aperture, blur against the thin lens's formula."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from epipole.sources.worlds import Spec, World
from epipole.sources.worlds.camera import pixel_centres
from epipole.sources.worlds.families import FAMILIES
from epipole.sources.worlds.focus import Lens, focus_distances, focus_stack
from epipole.sources.worlds.render import GAMMA
from epipole.sources.worlds.shading import shade
from epipole.sources.worlds.stream import FocusStream

SPEC = Spec("tabletop", 2, seed=1, frames=2, width=64, height=48)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SPEC)


def test_a_table_is_near_and_deep(world: World) -> None:
    view = world[0]
    assert bool(view.depth_valid.all())
    near, far = view.depth.flatten().quantile(torch.tensor([0.01, 0.99])).tolist()
    assert 0.15 < near < 0.5 < far < 1.3
    assert far > 2 * near


@pytest.mark.parametrize("level", [0, 3])
def test_tables_hold_what_their_difficulty_says(level: int) -> None:
    spec = replace(SPEC, difficulty=level)
    scene = FAMILIES["tabletop"].scene(spec, spec.random("layout"))
    assert len(scene.kind) == pytest.approx({0: 6, 3: 19}[level], abs=5)
    assert bool(scene.motions) == (level == 3)
    own = np.isin(scene.instance, [0, 1], invert=True)
    low = np.array([scene.corners[scene.instance == k][..., 2].min() for k in np.unique(scene.instance[own])])
    np.testing.assert_allclose(low, 0, atol=2e-3)


def test_things_on_a_table_do_not_touch() -> None:
    spec = replace(SPEC, difficulty=3)
    scene = FAMILIES["tabletop"].scene(spec, spec.random("layout"))
    still = [k for k in range(2, len(scene.kind)) if k not in scene.motions]
    outlines = [np.unique(scene.corners[scene.instance == k].reshape(-1, 3)[:, :2].round(3), axis=0) for k in still]
    for i in range(len(outlines)):
        for j in range(i):
            assert np.linalg.norm(outlines[i][:, None] - outlines[j], axis=-1).min() > 0.001


def test_a_stack_is_the_mean_of_rays_through_the_aperture(world: World) -> None:
    """Every ray from a place on the lens through the point of the focus plane that the pixel sees, one by one; compared
    where waves are longer than the pixels between which shifted images are read."""
    lens, focus = Lens(0.05, 12), 0.5
    camera, pixels = world.camera(0), pixel_centres(64, 48)
    middle, ahead = camera.rays(pixels)
    total = np.zeros((64 * 48, 3))
    for a in lens.points():
        start = middle + camera.T_world_camera[:3, :2] @ a
        directions = (middle + focus * ahead - start) / focus
        hits = world.moment(0).rays.cast(start, directions)
        total += shade(world.scene, world.moment(0), world.materials, start, directions, hits, camera.K[0, 0]).colour

    def soft(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image.reshape(48, 64, 3), (0, 0), 1.5)[4:-4, 4:-4]

    expected = soft(np.clip(total / 12, 0, 1))
    found = soft(focus_stack(world, 0, np.array([focus]), lens)[0].permute(1, 2, 0).numpy().astype(float) ** GAMMA)
    elsewhere = soft(focus_stack(world, 0, np.array([0.3]), lens)[0].permute(1, 2, 0).numpy().astype(float) ** GAMMA)
    error, other = np.abs(found - expected).mean(), np.abs(elsewhere - expected).mean()
    assert error < 0.006
    assert error < 0.35 * other


def test_the_circle_of_confusion_is_that_of_a_thin_lens() -> None:
    """c = A f |z - z_f| / (z (z_f - f)) on the chip, which stands v = f z_f / (z_f - f) behind the lens."""
    f, aperture, focus, z = 0.035, 0.0125, 0.6, np.array([0.2, 0.45, 0.6, 2.0])
    v = f * focus / (focus - f)
    on_chip = aperture * f * np.abs(z - focus) / (z * (focus - f))
    pixel = 1e-5
    np.testing.assert_allclose(Lens(aperture).confusion(z, focus, v / pixel), on_chip / pixel, atol=1e-9)


def test_slices_are_sharp_where_they_are_focused(world: World) -> None:
    depth = world[0].depth[0, 0]
    near, far = depth.flatten().quantile(torch.tensor([0.02, 0.98])).tolist()
    images = focus_stack(world, 0, focus_distances(near, far, 3), Lens(0.03, 12))
    sharp, depth = images.diff(dim=-1).abs().mean(1), depth[:, 1:]
    close, distant = depth < depth.quantile(0.25), depth > depth.quantile(0.75)
    assert float(sharp[0][close].mean()) > 1.2 * float(sharp[2][close].mean())
    assert float(sharp[2][distant].mean()) > 1.2 * float(sharp[0][distant].mean())


def test_hands_and_clearances_are_those_of_a_table(world: World) -> None:
    centres = world.poses[:, :3, 3].numpy()
    assert (np.abs(centres - [0.0, -0.5, 0.27]) < 0.2).all()
    assert world.scene.stage.scale < 0.5


def test_focal_stacks_are_samples_with_their_focus_and_one_depth(tmp_path: Path) -> None:
    distances, lens = focus_distances(0.25, 1.0, 3), Lens(0.03, 4)
    spec = replace(SPEC, width=32, height=24)
    source = FocusStream(spec, distances, 2, lens, tmp_path)
    assert len(source) == 4
    views, scene = source[3], World(replace(spec, scene=1))
    assert torch.equal(views.image, focus_stack(scene, 1, distances, lens))
    np.testing.assert_allclose(views.focus, distances, rtol=1e-6)
    assert torch.equal(views.depth, scene[1].depth.expand(3, -1, -1, -1))
    assert views.depth_valid.all()
    assert torch.equal(views.K, scene[1].K.expand(3, 3, 3))
    assert len(list(tmp_path.iterdir())) == 1
    again = FocusStream(spec, distances, 2, lens, tmp_path)[3]
    assert torch.equal(again.image, views.image)
    assert len(list(tmp_path.iterdir())) == 1
    other = FocusStream(spec, distances, 2, replace(lens, aperture=0.06), tmp_path)[3]
    assert not torch.equal(other.image, views.image)
