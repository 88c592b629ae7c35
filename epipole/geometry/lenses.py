"""Cameras with a lens: one protocol for every model, and what can be done with any of them.

A camera is its matrix K after a lens that bends: pixel = K bend(point), where bend gives coordinates in the image
plane at focal length 1. Models: `Pinhole` here, `BrownConrady`, `Fisheye`, `Unified` and `ExtendedUnified` beside.
Every parameter is a tensor that carries gradients and may be batched. Rays have unit length, because a wide lens also
sees behind the plane z = 0, where no ray has z = 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import NEAR, crop_intrinsics, normalise, pixel_grid, resize_intrinsics

Model = TypeVar("Model", bound="Camera")


@runtime_checkable
class Camera(Protocol):
    """A NamedTuple of K and the lens' own parameters."""

    @property
    def _fields(self) -> tuple[str, ...]: ...

    @property
    def K(self) -> Float[Tensor, "*b 3 3"]: ...

    @property
    def _replace(self) -> Callable[..., Any]: ...

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        """Image-plane coordinates, and where the lens sees the point; elsewhere they are finite but meaningless."""
        ...

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        """The unit ray that bends to these coordinates, exact to rounding, and where there is one."""
        ...

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 p h w"]]:
        """Derivatives of `bend` by the point, and by the p parameters of the lens in the order of its fields."""
        ...


class Jacobians(NamedTuple):
    """Derivatives of pixels."""

    point: Float[Tensor, "*b 2 3 h w"]          # by X, Y, Z
    intrinsics: Float[Tensor, "*b 2 4 h w"]     # by fx, fy, cx, cy
    lens: Float[Tensor, "*b 2 p h w"]           # by the lens' own parameters, in the order of its fields


class Pinhole(NamedTuple):
    """No lens: straight lines stay straight."""

    K: Float[Tensor, "*b 3 3"]

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        xy, _, front = perspective(points)
        return xy, front

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        return unit_rays(plane), torch.ones_like(plane[..., :1, :, :], dtype=torch.bool)

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 p h w"]]:
        J = perspective_jacobian(points)
        return J, J[..., :0, :, :]


def perspective(
    points: Float[Tensor, "*b 3 h w"],
) -> tuple[Float[Tensor, "*b 2 h w"], Float[Tensor, "*b 1 h w"], Bool[Tensor, "*b 1 h w"]]:
    """(x, y) / z, the depth it was divided by, and which points lie in front (z > NEAR); the others' depth counts as
    1."""
    z = points[..., 2:, :, :]
    front = z > NEAR
    z = torch.where(front, z, torch.ones_like(z))
    return points[..., :2, :, :] / z, z, front


def perspective_jacobian(points: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 2 3 h w"]:
    """Derivative of (x, y) / z by (x, y, z)."""
    xy, z, front = perspective(points)
    eye = torch.eye(2).to(z)[..., None, None]
    by_z = torch.where(front, -xy / z, torch.zeros_like(xy))
    return torch.cat([eye / z[..., None, :, :], by_z[..., None, :, :]], -3)


def unit_rays(plane: Float[Tensor, "*b 2 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """(x, y, 1) at unit length."""
    ray = torch.cat([plane, torch.ones_like(plane[..., :1, :, :])], -3)
    return ray / ray.norm(dim=-3, keepdim=True)


def project(
    points: Float[Tensor, "*b 3 h w"], camera: Camera
) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Pixels of points in the camera's frame, and which points the camera sees; the others' pixels are finite but
    meaningless."""
    plane, seen = camera.bend(points)
    return plane * _focal(camera.K) + camera.K[..., :2, 2, None, None], seen


def rays(
    pixels: Float[Tensor, "*b 2 h w"], camera: Camera
) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Unit rays seen at pixels, and at which pixels the lens sees anything; inverse of `project` up to length.

    Gradients by pixels and parameters are exact; of iterated models only the first derivatives are.
    """
    return camera.straighten(normalise(camera.K, pixels)[..., :2, :, :])


def unproject(
    depth: Float[Tensor, "*b 1 h w"], camera: Camera
) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
    """The 3-D point of depth z seen at every pixel, and where the lens sees in front of the plane z = 0."""
    grid = pixel_grid(depth.shape[-2], depth.shape[-1], depth).expand(*depth.shape[:-3], 2, -1, -1)
    ray, seen = rays(grid, camera)
    z = ray[..., 2:, :, :]
    front = seen & (z > NEAR)
    return depth * ray / torch.where(front, z, torch.ones_like(z)), front


def jacobians(points: Float[Tensor, "*b 3 h w"], camera: Camera) -> Jacobians:
    """Derivatives of `project`; meaningless, but finite, where the camera does not see the point."""
    plane, _ = camera.bend(points)
    by_point, by_lens = camera.bend_jacobians(points)
    focal, (x, y) = _focal(camera.K)[..., None, :, :], plane.unbind(-3)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = [torch.stack([x, zero, one, zero], -3), torch.stack([zero, y, zero, one], -3)]
    return Jacobians(focal * by_point, torch.stack(rows, -4), focal * by_lens)


def _focal(K: Tensor) -> Tensor:
    return torch.stack([K[..., 0, 0], K[..., 1, 1]], -1)[..., None, None]


def undistort_map(
    camera: Camera,
    K: Float[Tensor, "*b 3 3"],
    height: int,
    width: int,
    R: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Where each pixel of a pinhole image with matrix K, its camera turned by R, lies in the image of `camera`, for
    `geometry.sample`; and where `camera` sees it. R maps the camera's frame to the pinhole's, as in OpenCV's
    initUndistortRectifyMap; the identity only undistorts."""
    grid = pixel_grid(height, width, K).expand(*K.shape[:-2], 2, -1, -1)
    return project(torch.einsum("...ji,...jhw->...ihw", R, normalise(K, grid)), camera)


def resize(camera: Model, scale_x: float, scale_y: float) -> Model:
    """The camera of the image resized by these factors, with the half-pixel shift; the lens stays as it is."""
    return camera._replace(K=resize_intrinsics(camera.K, scale_x, scale_y))


def crop(camera: Model, left: float, top: float) -> Model:
    """The camera of the image whose top-left pixel was at (left, top)."""
    return camera._replace(K=crop_intrinsics(camera.K, left, top))
