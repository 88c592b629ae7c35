"""Named tensors that travel together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from jaxtyping import jaxtyped
from torch import Tensor

from .errors import MissingField

SomeBatch = TypeVar("SomeBatch", bound="Batch")  # typing.Self cannot be checked at run time method by method


class Batch:
    """Named tensors whose axes agree, checked at construction.

    A field nobody knows is absent: reading it raises `MissingField`; it is never None, zeros or a guess.
    Raises TypeError for an unknown field or for shapes that disagree.
    """

    def __init__(self, **fields: Any):
        hints = self.hints()
        if unknown := fields.keys() - hints.keys():
            raise TypeError(f"{type(self).__name__} has no field {sorted(unknown)}; it has {sorted(hints)}")
        with jaxtyped("context"):  # one scope: B, N, H, W must mean the same in every field
            for name, value in fields.items():
                if isinstance(value, Batch):
                    continue  # a batch within a batch has checked itself; its axes are its own
                if not isinstance(value, hints[name]):
                    shape, kind = tuple(value.shape), value.dtype
                    raise TypeError(f"{type(self).__name__}.{name} is {shape} {kind}; it must be {hints[name]} "
                                    f"with the same axes as {sorted(set(fields) - {name})}")
        self.__dict__.update(fields)

    @classmethod
    def hints(cls) -> dict[str, Any]:
        """Field name -> type, over the whole family tree."""
        return {k: v for c in reversed(cls.__mro__) for k, v in inspect.get_annotations(c, eval_str=True).items()}

    def __getattr__(self, name: str) -> Any:  # reached only when the field is absent
        if not name.startswith("_") and name in type(self).hints():
            raise MissingField(f"{name} is not known here, only {', '.join(sorted(self.__dict__))}")
        raise AttributeError(name)

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def fields(self) -> dict[str, Any]:
        """The fields that are present."""
        return dict(self.__dict__)

    def keep(self: SomeBatch, names: Iterable[str]) -> SomeBatch:
        """Only these fields; raises MissingField if one is absent."""
        if absent := set(names) - self.__dict__.keys():
            raise MissingField(f"needs {', '.join(sorted(absent))}, and the source provides only "
                               f"{', '.join(sorted(self.__dict__))}")
        return type(self)(**{k: self.__dict__[k] for k in sorted(names)})

    def map(self: SomeBatch, f: Callable[[Tensor], Tensor]) -> SomeBatch:
        """Every tensor, also of batches within, through f."""
        return type(self)(**{k: v.map(f) if isinstance(v, Batch) else f(v) for k, v in self.__dict__.items()})

    def to(self: SomeBatch, device: torch.device | str) -> SomeBatch:
        """The batch on another device."""
        return self.map(lambda x: x.to(device))

    @classmethod
    def collate(cls: type[SomeBatch], samples: list[SomeBatch]) -> SomeBatch:
        """Stack samples along a new first axis; raises MissingField if one lacks a field of the first."""
        columns = {name: [getattr(sample, name) for sample in samples] for name in samples[0].fields()}
        return cls(**{name: type(column[0]).collate(column) if isinstance(column[0], Batch) else torch.stack(column)
                      for name, column in columns.items()})
