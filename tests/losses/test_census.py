"""Census."""

import math

import pytest
import torch

from epipole.losses.census import grey, hard_census, soft_census

F64 = torch.float64


def images(generator: torch.Generator, size: tuple[int, int] = (7, 8)) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 1, *size, generator=generator, dtype=F64) for _ in range(2))


def neighbours(image: torch.Tensor, y: int, x: int, radius: int) -> list[float]:
    """Differences to the centre (y, x), row by row."""
    steps = range(-radius, radius + 1)
    return [float(image[y + i, x + j] - image[y, x]) for i in steps for j in steps]


def ternary(contrast: float) -> float:
    return 255 * contrast / math.sqrt(0.81 + (255 * contrast) ** 2)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_soft_census_is_the_definition_pixel_by_pixel(generator, radius):
    a, b = images(generator)
    result = soft_census(a, b, radius)
    assert result.shape == (2, 1, 7 - 2 * radius, 8 - 2 * radius)
    for n, y, x in ((0, 0, 0), (1, 0, 1), (1, 7 - 2 * radius - 1, 8 - 2 * radius - 1)):
        pairs = zip(*(neighbours(i[n, 0], y + radius, x + radius, radius) for i in (a, b)), strict=True)
        squares = [(ternary(p) - ternary(q)) ** 2 for p, q in pairs]
        assert float(result[n, 0, y, x]) == pytest.approx(sum(s / (0.1 + s) for s in squares))


def test_hard_census_counts_the_bits_that_differ(generator):
    a, b = images(generator)
    result = hard_census(a, b, 2)
    for n, y, x in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
        p, q = (neighbours(i[n, 0], y + 2, x + 2, 2) for i in (a, b))
        assert int(result[n, 0, y, x]) == sum((u < 0) != (v < 0) for u, v in zip(p, q, strict=True))


def test_equal_images_differ_nowhere_and_order_does_not_matter(generator):
    a, b = images(generator)
    for census in (soft_census, hard_census):
        assert census(a, a).max() == 0
        torch.testing.assert_close(census(a, b), census(b, a))


def test_the_worst_is_that_every_neighbour_disagrees():
    bright, dark = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    bright[..., 1, 1], dark[..., 1, 1] = 1, -1
    assert int(hard_census(bright, dark, 1)) == 8
    assert float(soft_census(bright, dark, 1)) == pytest.approx(8 * 4 / 4.1, rel=1e-4)


def test_hard_census_is_blind_to_every_increasing_change_of_grey(generator):
    a, b = images(generator)
    torch.testing.assert_close(hard_census(a, (3 * b).exp()), hard_census(a, b))


def test_soft_census_is_blind_to_brightness_and_nearly_to_contrast(generator):
    """Images I and 1.2 I + 0.05 are the same to it within 5 % of what unequal images cost; L1 is not so."""
    a, b = images(generator, (20, 20))
    torch.testing.assert_close(soft_census(a, b + 0.3), soft_census(a, b))
    assert soft_census(a, 1.2 * a + 0.05).mean() < 0.05 * soft_census(a, b).mean()
    assert (0.2 * a + 0.05).abs().mean() > 0.4 * (a - b).abs().mean()
    torch.testing.assert_close(soft_census(a, 1.2 * b + 0.05).mean(), soft_census(a, b).mean(), rtol=0.05, atol=0)


def test_descent_brings_back_a_shifted_image():
    """The gradient of soft census with respect to a shift points back to where the images agree."""
    u = torch.arange(40, dtype=F64)

    def shifted(by: torch.Tensor) -> torch.Tensor:
        return (0.5 + 0.02 * torch.sin(0.4 * (u + by)))[None, None, None].expand(1, 1, 9, 40)

    for by in (1.0, -1.0):
        x = torch.tensor(by, dtype=F64, requires_grad=True)
        slope, = torch.autograd.grad(soft_census(shifted(x), shifted(torch.tensor(0.0))).sum(), x)
        assert slope * by > 0


def test_flat_images_have_finite_gradients():
    a = torch.full((1, 1, 7, 7), 0.5, requires_grad=True)
    soft_census(a, torch.full((1, 1, 7, 7), 0.2)).sum().backward()
    assert torch.equal(a.grad, torch.zeros(1, 1, 7, 7))


def test_an_image_smaller_than_the_patch_is_refused():
    with pytest.raises(RuntimeError, match="dimension 2 is 5"):
        soft_census(torch.zeros(1, 1, 5, 9), torch.zeros(1, 1, 5, 9), 3)


def test_grey_keeps_grey_and_is_luma():
    assert float(grey(torch.full((3, 1, 1), 0.7))) == pytest.approx(0.7)
    assert grey(torch.eye(3)[:, :, None]).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_gradcheck(generator):
    a, b = (0.02 * i[:1, :, :4, :4] for i in images(generator))  # contrasts of a few grey levels, where slopes are
    assert torch.autograd.gradcheck(lambda x, y: soft_census(x, y, 1), (a.requires_grad_(), b.requires_grad_()))
