"""Worlds are fit to be learned from: things to follow in most images, honest hard cases, light that is bearable."""

import cv2
import numpy as np
import pytest

from epipole.sources.worlds import FAMILIES, Spec, World
from epipole.sources.worlds.materials import draw_materials

MOST = {"objects": 15, "faces": 15}  # features in half of all images, where little is to be seen; elsewhere 80
EACH = [pytest.param(family, level, marks=[] if (family, level) == ("tabletop", 2) else [pytest.mark.slow])
        for family in FAMILIES for level in range(4)]


@pytest.mark.parametrize(("level", "bare", "shining"), [(0, 0.0, 0.0), (1, 0.0, 0.0), (2, 0.1, 0.05), (3, 0.25, 0.12)])
def test_hard_cases_come_in_their_shares(level: int, bare: float, shining: float) -> None:
    """A surface that is never bare by itself, 4000 times."""
    drawn = draw_materials(["print"] * 4000, level, np.random.default_rng(level))
    assert (drawn.grain == 0).mean() == pytest.approx(bare, abs=0.02)
    assert (drawn.gloss > 0).mean() == pytest.approx(shining, abs=0.015)
    assert len(np.unique(drawn.pattern)) >= 4
    hard = drawn.hardness[drawn.gloss > 0]
    assert ((hard >= 10) & (hard <= 80)).all()


@pytest.mark.parametrize(("family", "level"), EACH)
def test_most_images_have_features_and_bearable_light(family: str, level: int) -> None:
    counts, sift = [], cv2.SIFT_create()
    for seed in range(3):
        world = World(Spec(family, level, seed=seed, frames=2))
        image = (world[0].image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        counts.append(len(sift.detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)))
        assert 30 < image.mean() < 240
        assert image.std() > 12
        assert (image == 255).all(-1).mean() < 0.35
    assert np.median(counts) > MOST.get(family, 80)
