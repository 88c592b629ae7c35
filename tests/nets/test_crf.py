"""The fully connected field against sums over all pairs and all labellings."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epipole.nets.crf import Crf, mean_field, pairwise_kernel

FIELD = Crf(appearance=0.3, position=3.0, colour=0.2, smoothness=0.2, reach=1.0, iterations=3)


def scene(labels: int = 3, height: int = 2, width: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(2, labels, height, width, dtype=torch.float64)
    return logits.log_softmax(1), torch.rand(2, 3, height, width, dtype=torch.float64)


def k(image: Tensor, i: tuple[int, int], j: tuple[int, int], f: Crf) -> float:
    p = (i[0] - j[0]) ** 2 + (i[1] - j[1]) ** 2
    c = sum(float(image[n, *i] - image[n, *j]) ** 2 for n in range(len(image)))
    return (f.appearance * math.exp(-p / 2 / f.position**2 - c / 2 / f.colour**2)
            + f.smoothness * math.exp(-p / 2 / f.reach**2))


def naive(log_p: Tensor, image: Tensor, f: Crf) -> Tensor:
    """One image, pixel by pixel, label by label."""
    labels, h, w = log_p.shape
    pixels, q = list(itertools.product(range(h), range(w))), log_p.exp()
    for _ in range(f.iterations):
        new = torch.empty_like(q)
        for i in pixels:
            for x in range(labels):
                cost = sum(k(image, i, j, f) * abs(x - y) * float(q[y, *j])
                           for j in pixels if j != i for y in range(labels))
                new[x, *i] = float(log_p[x, *i].exp()) * math.exp(-cost)
        q = new / new.sum(0)
    return q


def test_mean_field_is_the_sum_over_all_pairs():
    log_p, image = scene(2, 2, 2)
    crf = replace(FIELD, iterations=2)
    torch.testing.assert_close(mean_field(log_p, image, crf).exp()[1], naive(log_p[1], image[1], crf))


def energy(labelling: tuple[int, ...], log_p: Tensor, kernel: Tensor) -> float:
    unary = -sum(float(log_p[x, i]) for i, x in enumerate(labelling))
    pairs = itertools.combinations(range(len(labelling)), 2)
    return unary + sum(abs(labelling[i] - labelling[j]) * float(kernel[i, j]) for i, j in pairs)


def test_it_finds_the_labelling_of_least_energy():
    torch.manual_seed(1)
    crf = replace(FIELD, iterations=20)
    changed = 0
    for _ in range(8):
        log_p, image = torch.randn(1, 3, 2, 2).log_softmax(1), torch.rand(1, 3, 2, 2)
        kernel = pairwise_kernel(image, crf)[0]
        best = min(itertools.product(range(3), repeat=4), key=lambda x: energy(x, log_p[0].flatten(1), kernel))
        assert mean_field(log_p, image, crf).argmax(1).flatten().tolist() == list(best)
        changed += log_p.argmax(1).flatten().tolist() != list(best)
    assert changed


@pytest.mark.parametrize("off", [{"appearance": 0.0, "smoothness": 0.0}, {"iterations": 0}])
def test_without_pairs_nothing_changes(off):
    log_p, image = scene(5, 4, 6)
    torch.testing.assert_close(mean_field(log_p, image, replace(FIELD, **off)), log_p)


def test_it_cleans_two_planes_and_keeps_their_edge():
    torch.manual_seed(0)
    image, truth = torch.full((1, 3, 12, 16), 0.2), torch.full((1, 12, 16), 2)
    image[..., 8:], truth[..., 8:] = 0.8, 7
    spoilt = torch.where(torch.rand(1, 12, 16) < 0.2, torch.randint(0, 10, (1, 12, 16)), truth)
    log_p = (-0.5 * (torch.arange(10)[:, None, None] - spoilt[:, None]).abs()).log_softmax(1)
    found = mean_field(log_p, image, Crf(iterations=10)).argmax(1)
    before, after = ((x - truth).abs().float().mean() for x in (spoilt, found))
    assert before > 0.4
    assert after < 0.2 * before
    assert (found[..., 7] == 2).float().mean() > 0.9
    assert (found[..., 8] == 7).float().mean() > 0.9


def test_labels_far_apart_cost_more_than_neighbours():
    """An outlier among pixels of label 0 is drawn half way to them. Potts' model, which sees only that two labels
    differ, would leave it at 3 or take it to 0: of labels 1 to 3 it prefers the likeliest."""
    log_p = torch.full((1, 4, 1, 5), -4.0)
    log_p[0, 0] = 0.0
    log_p[0, :, 0, 2] = torch.tensor([-3.0, -1.5, -1.0, 0.0])
    found = mean_field(log_p.log_softmax(1), torch.zeros(1, 3, 1, 5), replace(FIELD, appearance=0.2, iterations=10))
    assert found.argmax(1).flatten().tolist() == [0, 0, 1, 0, 0]


def test_gradients_are_right_also_where_pixels_are_alike():
    log_p, image = scene(3, 2, 2)
    image[..., 0] = image[..., 1]
    args = [x[:1].clone().requires_grad_() for x in (log_p, image)]
    assert torch.autograd.gradcheck(lambda a, b: mean_field(a, b, FIELD), args)
