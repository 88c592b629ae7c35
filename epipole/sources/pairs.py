"""Folders of pairs: two folders of images with the same names, and the truth of the first ones beside them.

    left/ right/         rectified pairs           first/ second/    two views of anything
    disparity/NAME.png   16 bit, 1/256 px, 0: unknown                flow/NAME.flo
    intrinsics.txt       K at the left images' size, three rows of three numbers
    baseline.txt         from the left camera to the right one, m

Disparity and flow, K and baseline may be absent. Pairs may differ in size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..formats import flo, kitti, png16
from ..formats.numbers import read_table
from ..geometry.rectified import depth_of_disparity
from ..types.errors import InputError
from ..types.views import Views
from .folder import images_in, load_image
from .plain import check_intrinsics

STEREO, FLOW = ("left", "right"), ("first", "second")
DISPARITIES = 256.0  # per pixel, as in KITTI's disparity maps


def holds_pairs(folder: str | Path, sides: tuple[str, str]) -> bool:
    """Whether both folders are there."""
    return all((Path(folder) / side).is_dir() for side in sides)


class _Pairs:
    """`pairs[i]` is a pair, unbatched (N = 2), with all that is known of it."""

    sides: tuple[str, str]
    truth: tuple[str, str]  # folder and suffix

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        one, two = (images_in(self.folder / side) for side in self.sides)
        if not one or [file.stem for file in one] != [file.stem for file in two]:
            first, second = self.sides
            raise InputError(f"{folder} holds {len(one)} images in {first}/ and {len(two)} in {second}/; give as many "
                             "of both, with the same names")
        self.files = list(zip(one, two, strict=True))
        self.known = (self.folder / self.truth[0]).is_dir()
        if self.known and (lost := [file.stem for file in one if not self._truth(file).is_file()]):
            raise InputError(f"{self.folder / self.truth[0]} lacks {lost[0]}{self.truth[1]} ({len(lost)} of {len(one)} "
                             "pairs have no such file); give all of them, or remove the folder")

    def _truth(self, image: Path) -> Path:
        return self.folder / self.truth[0] / (image.stem + self.truth[1])

    def __len__(self) -> int:
        return len(self.files)

    def _images(self, index: int) -> Tensor:
        one, two = (load_image(file) for file in self.files[index])
        if one.shape != two.shape:
            raise InputError(f"{self.files[index][0]} and {self.files[index][1].name} are of different sizes; "
                             "the images of a pair must have one size")
        return torch.from_numpy(np.stack([one, two])).permute(0, 3, 1, 2).float() / 255

    def _first_alone(self, index: int, values: np.ndarray, valid: np.ndarray, image: Tensor) -> tuple[Tensor, Tensor]:
        """The truth [2 c h w] of which the second view's half is unknown."""
        if valid.shape != image.shape[-2:]:
            raise InputError(f"{self._truth(self.files[index][0])} is not of the size of its image")
        both = [torch.from_numpy(np.stack([x, np.zeros_like(x)])) for x in (values, valid[None])]
        return both[0], both[1]


class StereoFolder(_Pairs):
    """Rectified pairs; K, baseline and depth where intrinsics.txt and baseline.txt say them.

    Raises InputError for what is no folder of pairs, and for truth that does not fit its images.
    """

    sides, truth = STEREO, ("disparity", ".png")

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        K, baseline = (self.folder / name for name in ("intrinsics.txt", "baseline.txt"))
        self.K = kitti.read_intrinsics(K) if K.is_file() else None
        self.baseline = float(read_table(baseline, (1,), "the baseline, m")[0, 0]) if baseline.is_file() else None
        if self.baseline is not None and self.baseline <= 0:
            raise InputError(f"{baseline} must hold a positive number of metres")

    def __getitem__(self, index: int) -> Views:
        i = range(len(self))[index]
        image = self._images(i)
        fields = {"image": image}
        if self.K is not None:
            check_intrinsics(self.K, image.shape[-1], image.shape[-2], self.folder)
            fields["K"] = torch.from_numpy(self.K).float().expand(2, 3, 3).clone()
        if self.baseline is not None:
            fields["baseline"] = torch.full((2,), self.baseline)
        return Views(**fields | (self._disparity(i, fields) if self.known else {}))

    def _disparity(self, i: int, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        values, known = png16.read(self._truth(self.files[i][0]), scale=DISPARITIES)
        disparity, valid = self._first_alone(i, values[None], known, fields["image"])
        truth = {"disparity": disparity, "disparity_valid": valid}
        if "K" in fields and "baseline" in fields:
            depth = depth_of_disparity(torch.where(valid, disparity, 1.0), fields["K"], fields["baseline"])
            truth |= {"depth": torch.where(valid, depth, 0.0), "depth_valid": valid.clone()}
        return truth


class FlowFolder(_Pairs):
    """Pairs with the flow from the first view to the second. Raises InputError as StereoFolder does."""

    sides, truth = FLOW, ("flow", ".flo")

    def __getitem__(self, index: int) -> Views:
        i = range(len(self))[index]
        image = self._images(i)
        if not self.known:
            return Views(image=image)
        flow, valid = self._first_alone(i, *flo.read(self._truth(self.files[i][0])), image)
        return Views(image=image, flow=flow, flow_valid=valid, flow_known=valid.clone())
