"""UnFlow: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from epipole.geometry.visibility import forward_backward
from epipole.systems.flow.unflow import PRESETS, UnFlow, within
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], width=0.1)
H, W, SQUARE, STEP = 128, 192, slice(48, 80), 8  # px of the image; the square moves STEP px to the right
COLUMNS = slice(64, 96)


def texture(seed: int) -> Tensor:
    rough = torch.rand(1, 3, H // 8, W // 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(rough, (H, W), mode="bicubic").clamp(0, 1)


def pair() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A square that moves over a wall at rest: both images, flow there and back."""
    wall, square = texture(0), texture(1)
    first, second = wall.clone(), wall.clone()
    first[..., SQUARE, COLUMNS] = square[..., SQUARE, COLUMNS]
    second[..., SQUARE, 72:104] = square[..., SQUARE, COLUMNS]
    there, back = torch.zeros(2, 1, 2, H, W)
    there[:, 0, SQUARE, COLUMNS] = STEP
    back[:, 0, SQUARE, 72:104] = -STEP
    return first, second, there, back


def pyramid(flow: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(flow, 2**s) for s in range(2, 7)]


def system(**changes: object) -> UnFlow:
    torch.manual_seed(0)
    return UnFlow(replace(TINY, **changes))  # type: ignore[arg-type]


def terms(there: Tensor, back: Tensor, images: tuple[Tensor, Tensor] | None = None, **changes: object):
    first, second = images or pair()[:2]
    model = system(**changes)
    return model.objective(first, second, pyramid(there), pyramid(back), model.config.occlusion)


def total(*args, **changes) -> float:
    return float(sum(terms(*args, **changes).values()))


def test_weights_of_the_paper():
    with torch.device("meta"):
        assert sum(p.numel() for p in UnFlow().parameters()) == 39_174_320


def test_the_truth_costs_less_than_no_flow_and_than_a_wrong_one():
    _, _, there, back = pair()
    right, eight = terms(there, back)["data"], torch.full_like(there, 8.0)
    assert right < 0.7 * terms(0 * there, 0 * back)["data"]
    assert right < 0.3 * terms(eight, -eight)["data"]


def test_what_the_square_covers_and_uncovers_is_occluded():
    _, _, there, back = pair()
    for f, b, strip in ((there, back, slice(96, 104)), (back, there, slice(64, 72))):
        hidden = torch.zeros(H, W, dtype=torch.bool)
        hidden[SQUARE, strip] = True
        found = ~forward_backward(f, b)[0, 0]
        assert (found & hidden).sum() > 0.5 * (found | hidden).sum()


def test_the_penalty_decides_whether_flow_that_contradicts_itself_pays():
    """Flow that never returns is occluded everywhere: with the penalty it costs more than the truth, without less."""
    _, _, there, back = pair()
    lost, lost_back = torch.full_like(there, 8.0), torch.full_like(back, 8.0)
    assert total(lost, lost_back) > total(there, back)
    assert total(lost, lost_back, occluded=0.0) < total(there, back, occluded=0.0)


@pytest.mark.parametrize(("data", "least", "most"), [("census", 0.0, 0.1), ("brightness", 0.3, 9.0)])
def test_the_census_does_not_see_a_change_of_light_and_brightness_does(data, least, most):
    """What the light adds to the cost of the truth, as a share of what a wrong flow adds."""
    first, second, there, back = pair()
    eight = torch.full_like(there, 8.0)
    right, wrong = (terms(*flow, data=data)["data"] for flow in ((there, back), (eight, -eight)))
    lit = terms(there, back, (first, 0.8 * second + 0.05), data=data)["data"]
    assert least <= (lit - right) / (wrong - right) < most


def test_affine_flow_is_perfectly_smooth_and_a_bent_one_is_not():
    y, x = torch.meshgrid(torch.arange(float(H)), torch.arange(float(W)), indexing="ij")
    affine = torch.stack([0.02 * x - 0.01 * y, 0.03 * y + 1])[None]
    bent = torch.stack([0.002 * x**2, 0 * y])[None]
    assert terms(affine, -affine)["smoothness"] < 0.02
    assert terms(bent, -bent)["smoothness"] > 100 * terms(affine, -affine)["smoothness"]


def test_the_consistency_pulls_at_both_flows():
    _, _, there, back = pair()
    f, b = ([x.requires_grad_() for x in pyramid(0.9 * flow)] for flow in (there, back))
    system().objective(*pair()[:2], f, b, True)["consistency"].backward()
    assert f[0].grad.any()
    assert b[0].grad.any()


@pytest.mark.parametrize("occlusion", [True, False])
def test_the_occluded_pull_only_where_occlusion_is_not_handled(occlusion):
    first, second, there, back = pair()
    f, b = ([x.requires_grad_() for x in pyramid(flow)] for flow in (0.5 * there, 0 * back))
    system().objective(first, second, f, b, occlusion)["data"].backward()
    # the square moves, nothing leads back; its inside is in no census of the pixels around it
    assert f[0].grad[..., 15:17, 19:21].any() != occlusion


def test_the_border_is_a_tenth_of_the_shorter_side():
    assert within(torch.rand(1, 3, 30, 50), 0.1)[0, 0].nonzero().aminmax(dim=0).min.tolist() == [3, 3]
    assert within(torch.rand(1, 3, 30, 50), 0.1).sum() == 24 * 44
    assert within(torch.rand(1, 3, 31, 50), 0.1).sum() == 23 * 42
    assert within(torch.rand(1, 3, 4, 4), 0.0).all()


def test_without_occlusion_everything_counts():
    _, _, there, back = pair()
    assert "occluded" not in terms(there, back, occlusion=False)
    assert terms(there, back, occlusion=False)["data"] > terms(there, back)["data"]


@pytest.mark.parametrize("shape", [(1, 1, 3, 64, 64), (1, 2, 3, 27, 64), (1, 2, 4, 64, 64), (2, 3, 64, 64)])
def test_what_cannot_teach_is_refused_in_words(shape):
    with pytest.raises(InputError, match="UnFlow"):
        system().loss(Views(image=torch.rand(shape)))
