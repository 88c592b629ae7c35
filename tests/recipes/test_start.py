"""Weights to start from."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from epipole.engine.checkpoint import write_tensors
from epipole.recipes.learn_video.folder import claim
from epipole.recipes.learn_video.start import SHIPPED, begin, fingerprint, named, weights
from epipole.recipes.train import save_model
from epipole.sources.video import open_footage
from epipole.sources.worlds import Spec, World
from epipole.systems.depth.reprojection import PRESETS, ReprojectionDepth
from epipole.types.errors import InputError
from epipole.types.views import Views


def test_a_network_begins_with_the_weights_of_the_file(tmp_path):
    taught, fresh = ReprojectionDepth(), ReprojectionDepth()
    save_model(tmp_path / "model.safetensors", "reprojection", taught.config, taught)
    begin(fresh, tmp_path / "model.safetensors")
    for name, value in taught.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)


def test_weights_of_half_precision_begin_a_network_of_single_precision(tmp_path):
    taught, fresh = ReprojectionDepth(), ReprojectionDepth()
    save_model(tmp_path / "model.safetensors", "reprojection", taught.config, taught.half())
    begin(fresh, tmp_path / "model.safetensors")
    for name, value in fresh.state_dict().items():
        assert value.dtype in (torch.float32, torch.int64)
        assert torch.equal(value, taught.state_dict()[name].to(value.dtype))


def test_the_package_brings_a_start_that_knows_near_from_far():
    """In a room that it never saw: the scenes it was taught on have the seed 0."""
    system = ReprojectionDepth()
    begin(system, SHIPPED)
    ranks = []
    for scene in range(4):
        views = World(Spec("room", 1, seed=77, scene=scene, frames=1, width=192, height=144), {"image", "depth"})[0]
        with torch.no_grad():
            depth = system.eval()(Views(image=views.image[None])).depth
        ranks.append(spearmanr(depth.flatten(), views.depth.flatten()).statistic)
    assert np.mean(ranks) > 0.8  # where lower rows count as nearer: 0.70
    assert SHIPPED.stat().st_size < 7e6
    assert (named(SHIPPED), named(None), named(Path("w"))) == ("shipped", None, Path("w"))


def test_what_to_start_from_is_said_in_several_ways(tmp_path):
    assert (weights(None), weights("shipped"), weights("w.safetensors")) == (None, SHIPPED, Path("w.safetensors"))
    assert weights(tmp_path) == tmp_path / "model.safetensors"


def test_without_a_file_it_begins_as_it_is():
    torch.manual_seed(0)
    system = ReprojectionDepth(PRESETS["small"])
    before = {name: value.clone() for name, value in system.state_dict().items()}
    begin(system, None)
    assert all(torch.equal(before[name], value) for name, value in system.state_dict().items())
    assert fingerprint(None) is None


def test_weights_of_another_network_and_what_is_no_file_are_refused(tmp_path):
    small = ReprojectionDepth(PRESETS["small"])
    write_tensors(tmp_path / "small", small.state_dict(), {})
    with pytest.raises(InputError, match="no weights of this network"):
        begin(ReprojectionDepth(), tmp_path / "small")
    (tmp_path / "words").write_text("not weights")
    for file in ("words", "nothing"):
        with pytest.raises(InputError):
            begin(ReprojectionDepth(), tmp_path / file)
    with pytest.raises(InputError, match="cannot be read"):
        fingerprint(tmp_path / "nothing")


def test_a_run_does_not_go_on_from_another_start(tmp_path):
    (tmp_path / "clip").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "clip" / f"{k}.png"), np.full((48, 64, 3), 60 * k, np.uint8))
    footage = open_footage(tmp_path / "clip")
    write_tensors(tmp_path / "w", ReprojectionDepth().state_dict(), {})
    claim(tmp_path / "run", footage, None, 1.0, 0, None, SHIPPED)
    claim(tmp_path / "run", footage, None, 1.0, 0, None, SHIPPED)
    for other in (None, tmp_path / "w"):
        with pytest.raises(InputError, match="another start"):
            claim(tmp_path / "run", footage, None, 1.0, 0, None, other)


def test_other_weights_have_another_fingerprint(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, ReprojectionDepth().state_dict(), {})
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
