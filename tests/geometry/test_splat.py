"""Forward warps: naive twins, and the properties by name."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.camera import pixel_grid
from epipole.geometry.splat import splat_nearest, splat_soft
from epipole.geometry.warp import flow_warp

F64 = torch.float64


def case(seed: int, b: int = 2, h: int = 5, w: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, where its pixels go (some outside), and depths (some equal, some behind)."""
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(b, 3, h, w, generator=g, dtype=F64)
    pixels = pixel_grid(h, w, image) + 2 * torch.randn(b, 2, h, w, generator=g, dtype=F64)
    z = torch.randint(-1, 4, (b, 1, h, w), generator=g).to(F64)
    return image, pixels, z


def naive_nearest(image, pixels, z, height, width):
    out, depth = torch.zeros(len(image), image.shape[1], height, width, dtype=F64), torch.zeros(len(image), 1, height,
                                                                                               width, dtype=F64)
    for n in range(len(image)):
        best = {}
        for y in range(image.shape[2]):
            for x in range(image.shape[3]):
                u, v = (round(float(p)) for p in pixels[n, :, y, x])
                near = float(z[n, 0, y, x])
                if 0 <= u < width and 0 <= v < height and 0 < near < best.get((u, v), math.inf):
                    best[u, v] = near
                    out[n, :, v, u], depth[n, 0, v, u] = image[n, :, y, x], near
    return out, depth, depth > 0


def naive_soft(image, pixels, logit, height, width):
    top, bottom = torch.zeros(len(image), image.shape[1], height, width, dtype=F64), torch.zeros(
        len(image), 1, height, width, dtype=F64)
    for n in range(len(image)):
        for y in range(image.shape[2]):
            for x in range(image.shape[3]):
                u, v = (float(p) for p in pixels[n, :, y, x])
                for i in (math.floor(u), math.floor(u) + 1):
                    for j in (math.floor(v), math.floor(v) + 1):
                        if 0 <= i < width and 0 <= j < height:
                            share = (1 - abs(u - i)) * (1 - abs(v - j)) * math.exp(logit[n, 0, y, x])
                            top[n, :, j, i] += share * image[n, :, y, x]
                            bottom[n, 0, j, i] += share
    return top / bottom.clamp(min=1e-300), bottom > 0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_nearest_equals_the_naive_z_buffer(seed):
    for result, expected in zip(splat_nearest(*case(seed), 6, 5), naive_nearest(*case(seed), 6, 5), strict=True):
        assert torch.equal(result, expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_soft_equals_the_naive_sums(seed):
    for result, expected in zip(splat_soft(*case(seed), 6, 5), naive_soft(*case(seed), 6, 5), strict=True):
        torch.testing.assert_close(result, expected)


def test_no_flow_is_the_identity():
    image, _, z = case(0)
    grid = pixel_grid(5, 6, image).expand(2, 2, 5, 6)
    near, depth, seen = splat_nearest(image, grid, z.abs() + 1, 5, 6)
    soft, covered = splat_soft(image, grid, 1e3 * z, 5, 6)
    assert torch.equal(near, image)
    assert torch.equal(depth, z.abs() + 1)
    torch.testing.assert_close(soft, image)
    assert seen.all()
    assert covered.all()


@pytest.mark.parametrize(("du", "dv"), [(2, 0), (-1, 3)])
def test_a_shift_moves_the_image_and_leaves_holes(du, dv):
    image, _, z = case(1)
    pixels = (pixel_grid(5, 6, image) + torch.tensor([du, dv])[:, None, None]).expand(2, 2, 5, 6)
    near, _, seen = splat_nearest(image, pixels, torch.ones_like(z), 5, 6)
    soft, covered = splat_soft(image, pixels, z, 5, 6)
    assert torch.equal(seen, covered)
    assert int((~seen[0]).sum()) == 30 - (6 - abs(du)) * (5 - abs(dv))
    shifted = image.roll((dv, du), (-2, -1))
    for result in (near, soft):
        torch.testing.assert_close(result, torch.where(seen, shifted, 0))


def test_splatting_and_looking_up_are_inverse_for_a_smooth_flow():
    """A target splatted forward by a flow and looked up again by the same flow is where it was."""
    grid = pixel_grid(20, 24, torch.zeros((), dtype=F64))[None]
    image, flow = grid.sum(1, keepdim=True), torch.stack([1.3 + 0.02 * grid[:, 0], -0.7 + 0.01 * grid[:, 1]], 1)
    soft, covered = splat_soft(image, grid + flow, torch.zeros_like(image), 20, 24)
    back, inside = flow_warp(soft, flow)
    whole, _ = flow_warp(covered.to(F64), flow)
    inner = (inside & (whole > 1 - 1e-9))[..., 3:-3, 3:-3]
    assert inner.float().mean() > 0.8
    assert (back - image)[..., 3:-3, 3:-3][inner].abs().max() < 0.1  # splatting averages over a pixel


def test_the_larger_the_logits_the_more_the_nearer_wins():
    image = torch.tensor([1.0, 5.0]).view(1, 1, 1, 2)
    pixels, z = torch.zeros(1, 2, 1, 2), torch.tensor([2.0, 1.0]).view(1, 1, 1, 2)
    values = [float(splat_soft(image, pixels, -k * z, 1, 1)[0]) for k in (0.0, 1.0, 1e5)]
    assert values[0] == pytest.approx(3)
    assert values[0] < values[1] < values[2] == pytest.approx(5)
    assert float(splat_nearest(image, pixels, z, 1, 1)[0]) == 5


def test_adding_to_all_logits_changes_nothing():
    image, pixels, logit = case(2)
    a, b = (splat_soft(image, pixels, logit + more, 5, 6)[0] for more in (0, 900))
    torch.testing.assert_close(a, b)


def test_gradcheck():
    image, pixels, z = (x[:1, :, :3, :4].clone() for x in case(3))
    image, pixels, z = image.requires_grad_(), pixels.requires_grad_(), z.requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: splat_soft(*a, 3, 4)[0], (image, pixels, z))
    apart = (0.5 + torch.arange(12, dtype=F64).view(1, 1, 3, 4) / 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, d: splat_nearest(i, pixels.detach(), d, 3, 4)[:2], (image, apart))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30, -0.5, 0.0, 5.0])
def test_undefined_and_border_places_have_finite_gradients(bad):
    image, pixels, z = case(4)
    pixels[0, 0, 2, 2] = bad
    pixels, logit = pixels.requires_grad_(), (1e3 * z).requires_grad_()
    for out in (splat_soft(image, pixels, logit, 5, 6)[0], splat_nearest(image, pixels, logit, 5, 6)[1]):
        assert out.isfinite().all()
        gradients = torch.autograd.grad(out.sum(), (pixels, logit), allow_unused=True)
        assert all(g.isfinite().all() for g in gradients if g is not None)


def test_nothing_to_splat_leaves_holes_alone():
    image = torch.rand(1, 3, 2, 2)
    away = torch.full((1, 2, 2, 2), -9.0)
    values, seen = splat_soft(image, away, image[:, :1], 3, 3)
    near, z, hit = splat_nearest(image, away, image[:, :1] + 1, 3, 3)
    assert all(not x.any() for x in (values, seen, near, z, hit))
