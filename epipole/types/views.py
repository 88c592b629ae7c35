"""What goes in: B scenes, each seen in N views."""

from jaxtyping import Bool, Float
from torch import Tensor

from .batch import Batch


class Views(Batch):
    """B scenes, each seen N times: one image (N=1), a stereo or flow pair (N=2), a clip (N>=3).

    Conventions: right-handed camera, x right, y down, z forward; pixel (0, 0) is the centre of the top-left pixel;
    T_a_b maps points of frame b into frame a, so T_a_c = T_a_b @ T_b_c.
    """

    image: Float[Tensor, "*B N C H W"]           # in [0, 1]
    K: Float[Tensor, "*B N 3 3"]                 # intrinsics, px
    T_world_camera: Float[Tensor, "*B N 4 4"]    # pose; m, or one unknown scale per scene
    depth: Float[Tensor, "*B N 1 H W"]           # z; m, or one unknown scale per scene; meaningless outside depth_valid
    depth_valid: Bool[Tensor, "*B N 1 H W"]      # where depth is known
    flow: Float[Tensor, "*B N 2 H W"]            # px, from view n to view n+1 (the last one's leads to view 0)
    flow_valid: Bool[Tensor, "*B N 1 H W"]       # where flow passed its check
