"""What training does to colours, drawn anew for every scene; the frames of a scene are changed alike."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # luminance of Rec. 601
TO_YIQ = (GREY, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def draw(like: Float[Tensor, "b *rest"], low: float, high: float, channels: int = 1) -> Tensor:
    """Uniform factors [b 1 channels 1 1], one (per channel) for each scene."""
    return torch.empty(len(like), 1, channels, 1, 1, device=like.device, dtype=like.dtype).uniform_(low, high)


def coin(like: Float[Tensor, "b *rest"], share: float = 0.5) -> Tensor:
    """True for this share of the scenes, [b 1 1 1 1]."""
    return draw(like, 0.0, 1.0) < share


def gamma_brightness_colour(image: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b n 3 h w"]:
    """Half the scenes: I^U(0.8, 1.2) times U(0.5, 2), each channel times U(0.8, 1.2) (Godard 2017)."""
    power = image.clamp(min=0) ** draw(image, 0.8, 1.2)
    changed = power * draw(image, 0.5, 2.0) * draw(image, 0.8, 1.2, 3)
    return torch.where(coin(image), changed.clamp(0, 1), image)


def colour_jitter(
    image: Float[Tensor, "b n 3 h w"], strength: float = 0.2, hue: float = 0.1
) -> Float[Tensor, "b n 3 h w"]:
    """Half the scenes: brightness, contrast and saturation times U(1 - strength, 1 + strength), the hue turned by up to
    this share of a circle, about the grey axis (Godard 2019)."""
    low, high = 1 - strength, 1 + strength
    changed = (image * draw(image, low, high)).clamp(0, 1)
    mean = luminance(changed).mean((-4, -2, -1), keepdim=True)
    changed = (mean + (changed - mean) * draw(image, low, high)).clamp(0, 1)
    grey = luminance(changed)
    changed = (grey + (changed - grey) * draw(image, low, high)).clamp(0, 1)
    changed = turned(changed, 2 * math.pi * draw(image, -hue, hue)[:, 0, 0, 0, 0])
    return torch.where(coin(image), changed.clamp(0, 1), image)


def luminance(image: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b n 1 h w"]:
    """How bright a pixel looks."""
    return (image * torch.tensor(GREY).to(image)[:, None, None]).sum(2, keepdim=True)


def turned(image: Float[Tensor, "b n 3 h w"], angle: Float[Tensor, "b"]) -> Float[Tensor, "b n 3 h w"]:
    """The hue of each scene turned by an angle (radians) in the plane of the colour differences I and Q."""
    to_yiq, cos, sin = torch.tensor(TO_YIQ).to(image), angle.cos(), angle.sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    rows = [one, zero, zero, zero, cos, -sin, zero, sin, cos]
    turn = torch.stack(rows, -1).unflatten(-1, (3, 3))
    return torch.einsum("bij,bnjhw->bnihw", torch.linalg.inv(to_yiq) @ turn @ to_yiq, image)
