"""Depth of key frames as flow measures it along the path, joined with what the network says.

A network that sees one image knows what it has seen often; many views of a point measure it, where there is texture
and parallax. Both say how sure they are, so they are joined as two measurements are: by their information.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from ...geometry.anchors import Scene, rays
from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import se3_inverse
from ...geometry.triangulation import inverse_depth_along_ray, sensitivity
from ...geometry.weighted_median import weighted_median
from .correspond import FlowStore
from .flow import Gray
from .predict import Predicted

SIGMA = 0.3         # px of the network's grid: error of checked flow on texture
FLAT = 3.0          # gray levels a pixel: contrast at which flow is worth a quarter; it invents what it cannot see
WINDOW, CLOSE = 4.0, 1.5   # px of the gray image over which contrast is averaged: that of flow, that of a pixel
FLOOR = 0.03        # of log depth: what no number of views takes away (the path, the border of things)
SHARED = 2.0        # errors that the network shares with what taught it are not in its variance: sigma times this
DOUBT = 6.0         # sigmas of difference at which a measurement loses half of its weight
ROUNDS = 4          # of re-weighting between the views
NEARBY = 2.0        # px over which a correction spreads to where nothing was measured
ALIKE = 0.05        # share of white by which colours of one surface differ
EVEN = 0.05         # share of its neighbours' depth from which a pixel asks them

Leaving = list[tuple[FlowStore, int, int]]


class Measured(NamedTuple):
    """log z, and its information 1 / variance: 0 where nothing was measured."""

    log_depth: Float32[np.ndarray, "h w"]
    information: Float32[np.ndarray, "h w"]


def measured(k: int, scene: Scene, leaving: Leaving, worth: Float32[np.ndarray, "h w"]) -> Measured | None:
    """Triangulated along every pixel's ray from all flow that leaves the key frame, views that disagree counting less
    (Cauchy). None where no flow leaves it.

    Views of one texture err alike: n equal ones are worth sqrt(n) of one."""
    if not leaving:
        return None
    flow = torch.from_numpy(np.stack([store.flow[row][d] for store, row, d in leaving])).float().movedim(-1, 1)
    seen = torch.from_numpy(np.stack([store.valid(row)[d] for store, row, d in leaving]))[:, None].float()
    others = [int(store.pairs[row][1 - d]) for store, row, d in leaving]
    T = scene.T_camera_world[others] @ se3_inverse(scene.T_camera_world[k])
    K, grid = scene.K.expand(len(T), 3, 3), pixel_grid(flow.shape[-2], flow.shape[-1], flow)
    ray, observed = rays(_rows(grid), scene.K), rays(_rows(grid + flow), scene.K)
    weight = seen / T[:, :3, 3].square().sum(1).clamp(min=1e-12)[:, None, None, None]  # at first one vote a view
    for _ in range(ROUNDS):
        q, _ = inverse_depth_along_ray(ray, observed, T, _rows(weight)[..., 0])
        z = 1 / q.clamp(min=1e-3).view(1, 1, *flow.shape[-2:])
        cloud = transform(T, unproject(z.expand(len(T), -1, -1, -1), K))
        pixels, front = project(cloud, K)
        error = (pixels - grid - flow).square().sum(1, keepdim=True)
        trusted = seen * front / (1 + error / SIGMA**2)
        weight = trusted / cloud[:, 2:].clamp(min=1e-3).square()  # what is least is then the error in pixels
    information = (trusted * sensitivity(cloud, T, K).square()).square().sum(0)[0].sqrt() / SIGMA**2
    information = torch.where(q.view(information.shape) > 1e-3, information, 0)
    return Measured(z[0, 0].log().numpy(), information.numpy() * worth)


def _rows(maps: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b n c"]:
    return maps.flatten(-2).mT


def texture(gray: Gray, window: float = WINDOW) -> Float32[np.ndarray, "y x"]:
    """How much flow is worth around each pixel of the network, from 0 on even surfaces to 1: by the mean squared
    gradient (gray levels a pixel) of an image of twice its size."""
    g = gray.astype(np.float32)
    slopes = [cv2.Sobel(g, -1, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (0, 1)]
    square = slopes[0] ** 2 + slopes[1] ** 2
    around = cv2.GaussianBlur(square, (0, 0), window)
    contrast = cv2.resize(around, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return (contrast / (contrast + FLAT**2)) ** 2


def prior(predicted: Predicted) -> Predicted:
    """The network's word, as unsure as it is of what its teacher does not know."""
    return predicted._replace(log_variance=predicted.log_variance + np.float32(2 * np.log(SHARED)))


def joined(predicted: Predicted, found: Measured | None) -> Predicted:
    """The network's depth corrected by what was measured, there and nearby, each by its information."""
    predicted = prior(predicted)
    if found is None:
        return predicted
    network = np.exp(-predicted.log_variance)
    apart = found.log_depth - np.log(predicted.depth)
    variance = 1 / np.maximum(found.information, 1e-9) + FLOOR**2
    own = 1 / variance / (1 + apart**2 / DOUBT**2 / (variance + 1 / network))
    around = cv2.GaussianBlur(own * apart, (0, 0), NEARBY) / cv2.GaussianBlur(own + network, (0, 0), NEARBY)
    total = own + network
    correction = (own * apart + network * around) / total
    return Predicted(predicted.depth * np.exp(correction), -np.log(total))


def evened(known: Predicted, colour: UInt8[np.ndarray, "y x 3"], gray: Gray) -> Predicted:
    """Depth of even surfaces by that of pixels of their colour around: flow smears things over what is even behind
    them, and a network learns it so."""
    even = torch.from_numpy(1 - texture(gray, CLOSE))
    guide = torch.from_numpy(colour).permute(2, 0, 1).float() / 255
    log_depth = torch.from_numpy(np.log(known.depth))
    asked = weighted_median(log_depth, guide, even > EVEN, radius=15, step=3, sigma_guide=ALIKE, sigma_space=12.0)
    return known._replace(depth=torch.lerp(log_depth, asked, even).exp().numpy())
