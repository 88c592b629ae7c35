"""VINet: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.motion import angle, se3, se3_exp, so3_exp
from epipole.nets.flownet import FlowNetC
from epipole.systems.motion.vinet import PRESETS, State, VINet
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], width=0.02, reach=2, grid=(1, 1), inertial=12, units=16, ramp=10_000)


def system(**changes) -> VINet:
    torch.manual_seed(0)
    return VINet(replace(TINY, **changes)).eval()


def clip(frames: int = 6, readings: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(1, frames, 3, 16, 24, generator=generator),
            torch.randn(1, frames, readings, 6, generator=generator))


class Driven(VINet):
    """With a core that says these twists, whatever it sees."""

    def __init__(self, twists: torch.Tensor):
        super().__init__(TINY)
        self.said = iter(twists.unbind(1))
        self.to(twists)
        self.twist.forward = lambda _: next(self.said)


def driven(twists: torch.Tensor) -> torch.Tensor:
    """T_first_this of the frames but the first."""
    image, imu = (x.to(twists) for x in clip(twists.shape[1] + 1))
    return Driven(twists).travel(image, imu)[1]


def test_weights_of_the_paper():
    """FlowNetC without its refinement; LSTMs of 6 and of 1000 units, the latter reading 1024 x 6 x 8 features."""
    with torch.device("meta"):
        paper, flownet = VINet(), FlowNetC(lambda a, b: a, 441)
    refinement = sum(p.numel() for p in flownet.refinement.parameters())
    assert sum(p.numel() for p in paper.pair_net.parameters()) == 39_174_320 - refinement
    inertial = 4 * 6 * (6 + 6 + 2) + 4 * 6 * (6 + 6 + 2)
    core = 4 * 1000 * (49_152 + 6 + 7 + 1000 + 2) + 4 * 1000 * (1000 + 1000 + 2)
    assert sum(p.numel() for p in paper.parameters()) == 39_174_320 - refinement + inertial + core + 6 * 1001


def test_composition_of_five_steps_has_the_right_gradient():
    twists = 0.3 * torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.eye(4, dtype=torch.float64)
    for xi in twists[0]:
        expected = expected @ torch.matrix_exp(hat(xi))
    torch.testing.assert_close(driven(twists)[0, -1], expected)
    assert torch.autograd.gradcheck(lambda x: driven(x)[:, -1, :3], twists.requires_grad_())


def hat(xi: torch.Tensor) -> torch.Tensor:
    v, (x, y, z), o = xi[:3], xi[3:], torch.zeros(()).to(xi)
    rows = [torch.stack(r) for r in ((o, -z, y, v[0]), (z, o, -x, v[1]), (-y, x, o, v[2]), (o, o, o, o))]
    return torch.stack(rows)


def test_the_last_pose_teaches_the_first_step():
    twists = (0.1 * torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))).requires_grad_()
    learner, poses = system(ramp=1), driven(twists)
    learner.steps += 1  # poses alone
    T = se3_exp(torch.arange(6)[None, :, None] * torch.tensor([0.1, 0, 0.2, 0, 0.1, 0]))
    last = learner.objective(twists, poses[:, 4:].expand(-1, 5, -1, -1), T)["pose_translation"]
    last.backward()
    assert (twists.grad[0, 0].abs() > 0).all()


def test_readings_change_what_comes_out_and_none_is_left_out():
    learner, (image, imu) = system(), clip()
    with torch.no_grad():
        plain = learner.travel(image, imu)[0]
        assert (learner.travel(image, torch.zeros_like(imu))[0] - plain).abs().max() > 0.01 * plain.abs().max()
        other = imu.clone()
        other[:, 0] += 1  # before the clip
        torch.testing.assert_close(learner.travel(image, other)[0], plain)
        other = imu.clone()
        other[:, 3, 0] += 1
        changed = learner.travel(image, other)[0]
    torch.testing.assert_close(changed[:, :2], plain[:, :2])
    assert (changed - plain)[:, 2:].abs().amax((0, 2)).min() > 0


def test_the_pose_before_is_read():
    learner, (image, imu) = system(), clip(2)
    with torch.no_grad():
        here, there = (learner.travel(image, imu, State(None, None, T))[0] for T in (
            torch.eye(4)[None], se3(torch.eye(3), torch.tensor([0.0, 0.0, 5.0]))[None]))
    assert (here - there).abs().max() > 1e-5


def test_pieces_with_carried_state_are_the_whole():
    learner, (image, imu) = system(), clip(7)
    with torch.no_grad():
        whole = learner.travel(image, imu)
        first = learner.travel(image[:, :4], imu[:, :4])
        second = learner.travel(image[:, 3:], imu[:, 3:], first[2])
        forgetful = learner.travel(image[:, 3:], imu[:, 3:])
    for k in (0, 1):
        torch.testing.assert_close(torch.cat([first[k], second[k]], 1), whole[k], atol=1e-5, rtol=0)
    assert (forgetful[0] - second[0]).abs().max() > 1e-5


def test_the_loss_is_zero_at_the_truth_and_goes_from_motions_to_poses():
    twist = torch.tensor([0.1, 0, 0.2, 0.02, 0.1, 0])
    T = se3_exp(torch.ones(6)) @ se3_exp(torch.arange(4)[None, :, None] * twist)
    twists, poses = twist.expand(1, 3, 6), se3_exp(torch.arange(1, 4)[None, :, None] * twist)
    learner = system(ramp=4)
    learner.steps += 1
    assert sum(learner.objective(twists, poses, T).values()) < 1e-5
    off = learner.objective(twists + torch.tensor([0.3, 0, 0.4, 0, 0, 0]), poses @ se3_exp(torch.tensor(
        [0.0, 0, 1, 0, 0, 0])), T)
    assert float(off["motion_translation"]) == pytest.approx(0.75 * 0.5, rel=1e-4)
    assert float(off["pose_translation"]) == pytest.approx(0.25, rel=1e-4)
    learner.steps += 100
    assert learner.objective(twists + 1, poses, T)["motion_translation"] == 0


def test_in_the_dark_it_learns_to_turn_by_the_gyro():
    """Images are blank, and all look the same to the network; the angle turned about y is the sum of the readings."""
    torch.manual_seed(0)
    learner = VINet(TINY).train()
    with torch.no_grad():
        dark = learner.seen(torch.zeros(1, 2, 3, 16, 16))
    learner.seen = lambda image: dark.expand(len(image), image.shape[1] - 1, -1)
    optimiser = torch.optim.Adam(learner.parameters(), 1e-2)

    def drawn(scenes: int) -> Views:
        rate = torch.randn(scenes, 3, 1).expand(-1, -1, 4)
        imu = torch.zeros(scenes, 3, 4, 6)
        imu[..., 1] = rate
        turn = torch.zeros(scenes, 3, 3)
        turn[..., 1] = 0.2 * rate.mean(-1)
        turn[:, 0] = 0
        T = se3(so3_exp(turn.cumsum(1)), torch.zeros(scenes, 3, 3))
        return Views(image=torch.zeros(scenes, 3, 3, 16, 16), imu=imu, T_world_camera=T)

    for step in range(120):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / 120)
        optimiser.zero_grad()
        sum(learner.loss(drawn(16)).values()).backward()
        optimiser.step()
    unseen = drawn(32)
    with torch.no_grad():
        found = learner.eval()(unseen).T_first_camera
    error = angle(found[:, -1, :3, :3].mT @ unseen.T_world_camera[:, -1, :3, :3]).mean()
    nothing = angle(unseen.T_world_camera[:, -1, :3, :3]).mean()
    assert error < 0.3 * nothing


def test_a_single_view_stands_still_and_teaches_nothing():
    image, imu = clip(1)
    assert torch.equal(system()(Views(image=image, imu=imu)).T_first_camera, torch.eye(4)[None, None])
    with pytest.raises(InputError):
        system().loss(Views(image=image, imu=imu, T_world_camera=torch.eye(4).expand(1, 1, 4, 4)))
