"""Clips from a source of single views."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..geometry.camera import resize_intrinsics
from ..types.errors import InputError
from ..types.views import Views
from .footage import SMALLEST_SIDE
from .source import Source


class Clips:
    """`clips[i]` is the clip of `length` views that begins with view i, each `gap` after the one before, resized to
    `width` pixels with the aspect ratio kept; None keeps the size.

    Raises InputError for a width that leaves too little of the images.
    """

    def __init__(self, views: Source, length: int = 3, gap: int = 1, width: int | None = None) -> None:
        self.views, self.length, self.gap, self.width = views, length, gap, width

    def __len__(self) -> int:
        return max(0, len(self.views) - (self.length - 1) * self.gap)

    def __getitem__(self, index: int) -> Views:
        first = range(len(self))[index]
        views = [self.views[first + k * self.gap] for k in range(self.length)]
        clip = Views(**{name: torch.cat([getattr(view, name) for view in views]) for name in views[0].fields()})
        return clip if self.width is None else resized(clip, self.width)


def resized(views: Views, width: int) -> Views:
    """Unbatched views [N C H W] with images `width` pixels wide and K to match.

    Images are averaged over areas when they shrink; depth is that of the nearest pixel; flow is left out.
    """
    H, W = views.image.shape[-2:]
    height = round(H * width / W)
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(f"images of {width}x{height} pixels are too small to learn from; choose a larger width")
    fields = {name: value for name, value in views.fields().items() if not name.startswith("flow")}
    image = F.interpolate(views.image, (height, width), mode="bilinear", align_corners=False, antialias=True)
    fields["image"] = image.clamp(0, 1)
    if "K" in fields:
        fields["K"] = resize_intrinsics(fields["K"], width / W, height / H)
    if "depth" in fields:
        valid = views.depth_valid.float()
        fields["depth"] = F.interpolate(views.depth, (height, width), mode="nearest-exact")
        fields["depth_valid"] = F.interpolate(valid, (height, width), mode="nearest-exact") > 0.5
    return Views(**fields)
