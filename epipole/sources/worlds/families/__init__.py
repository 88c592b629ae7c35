"""The kinds of worlds: one file each, which builds a scene from a spec and a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..scene import Scene
from ..spec import Spec
from ..spline import Path
from ..trajectory import walk
from . import chairs, faces, flying, objects, room, street, tabletop


@dataclass(frozen=True)
class Family:
    """One kind of world."""

    scene: Callable[[Spec, np.random.Generator], Scene]
    motion: str  # how its camera moves unless the spec says otherwise
    about: str
    path: Callable[[Spec, Scene, str], Path] = walk  # of its camera, moved in this way


FAMILIES = {
    "room": Family(room.scene, "handheld", "furnished rooms, a camera in hand"),
    "objects": Family(objects.scene, "orbit", "one chair, car, table, lamp or blob, seen from all round"),
    "tabletop": Family(tabletop.scene, "handheld", "small things on a table, near enough to be out of focus"),
    "faces": Family(faces.scene, "orbit", "heads of people who do not exist, seen by a camera that sways"),
    "street": Family(street.scene, "drive", "round a city block by car, among cars that drive"),
    "flying": Family(flying.scene, "drone", "things of every shape that fly before a hall, with large displacements"),
    "chairs": Family(chairs.scene, "static", "pairs of furniture cut out and moved in the image plane", chairs.watch),
}
"""The table of contents."""
