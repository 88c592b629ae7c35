import pytest
import torch
from torch import nn

from epipole.engine.precision import channels_last, networks_in_bf16


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 4)
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])

    def forward(self, x):
        y = self.net(x)
        return y, [head(y) for head in self.heads], x @ x.mT


def test_networks_round_to_bf16_and_geometry_does_not():
    system, x = Two(), torch.randn(5, 4)
    y, heads, product = system(x)
    with networks_in_bf16(system):
        low_y, low_heads, low_product = system(x)
    assert torch.equal(product, low_product)
    for a, b in zip([y, *heads], [low_y, *low_heads], strict=True):
        assert b.dtype == torch.float32
        assert not torch.equal(a, b)
        assert (a - b).abs().max() < 0.05
    assert torch.equal(low_y, low_y.bfloat16().float())


def test_afterwards_all_is_as_before_even_after_an_error():
    system, x = Two(), torch.randn(5, 4)
    y = system(x)[0]
    with pytest.raises(RuntimeError), networks_in_bf16(system):
        system(torch.randn(5, 3))
    assert torch.equal(system(x)[0], y)
    assert "forward" not in vars(system.net)
    with networks_in_bf16(system, enabled=False):
        assert torch.equal(system(x)[0], y)


def test_gradients_arrive_in_float32():
    system = Two()
    with networks_in_bf16(system):
        system(torch.randn(5, 4))[1][0].sum().backward()
    assert system.net.weight.grad.dtype == torch.float32
    assert system.net.weight.grad.abs().sum() > 0


def test_channels_last_keeps_values_and_every_kind_of_weight():
    system = nn.ModuleList([nn.Conv2d(3, 5, 3), nn.Conv3d(2, 2, 3), nn.Linear(2, 2)])
    before = {k: v.clone() for k, v in system.state_dict().items()}
    channels_last(system)
    assert system[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(v, before[k]) for k, v in system.state_dict().items())
