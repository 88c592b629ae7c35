"""Smoothness."""

import math

import kornia
import pytest
import torch

from epipole.losses.smooth import (
    edge_aware,
    edge_aware_second_order,
    first_order,
    mean_normalised,
    second_order,
    second_order_directions,
    wrapped_variation,
)

F64 = torch.float64


def ramp(h: int = 5, w: int = 6) -> torch.Tensor:
    v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return (0.5 + 0.1 * u.to(F64) + 0.2 * v.to(F64))[None, None]


def test_edge_aware_is_the_formula_pixel_by_pixel(generator):
    d = torch.rand(1, 1, 5, 6, generator=generator, dtype=F64)
    image = torch.rand(1, 3, 5, 6, generator=generator, dtype=F64)
    x, y = edge_aware(d, image)
    assert x.shape == (1, 1, 5, 5)
    assert y.shape == (1, 1, 4, 6)
    step = float((image[0, :, 2, 4] - image[0, :, 2, 3]).abs().mean())
    assert float(x[0, 0, 2, 3]) == pytest.approx(abs(float(d[0, 0, 2, 4] - d[0, 0, 2, 3])) * math.exp(-step))
    step = float((image[0, :, 2, 4] - image[0, :, 1, 4]).abs().mean())
    assert float(y[0, 0, 1, 4]) == pytest.approx(abs(float(d[0, 0, 2, 4] - d[0, 0, 1, 4])) * math.exp(-step))


def test_edge_aware_is_kornias_summed_over_both_directions(generator):
    d = torch.rand(2, 1, 5, 6, generator=generator, dtype=F64)
    image = torch.rand(2, 3, 5, 6, generator=generator, dtype=F64)
    x, y = edge_aware(d, image)
    torch.testing.assert_close(x.mean() + y.mean(), kornia.losses.inverse_depth_smoothness_loss(d, image))


def test_first_order_is_edge_aware_before_an_even_image(generator):
    d = torch.rand(2, 3, 5, 6, generator=generator, dtype=F64)
    for found, expected in zip(first_order(d), edge_aware(d, torch.ones(2, 3, 5, 6, dtype=F64)), strict=True):
        torch.testing.assert_close(found, expected)
    x, y = first_order(ramp())
    torch.testing.assert_close(x.mean() + y.mean(), torch.tensor(0.3, dtype=F64))


def test_an_image_edge_excuses_a_depth_edge():
    d = torch.zeros(1, 1, 4, 6, dtype=F64)
    d[..., 3:] = 1
    flat, edge = torch.zeros(1, 3, 4, 6, dtype=F64), d.expand(1, 3, 4, 6)
    assert edge_aware(d, edge)[0].mean() == pytest.approx(float(edge_aware(d, flat)[0].mean()) * math.exp(-1))


def test_mean_normalised_smoothness_cannot_be_bought_by_shrinking(generator):
    d = torch.rand(2, 1, 5, 6, generator=generator, dtype=F64) + 0.1
    torch.testing.assert_close(mean_normalised(0.01 * d), mean_normalised(d))
    torch.testing.assert_close(mean_normalised(d).mean((-2, -1)), torch.ones(2, 1, dtype=F64))


def test_second_order_is_blind_to_ramps_and_first_order_is_not():
    assert max(float(m.max()) for m in second_order(ramp())) < 1e-12
    x, y = edge_aware(ramp(), torch.zeros(1, 1, 5, 6, dtype=F64))
    torch.testing.assert_close(x, torch.full_like(x, 0.1))
    torch.testing.assert_close(y, torch.full_like(y, 0.2))


def test_second_order_of_a_parabola_and_of_a_saddle():
    u = torch.arange(6, dtype=F64).expand(1, 1, 5, 6)
    v = torch.arange(5, dtype=F64)[:, None].expand(1, 1, 5, 6)
    assert [float(m.mean()) for m in second_order(u**2)] == pytest.approx([2, 0, 0, 0])
    assert [float(m.mean()) for m in second_order(u * v)] == pytest.approx([0, 1, 1, 0])


# ---- second order, edge-aware

def test_edge_aware_second_order_is_the_formula_pixel_by_pixel(generator):
    d = torch.rand(1, 2, 5, 6, generator=generator, dtype=F64)  # two channels: flow
    image = torch.rand(1, 3, 5, 6, generator=generator, dtype=F64)
    x, y = edge_aware_second_order(d, image)
    assert x.shape == (1, 2, 5, 4)
    assert y.shape == (1, 2, 3, 6)
    for k in range(2):
        bend = abs(float(d[0, k, 2, 3] - 2 * d[0, k, 2, 2] + d[0, k, 2, 1]))
        contrast = float((image[0, :, 2, 3] - image[0, :, 2, 1]).abs().mean())
        assert float(x[0, k, 2, 1]) == pytest.approx(bend * math.exp(-contrast))
        bend = abs(float(d[0, k, 3, 4] - 2 * d[0, k, 2, 4] + d[0, k, 1, 4]))
        contrast = float((image[0, :, 3, 4] - image[0, :, 1, 4]).abs().mean())
        assert float(y[0, k, 1, 4]) == pytest.approx(bend * math.exp(-contrast))


def test_without_edges_it_is_the_plain_second_order(generator):
    d = torch.rand(1, 1, 5, 6, generator=generator, dtype=F64)
    dxx, _, _, dyy = second_order(d)
    for mine, plain in zip(edge_aware_second_order(d, torch.zeros(1, 3, 5, 6, dtype=F64)), (dxx, dyy), strict=True):
        torch.testing.assert_close(mine, plain)


def test_second_order_costs_a_plane_nothing_at_any_edge_and_an_image_edge_excuses_a_crease(generator):
    image = torch.rand(1, 3, 5, 6, generator=generator, dtype=F64)
    assert max(float(m.max()) for m in edge_aware_second_order(ramp(), image)) < 1e-12
    crease = (torch.arange(6, dtype=F64) - 3).clamp(min=0).expand(1, 1, 5, 6)
    step = (torch.arange(6) >= 3).to(F64).expand(1, 3, 5, 6)
    flat, edge = (edge_aware_second_order(crease, i)[0] for i in (torch.zeros_like(step), step))
    torch.testing.assert_close(edge.sum(), flat.sum() * math.exp(-1))


def test_raw_smoothness_shrinks_with_d_and_normalised_does_not(generator):
    d = torch.rand(2, 1, 5, 6, generator=generator, dtype=F64) + 0.1
    image = torch.rand(2, 3, 5, 6, generator=generator, dtype=F64)
    for smoothness in (edge_aware, edge_aware_second_order):
        raw, shrunk = smoothness(d, image)[0], smoothness(0.01 * d, image)[0]
        torch.testing.assert_close(shrunk, 0.01 * raw)
        normal = [smoothness(mean_normalised(k * d), image)[0] for k in (1, 0.01)]
        torch.testing.assert_close(normal[0], normal[1])


def test_depth_of_zero_has_a_finite_gradient():
    d = torch.zeros(1, 1, 4, 5, requires_grad=True)
    image = torch.rand(1, 3, 4, 5)
    for smoothness in (edge_aware, edge_aware_second_order):
        sum(m.sum() for m in smoothness(mean_normalised(d), image)).backward()
    assert torch.isfinite(d.grad).all()


def test_gradcheck(generator):
    d = torch.rand(1, 1, 4, 5, generator=generator, dtype=F64).requires_grad_()
    image = torch.rand(1, 3, 4, 5, generator=generator, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: edge_aware(mean_normalised(x), image), (d,))
    assert torch.autograd.gradcheck(second_order, (d,))
    assert torch.autograd.gradcheck(edge_aware_second_order, (d, image.requires_grad_()))


def test_second_order_in_four_directions_is_the_formula_pixel_by_pixel(generator):
    d = torch.randn(2, 2, 5, 6, generator=generator, dtype=F64)
    bent = second_order_directions(d)
    assert bent.shape == (2, 2, 4, 3, 4)
    for k, (y, x) in enumerate([(0, 1), (1, 0), (1, 1), (1, -1)]):
        for v in range(1, 4):
            for u in range(1, 5):
                expected = d[..., v - y, u - x] - 2 * d[..., v, u] + d[..., v + y, u + x]
                torch.testing.assert_close(bent[..., k, v - 1, u - 1], expected)
    assert second_order_directions(ramp()).abs().max() < 1e-12


def test_wrapped_variation_is_the_formula_component_by_component(generator):
    field = torch.randn(2, 3, 4, 5, generator=generator, dtype=F64)
    found = wrapped_variation(field)
    unit = field[1] / (field[1] ** 2).sum(0).mean().sqrt()
    for y, x in ((0, 0), (2, 3)):
        dx, dy = unit[2, y, x] - unit[2, y, x - 1], unit[2, y, x] - unit[2, y - 1, x]
        assert float(found[1, 2, y, x]) == pytest.approx(float(torch.hypot(dx, dy)))
    torch.testing.assert_close(wrapped_variation(7 * field), found)


def test_wrapped_variation_of_a_constant_field_is_zero_and_has_no_nan():
    for value in (0.0, 0.3):
        field = torch.full((1, 3, 4, 5), value, requires_grad=True)
        total = wrapped_variation(field).sum()
        total.backward()
        assert total < 1e-9
        assert torch.isfinite(field.grad).all()


def test_wrapped_variation_of_a_slope_counts_the_way_back():
    slope = torch.linspace(0, 1, 6, dtype=F64).expand(1, 3, 4, 6)
    found = wrapped_variation(slope)[0, 0, 0]
    torch.testing.assert_close(found[0], found[1:].sum())
