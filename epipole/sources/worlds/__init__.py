"""Procedural worlds: clips with the exact truth of all they show, drawn from a seed.

    world = World(Spec("room", seed=3))         # a source of Views
    world = World(Spec("street"), FIELDS)       # with all that a world can tell
    write_world(Spec(seed=3), "folder")         # the same as files
    write_kitti(Spec("street"), "folder")       # as a sequence of KITTI's, in stereo
    write_mesh(world, "room.glb")               # its geometry
"""

from .export import contact_sheet, write_video, write_world
from .families import FAMILIES
from .layouts import write_kitti, write_mesh
from .spec import TYPICAL, Sensor, Spec
from .stream import Stream
from .world import FIELDS, USUAL, RoomWorld, World

__all__ = ["FAMILIES", "FIELDS", "TYPICAL", "USUAL", "RoomWorld", "Sensor", "Spec", "Stream", "World",
           "contact_sheet", "write_kitti", "write_mesh", "write_video", "write_world"]
