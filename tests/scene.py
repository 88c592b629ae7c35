"""A textured slanted plane seen by a moving camera: every field of Views, known in closed form."""

import torch
from torch import Tensor

from epipole.geometry.camera import pixel_grid, project, transform, unproject
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.types.views import Views

NORMAL, DISTANCE = torch.tensor([0.15, -0.2, 1.0]), 3.0  # the plane NORMAL . X = DISTANCE in the world


def plane_clip(scenes: int = 2, views: int = 3, height: int = 64, width: int = 96) -> Views:
    """Scenes differ in texture and motion; the texture is smooth, so that bilinear look-up is nearly exact."""
    twist = torch.tensor([0.12, 0.02, 0.05, 0.01, -0.015, 0.008]) * (1 + 0.3 * torch.arange(scenes)[:, None])
    clip = plane_views(se3_exp(twist[:, None] * torch.arange(views)[:, None]), height, width)
    return Views(**clip.fields(), imu=readings(twist, views))


def plane_pair(scenes: int = 2, height: int = 64, width: int = 96) -> Views:
    """Rectified pairs, left then right, 0.2 apart; scenes differ in texture and in where the cameras stand."""
    twist = torch.tensor([0.12, 0.02, 0.05, 0.01, -0.015, 0.008]) * torch.arange(scenes)[:, None]
    right = torch.eye(4)
    right[0, 3] = baseline = 0.2
    left = se3_exp(twist)
    views = plane_views(torch.stack([left, left @ right], 1), height, width)
    disparity = views.K[..., :1, :1, None] * baseline / views.depth
    sees = torch.tensor([1, -1])[:, None, None] * disparity[:, :, 0]
    partner = torch.arange(width) - sees[:, :, None]
    return Views(**views.fields(), disparity=disparity, disparity_valid=(partner >= 0) & (partner <= width - 1),
                 baseline=torch.full((scenes, 2), baseline))


def plane_stack(scenes: int = 2, slices: int = 5, height: int = 64, width: int = 96) -> Views:
    """Focal stacks, the nearest focus first, through a lens of 0.4 that is eight pinholes on a ring; scenes differ in
    texture and in where the camera stands."""
    twist = torch.tensor([0.12, 0.02, 0.05, 0.01, -0.015, 0.008]) * torch.arange(scenes)[:, None]
    sharp = plane_views(se3_exp(twist)[:, None], height, width)
    focus, image = 1 / torch.linspace(1 / 2, 1 / 5, slices), []
    for z in focus:
        in_focus, turn = unproject(torch.full_like(sharp.depth, float(z)), sharp.K), torch.arange(8) * torch.pi / 4
        light = [texture(through_plane(sharp.T_world_camera, a, in_focus), torch.arange(scenes)[:, None])
                 for a in 0.2 * torch.stack([turn.cos(), turn.sin(), 0 * turn], 1)]
        image.append(torch.stack(light).mean(0))
    depth = sharp.depth.expand(-1, slices, -1, -1, -1).clone()
    return Views(image=torch.cat(image, 1), focus=focus.expand(scenes, slices).clone(), depth=depth,
                 depth_valid=torch.ones_like(depth, dtype=torch.bool))


def through_plane(T_world_camera: Tensor, start: Tensor, towards: Tensor) -> Tensor:
    """Where rays from one point [3] to others [b n 3 h w], both in camera axes, meet the plane, in the world."""
    a = (T_world_camera[..., :3, :3] @ start[:, None] + T_world_camera[..., :3, 3:])[..., None]
    along = transform(T_world_camera, towards) - a
    reach = (DISTANCE - torch.einsum("i,bnihw->bnhw", NORMAL, a)) / torch.einsum("i,bnihw->bnhw", NORMAL, along)
    return a + reach[:, :, None] * along


def plane_views(T_world_camera: Tensor, height: int, width: int, K: Tensor | None = None) -> Views:
    """What cameras at these poses [b n 4 4] see, of the usual lens or with these intrinsics [b n 3 3]."""
    scenes, views = T_world_camera.shape[:2]
    if K is None:
        K = torch.tensor([[0.8 * width, 0, (width - 1) / 2], [0, 0.8 * width, (height - 1) / 2], [0, 0, 1]])
    K = K.expand(scenes, views, 3, 3).clone()
    depth = plane_depth(T_world_camera, K, height, width)
    image = texture(transform(T_world_camera, unproject(depth, K)), torch.arange(scenes)[:, None])
    next_view = torch.arange(1, views + 1) % views
    T_next_this = se3_inverse(T_world_camera[:, next_view]) @ T_world_camera
    target, front = project(transform(T_next_this, unproject(depth, K)), K[:, next_view])
    inside = ((target >= 0) & (target <= torch.tensor([width - 1, height - 1])[:, None, None])).all(-3, keepdim=True)
    return Views(image=image, K=K, T_world_camera=T_world_camera, depth=depth, depth_valid=torch.ones_like(front),
                 flow=target - pixel_grid(height, width, target), flow_valid=front & inside,
                 flow_known=front, instance=left_half(depth))


def readings(twist: Tensor, views: int, count: int = 4) -> Tensor:
    """What an inertial sensor in the camera measures [b n count 6] while it moves by `twist` [b 6] every second and
    takes a view; y points down."""
    times = torch.arange(views)[:, None] + (torch.arange(count) + 1) / count - 1
    v, w = (x[:, None, None] for x in twist.split(3, -1))
    R = se3_exp(twist[:, None, None] * times[..., None])[..., :3, :3]
    pull = torch.linalg.cross(w, v) - (R.mT @ torch.tensor([0, 9.81, 0]))
    return torch.cat([w.expand_as(pull), pull], -1)


def left_half(like: Tensor) -> Tensor:
    """Instance 0 there, none elsewhere."""
    return (torch.arange(like.shape[-1]) >= like.shape[-1] // 2).long().neg().expand_as(like)


def plane_depth(T_world_camera: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """z of the plane at every pixel: n . (R d z + t) = c for the ray d."""
    rays = unproject(torch.ones(*K.shape[:2], 1, height, width), K)
    along = torch.einsum("i,bnij,bnjhw->bnhw", NORMAL, T_world_camera[..., :3, :3], rays)
    gap = DISTANCE - torch.einsum("i,bni->bn", NORMAL, T_world_camera[..., :3, 3])
    return (gap[..., None, None] / along)[:, :, None]


def texture(points: Tensor, scene: Tensor) -> Tensor:
    """Three waves of world x and y per colour, in [0, 1]."""
    x, y = points[:, :, 0], points[:, :, 1]
    phase = scene[..., None, None] + torch.arange(3.0)[:, None, None, None, None]
    waves = torch.sin(4 * x + phase) + torch.sin(5 * y - 2 * phase) + torch.sin(3 * x - 6 * y + 3 * phase)
    return (0.5 + waves / 6).permute(1, 2, 0, 3, 4)
