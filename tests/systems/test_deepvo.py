"""DeepVO: the tests that a fake would fail."""

import math
from dataclasses import replace

import pytest
import torch

from epipole.engine.fit import Train, fit
from epipole.geometry.motion import pose_vector_to_motion, se3
from epipole.systems.motion.deepvo import PRESETS, DeepVO, path
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], width=0.05, grid=(1, 2), units=16)


def system(**changes) -> DeepVO:
    torch.manual_seed(0)
    return DeepVO(replace(TINY, **changes)).eval()


def clip(frames: int = 6) -> torch.Tensor:
    return torch.rand(1, frames, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def test_weights_of_the_paper():
    """The convolutions are FlowNetS's with their biases; the LSTM reads 1024 x 6 x 20 features."""
    with torch.device("meta"):
        paper = DeepVO()
        assert paper.pair_net.layers(torch.rand(1, 6, 384, 1280)).shape == (1, 1024, 6, 20)
    kernels = ((6, 64, 7), (64, 128, 5), (128, 256, 5), (256, 256, 3), (256, 512, 3), (512, 512, 3), (512, 512, 3),
               (512, 512, 3), (512, 1024, 3))
    convolutions = sum(i * o * k * k + o for i, o, k in kernels)
    lstm = 4 * 1000 * (1024 * 6 * 20 + 1000 + 2) + 4 * 1000 * (1000 + 1000 + 2)
    assert sum(p.numel() for p in paper.parameters()) == convolutions + lstm + 6 * 1001


def test_it_remembers_frames_before_the_pair():
    learner, image = system(), clip()
    other = image.clone()
    other[:, 0] = 1 - other[:, 0]
    with torch.no_grad():
        a, b = (learner.motions(x)[0] for x in (image, other))
    assert ((a - b)[0, 3].abs() > 0).any()
    other = image.clone()
    other[:, 5] = 1 - other[:, 5]
    with torch.no_grad():
        torch.testing.assert_close(learner.motions(other)[0][:, :4], a[:, :4])  # and knows no later ones


def test_pieces_with_carried_memory_are_the_whole():
    learner, image = system(), clip(7)
    with torch.no_grad():
        whole, _ = learner.motions(image)
        first, state = learner.motions(image[:, :4])
        second, _ = learner.motions(image[:, 3:], state)
        forgetful, _ = learner.motions(image[:, 3:])
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-5, rtol=0)
    assert (forgetful - second).abs().max() > 1e-5


def test_four_steps_and_quarter_turns_close_a_square():
    step = pose_vector_to_motion(torch.tensor([1.0, 0, 0, 0, math.pi / 2, 0], dtype=torch.float64))
    poses = path(step.expand(1, 4, 4, 4))
    torch.testing.assert_close(poses[:, 4], torch.eye(4, dtype=torch.float64)[None])
    corners = poses[0, :, :3, 3]
    torch.testing.assert_close((corners[1:] - corners[:-1]).norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert (corners[2] - corners[0]).norm() == pytest.approx(math.sqrt(2))


def test_the_loss_is_zero_at_the_truth_and_counts_metres_and_radians():
    truth = torch.tensor([[[0.3, -0.2, 1.0, 0.1, -0.2, 0.3], [0.0, 0.0, 0.5, 0.0, 0.1, 0.0]]])
    T, objective = pose_vector_to_motion(truth), system().objective
    assert sum(objective(truth, T).values()) < 1e-9
    off = truth + torch.tensor([0.1, 0, 0, 0, 0.02, 0])
    terms = objective(off, T)
    assert float(terms["translation"]) == pytest.approx(0.01, rel=1e-3)
    assert float(terms["rotation"]) == pytest.approx(100 * 0.02**2, rel=1e-3)
    whole_turn = truth + torch.tensor([0, 0, 0, 2 * math.pi, 0, -2 * math.pi])
    assert objective(whole_turn, T)["rotation"] < 1e-8


def test_the_path_of_the_prediction_is_composed_of_its_motions():
    learner, vectors = system(), torch.tensor([[[0.1, 0, 1.0, 0, 0.3, 0], [0, 0.2, 1.0, 0.1, 0, 0]]])
    learner.motions = lambda image: (vectors, None)
    found = learner(Views(image=clip(3))).T_first_camera
    T = pose_vector_to_motion(vectors)[0]
    torch.testing.assert_close(found[0], torch.stack([torch.eye(4), T[0], T[0] @ T[1]]))
    assert torch.equal(system()(Views(image=clip(1))).T_first_camera, torch.eye(4)[None, None])


def test_a_single_view_teaches_nothing_and_is_refused():
    with pytest.raises(InputError):
        system().loss(Views(image=clip(1), T_world_camera=torch.eye(4).expand(1, 1, 4, 4)))


def test_before_it_has_learned_anything_it_says_that_nothing_moves():
    with torch.no_grad():
        assert 0 < system().motions(clip())[0].abs().max() < 5e-3


def gliding(step: int, clips: int = 8, frames: int = 4) -> Views:
    """A pattern, at a random place, glides along the rows by up to 2 px a frame, which are 0.2 m."""
    generator = torch.Generator().manual_seed(step)
    speed, place = 4 * torch.rand(clips, 1, generator=generator) - 2, 200 * torch.rand(clips, 1, 1, generator=generator)
    moved = speed * torch.arange(frames)
    x = torch.arange(48.0) + place + moved[..., None]
    rows = torch.stack([torch.sin(x / 3), torch.sin(x / 5), torch.cos(x / 4)], 2) / 2 + 0.5
    t = 0.1 * moved[..., None] * torch.tensor([1.0, 0, 0])
    return Views(image=rows[..., None, :].expand(-1, -1, -1, 32, -1).contiguous(),
                 T_world_camera=se3(torch.eye(3).expand(clips, frames, 3, 3), t))


def test_it_learns_how_fast_and_which_way_and_a_reversed_clip_turns_that_round():
    """The place is random, so that no single frame tells which way it goes. Nine tenths of the variance are explained
    after as many steps from other seeds too; 0.6 leaves room."""
    learner = fit(system(width=0.1), gliding, Train(steps=200, learning_rate=2e-3, device="cpu"))
    views = gliding(10**6, 64)
    truth = views.T_world_camera[:, -1, 0, 3] - views.T_world_camera[:, -2, 0, 3]
    with torch.no_grad():
        for image, sign in ((views.image, 1), (views.image.flip(1), -1)):
            found = learner.motions(image)[0][:, -1]
            assert (found[:, 0] - sign * truth).square().mean() < 0.4 * truth.square().mean()
            assert found[:, 3:].abs().max() < 0.02  # and does not turn
