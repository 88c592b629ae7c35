"""COLMAP as a rival."""

import sys

import pytest
import torch

from epipole.geometry.align import umeyama
from epipole.geometry.motion import angle, se3_exp, se3_inverse
from epipole.methods.colmap import Colmap
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.methods.test_motion import K, rendered


def test_a_path_is_found_up_to_its_size():
    pytest.importorskip("pycolmap")
    steps = torch.tensor([[0.25, 0.03, 0.02, 0.0, -0.03, 0.005]]) * torch.arange(6)[:, None]
    T = se3_exp(steps)
    views = Views(image=rendered(T)[None], K=K.expand(1, 6, 3, 3).clone())
    found = Colmap()(views).T_first_camera[0]
    torch.testing.assert_close(found[0], torch.eye(4))
    turns = se3_inverse(T[:1])[..., :3, :3] @ T[:, :3, :3]
    assert angle(turns.mT @ found[:, :3, :3]).rad2deg().max() < 1
    c, R, t = umeyama(found[:, :3, 3].double(), T[:, :3, 3].double())
    assert (c * found[:, :3, 3].double() @ R.mT + t - T[:, :3, 3].double()).norm(dim=1).max() < 0.03


def test_where_nothing_is_placed_the_camera_stands_still():
    pytest.importorskip("pycolmap")
    views = Views(image=torch.zeros(1, 3, 3, 64, 64), K=K.expand(1, 3, 3, 3).clone())
    assert torch.equal(Colmap()(views).T_first_camera[0], torch.eye(4).expand(3, 4, 4))


def test_where_it_is_not_installed_that_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(InputError, match="pip install pycolmap"):
        Colmap()(Views(image=torch.rand(1, 3, 3, 64, 64), K=K.expand(1, 3, 3, 3).clone()))
