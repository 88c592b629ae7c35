"""What goes in: B scenes, each seen in N views."""

from jaxtyping import Bool, Float, Int64
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
    flow_known: Bool[Tensor, "*B N 1 H W"]       # where flow is known, also where its point is hidden or out of view
    occlusion: Bool[Tensor, "*B N 1 H W"]        # seen in view n, in view n+1 inside the image but hidden
    backward_flow: Float[Tensor, "*B N 2 H W"]   # px, from view n to view n-1 (the first one's leads to the last view)
    backward_flow_valid: Bool[Tensor, "*B N 1 H W"]
    backward_occlusion: Bool[Tensor, "*B N 1 H W"]
    scene_flow: Float[Tensor, "*B N 3 H W"]      # m, a point's place before camera n+1 minus its place before camera n
    ray_length: Float[Tensor, "*B N 1 H W"]      # m, from the camera's centre to the point; sqrt(1 + x^2 + y^2) z
    normals: Float[Tensor, "*B N 3 H W"]         # outward, unit length, camera axes; 0 outside depth_valid
    object_coordinates: Float[Tensor, "*B N 3 H W"]  # m, in the frame of the thing itself; 0 outside depth_valid
    semantic: Int64[Tensor, "*B N 1 H W"]        # class; 0: nothing known
    instance: Int64[Tensor, "*B N 1 H W"]        # which thing; -1: none
    disparity: Float[Tensor, "*B N 1 H W"]       # px, left u minus right u of a rectified pair: f baseline / z, or 0
    disparity_valid: Bool[Tensor, "*B N 1 H W"]  # where the other camera of the pair sees the same point
    baseline: Float[Tensor, "*B N"]              # m, from the left camera of a rectified pair to the right one
    matches: Float[Tensor, "*B M 4"]             # px, x y of a point in view 0 and x y in view 1
    matches_valid: Bool[Tensor, "*B M"]          # which rows hold a match; the others fill the batch
    imu: Float[Tensor, "*B N R 6"]               # R even readings since the view before, the last one now: gyro rad/s,
    #                                              acceleration m/s^2 (9.81 upwards at rest), in the sensor's axes
    distortion: Float[Tensor, "*B N 5"]          # k1 k2 p1 p2 k3 (Brown 1966)
    label: Int64[Tensor, "*B N"]                 # class of what a view shows as a whole
    silhouette: Bool[Tensor, "*B N 1 H W"]       # the pixels of the one thing that the scene is about
    keypoints: Float[Tensor, "*B N P 2"]         # px, x y of points to detect
    keypoints_valid: Bool[Tensor, "*B N P"]      # which rows hold a point; the others fill the batch
    focus: Float[Tensor, "*B N"]                 # m, z at which the lens is focused
    occupancy: Bool[Tensor, "*B D D D"]          # z y x, voxels within the one thing that the scene is about
    surface_points: Float[Tensor, "*B S 3"]      # m, world, evenly on its surface
    geometry_image: Float[Tensor, "*B 3 G G"]    # m, world, its surface laid flat by the octahedral map
