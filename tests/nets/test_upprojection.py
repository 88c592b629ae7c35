"""The fast up-convolution against zeros and a 5x5 kernel."""

import torch
import torch.nn.functional as F

from epipole.nets.upprojection import FastUpConvolution, UpProjection


def assembled(up: FastUpConvolution) -> torch.Tensor:
    """The 5x5 kernel of which the four are the parts."""
    parts = {name: layer.weight for name, layer in up.parts.items()}
    kernel = torch.zeros(*parts["even_even"].shape[:2], 5, 5, dtype=parts["even_even"].dtype)
    kernel[..., ::2, ::2], kernel[..., 1::2, ::2] = parts["even_even"], parts["odd_even"]
    kernel[..., ::2, 1::2], kernel[..., 1::2, 1::2] = parts["even_odd"], parts["odd_odd"]
    return kernel


def test_it_equals_zeros_between_the_pixels_and_one_kernel():
    torch.manual_seed(0)
    for size in ((5, 7), (1, 1), (1, 4)):
        up, x = FastUpConvolution(3, 4).double(), torch.randn(2, 3, *size, dtype=torch.float64)
        zeros = torch.zeros(2, 3, 2 * size[0], 2 * size[1], dtype=torch.float64)
        zeros[..., ::2, ::2] = x
        torch.testing.assert_close(up(x), F.conv2d(zeros, assembled(up), padding=2), atol=1e-12, rtol=0)


def test_in_single_precision_too():
    torch.manual_seed(0)
    up, x = FastUpConvolution(16, 8), torch.randn(1, 16, 6, 5)
    zeros = torch.zeros(1, 16, 12, 10)
    zeros[..., ::2, ::2] = x
    slow = F.conv2d(zeros, assembled(up), padding=2)
    assert (up(x) - slow).abs().max() < 1e-6 * slow.abs().max()


def test_up_projection_is_the_formula():
    torch.manual_seed(0)
    block, x = UpProjection(6, 4).eval(), torch.randn(1, 6, 3, 5)
    with torch.no_grad():
        one = block.convolve[1](block.convolve[0](block.up[1](block.up[0](x)).relu()))
        other = block.project[1](block.project[0](x))
        torch.testing.assert_close(block(x), (one + other).relu())
        assert block(x).shape == (1, 4, 6, 10)


def test_gradients():
    torch.manual_seed(0)
    up, x = FastUpConvolution(2, 2).double(), torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(up, (x,))
