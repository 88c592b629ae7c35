"""FlowNetS and FlowNetC: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.systems.flow.flownet import PRESETS, FlowNetC, FlowNetS
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], width=0.1, unit=20.0)
both = pytest.mark.parametrize("cls", [FlowNetS, FlowNetC])


@pytest.mark.parametrize(("cls", "count"), [(FlowNetS, 38_675_536), (FlowNetC, 39_174_320)])
def test_weights_of_the_paper(cls, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in cls().parameters()) == count


@both
def test_five_scales_from_a_quarter_on_of_any_size(cls):
    system = cls(TINY).eval()
    image = torch.rand(1, 2, 3, 70, 100)
    with torch.no_grad():
        shapes = [tuple(f.shape) for f in system.pyramid(Views(image=image))]
        assert shapes == [(2, 2, 128 >> s, 128 >> s) for s in range(2, 7)]
        assert system(Views(image=image)).flow.shape == (1, 2, 2, 70, 100)


def test_the_objective_is_the_weighted_end_point_error():
    """Against a loop over pixels: summed, divided by the number of pairs, in twentieths of a pixel."""
    g = torch.Generator().manual_seed(0)
    flow = 10 * torch.randn(2, 2, 64, 128, generator=g)
    pyramid = [torch.randn(2, 2, 64 >> s, 128 >> s, generator=g) for s in range(2, 7)]
    terms = FlowNetS(TINY).objective(pyramid, flow, torch.ones(2, 1, 64, 128, dtype=torch.bool))
    for s, weight in enumerate((0.005, 0.01, 0.02, 0.08, 0.32), 2):
        total = 0.0
        for b in range(2):
            for y in range(64 >> s):
                for x in range(128 >> s):
                    truth = flow[b, :, y << s : (y + 1) << s, x << s : (x + 1) << s].mean((1, 2)) / 20
                    total += float((pyramid[s - 2][b, :, y, x] - truth).norm())
        assert float(terms[f"epe_{2**s}"]) == pytest.approx(weight * total / 2, rel=1e-4)


def test_the_truth_costs_nothing_and_unknown_flow_teaches_nothing():
    flow = torch.full((1, 2, 64, 64), 6.0)
    pyramid = [torch.full((1, 2, 64 >> s, 64 >> s), 0.3, requires_grad=True) for s in range(2, 7)]
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., :32, :] = False
    terms = FlowNetS(TINY).objective(pyramid, torch.where(valid, flow, torch.nan), valid)
    assert sum(terms.values()) < 1e-5
    wrong = FlowNetS(TINY).objective(pyramid, torch.where(valid, 2 * flow, torch.nan), valid)
    sum(wrong.values()).backward()
    assert (pyramid[0].grad[..., :8, :] == 0).all()
    assert (pyramid[0].grad[..., 8:, :] != 0).all()


def test_what_leaves_the_view_teaches_but_not_what_passes_the_camera():
    """All four quarters of the first view are known: seen in the next, hidden there, out of view, and flow that is
    longer than the image, as of a point beside the camera."""
    quarter = torch.arange(64) // 16
    flow = torch.tensor([1.0, 1.0, 40.0, 1e4])[quarter].expand(1, 1, 1, 64, 64) * torch.ones(1, 1, 2, 1, 1)
    views = Views(image=torch.rand(1, 1, 3, 64, 64), flow=flow,
                  flow_valid=(quarter == 0).expand(1, 1, 1, 64, 64), flow_known=torch.ones(1, 1, 1, 64, 64).bool())
    system, finest = FlowNetS(TINY), torch.zeros(1, 2, 16, 16, requires_grad=True)
    system.pyramid = lambda _: [finest, *(torch.zeros(1, 2, 64 >> s, 64 >> s) for s in range(3, 7))]
    sum(system.loss(views.keep(system.needs)).values()).backward()
    taught = (finest.grad != 0).all(1)[0, 0]
    assert taught.tolist() == [True] * 12 + [False] * 4


def test_flow_comes_in_pixels():
    system = FlowNetS(TINY)
    system.pyramid = lambda _: [torch.full((2, 2, 16, 16), 0.5)]
    assert (system(Views(image=torch.rand(1, 2, 3, 60, 50))).flow == 10).all()


@both
def test_the_first_image_comes_first_and_the_last_view_leads_to_the_first(cls):
    torch.manual_seed(0)
    system, image = cls(TINY).eval(), torch.rand(1, 3, 3, 64, 64)
    with torch.no_grad():
        every = system(Views(image=image)).flow
        for n in range(3):
            pair = system(Views(image=image[:, [n, (n + 1) % 3]])).flow
            torch.testing.assert_close(pair[:, 0], every[:, n], atol=1e-4, rtol=1e-4)
        swapped = system(Views(image=image[:, [1, 0]])).flow[:, 0]
    assert (swapped - every[:, 0]).abs().max() > 1e-3


@both
@pytest.mark.parametrize("shape", [(1, 2, 4, 64, 64), (1, 2, 1, 64, 64), (2, 3, 64, 64)])
def test_images_of_another_shape_are_refused(cls, shape):
    with pytest.raises(InputError, match=cls.__name__):
        cls(TINY)(Views(image=torch.rand(shape)))
