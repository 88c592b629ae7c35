"""Census: how each pixel's neighbours compare with it, which survives a change of light. Maps are unreduced, of the
pixels whose whole patch lies inside: 2 radius smaller than the image along each side."""

from jaxtyping import Float, Int
from torch import Tensor

GREY_LEVELS = 255.0          # the constants below are for grey in [0, 255]
INDIFFERENT = 0.9**2         # grey levels squared; smaller contrasts count for little
DIFFERENT = 0.1              # of two ternary values squared; beyond it they count as different


def grey(image: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """Luma of red, green, blue (ITU-R BT.601)."""
    red, green, blue = image.split(1, -3)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _contrast(image: Tensor, radius: int) -> Tensor:
    """[..., y, x, k, k]: neighbour minus centre, k = 2 radius + 1."""
    size = 2 * radius + 1
    patches = image.unfold(-2, size, 1).unfold(-2, size, 1)
    return patches - patches[..., radius, radius, None, None]


def soft_census(
    a: Float[Tensor, "*b 1 h w"], b: Float[Tensor, "*b 1 h w"], radius: int = 3
) -> Float[Tensor, "*b 1 y x"]:
    """Soft Hamming distance of ternary census signatures of two grey images in [0, 1], from 0 to (2 radius + 1)^2 - 1
    (Meister 2018: t = x / sqrt(0.81 + x^2), then the sum of d^2 / (0.1 + d^2); it calls for `robust.charbonnier`).

    Raises RuntimeError if the image is smaller than the patch."""
    x, y = GREY_LEVELS * _contrast(a, radius), GREY_LEVELS * _contrast(b, radius)
    square = (x / (INDIFFERENT + x.square()).sqrt() - y / (INDIFFERENT + y.square()).sqrt()).square()
    return (square / (DIFFERENT + square)).sum((-2, -1))


def hard_census(
    a: Float[Tensor, "*b 1 h w"], b: Float[Tensor, "*b 1 h w"], radius: int = 3
) -> Int[Tensor, "*b 1 y x"]:
    """Hamming distance of binary census signatures: the number of neighbours that are darker than the centre in one
    grey image alone (Zabih 1994). Blind to any increasing change of grey values; it has no gradient.

    Raises RuntimeError if the image is smaller than the patch."""
    return ((_contrast(a, radius) < 0) != (_contrast(b, radius) < 0)).sum((-2, -1))
