"""Smoothness."""

import math

import pytest
import torch

from epipole.losses.smooth import edge_aware, mean_normalised, second_order

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


def test_gradcheck(generator):
    d = torch.rand(1, 1, 4, 5, generator=generator, dtype=F64).requires_grad_()
    image = torch.rand(1, 3, 4, 5, generator=generator, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: edge_aware(mean_normalised(x), image), (d,))
    assert torch.autograd.gradcheck(second_order, (d,))
