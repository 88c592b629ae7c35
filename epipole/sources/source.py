"""What a source of training samples is."""

from typing import Protocol, runtime_checkable

from ..types.views import Views


@runtime_checkable
class Source(Protocol):
    """A sequence of unbatched `Views`: `source[i]` is a clip of N views, `[N C H W]`.

    What is random in a sample is drawn from torch's global generator, which training seeds at every step.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Views: ...
