"""The kinds of worlds: one file each, which builds a scene from a spec and a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..scene import Scene
from ..spec import Spec
from . import room, street


@dataclass(frozen=True)
class Family:
    """One kind of world."""

    scene: Callable[[Spec, np.random.Generator], Scene]
    motion: str  # how its camera moves unless the spec says otherwise
    about: str


FAMILIES = {
    "room": Family(room.scene, "handheld", "furnished rooms, a camera in hand"),
    "street": Family(street.scene, "drive", "round a city block by car, among cars that drive"),
}
"""The table of contents."""
