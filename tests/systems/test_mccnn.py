"""MC-CNN: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from epipole.engine.fit import Train, fit
from epipole.systems.stereo.mccnn import MCCNN, PRESETS, MCCNNFast, standardised
from epipole.types.errors import InputError
from epipole.types.views import Views

SMALL = PRESETS["small"]
TINY = replace(SMALL, disparities=16, units=16, fast=replace(SMALL.fast, channels=12),
               accurate=replace(SMALL.accurate, channels=8))
both = pytest.mark.parametrize("cls", [MCCNNFast, MCCNN])


def system(cls: type[MCCNNFast] = MCCNNFast, **changes: object) -> MCCNNFast:
    torch.manual_seed(0)
    return cls(replace(TINY, **changes))  # type: ignore[arg-type]


def dots(disparity: int = 5, scenes: int = 1, seed: int = 0, h: int = 32, w: int = 64) -> Views:
    """Pairs of random dots: what the left view sees at x, the right one sees at x - disparity."""
    canvas = F.avg_pool2d(torch.rand(scenes, 3, h + 2, w + 34, generator=torch.Generator().manual_seed(seed)), 3, 1)
    image = torch.stack([canvas[..., :w], canvas[..., disparity : disparity + w]], 1)
    valid = (torch.arange(w) >= disparity).expand(scenes, 2, 1, h, w).clone()
    return Views(image=image, disparity=torch.full((scenes, 2, 1, h, w), float(disparity)), disparity_valid=valid)


@pytest.mark.parametrize(("cls", "count"), [(MCCNNFast, 111_424), (MCCNN, 870_449)])
def test_weights_of_the_paper(cls, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in cls().parameters()) == count


@both
def test_the_description_of_a_pixel_is_that_of_its_patch(cls):
    """What training sees as patches, prediction sees as one image."""
    model, image = system(cls), standardised(dots().image[:, 0])
    described = model.described(image)
    at = torch.tensor([[[10.0, 8.0], [40.0, 20.0], [59.0, 27.0]]])
    patches = model.patches(image, at, torch.eye(2).expand(1, 3, 2, 2))
    assert patches.shape == (1, 3, 1, 9, 9)
    torch.testing.assert_close(patches[0, 0, 0], image[0, 0, 4:13, 6:15])
    for k, (x, y) in enumerate(at[0].long().tolist()):
        torch.testing.assert_close(model.tower(patches[0, k : k + 1])[0, :, 0, 0], described[0, :, y, x])


@both
def test_the_cost_of_a_pair_is_what_training_compares(cls):
    """The volume at (d, x) knows the left patch at x and the right one at x - d, and is worst where there is none."""
    model, (left, right) = system(cls), (standardised(x) for x in dots().image.unbind(1))
    one, two = model.described(left), model.described(right)
    cost = model.cost(left, right)
    assert cost.shape == (1, 16, 32, 64)
    for d, y, x in ((0, 3, 3), (5, 10, 30), (15, 31, 63), (15, 8, 15)):
        a, b = one[..., y, x, None, None], two[..., y, x - d, None, None]
        expected = torch.sigmoid(-model.decide(a, b)) if cls is MCCNN else -F.cosine_similarity(a, b)
        torch.testing.assert_close(cost[:, d, y, x], expected.flatten())
    assert all((cost[:, d, :, :d] == 1).all() for d in range(16))
    assert cost.max() <= 1


@pytest.mark.parametrize("disparity", [2, 9])
def test_even_untrained_it_finds_what_is_identical_and_a_moved_image_moves_it(disparity):
    model = system().eval()
    found = model(dots(disparity)).disparity
    assert (found - disparity).abs().median() < 0.1
    assert ((found - disparity).abs() < 1).float().mean() > 0.9


def test_the_occluded_takes_the_background_and_edges_stay():
    """A square of 12 px before a wall of 4 px: the right image does not see the strip of 8 px to its left."""
    wall, square = (standardised(dots(0, seed=s, h=48, w=96).image[:, 0]) for s in (0, 1))
    images = [wall.clone(), wall.roll(-4, -1)]
    images[0][..., 12:36, 40:70] = square[..., 12:36, 40:70]
    images[1][..., 12:36, 28:58] = square[..., 12:36, 40:70]
    weak = replace(TINY.fast, P1=0.02, P2=0.1)  # untrained descriptions differ little
    model = system(fast=weak).eval()
    found = model(Views(image=torch.stack(images, 1).repeat(1, 1, 3, 1, 1))).disparity[0, 0]
    assert (found[16:32, 46:64] - 12).abs().mean() < 1
    assert (found[16:32, 33:38].median() - 4).abs() < 1
    assert ((found[:, 76:90] - 4).abs() < 1).float().mean() > 0.95


@pytest.mark.parametrize(("cls", "steps"), [(MCCNNFast, 40), (MCCNN, 150)])
def test_it_learns_to_tell_a_match_from_a_wrong_patch_under_another_light(cls, steps):
    """On pairs it has not seen, whose right image is inverted, which no untrained similarity survives."""
    def inverted(seed: int) -> Views:
        fields = dots(7, 4, seed).fields()
        return Views(**fields | {"image": torch.cat([fields["image"][:, :1], 1 - fields["image"][:, 1:]], 1)})

    def right_ones(model: MCCNNFast) -> float:
        views = inverted(99)
        with torch.no_grad():
            cost = model.cost(*(standardised(x) for x in views.image.unbind(1)))
        return float((cost.argmin(1)[..., 16:] - 7).abs().le(1).float().mean())

    model = system(cls, augment=False)
    before = right_ones(model)
    fit(model, inverted, Train(steps=steps, learning_rate=5e-3, device="cpu"))
    assert before < 0.2
    assert right_ones(model) > 0.6


def test_the_hinge_is_the_papers():
    one = F.normalize(torch.tensor([[1.0, 0], [1, 0], [1, 0]]))[..., None, None]
    match = F.normalize(torch.tensor([[1.0, 0], [1, 1], [0, 1]]))[..., None, None]
    wrong = F.normalize(torch.tensor([[0.0, 1], [1, 1], [1, 0]]))[..., None, None]
    assert system().objective(one, match, wrong)["hinge"].tolist() == pytest.approx([0, 0.2, 1.2])


def test_patches_that_teach_lie_where_the_truth_says():
    """Of a pair with a ramp as its right image, the patches tell their own place."""
    model, seen = system(augment=False), []
    views = dots(5, w=64)
    views.disparity_valid[..., :24], views.disparity_valid[..., 44:] = False, False
    ramp = torch.arange(64.0).expand(1, 3, 32, 64) / 64
    model.objective = lambda one, match, wrong: seen.extend((match, wrong)) or {"none": one.sum((1, 2, 3))}
    model.tower = torch.nn.Identity()
    model.loss(Views(**views.fields() | {"image": torch.stack([ramp, ramp], 1)}))
    match, wrong = ((p[:, 0, 4, 4] * 64 * (1 / 12) ** 0.5) for p in seen)  # a ramp's deviation is its length / sqrt 12
    gap = (wrong - match).abs()
    assert (gap > 2.9).all()
    assert (gap < 11.1).all()
    assert ((wrong - match) > 0).any()
    assert ((wrong - match) < 0).any()


def test_unknown_disparity_teaches_nothing():
    model, views = system(), dots(5)
    fields = views.fields() | {"disparity_valid": torch.zeros_like(views.disparity_valid),
                               "disparity": torch.full_like(views.disparity, torch.nan)}
    terms = model.loss(Views(**fields))
    sum(terms.values()).backward()
    assert all(term == 0 for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_uniform_image_has_a_disparity():
    assert torch.isfinite(system().eval()(Views(image=torch.full((1, 2, 3, 12, 20), 0.5))).disparity).all()


@both
def test_images_narrower_than_the_candidates(cls):
    assert system(cls).eval()(Views(image=torch.rand(1, 2, 3, 12, 10))).disparity.shape == (1, 1, 12, 10)


@both
@pytest.mark.parametrize("shape", [(1, 3, 3, 32, 32), (1, 2, 1, 32, 32), (2, 3, 32, 32)])
def test_what_is_no_pair_is_refused(cls, shape):
    with pytest.raises(InputError, match="MC-CNN"):
        system(cls)(Views(image=torch.rand(shape)))
