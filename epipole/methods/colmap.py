"""The path that COLMAP's incremental structure from motion finds (Schönberger & Frahm, CVPR 2016), where pycolmap is
installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import cv2
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from ..geometry.motion import se3_inverse
from ..types.errors import InputError
from ..types.predictions import Motion
from ..types.views import Views
from .flow import grey

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class Colmap:
    """SIFT, sequential matching, the largest model, all by pycolmap's own settings, on one thread; reads `image` and
    `K`, that of the first view for all. The length of the path is unknown. A view that was not placed is where the
    placed one before it is, or at first the one after it; where none was, the camera stands still.

    Raises InputError where pycolmap is not installed."""

    whole: ClassVar[bool] = True        # is to see sequences as a whole, not clip by clip

    overlap: int = 12                   # views after each that it is matched with
    seed: int = 0

    def __call__(self, views: Views) -> Motion:
        image, K = views.image, views.K
        *front, n = image.shape[:-3]
        pictures = grey(image).reshape(-1, n, *image.shape[-2:])
        paths = [self._path(*scene) for scene in zip(pictures, K.reshape(-1, n, 3, 3)[:, 0], strict=True)]
        return Motion(T_first_camera=torch.stack(paths).reshape(*front, n, 4, 4).to(image))

    def _path(self, pictures: UInt8[ndarray, "n h w"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "n 4 4"]:
        with TemporaryDirectory() as folder:
            placed = self._placed(pictures, K, Path(folder))
        here = placed[min(placed)] if placed else torch.eye(4, dtype=torch.float64)
        path = []
        for k in range(len(pictures)):
            here = placed.get(k, here)
            path.append(here)
        return se3_inverse(path[0]) @ torch.stack(path)

    def _placed(
        self, pictures: UInt8[ndarray, "n h w"], K: Float[Tensor, "3 3"], folder: Path
    ) -> dict[int, Float[Tensor, "4 4"]]:
        """T_world_camera of the views in the largest model, by their numbers."""
        colmap = _pycolmap()
        images, database = folder / "images", folder / "database.db"
        images.mkdir()
        for k, picture in enumerate(pictures):
            cv2.imwrite(str(images / f"{k:06d}.png"), picture)
        reader, extraction = colmap.ImageReaderOptions(), colmap.FeatureExtractionOptions()
        matching, pairing = colmap.FeatureMatchingOptions(), colmap.SequentialPairingOptions()
        mapping, said = colmap.IncrementalPipelineOptions(), colmap.logging.minloglevel
        reader.camera_model = "PINHOLE"
        reader.camera_params = ",".join(str(float(x)) for x in (K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5))
        extraction.use_gpu = matching.use_gpu = False
        extraction.num_threads = matching.num_threads = mapping.num_threads = 1
        pairing.overlap, mapping.random_seed = self.overlap, self.seed
        mapping.ba_refine_focal_length = mapping.ba_refine_extra_params = False
        try:
            colmap.logging.minloglevel = int(colmap.logging.ERROR) + 1  # it is no error of ours that views do not match
            colmap.set_random_seed(self.seed)
            colmap.extract_features(database, images, camera_mode=colmap.CameraMode.SINGLE, reader_options=reader,
                                    extraction_options=extraction)
            colmap.match_sequential(database, matching_options=matching, pairing_options=pairing)
            models = colmap.incremental_mapping(database, images, folder / "models", options=mapping)
        finally:
            colmap.logging.minloglevel = said
        largest = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
        return {} if largest is None else {int(Path(image.name).stem): _pose(image)
                                           for image in largest.images.values() if image.has_pose}


def _pose(image: pycolmap.Image) -> Float[Tensor, "4 4"]:
    T_camera_world = torch.eye(4, dtype=torch.float64)
    T_camera_world[:3] = torch.from_numpy(image.cam_from_world().matrix().copy())
    return se3_inverse(T_camera_world)


def _pycolmap() -> ModuleType:
    """Raises InputError where it is not installed."""
    try:
        import pycolmap
    except ImportError as error:
        raise InputError("COLMAP needs pycolmap, which is not installed: pip install pycolmap") from error
    return pycolmap
