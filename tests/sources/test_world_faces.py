"""Faces: poses, parts and expressions are in the pictures where the numbers say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from epipole.sources.worlds import Spec, World, families
from epipole.sources.worlds.families.faces import CLASSES, TRAITS, Expression, Head, distance, draw_expression
from epipole.sources.worlds.portraits import Faces, turned
from epipole.types.errors import InputError
from epipole.types.views import Views

SPEC = Spec("faces", 2, seed=2, width=64, height=64)
AT_REST = Expression()


@pytest.fixture(scope="module")
def faces() -> Faces:
    fields = {"image", "label", "K", "T_world_camera", "depth", "depth_valid", "semantic", "silhouette"}
    return Faces(SPEC, 2, 2, fields)


@pytest.fixture(scope="module")
def views(faces: Faces) -> Views:
    return faces[1]


def points_of(views: Views, k: int, kind: str) -> np.ndarray:
    """What view k sees of a class, in the axes of the head, [n, 3]."""
    v, u = np.nonzero(views.semantic[k, 0].numpy() == CLASSES.index(kind))
    rays = np.stack([u, v, np.ones_like(u)], 1) @ np.linalg.inv(views.K[k].double().numpy()).T
    T = views.T_world_camera[k].double().numpy()
    return rays * views.depth[k, 0].double().numpy()[v, u, None] @ T[:3, :3].T + T[:3, 3]


@pytest.mark.parametrize("k", [0, 1])
def test_skin_is_as_far_from_the_middle_as_the_head_says(faces: Faces, views: Views, k: int) -> None:
    """Seen through the pose of the head; lids are set on it, and so are ears and neck, which are left out here."""
    head = Head(faces.person(1), faces.portrait(1, k).expression)
    points = points_of(views, k, "skin")
    points = points[(points[:, 2] > -0.07) & (np.abs(points[:, 0]) < 0.06)]
    far = np.linalg.norm(points, axis=1)
    error = np.abs(far - head.radius(points / far[:, None]))
    assert len(points) > 150
    assert np.median(error) < 1e-3
    assert (error < 3e-3).mean() > 0.8


@pytest.mark.parametrize("k", [0, 1])
def test_eyes_are_where_the_head_has_them(faces: Faces, views: Views, k: int) -> None:
    head = Head(faces.person(1), faces.portrait(1, k).expression)
    points = points_of(views, k, "eye")
    centres = np.stack([head.eye_centre(-1), head.eye_centre(1)])
    near = np.linalg.norm(points[:, None] - centres, axis=-1).min(1)
    assert len(points) >= 1
    assert (near < 1.15 * head.eye[2]).all()
    assert (near > 0.95 * head.eye[2]).all()


def test_a_head_is_symmetric_and_looks_ahead() -> None:
    head = Head(np.zeros(TRAITS), AT_REST)
    d = np.random.default_rng(0).normal(size=(50, 3))
    d /= np.linalg.norm(d, axis=1)[:, None]
    np.testing.assert_allclose(head.radius(d), head.radius(d * [-1, 1, 1]), rtol=1e-9)
    profile = np.linspace(-0.9, 0.9, 181)
    outline = np.array([head.at(0.0, up)[1] for up in profile])
    assert -0.4 < profile[outline.argmin()] < -0.1  # the nose
    np.testing.assert_allclose(head.eye_centre(1), head.eye_centre(-1) * [-1, 1, 1])


def test_every_trait_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families.faces, "DETAIL", 17)
    rest = Head(np.zeros(TRAITS), AT_REST)

    def shape(head: Head) -> np.ndarray:
        parts = [part for group in (head.skin, head.eyes, head.mouth, head.hair) for part in group()]
        return np.concatenate([p.mesh.corners.ravel() for p in parts])

    plain = shape(rest)
    for k in range(TRAITS):
        assert np.abs(shape(Head(np.eye(TRAITS)[k], AT_REST)) - plain).max() > 3e-4, k


def test_expressions_move_what_they_should() -> None:
    traits = np.zeros(TRAITS)

    def lips(expression: Expression) -> np.ndarray:
        return Head(traits, expression).mouth()[0].mesh.corners.reshape(-1, 3)

    def tall(expression: Expression) -> float:
        dark = Head(traits, expression).mouth()[1].mesh.corners.reshape(-1, 3)
        return float(np.ptp(dark[np.abs(dark[:, 0]) < 0.005, 2]))

    def corner(expression: Expression) -> float:
        points = lips(expression)
        return float(points[points[:, 0].argmax(), 2] - np.median(points[np.abs(points[:, 0]) < 0.004, 2]))

    assert corner(Expression(smile=1.0)) > corner(AT_REST) + 0.003 > corner(Expression(smile=-1.0)) + 0.006
    assert tall(Expression(open=1.0)) > 4 * tall(AT_REST)
    brows = [Head(traits, Expression(brows=b))._brows()[0].corners[..., 2].mean() for b in (-1.0, 0.0, 1.0)]
    assert brows[0] < brows[1] - 0.003 < brows[2] - 0.006
    iris = [Head(traits, Expression(gaze=(g, 0.0))).eyes()[1].mesh.corners[..., 0].mean() for g in (-0.4, 0.4)]
    assert iris[1] - iris[0] > 0.002


def test_closed_lids_hide_the_eyes() -> None:
    head = Head(np.zeros(TRAITS), AT_REST)
    for lids, hidden in ((-2.0, True), (0.0, False)):
        shut = replace(head, expression=Expression(lids=lids))
        centre, r = shut.eye_centre(1), shut.eye[2]
        upper = shut._lids(1)[0].corners.reshape(-1, 3)
        covers = np.linalg.norm(upper - centre, axis=1).min() > 1.05 * r
        assert covers == hidden


def test_turns_are_those_of_scipy() -> None:
    aside, nod, lean = 0.5, -0.2, 0.1
    expected = Rotation.from_euler("yxz", [lean, nod, aside]).as_matrix()  # one after the other about fixed axes
    np.testing.assert_allclose(turned(aside, nod, lean)[:3, :3], expected, atol=1e-12)
    assert (turned(0.5, 0.0, 0.0)[:3, :3] @ [0, -1, 0])[0] > 0


def test_poses_of_camera_and_head_are_one_another_s_inverse(faces: Faces, views: Views) -> None:
    for k in (0, 1):
        T = views.T_world_camera[k].double().numpy()
        there = faces.portrait(1, k).T_world_head @ T
        np.testing.assert_allclose(there[:3, 3], [0, -distance(SPEC), 0], atol=1e-6)
        np.testing.assert_allclose(there[:3, 2], [0, 1, 0], atol=1e-6)
    assert views.label.tolist() == [1, 1]
    seen = views.silhouette.flatten(1).float().mean(1)
    assert bool((seen > 0.2).all())
    assert bool((seen < 0.7).all())


def test_people_are_told_apart_across_expressions_and_light() -> None:
    """The other picture of the same person is the nearest one for most, by the pixels alone."""
    source = Faces(Spec("faces", 1, seed=5, width=32, height=32), 6, 2)
    images = torch.stack([source[i].image for i in range(6)])
    x = images - images.mean((-1, -2), keepdim=True)
    apart = torch.cdist(x[:, 0].flatten(1), x[:, 1].flatten(1))
    assert int((apart.argmin(1) == torch.arange(6)).sum()) >= 5


def test_portraits_follow_from_seed_person_and_number_alone(views: Views) -> None:
    again = Faces(replace(SPEC, scene=1), 1, 2, {"image"})[0]
    assert torch.equal(again.image, views.image)
    assert not torch.equal(again.image[0], again.image[1])
    rest = [draw_expression(np.random.default_rng(k), 0.0) for k in range(3)]
    assert all(e == Expression(0.0, 0.0, 0.0, 0.0, (0.0, 0.0)) for e in rest)


def test_a_clip_sways_before_a_face() -> None:
    world = World(Spec("faces", 1, seed=1, frames=4, width=32, height=32), {"depth", "depth_valid", "semantic"})
    middle = world[2].semantic[0, 0, 12:24, 12:20]
    assert int((middle == CLASSES.index("skin")).sum()) > 10


def test_what_cannot_be_portrayed_is_refused() -> None:
    for spec, fields in [(Spec("room"), {"image"}), (replace(SPEC, distortion=(0.1, 0.0, 0.0, 0.0, 0.0)), {"image"}),
                         (SPEC, {"flow"})]:
        with pytest.raises(InputError):
            Faces(spec, 1, 1, fields)
