"""What comes out. Judges, viewer and pipelines know these types, never a system."""

from jaxtyping import Bool, Float, Int
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


class TwoViewGeometry(DepthAndMotion):
    flow: Float[Tensor, "*B N 2 H W"]             # px, from view n to view n+1 (the last one's leads to view 0)
    confidence: Float[Tensor, "*B N 2 H W"]       # in flow's x and in its y, in [0, 1]
    normals: Float[Tensor, "*B N 3 H W"]          # outward, unit length, camera axes


class Pose(Prediction):
    T_world_camera: Float[Tensor, "*B N 4 4"]     # each view by itself, in a known world, m


class Flow(Prediction):
    flow: Float[Tensor, "*B N 2 H W"]             # px, from view n to view n+1 (the last one's leads to view 0)
    log_variance: Float[Tensor, "*B N 2 H W"]


class Disparity(Prediction):
    disparity: Float[Tensor, "*B 1 H W"]          # px of view 0 of a rectified pair; view 1 sees x at x - disparity
    log_variance: Float[Tensor, "*B 1 H W"]


class Keypoints(Prediction):
    score_map: Float[Tensor, "*B N 1 H W"]        # probability of an interest point
    descriptors: Float[Tensor, "*B N D h w"]      # unit length, dense, on a coarser grid


class Descriptor(Prediction):
    descriptor: Float[Tensor, "*B N D"]           # of a whole image or patch


class Classes(Prediction):
    logits: Float[Tensor, "*B K"]                 # of a whole image


class PixelClasses(Prediction):
    logits: Float[Tensor, "*B N K H W"]


class VoxelClasses(Prediction):
    logits: Float[Tensor, "*B K X Y Z"]


class Occupancy(Prediction):
    logits: Float[Tensor, "*B X Y Z"]


class Points(Prediction):
    points: Float[Tensor, "*B P 3"]


class NewView(Prediction):
    image: Float[Tensor, "*B N C H W"]            # in [0, 1], as seen from the views asked for


class Surface(Prediction):
    """Triangles; seen from outside their corners go round counter-clockwise."""

    vertices: Float[Tensor, "*B V 3"]             # in the world, m or up to one scale per scene
    faces: Int[Tensor, "*B F 3"]                  # three vertices each
    colour: Float[Tensor, "*B V 3"]               # of the vertices, in [0, 1]


class Matches(Prediction):
    """Points of view 0 found again in view 1."""

    matches: Float[Tensor, "*B M 4"]              # px, x y in view 0 and x y in view 1
    matches_valid: Bool[Tensor, "*B M"]           # which rows hold a match; the others fill the batch
    confidence: Float[Tensor, "*B M"]             # that a match is right, in [0, 1]


class Fundamental(Prediction):
    F: Float[Tensor, "*B 3 3"]                    # x1^T F x0 = 0 for pixels x0 of view 0, x1 of view 1; any scale
    inlier: Bool[Tensor, "*B M"]                  # which of the matches agree


class Essential(Prediction):
    E: Float[Tensor, "*B 3 3"]                    # the same on the planes z = 1
    T_second_first: Float[Tensor, "*B 4 4"]       # of view 1 and view 0; the translation has length 1
    inlier: Bool[Tensor, "*B M"]


class Homography(Prediction):
    H: Float[Tensor, "*B 3 3"]                    # x1 ~ H x0 for pixels x0 of view 0, x1 of view 1; any scale
    inlier: Bool[Tensor, "*B M"]
