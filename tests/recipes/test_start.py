"""Weights to start from."""

import pytest
import torch

from epipole.engine.checkpoint import write_tensors
from epipole.recipes.learn_video.start import begin, fingerprint
from epipole.recipes.train import save_model
from epipole.systems.depth.reprojection import PRESETS, ReprojectionDepth
from epipole.types.errors import InputError


def test_a_network_begins_with_the_weights_of_the_file(tmp_path):
    taught, fresh = ReprojectionDepth(), ReprojectionDepth()
    save_model(tmp_path / "model.safetensors", "reprojection", taught.config, taught)
    begin(fresh, tmp_path / "model.safetensors")
    for name, value in taught.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)


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


def test_other_weights_have_another_fingerprint(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, ReprojectionDepth().state_dict(), {})
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
