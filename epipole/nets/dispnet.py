"""Single-image disparity network of SfMLearner (Zhou 2017, figure 4a; after DispNet, Mayer 2016)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import conv, predict, upconv

ENCODER = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 512), (3, 512), (3, 512))  # kernel, channels of cnv1 .. cnv7
DECODER = (512, 512, 256, 128, 64, 32, 16)                                      # channels of icnv7 .. icnv1
GAIN, FLOOR = 10.0, 0.01                                                        # disparity = 10 sigmoid + 0.01
SMALLEST = 17  # pixels along a side with which the coarsest scale has 3: what SSIM and second derivatives take


class DispNet(nn.Module):
    """Image to disparity (= inverse depth, 0.01 to 10.01) at four scales, the finest first.

    31,596,900 weights at width 1 without batch-norm. Images of any size: level s has ceil(size / 2^s) pixels, and
    up-convolutions are resized (nearest) to the size of the skip connection.
    """

    def __init__(self, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        down = [3] + [max(4, round(width * c)) for _, c in ENCODER]
        up = [max(4, round(width * c)) for c in DECODER]
        self.encoder, self.upconv, self.iconv = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for (kernel, _), before, after in zip(ENCODER, down, down[1:], strict=False):
            strided = conv(before, after, kernel, 2, batch_norm)
            self.encoder.append(nn.Sequential(strided, conv(after, after, kernel, 1, batch_norm)))
        skips = [*down[6:0:-1], 0]
        for level, (before, after, skip) in enumerate(zip([down[-1], *up], up, skips, strict=False)):
            disparity = 1 if level >= 4 else 0  # icnv3, icnv2, icnv1 see the coarser disparity
            self.upconv.append(upconv(before, after, 3, batch_norm))
            self.iconv.append(conv(after + skip + disparity, after, 3, 1, batch_norm))
        self.predict = nn.ModuleList(predict(c, 1, 3) for c in up[3:])

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1 _ _"]]:
        x, skips = image, []
        for stage in self.encoder:
            skips.append(x)
            x = stage(x)
        skips[0] = image[:, :0]  # icnv1 has no skip; the image lends its size alone
        disparities: list[Tensor] = []
        for level, (up, merge) in enumerate(zip(self.upconv, self.iconv, strict=True)):
            skip = skips.pop()
            x = up(x)
            if x.shape[-2:] != skip.shape[-2:]:
                x = F.interpolate(x, skip.shape[-2:], mode="nearest")
            coarser = [F.interpolate(d.to(x), skip.shape[-2:], mode="bilinear") for d in disparities[-1:]]
            x = merge(torch.cat([x, skip.to(x.dtype), *coarser], 1))
            if level >= 3:
                disparities.append(GAIN * torch.sigmoid(self.predict[level - 3](x).float()) + FLOOR)
        return disparities[::-1]
