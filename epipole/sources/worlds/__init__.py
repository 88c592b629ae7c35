"""Procedural worlds: clips with exact depth, path and flow, drawn from a seed.

    world = RoomWorld(Spec(seed=3))         # a source of Views
    write_world(Spec(seed=3), "folder")     # the same as files
"""

from .export import contact_sheet, write_video, write_world
from .spec import Spec
from .world import FAMILIES, RoomWorld, World

__all__ = ["FAMILIES", "RoomWorld", "Spec", "World", "contact_sheet", "write_video", "write_world"]
