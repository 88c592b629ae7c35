"""Truth averaged down by blocks, and how far off maps are of it."""

import torch

from epipole.losses.flow import block_mean, end_point_errors


def naive(x, valid, size):
    b, c, h, w = x.shape
    y, z = -(-h // size), -(-w // size)
    mean, known = torch.zeros(b, c, y, z, dtype=x.dtype), torch.zeros(b, 1, y, z, dtype=torch.bool)
    for k in range(b):
        for i in range(y):
            for j in range(z):
                block = (k, slice(None), slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
                keep = valid[block][0]
                if keep.any():
                    mean[k, :, i, j] = x[block][:, keep].mean(1)
                    known[k, 0, i, j] = True
    return mean, known


def test_equals_its_naive_twin(generator):
    x = torch.randn(2, 2, 11, 14, dtype=torch.float64, generator=generator)
    valid = torch.rand(2, 1, 11, 14, generator=generator) < 0.3
    mean, known = block_mean(x, valid, 4)
    expected, expected_known = naive(x, valid, 4)
    assert torch.equal(known, expected_known)
    torch.testing.assert_close(mean, expected)
    assert not known.all()


def test_what_is_invalid_may_be_anything(generator):
    x = torch.randn(1, 1, 8, 8, generator=generator)
    valid = torch.rand(1, 1, 8, 8, generator=generator) < 0.5
    wild = torch.where(valid, x, torch.nan).requires_grad_()
    mean, _ = block_mean(wild, valid, 4)
    torch.testing.assert_close(mean, block_mean(x, valid, 4)[0])
    mean.sum().backward()
    assert torch.isfinite(wild.grad).all()


def test_every_map_of_a_padded_pyramid_is_compared_with_the_truth_of_its_blocks(generator):
    truth = torch.randn(2, 2, 22, 30, generator=generator)
    valid = torch.rand(2, 1, 22, 30, generator=generator) < 0.7
    pyramid = [torch.randn(2, 2, 64 // size, 64 // size, generator=generator) for size in (4, 8, 16)]
    found = list(end_point_errors(pyramid, truth, valid, 4))
    assert [size for size, *_ in found] == [4, 8, 16]
    for (size, error, known), given in zip(found, pyramid, strict=True):
        mean, expected = block_mean(truth, valid, size)
        h, w = mean.shape[-2:]
        assert torch.equal(known, expected)
        torch.testing.assert_close(error[:, 0], torch.hypot(*(given[..., :h, :w] - mean).unbind(1)))


def test_maps_that_equal_the_truth_have_gradients():
    """At a distance of 0 the root of a square has none of its own."""
    exact = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for _, error, _ in end_point_errors([exact], torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool), 4):
        error.sum().backward()
    assert torch.equal(exact.grad, torch.zeros(1, 1, 2, 2))
