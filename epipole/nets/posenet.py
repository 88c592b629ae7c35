"""Motion of a clip, and what that motion explains (SfMLearner; Zhou 2017, figure 4b)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import conv, predict, upconv

SHARED = ((7, 16), (5, 32), (3, 64), (3, 128), (3, 256))           # kernel, channels of cnv1 .. cnv5, all of stride 2
MASK = ((3, 256, 0), (3, 128, 3), (3, 64, 3), (5, 32, 5), (7, 16, 7))  # upcnv5 .. upcnv1: kernel, channels, mask kernel


class PoseNet(nn.Module):
    """A clip, stacked on its channels, to one pose vector (tx, ty, tz, rx, ry, rz) per motion, and on request to the
    logits of an explainability mask per motion at four scales, the finest first.

    At width 1 without batch-norm: 1,590,668 weights for 3 frames and 2 motions, 1,598,456 for 5 and 4; the mask branch
    adds 1,048,512 or 1,061,776. The mean over the image and the factor 0.01 start motions near zero.
    """

    def __init__(self, frames: int, motions: int, width: float = 1.0, batch_norm: bool = False, explain: bool = False):
        super().__init__()
        self.motions = motions
        widths = [3 * frames] + [max(4, round(width * c)) for _, c in SHARED]
        self.shared = nn.Sequential(*(
            conv(before, after, kernel, 2, batch_norm)
            for (kernel, _), before, after in zip(SHARED, widths, widths[1:], strict=False)
        ))
        last = widths[-1]
        self.pose = nn.Sequential(
            conv(last, last, 3, 2, batch_norm), conv(last, last, 3, 2, batch_norm), predict(last, 6 * motions, 1)
        )
        self.up, self.mask = nn.ModuleList(), nn.ModuleList()
        before = last
        for kernel, channels, mask_kernel in MASK if explain else ():
            after = max(4, round(width * channels))
            self.up.append(upconv(before, after, kernel, batch_norm))
            if mask_kernel:
                self.mask.append(predict(after, 2 * motions, mask_kernel))
            before = after

    def forward(
        self, clip: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b {self.motions} 6"], list[Float[Tensor, "b {self.motions} 2 _ _"]]]:
        sizes, x = [], clip
        for layer in self.shared:
            sizes.append(x.shape[-2:])
            x = layer(x)
        pose = 0.01 * self.pose(x).mean((-2, -1)).unflatten(1, (self.motions, 6))
        logits: list[Tensor] = []
        for level, up in enumerate(self.up):
            x, size = up(x), sizes.pop()
            if x.shape[-2:] != size:
                x = F.interpolate(x, size, mode="nearest")
            if level:
                logits.append(self.mask[level - 1](x).unflatten(1, (self.motions, 2)))
        return pose, logits[::-1]


def stacked(images: Float[Tensor, "b n 3 h w"], order: list[int]) -> Float[Tensor, "b c h w"]:
    """Frames of a clip in this order, on one channel axis."""
    return torch.cat([images[:, i] for i in order], 1)
