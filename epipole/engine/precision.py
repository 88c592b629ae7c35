"""Networks in bfloat16, geometry in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def networks_in_bf16(system: nn.Module, enabled: bool = True) -> Iterator[None]:
    """Within the block the system's networks compute in bfloat16, and everything between them in float32.

    A network is a child of the system; members of a ModuleList or ModuleDict count as children. What a network returns
    (tensors, or lists, tuples and dicts of them) is float32 again: bfloat16 has 8 bits of mantissa, enough for a
    convolution, but a product of poses or a pixel coordinate would be off by whole pixels.
    """
    networks = list(_networks(system)) if enabled else []
    for network in networks:
        network.forward = _lowered(network.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for network in networks:
            del network.forward  # the class's own forward shows again


def channels_last(system: nn.Module) -> None:
    """Lay convolution weights out with channels last, which is faster on CPU and tensor cores; values stay."""
    for weight in system.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _networks(child)
        else:
            yield child


def _lowered(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        with torch.autocast(device, torch.bfloat16):
            out = forward(*args, **kwargs)
        return _float32(out)

    return run


def _float32(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.float() if x.dtype == torch.bfloat16 else x
    if isinstance(x, dict):
        return {k: _float32(v) for k, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(_float32, x))
    return type(x)(map(_float32, x)) if isinstance(x, list | tuple) else x
