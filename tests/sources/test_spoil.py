"""Images made worse on purpose."""

import math

import pytest
import torch

from epipole.sources.source import Source
from epipole.sources.spoil import LIGHT, READ, STREAK, WAYS, Spoiled
from epipole.types.errors import InputError
from epipole.types.views import Views

GAMMA = 2.2


class Same:
    """A source that shows one image again and again."""

    def __init__(self, image: torch.Tensor) -> None:
        self.views = Views(image=image[None], K=torch.eye(3)[None])

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Views:
        return self.views


def seen(image: torch.Tensor, way: str, index: int = 0) -> torch.Tensor:
    return Spoiled(Same(image), way)[index].image[0]


def test_in_the_dark_little_light_and_some_noise_are_left_in_8_bits():
    grey = torch.full((3, 90, 120), 0.9)
    image = seen(grey, "dark")
    light = image.double() ** GAMMA
    assert float(light.mean()) == pytest.approx(LIGHT * 0.9**GAMMA, rel=0.02)
    assert float(light.std()) == pytest.approx(READ, rel=0.1)
    torch.testing.assert_close(255 * image, (255 * image).round(), atol=1e-3, rtol=0)


def test_a_point_becomes_a_line_of_the_length_that_is_said():
    point = torch.zeros(3, 96, 120)
    point[:, 48, 60] = 1
    angles = []
    for index in range(4):
        image = seen(point, "blur", index)
        assert float(image[0].sum()) == pytest.approx(1, rel=1e-5)
        y, x = (image[0] > 0.2 * image.max()).nonzero().double().T
        spread = torch.linalg.eigh(torch.cov(torch.stack([x, y])))
        length, width = math.sqrt(12 * spread.eigenvalues[1]), math.sqrt(12 * spread.eigenvalues[0].clamp(min=0))
        assert length == pytest.approx(STREAK * 120, abs=2.5)
        assert width < 2.5
        angles.append(float(torch.atan2(*spread.eigenvectors[:, 1])))
    assert max(angles) - min(angles) > 0.1


def test_an_even_image_cannot_be_smeared():
    torch.testing.assert_close(seen(torch.full((3, 32, 40), 0.3), "blur"), torch.full((3, 32, 40), 0.3))


@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_same_each_time_and_another_in_every_view(way):
    spoiled = Spoiled(Same(torch.rand(3, 24, 32)), way)
    assert isinstance(spoiled, Source)
    assert len(spoiled) == 5
    first, again, other = spoiled[0], spoiled[0], spoiled[1]
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert torch.equal(first.K, torch.eye(3)[None])
    assert first.image.dtype == torch.float32
    assert 0 <= float(first.image.min()) <= float(first.image.max()) <= 1
    with pytest.raises(IndexError):
        spoiled[5]


def test_a_way_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="dark"):
        Spoiled(Same(torch.rand(3, 24, 32)), "fog")
