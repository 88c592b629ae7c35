"""The two stacks of Eigen 2014: a coarse one that sees the whole image at once, and a fine one that sees its parts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

Widths = Sequence[int]


def map_size(height: int, width: int) -> tuple[int, int]:
    """Pixels of both stacks' maps for an image of this size: 55 x 74 for 228 x 304."""
    return (height - 7) // 4, (width - 7) // 4


class Coarse(nn.Module):
    """Images of one size to one map of `map_size`, by two fully connected layers that see everything."""

    def __init__(self, height: int, width: int, channels: Widths, hidden: int, dropout: float):
        super().__init__()
        a, b, c, d, e = channels
        self.size = map_size(height, width)
        self.features = nn.Sequential(
            nn.Conv2d(3, a, 11, 4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
            nn.Conv2d(d, e, 3, 2), nn.ReLU(),
        )
        h, w = ((n // 4 - 1) // 2 for n in self.size)
        self.whole = nn.Sequential(
            nn.Linear(e * h * w, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, self.size[0] * self.size[1])
        )

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 y x"]:
        return self.whole(self.features(image - 0.45).flatten(1)).unflatten(1, (1, *self.size))


class Fine(nn.Module):
    """Images and the coarse map to a map of the same size, by what each part of the image shows."""

    def __init__(self, edges: int = 63, channels: int = 64):
        super().__init__()
        self.edges = nn.Sequential(nn.Conv2d(3, edges, 9, 2), nn.ReLU(), nn.MaxPool2d(2))
        self.refine = nn.Sequential(
            nn.Conv2d(edges + 1, channels, 5, padding=2), nn.ReLU(), nn.Conv2d(channels, 1, 5, padding=2)
        )

    def forward(
        self, image: Float[Tensor, "b 3 h w"], coarse: Float[Tensor, "b 1 y x"]
    ) -> Float[Tensor, "b 1 y x"]:
        edges = self.edges(image - 0.45)
        return self.refine(torch.cat([edges, coarse.to(edges)], 1))
