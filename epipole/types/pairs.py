"""Pairs among the views: rectified stereo pairs, and each view with the next."""

from torch import Tensor

from .errors import InputError
from .views import Views


def rectified_pair(views: Views, who: str) -> tuple[Tensor, Tensor]:
    """The left and the right colour images [b 3 h w] of rectified pairs: view 0 is left, view 1 right, and a baseline
    says that they are a pair at all; two frames of a clip have none.

    Raises InputError for anything else, in the name of the system `who`; MissingField without a baseline.
    """
    image, shape = views.image, list(views.image.shape)
    if len(shape) != 5 or shape[1:3] != [2, 3]:
        raise InputError(f"{who} learns from rectified pairs [scenes, 2, 3, height, width], left then right, "
                         f"not from images {shape}")
    if not (views.baseline > 0).all():
        raise InputError(f"{who} learns from rectified pairs, left then right: give baselines above 0")
    return image[:, 0], image[:, 1]


def next_views(views: Views, who: str) -> tuple[Tensor, Tensor]:
    """Every view and the view that its flow leads to [scenes * views 3 h w]: the next one, from the last the first.

    Raises InputError, in the name of the system `who`, for anything but colour images in scenes.
    """
    image = views.image
    if image.ndim != 5 or image.shape[2] != 3:
        raise InputError(f"{who} reads colour images [scenes, views, 3, height, width], not {list(image.shape)}")
    return image.flatten(0, 1), image.roll(-1, 1).flatten(0, 1)


def two_views(views: Views, who: str) -> tuple[Tensor, Tensor]:
    """The left and the right colour images [b 3 h w] of pairs that are taken to be rectified.

    Raises InputError, in the name of the system `who`, for anything but two colour images in scenes.
    """
    image, shape = views.image, list(views.image.shape)
    if len(shape) != 5 or shape[1:3] != [2, 3]:
        raise InputError(f"{who} reads pairs of colour images [scenes, 2, 3, height, width], left then right, "
                         f"not {shape}")
    return image[:, 0], image[:, 1]
