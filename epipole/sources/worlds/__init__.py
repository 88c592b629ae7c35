"""Procedural worlds: clips with the exact truth of all they show, drawn from a seed.

    world = World(Spec("room", seed=3))         # a source of Views
    world = World(Spec("street"), FIELDS)       # with all that a world can tell
    write_world(Spec(seed=3), "folder")         # the same as files
    write_kitti(Spec("street"), "folder")       # as a sequence of KITTI's, in stereo
    write_tartanair(tartanair_camera(Spec("flying")), "folder")  # as a trajectory of TartanAir's, with flow
    write_mesh(world, "room.glb")               # its geometry
    Turntable(Spec("objects"), 100)             # a hundred things from all round, and the shape of each
    Faces(Spec("faces"), 100)                   # a hundred people in several poses and expressions

Pictures that are drawn and not rendered (corners, digits, lines) are in `drawn`.
"""

from .export import contact_sheet, is_written, write_video, write_world
from .families import FAMILIES
from .layouts import LAYOUTS, tartanair_camera, write_kitti, write_mesh, write_tartanair
from .portraits import Faces
from .spec import TYPICAL, Sensor, Spec
from .stream import Stream
from .truths import TRUTHS, check_truths
from .turntable import Rig, Turntable
from .world import FIELDS, USUAL, RoomWorld, World

__all__ = ["FAMILIES", "FIELDS", "LAYOUTS", "TRUTHS", "TYPICAL", "USUAL", "Faces", "Rig", "RoomWorld", "Sensor",
           "Spec", "Stream", "Turntable", "World", "check_truths", "contact_sheet", "is_written", "tartanair_camera",
           "write_kitti", "write_mesh", "write_tartanair", "write_video", "write_world"]
