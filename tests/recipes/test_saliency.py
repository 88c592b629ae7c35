"""What a disparity depends on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from epipole.cli import main
from epipole.recipes.saliency import regard, saliency
from epipole.recipes.train import load_model, save_model
from epipole.sources.pairs import StereoFolder
from epipole.systems.flow import flownet
from epipole.systems.stereo.gcnet import PRESETS, GCNet
from epipole.types.errors import InputError
from epipole.types.predictions import Disparity
from epipole.types.views import Views


def looks_at_two(views: Views) -> Disparity:
    """Depends on red of the left pixel to the right, and twice as much on blue of the right pixel three to the left."""
    left, right = views.image.unbind(-4)
    return Disparity(disparity=left[..., :1, :, :].roll(-1, -1) - 2 * right[..., 2:, :, :].roll(3, -1))


def test_it_is_the_share_of_the_largest_gradient():
    found = saliency(looks_at_two, Views(image=torch.rand(1, 2, 3, 6, 10)), 5, 2)
    expected = torch.zeros(1, 2, 6, 10)
    expected[0, 0, 2, 6], expected[0, 1, 2, 2] = 0.5, 1
    torch.testing.assert_close(found, expected)


def test_scenes_are_looked_at_by_themselves():
    def second_scene_weighs_more(views: Views) -> Disparity:
        return Disparity(disparity=looks_at_two(views).disparity * torch.tensor([1.0, 100.0])[:, None, None, None])

    found = saliency(second_scene_weighs_more, Views(image=torch.rand(2, 2, 3, 6, 10)), 5, 2)
    assert torch.equal(found[0], found[1])


def test_a_disparity_that_depends_on_nothing_gives_nothing():
    views = Views(image=torch.rand(1, 2, 3, 6, 10))
    found = saliency(lambda v: Disparity(disparity=0 * v.image[:, 0, :1]), views, 0, 0)
    assert torch.equal(found, torch.zeros(1, 2, 6, 10))


def test_a_network_looks_around_the_pixel_on_the_left_and_along_its_row_on_the_right():
    torch.manual_seed(0)
    model = GCNet(replace(PRESETS["small"], channels=4, units=1)).eval()
    views = Views(image=torch.rand(1, 2, 3, 32, 64))
    found = saliency(model, views, 40, 16)[0]
    assert found.max() == 1
    assert torch.isfinite(found).all()
    assert found[0, 11:22, 35:46].mean() > 2 * found[0].mean()
    assert all(p.grad is None for p in model.parameters())
    assert not views.image.requires_grad


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (10, 0), (0, 6)])
def test_a_pixel_outside_is_refused(x, y):
    with pytest.raises(InputError, match="pixel"):
        saliency(looks_at_two, Views(image=torch.rand(1, 2, 3, 6, 10)), x, y)


def test_what_has_no_gradient_is_refused():
    with pytest.raises(InputError, match="gradient"):
        saliency(torch.no_grad()(looks_at_two), Views(image=torch.rand(1, 2, 3, 6, 10)), 5, 2)


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    config = replace(PRESETS["small"], channels=4, units=1)
    save_model(tmp_path / "m" / "model.safetensors", "gcnet", config, GCNet(config))
    return tmp_path / "m"


@pytest.fixture
def pairs(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        for name in "ab":
            folder = tmp_path / "pairs" / side
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (32, 64, 3), np.uint8)).save(folder / f"{name}.png")
    return tmp_path / "pairs"


def test_a_trained_network_is_asked_about_a_pixel_of_one_of_many_pairs(model, pairs):
    seen = regard(model, str(pairs), 1, (40, 16), 64)
    views = Views.collate([StereoFolder(pairs)[1]]).keep(frozenset({"image"}))
    network = load_model(model / "model.safetensors")
    torch.testing.assert_close(seen.saliency, saliency(network, views, 40, 16)[0])
    torch.testing.assert_close(seen.image, views.image[0])
    assert seen.disparity == pytest.approx(network(views).disparity[0, 0, 16, 40].item())
    middle = regard(model / "model.safetensors", str(pairs), width=64)
    assert (middle.x, middle.y) == (32, 16)


def test_what_predicts_no_disparity_and_pairs_that_are_not_there_are_refused(model, pairs, tmp_path):
    config = replace(flownet.PRESETS["small"], width=0.02)
    save_model(tmp_path / "f" / "model.safetensors", "flownets", config, flownet.FlowNetS(config))
    with pytest.raises(InputError, match="no disparity"):
        regard(tmp_path / "f", str(pairs))
    with pytest.raises(InputError, match="pairs 0 to 1"):
        regard(model, str(pairs), 2, width=64)
    with pytest.raises(InputError, match="no rectified pairs"):
        regard(model, str(model))


def test_the_command_writes_a_page_beside_the_model(model, pairs, capsys):
    assert main(["saliency", str(model), str(pairs), "--pair", "1", "--at", "40,16", "--width", "64"]) == 0
    page = model / "saliency.html"
    assert capsys.readouterr().out.split() == [str(page)]
    assert page.read_text().count("data:image/webp;base64") == 2
