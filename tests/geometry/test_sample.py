import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from epipole.geometry.camera import pixel_grid
from epipole.geometry.sample import sample, sample_volume


def naive(image: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Bilinear look-up pixel by pixel; beyond the border the nearest border pixel."""
    b, c, h, w = image.shape
    out = []
    for i in range(b):
        for uv in pixels[i].flatten(1).T:
            u, v = uv[0].clamp(0, w - 1), uv[1].clamp(0, h - 1)
            x, y = min(math.floor(u.item()), max(w - 2, 0)), min(math.floor(v.item()), max(h - 2, 0))
            fx, fy = u - x, v - y
            right, below = min(x + 1, w - 1), min(y + 1, h - 1)
            out.append((1 - fy) * ((1 - fx) * image[i, :, y, x] + fx * image[i, :, y, right])
                       + fy * ((1 - fx) * image[i, :, below, x] + fx * image[i, :, below, right]))
    return torch.stack(out).unflatten(0, (b, -1)).mT.reshape(b, c, *pixels.shape[2:])


def case(low: float, high: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, 5, 7, dtype=torch.float64, generator=g)
    share = torch.rand(2, 2, 4, 6, dtype=torch.float64, generator=g)
    return image, (low + (high - low) * share) * torch.tensor([6.0, 4.0], dtype=torch.float64)[:, None, None]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 1.5)])
def test_equals_the_naive_loop_in_values_and_gradients(low, high):
    image, pixels = (x.requires_grad_() for x in case(low, high))
    fast, slow = sample(image, pixels)[0], naive(image, pixels)
    assert torch.allclose(fast, slow, atol=1e-12)
    weight = torch.rand_like(fast)
    for a, b in zip(torch.autograd.grad((fast * weight).sum(), (image, pixels)),
                    torch.autograd.grad((slow * weight).sum(), (image, pixels)), strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_gradcheck():
    image, pixels = (x.requires_grad_() for x in case(0.05, 0.95))
    assert torch.autograd.gradcheck(lambda i, p: sample(i, p)[0], (image, pixels))


def test_at_pixel_centres_it_is_the_image():
    image = torch.rand(1, 3, 6, 9, dtype=torch.float64)
    out, inside = sample(image, pixel_grid(6, 9, image)[None])
    assert torch.allclose(out, image, atol=1e-12)
    assert inside.all()


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 12), st.floats(-3, 9))
def test_inside_means_within_the_outermost_pixel_centres(u, v):
    image = torch.rand(1, 1, 6, 9, dtype=torch.float64)
    _, inside = sample(image, torch.tensor([u, v], dtype=torch.float64).reshape(1, 2, 1, 1))
    assert bool(inside) == (0 <= u <= 8 and 0 <= v <= 5)


def test_beyond_the_border_there_is_no_gradient_to_the_pixels():
    image = torch.rand(1, 1, 5, 5, dtype=torch.float64)
    pixels = torch.tensor([[-3.0, 2.5, 7.0], [2.5, 9.0, 2.5]], dtype=torch.float64).reshape(1, 2, 1, 3).requires_grad_()
    out, inside = sample(image, pixels)
    assert not inside.any()
    out.sum().backward()
    slope = pixels.grad[0, :, 0]
    assert slope[0, 0] == slope[1, 1] == slope[0, 2] == 0  # across the border
    assert slope[1, 0] != 0  # along it the border pixels still differ


@pytest.mark.parametrize("at", [(0.0, 0.0), (4.0, 4.0), (0.0, 2.0), (4.0, 2.5)])
def test_on_the_border_the_gradient_is_finite(at):
    image = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    pixels = torch.tensor(at, dtype=torch.float64).reshape(1, 2, 1, 1).requires_grad_()
    out, inside = sample(image, pixels)
    assert inside.all()
    out.sum().backward()
    assert pixels.grad.isfinite().all()
    assert image.grad.sum() == pytest.approx(1)


def test_far_away_and_undefined_look_ups_are_not_inside():
    image = torch.rand(1, 1, 5, 5)
    pixels = torch.tensor([[1e30, -1e30, math.nan, math.inf], [0.0, 0, 0, 0]]).reshape(1, 2, 1, 4)
    out, inside = sample(image, pixels)
    assert not inside.any()
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_undefined_look_ups_have_gradient_zero(dtype):
    image = torch.rand(1, 1, 5, 5, dtype=dtype, requires_grad=True)
    pixels = torch.tensor([[math.nan, math.inf, 1.5], [1.0, 1.0, math.nan]], dtype=dtype).reshape(1, 2, 1, 3)
    sample(image, pixels.requires_grad_())[0].sum().backward()
    assert image.grad.isfinite().all()
    assert pixels.grad[0, 0, 0, :2].tolist() == [0, 0]
    assert pixels.grad.isfinite().all()


def test_nearest_takes_whole_pixels():
    image = torch.arange(20.0).reshape(1, 1, 4, 5)
    pixels = torch.tensor([[1.4, 2.6], [0.4, 2.6]]).reshape(1, 2, 1, 2)
    assert sample(image, pixels, "nearest")[0].flatten().tolist() == [1.0, 18.0]


def test_an_image_of_one_pixel():
    image = torch.full((1, 2, 1, 1), 0.7)
    out, inside = sample(image, torch.zeros(1, 2, 1, 1))
    assert torch.allclose(out, image)
    assert inside.all()


def test_trilinear_look_up_equals_scipy_and_fades_to_zero_outside():
    g = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 3, 4, 5, 6, dtype=torch.float64, generator=g)
    size = torch.tensor([6, 5, 4], dtype=torch.float64)
    points = torch.rand(2, 2, 3, 7, 3, dtype=torch.float64, generator=g) * (size + 3) - 2
    out = sample_volume(volume, points.movedim(-1, 1))
    for b in range(2):
        for c in range(3):
            at = points[b].flip(-1).reshape(-1, 3).T.numpy()
            theirs = map_coordinates(volume[b, c].numpy(), at, order=1, mode="grid-constant")
            assert out[b, c].flatten().numpy() == pytest.approx(theirs, abs=1e-12)


def test_trilinear_gradcheck_and_points_that_are_not_finite():
    g = torch.Generator().manual_seed(0)
    volume = torch.rand(1, 2, 3, 3, 4, dtype=torch.float64, generator=g).requires_grad_()
    points = (0.1 + 1.8 * torch.rand(1, 3, 1, 2, 3, dtype=torch.float64, generator=g)).requires_grad_()
    assert torch.autograd.gradcheck(sample_volume, (volume, points))
    wild = torch.tensor([math.nan, math.inf, 1e30], dtype=torch.float64).expand(1, 3, 1, 1, 3).requires_grad_()
    out = sample_volume(volume, wild)
    assert (out == 0).all()
    out.sum().backward()
    assert wild.grad.isfinite().all()
