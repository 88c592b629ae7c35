"""Motion and poses that nothing was learned for: those that look at nothing, the nearest of the training images, and
odometry from the features of two views."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..geometry.motion import se3_exp, se3_inverse, se3_log
from ..types.errors import InputError
from ..types.predictions import Motion, Pose
from ..types.views import Views
from .flow import grey
from .two_views import PoselibEssential

RATIO = 0.8       # by which a match must beat the second best (Lowe 2004)
LEAST = 12        # matches below which nothing is said about a pair
RIM = 8           # px along the border in which ORB looks for nothing; its own 31 leave little of a small image
CORNER = 7        # grey values by which a corner of ORB's must stand out


def _sift(most: int) -> cv2.Feature2D:
    return cv2.SIFT.create(most)


def _orb(most: int) -> cv2.Feature2D:
    return cv2.ORB.create(most, edgeThreshold=RIM, fastThreshold=CORNER)


FEATURES = {"sift": (_sift, cv2.NORM_L2), "orb": (_orb, cv2.NORM_HAMMING)}


@dataclass(frozen=True, eq=False)
class MeanMotion:
    """The same step from every view to the next, such as a training set's mean."""

    step: Float[Tensor, "4 4"]           # T_this_next

    def __call__(self, views: Views) -> Motion:
        *front, n = views.image.shape[:-3]
        return Motion(T_first_camera=_repeated(self.step, n).to(views.image).expand(*front, n, 4, 4).clone())


@dataclass(frozen=True)
class ConstantVelocity:
    """The first step of the true path, which it is told, again and again; reads `T_world_camera`."""

    def __call__(self, views: Views) -> Motion:
        T = views.T_world_camera.double()
        second = T[..., min(1, T.shape[-3] - 1), :, :]
        path = _repeated(se3_inverse(T[..., 0, :, :]) @ second, T.shape[-3])
        return Motion(T_first_camera=path.to(views.T_world_camera))


def _repeated(step: Float[Tensor, "*b 4 4"], n: int) -> Float[Tensor, "*b n 4 4"]:
    """The path of n poses whose steps are all this one."""
    twist = se3_log(step.double())
    return se3_exp(torch.arange(n, dtype=torch.float64)[:, None] * twist[..., None, :])


@dataclass(frozen=True, eq=False)
class NearestImage:
    """The pose of the training image that looks most alike: small, grey, whatever its brightness and contrast."""

    thumbnails: Float[Tensor, "m d"]
    T_world_camera: Float[Tensor, "m 4 4"]

    @classmethod
    def of(cls, samples: Iterable[Views]) -> "NearestImage":
        """From views with image and T_world_camera, each looked at once."""
        rows = [(_thumbnails(views), views.T_world_camera.reshape(-1, 4, 4)) for views in samples]
        return cls(torch.cat([small for small, _ in rows]), torch.cat([poses for _, poses in rows]))

    def __call__(self, views: Views) -> Pose:
        nearest = torch.cdist(_thumbnails(views).to(self.thumbnails), self.thumbnails).argmin(1)
        return Pose(T_world_camera=self.T_world_camera[nearest].reshape(*views.image.shape[:-3], 4, 4))


@dataclass(frozen=True, eq=False)
class NearestPose:
    """The training pose nearest to the true one, which it is told: what no choice among training images can surpass in
    position. Reads `T_world_camera`."""

    T_world_camera: Float[Tensor, "m 4 4"]

    def __call__(self, views: Views) -> Pose:
        T = views.T_world_camera
        nearest = torch.cdist(T.reshape(-1, 4, 4)[:, :3, 3], self.T_world_camera[:, :3, 3].to(T)).argmin(1)
        return Pose(T_world_camera=self.T_world_camera[nearest].to(T).reshape(T.shape))


def _thumbnails(views: Views) -> Float[Tensor, "m d"]:
    """Every view as 16 x 12 grey values of mean 0 and length 1."""
    image = torch.from_numpy(grey(views.image)).float()
    small = F.adaptive_avg_pool2d(image.reshape(-1, 1, *image.shape[-2:]), (12, 16)).flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)


@dataclass(frozen=True)
class TwoViewOdometry:
    """Features matched from every view to the next (OpenCV), the essential matrix by five points in LO-RANSAC; reads
    `image` and `K`. Two views do not tell how far: every step is `step` long. Where too few features match, the camera
    is taken to stand still."""

    features: str = "sift"               # a key of FEATURES
    step: float = 1.0                    # m
    most: int = 1000                     # features of an image

    def __call__(self, views: Views) -> Motion:
        image, K = views.image, views.K
        *front, n = image.shape[:-3]
        pictures = grey(image).reshape(-1, n, *image.shape[-2:])
        paths = [self._path(*scene) for scene in zip(pictures, K.reshape(-1, n, 3, 3), strict=True)]
        return Motion(T_first_camera=torch.stack(paths).reshape(*front, n, 4, 4).to(image))

    def _path(self, pictures: UInt8[np.ndarray, "n h w"], K: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4 4"]:
        create, norm = FEATURES[self.features]
        found = [create(self.most).detectAndCompute(picture, None) for picture in pictures]
        path = [torch.eye(4)]
        for k in range(1, len(found)):
            path.append(path[-1] @ self._motion(_matches(found[k - 1], found[k], norm), K[k - 1 : k + 1]))
        return torch.stack(path)

    def _motion(self, matches: Float[Tensor, "m 4"], K: Float[Tensor, "2 3 3"]) -> Float[Tensor, "4 4"]:
        """T_first_second."""
        if len(matches) < LEAST:
            return torch.eye(4)
        try:
            T_first_second = se3_inverse(PoselibEssential()(Views(matches=matches, K=K)).T_second_first)
        except InputError:
            return torch.eye(4)
        T_first_second[:3, 3] = self.step * F.normalize(T_first_second[:3, 3], dim=0)
        return T_first_second


def _matches(one: tuple, two: tuple, norm: int) -> Float[Tensor, "m 4"]:
    """x y in the first view, x y in the second, of features whose best match is far better than their second best."""
    if one[1] is None or two[1] is None or min(len(one[1]), len(two[1])) < 2:
        return torch.zeros(0, 4)
    pairs = cv2.BFMatcher(norm).knnMatch(one[1], two[1], k=2)
    good = [best for best, other in pairs if best.distance < RATIO * other.distance]
    rows = [(*one[0][m.queryIdx].pt, *two[0][m.trainIdx].pt) for m in good]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
