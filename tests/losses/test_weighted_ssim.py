"""Structural similarity with weights against a naive twin."""

import torch

from epipole.losses.weighted_ssim import weighted_structure


def naive(a, b, weight, c2, epsilon):
    """One channel [h w], box by box."""
    h, w = a.shape
    out = torch.zeros(h - 2, w - 2, dtype=a.dtype)
    for y in range(h - 2):
        for x in range(w - 2):
            p, q, k = (f[y : y + 3, x : x + 3].flatten() for f in (a, b, weight + epsilon))
            k = k / k.sum()
            m, n = (k * p).sum(), (k * q).sum()
            variances = (k * (p - m) ** 2).sum() + (k * (q - n) ** 2).sum()
            s = (2 * (k * (p - m) * (q - n)).sum() + c2) / (variances + c2)
            out[y, x] = ((1 - s) / 2).clamp(0, 1)
    return out


def drawn(generator, *shape):
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def test_agrees_with_its_naive_twin(generator):
    a, b, weight = drawn(generator, 2, 2, 6, 7), drawn(generator, 2, 2, 6, 7), drawn(generator, 2, 1, 6, 7)
    found, pooled = weighted_structure(a, b, weight, 1e-3, 0.02)
    for i in range(2):
        for c in range(2):
            torch.testing.assert_close(found[i, c], naive(a[i, c], b[i, c], weight[i, 0], 1e-3, 0.02))
    torch.testing.assert_close(pooled[0, 0, 1, 2], weight[0, 0, 1:4, 2:5].mean())


def test_sees_structure_and_no_brightness(generator):
    a, weight = drawn(generator, 1, 3, 8, 9), torch.ones(1, 1, 8, 9, dtype=torch.float64)
    assert weighted_structure(a, a + 0.2, weight)[0].max() < 1e-9
    assert weighted_structure(a, 1 - a, weight)[0].min() > 0.9
    flat = torch.full_like(a, 0.3)
    assert weighted_structure(flat, flat + 0.1, weight)[0].max() < 1e-9


def test_pixels_without_weight_hardly_count(generator):
    a, weight = drawn(generator, 1, 1, 5, 5), torch.ones(1, 1, 5, 5, dtype=torch.float64)
    b, weight[..., 2, 2] = a.clone(), 0
    b[..., 2, 2] += 1
    weighed, even = (weighted_structure(a, b, w)[0].mean() for w in (weight, torch.ones_like(weight)))
    assert weighed < 0.1 * even


def test_gradient(generator):
    a, b, weight = drawn(generator, 1, 2, 4, 5), drawn(generator, 1, 2, 4, 5), drawn(generator, 1, 1, 4, 5)
    b = a + 0.1 * b  # away from the clip
    assert torch.autograd.gradcheck(lambda x, y: weighted_structure(x, y, weight, 1e-2)[0],
                                    (a.requires_grad_(), b.detach().requires_grad_()))


def test_flat_float32_images_have_no_nan():
    a = torch.full((1, 3, 5, 5), 0.7, requires_grad=True)
    weighted_structure(a, a.detach(), torch.zeros(1, 1, 5, 5))[0].sum().backward()
    assert torch.isfinite(a.grad).all()
