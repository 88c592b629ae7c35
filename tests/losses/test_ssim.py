"""Structural similarity: against its definition, autograd, kornia, and by its properties."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.losses.ssim import C1, C2, dssim, ssim_l1

F64 = torch.float64


def images(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 3, 6, 7, generator=generator, dtype=F64) for _ in range(2))


def dssim_by_hand(a: torch.Tensor, b: torch.Tensor, y: int, x: int) -> float:
    """One box of one channel, with moments from numpy's definitions."""
    a, b = a[y:y + 3, x:x + 3].flatten(), b[y:y + 3, x:x + 3].flatten()
    var_a, var_b, cov = a.var(correction=0), b.var(correction=0), ((a - a.mean()) * (b - b.mean())).mean()
    ssim = (2 * a.mean() * b.mean() + C1) * (2 * cov + C2)
    ssim /= (a.mean() ** 2 + b.mean() ** 2 + C1) * (var_a + var_b + C2)
    return float(((1 - ssim) / 2).clamp(0, 1))


def test_dssim_is_the_definition_box_by_box(generator):
    a, b = images(generator)
    result = dssim(a, b)
    assert result.shape == (2, 3, 4, 5)
    for n, c, y, x in ((0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 2, 1)):
        assert float(result[n, c, y, x]) == pytest.approx(dssim_by_hand(a[n, c], b[n, c], y, x), abs=1e-12)


def test_dssim_is_zero_for_equal_images_and_symmetric(generator):
    a, b = images(generator)
    assert dssim(a, a).abs().max() < 1e-12
    torch.testing.assert_close(dssim(a, b), dssim(b, a))


def test_dssim_of_bf16_images_is_computed_in_float32(generator):
    """E[x^2] - E[x]^2 has no correct digit in bfloat16."""
    a = torch.rand(1, 1, 8, 8, generator=generator).bfloat16()
    assert dssim(a, a).dtype == torch.float32
    assert dssim(a, a).abs().max() < 1e-4


def test_dssim_takes_clips(generator):
    a, b = images(generator)
    torch.testing.assert_close(dssim(a[:, None], b[:, None])[:, 0], dssim(a, b))


def test_dssim_gradcheck(generator):
    a, b = images(generator)
    b = 0.5 * a + 0.5 * b  # away from the clip
    assert torch.autograd.gradcheck(dssim, (a[:1, :1].requires_grad_(), b[:1, :1].requires_grad_()))


def test_ssim_l1_mixes_both(generator):
    a, b = images(generator)
    assert ssim_l1(a, b).shape == (2, 1, 6, 7)
    torch.testing.assert_close(ssim_l1(a, b, 0.0), (a - b).abs().mean(1, keepdim=True))
    torch.testing.assert_close(ssim_l1(a, b, 1.0)[..., 1:-1, 1:-1], dssim(a, b).mean(1, keepdim=True))


def unfused(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The definition in five box means, differentiated by autograd."""
    mean_a, mean_b, aa, bb, ab = (F.avg_pool2d(x, 3, 1) for x in (a, b, a * a, b * b, a * b))
    similarity = (2 * mean_a * mean_b + C1) * (2 * (ab - mean_a * mean_b) + C2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + C1) * (aa - mean_a**2 + bb - mean_b**2 + C2))
    return ((1 - similarity) / 2).clamp(0, 1)


def unfused_l1(a: torch.Tensor, b: torch.Tensor, ssim: float = 0.85) -> torch.Tensor:
    structure = unfused(F.pad(a, (1, 1, 1, 1), mode="reflect"), F.pad(b, (1, 1, 1, 1), mode="reflect"))
    return (ssim * structure + (1 - ssim) * (a - b).abs()).mean(1, keepdim=True)


def pair(generator: torch.Generator, b: int = 2, h: int = 40, w: int = 56) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with smooth parts, edges, and an area without any contrast."""
    a = F.interpolate(torch.rand(b, 3, h // 8, w // 8, generator=generator, dtype=F64), (h, w), mode="bilinear")
    other = (a.roll(1, -1) + 0.02 * torch.randn(a.shape, generator=generator, dtype=F64)).clamp(0, 1)
    a[..., 5:15, 8:30], other[..., 5:15, 8:28] = 0.9, 0.9
    return a, other


def values_and_gradients(f, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    value = f(a, b)
    weight = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad((value * weight).sum(), (a, b))]


@pytest.mark.parametrize(("ours", "plain"), [(dssim, unfused), (ssim_l1, unfused_l1)])
def test_value_and_gradients_equal_those_of_autograd(ours, plain, generator):
    a, b = pair(generator)
    for x, y in zip(values_and_gradients(ours, a, b), values_and_gradients(plain, a, b), strict=True):
        torch.testing.assert_close(x, y, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("ours", "plain"), [(dssim, unfused), (ssim_l1, unfused_l1)])
def test_in_float32_it_is_closer_to_float64_than_autograd_is(ours, plain, generator):
    a, b = pair(generator, 2, 96, 160)
    exact = values_and_gradients(plain, a, b)
    errors = [[float((x.double() - y).abs().max()) for x, y in zip(values_and_gradients(f, a.float(), b.float()), exact,
                                                                   strict=True)] for f in (ours, plain)]
    assert all(mine < theirs for mine, theirs in zip(*errors, strict=True))


def test_the_mean_loss_and_its_gradient_equal_the_unfused_ones_to_1e5_in_float32(generator):
    a, b = (x.float() for x in pair(generator, 2, 96, 160))
    results = []
    for f in (ssim_l1, unfused_l1):
        x = a.clone().requires_grad_()
        loss = f(x, b).mean()
        results.append((loss.detach(), torch.autograd.grad(loss, x)[0]))
    (value, slope), (value_plain, slope_plain) = results
    assert value == pytest.approx(float(value_plain), abs=1e-5)
    assert float((slope - slope_plain).norm() / slope_plain.norm()) < 1e-4
    assert float((slope - slope_plain).abs().max()) < 1e-5


def test_pieces_of_a_batch_do_not_know_each_other(generator, monkeypatch):
    a, b = pair(generator, 5)
    whole = [values_and_gradients(f, a, b) for f in (dssim, ssim_l1)]
    monkeypatch.setattr("epipole.losses.ssim.PIECE", 2 * a[0].numel())
    for f, before in zip((dssim, ssim_l1), whole, strict=True):
        for x, y in zip(values_and_gradients(f, a, b), before, strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("f", [dssim, ssim_l1])
def test_gradcheck_for_either_image_alone(f, generator):
    a, b = (x[:1, :2] for x in images(generator))
    assert torch.autograd.gradcheck(lambda x: f(x, b), (a.clone().requires_grad_(),))
    assert torch.autograd.gradcheck(lambda x: f(a, x), (b.clone().requires_grad_(),))
    assert torch.autograd.gradcheck(f, (a.clone().requires_grad_(), b.clone().requires_grad_()))


@pytest.mark.parametrize("f", [dssim, ssim_l1])
def test_a_second_derivative_is_refused(f, generator):
    a, b = images(generator)
    with pytest.raises(RuntimeError, match="first derivative only"):
        torch.autograd.grad(f(a.requires_grad_(), b).sum(), a, create_graph=True)


@pytest.mark.parametrize(("h", "w"), [(2, 2), (2, 5), (3, 3)])
def test_the_smallest_images(h, w, generator):
    a, b = (torch.rand(1, 2, h, w, generator=generator, dtype=F64) for _ in range(2))
    for x, y in zip(values_and_gradients(ssim_l1, a, b), values_and_gradients(unfused_l1, a, b), strict=True):
        torch.testing.assert_close(x, y)


def test_images_without_contrast_have_finite_gradients():
    for a, b in ((0.0, 0.0), (1.0, 0.0), (0.5, 0.5)):
        images = torch.full((1, 1, 5, 5), a), torch.full((1, 1, 5, 5), b)
        for f in (dssim, ssim_l1):
            assert all(x.isfinite().all() for x in values_and_gradients(f, *images))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_it_stays_in_its_range_and_is_symmetric(seed, share):
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(1, 1, 6, 6, generator=g)
    b = share * a + (1 - share) * torch.rand(1, 1, 6, 6, generator=g).round()
    for f in (dssim, ssim_l1):
        assert 0 <= f(a, b).min() <= f(a, b).max() <= 1
        torch.testing.assert_close(f(a, b), f(b, a), atol=1e-6, rtol=0)


def test_scikit_image_agrees(generator):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (x[0].numpy() for x in pair(generator))
    _, ssim = metrics.structural_similarity(
        a, b, win_size=3, data_range=1, channel_axis=0, use_sample_covariance=False, full=True)
    expected = torch.from_numpy(((1 - ssim) / 2).clip(0, 1)[:, 1:-1, 1:-1])
    torch.testing.assert_close(dssim(*(torch.from_numpy(x) for x in (a, b))), expected, atol=1e-10, rtol=0)
