"""What comes out. Judges, viewer and pipelines know these types, never a system."""

from jaxtyping import Float, Int
from torch import Tensor

from .batch import Batch


class Prediction(Batch):
    """Base of all predictions."""


class Depth(Prediction):
    depth: Float[Tensor, "*B N 1 H W"]            # z in m, or up to one scale per scene
    log_variance: Float[Tensor, "*B N 1 H W"]     # of log depth, where a system knows how unsure it is


class Motion(Prediction):
    T_first_camera: Float[Tensor, "*B N 4 4"]     # camera path in the first camera's frame


class DepthAndMotion(Depth, Motion):
    pass


class Surface(Prediction):
    """Triangles; seen from outside their corners go round counter-clockwise."""

    vertices: Float[Tensor, "*B V 3"]             # in the world, m or up to one scale per scene
    faces: Int[Tensor, "*B F 3"]                  # three vertices each
    colour: Float[Tensor, "*B V 3"]               # of the vertices, in [0, 1]
