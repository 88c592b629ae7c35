"""Procedural worlds: clips with the exact truth of all they show, drawn from a seed.

    world = World(Spec("room", seed=3))         # a source of Views
    world = World(Spec("street"), FIELDS)       # with all that a world can tell
    write_world(Spec(seed=3), "folder")         # the same as files
"""

from .export import contact_sheet, write_video, write_world
from .families import FAMILIES
from .spec import TYPICAL, Sensor, Spec
from .stream import Stream
from .world import FIELDS, USUAL, RoomWorld, World

__all__ = ["FAMILIES", "FIELDS", "TYPICAL", "USUAL", "RoomWorld", "Sensor", "Spec", "Stream", "World",
           "contact_sheet", "write_video", "write_world"]
