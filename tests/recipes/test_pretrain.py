"""The start of the main job's network, taught on worlds."""

import json

import numpy as np
import pytest
import torch

from epipole.recipes.pretrain import Rendered, Taught, Worlds, in_own_unit, pretrain, scene_views, slopes
from epipole.recipes.train import load_model
from epipole.sources.worlds import World
from epipole.systems.depth.reprojection import PRESETS
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = Worlds(scenes=2, frames=3, width=64, height=48)


def test_what_is_rendered_is_what_the_worlds_show(tmp_path):
    frames = Rendered.write(tmp_path / "frames", TINY, processes=1)
    assert len(frames) == 6
    world = World(TINY.spec(1), Taught.needs)
    for views, true in ((frames[3], world[0]), (frames[5], world[8])):
        torch.testing.assert_close(views.image, true.image, atol=1 / 255, rtol=0)
        torch.testing.assert_close(views.depth, true.depth, rtol=1e-3, atol=1e-3)
        assert torch.equal(views.depth_valid, true.depth_valid)


def test_two_processes_render_the_same(tmp_path):
    one, two = (Rendered.write(tmp_path / str(n), TINY, processes=n) for n in (1, 2))
    np.testing.assert_array_equal(one.images[:], two.images[:])
    np.testing.assert_array_equal(one.depths[:], two.depths[:])


def test_scenes_differ_in_lens_difficulty_and_family():
    worlds = Worlds(("room", "street"), scenes=16)
    specs = [worlds.spec(scene) for scene in range(16)]
    assert {s.family for s in specs} == {"room", "street"}
    assert {(s.family, s.difficulty) for s in specs} == {(f, d) for f in ("room", "street") for d in range(4)}
    assert len({s.fov for s in specs}) == 16
    assert specs[3] == worlds.spec(3) != Worlds(("room", "street"), seed=1).spec(3)


def test_each_of_four_families_comes_at_every_difficulty():
    worlds = Worlds(("room", "street", "objects", "tabletop"), scenes=16)
    specs = [worlds.spec(scene) for scene in range(16)]
    assert len({(s.family, s.difficulty) for s in specs}) == 16


def test_what_is_refused_leaves_the_folder_as_it_was(tmp_path):
    with pytest.raises(InputError, match="no world family 'moon'"):
        pretrain(tmp_path / "new", Worlds(("room", "moon")), steps=1)
    assert not (tmp_path / "new").exists()
    (tmp_path / "model.safetensors").write_bytes(b"another's")
    with pytest.raises(InputError, match="of something else"):
        pretrain(tmp_path, TINY, steps=1)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_family_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="no world family 'moon'"):
        Worlds(("moon",)).spec(0)


def test_the_unit_of_an_image_is_its_median_depth():
    depth = torch.tensor([1.0, 2, 4, 8, 16, 99]).view(1, 1, 2, 3)
    valid = depth < 50
    found = in_own_unit(depth, valid)
    torch.testing.assert_close(found[valid], torch.tensor([-2.0, -1, 0, 1, 2]) * np.log(2), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(in_own_unit(7 * depth, valid)[valid], found[valid])
    assert in_own_unit(depth, torch.zeros_like(valid)).isfinite().all()


def test_slopes_equal_a_loop():
    error = torch.randn(2, 1, 9, 11, generator=torch.Generator().manual_seed(0))
    valid = torch.rand(2, 1, 9, 11, generator=torch.Generator().manual_seed(1)) > 0.3
    naive = []
    for step in (1, 2, 4, 8):
        for dy, dx in ((0, step), (step, 0)):
            naive.append([(error[b, 0, y + dy, x + dx] - error[b, 0, y, x]).abs() for b in range(2)
                          for y in range(9 - dy) for x in range(11 - dx)
                          if valid[b, 0, y, x] and valid[b, 0, y + dy, x + dx]])
    expected = sum(torch.stack(part).mean() for part in naive) / 4
    torch.testing.assert_close(slopes(error, valid), expected)
    torch.testing.assert_close(slopes(torch.ones(1, 1, 9, 11), torch.ones(1, 1, 9, 11).bool()), torch.tensor(0.0))


def test_the_loss_does_not_see_the_unit_of_the_truth():
    system = Taught(PRESETS["small"]).eval()
    views = Views(image=torch.rand(2, 1, 3, 64, 96), depth=1 + torch.rand(2, 1, 1, 64, 96),
                  depth_valid=torch.ones(2, 1, 1, 64, 96).bool())
    losses = []
    for factor in (1.0, 30.0):
        torch.manual_seed(5)
        losses.append(system.loss(Views(**views.fields() | {"depth": factor * views.depth})))
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name], rtol=1e-4, atol=1e-5)


def test_weights_are_those_of_the_main_job_and_come_back(tmp_path):
    file = pretrain(tmp_path / "a", TINY, steps=3, processes=1, device="cpu")
    again = pretrain(tmp_path / "b", TINY, steps=3, processes=1, device="cpu")
    model = load_model(file)
    assert type(model).__name__ == "ReprojectionDepth"
    for name, value in load_model(again).state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    assert json.loads((tmp_path / "a" / "steps.json").read_text()) == {"steps": 3}
    with pytest.raises(InputError, match="other arguments"):
        pretrain(tmp_path / "a", TINY, steps=4, processes=1)


@pytest.mark.slow
def test_it_learns_rooms_it_has_not_seen(tmp_path):
    """A hundred steps on forty small scenes: unseen ones are then better than by a constant."""
    pretrain(tmp_path, Worlds(scenes=40, frames=2, width=64, height=64), steps=150, device="cpu")
    model, errors = load_model(tmp_path / "model.safetensors"), []
    for scene in range(1000, 1008):
        for image, depth in scene_views(Worlds(frames=2, width=64, height=64).spec(scene)):
            with torch.no_grad():
                found = model(Views(image=torch.from_numpy(image).permute(2, 0, 1)[None, None] / 255)).depth[0, 0, 0]
            known = depth > 0
            log = np.log(np.where(known, depth, 1))
            residuals = [(x - np.median(x[known]))[known] for x in (log - np.log(found.numpy()), log)]
            errors.append([np.abs(r).mean() for r in residuals])
    learned, constant = np.mean(errors, axis=0)
    assert learned < 0.75 * constant
