"""Motion and poses that nothing was learned for."""

import cv2
import numpy as np
import pytest
import torch

from epipole.geometry.motion import angle, se3_exp, se3_inverse
from epipole.judges.paths import constant_velocity, mean_motion
from epipole.methods.motion import ConstantVelocity, MeanMotion, NearestImage, NearestPose, TwoViewOdometry
from epipole.types.views import Views

STEP = se3_exp(torch.tensor([0.1, 0.02, 0.3, 0.01, -0.02, 0.03], dtype=torch.float64))
K = torch.tensor([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])


def powers(n: int) -> torch.Tensor:
    return torch.stack([torch.linalg.matrix_power(STEP, k) for k in range(n)])


def test_the_mean_motion_is_done_again_and_again():
    path = MeanMotion(torch.from_numpy(mean_motion([powers(4).numpy()])))(Views(image=torch.rand(2, 5, 3, 16, 16)))
    assert path.T_first_camera.shape == (2, 5, 4, 4)
    torch.testing.assert_close(path.T_first_camera[1], powers(5).float(), atol=1e-6, rtol=0)


def test_constant_velocity_goes_on_as_the_judges_own():
    twists = 0.2 * torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0))
    T = se3_exp(twists.cumsum(1))
    path = ConstantVelocity()(Views(image=torch.rand(3, 6, 3, 16, 16), T_world_camera=T)).T_first_camera
    frames = np.arange(6)
    for scene in range(3):
        expected = constant_velocity(T[scene].double().numpy(), np.zeros_like(frames), frames)
        np.testing.assert_allclose(path[scene].numpy(), expected, atol=2e-5)
    alone = ConstantVelocity()(Views(image=torch.rand(1, 1, 3, 16, 16), T_world_camera=T[:1, :1])).T_first_camera
    torch.testing.assert_close(alone[0, 0], torch.eye(4))


def test_the_image_most_alike_is_found_in_another_light():
    images, poses = torch.rand(5, 1, 3, 32, 48), se3_exp(torch.randn(5, 6))[:, None]
    nearest = NearestImage.of(Views(image=i, T_world_camera=T) for i, T in zip(images, poses, strict=True))
    darker = Views(image=0.5 * images[[3, 1]] + 0.1)
    assert torch.equal(nearest(darker).T_world_camera, poses[[3, 1]])


def test_the_pose_nearest_to_the_truth():
    poses, at = se3_exp(torch.randn(7, 6)), se3_exp(torch.randn(1, 4, 6))
    found = NearestPose(poses)(Views(image=torch.rand(1, 4, 3, 16, 16), T_world_camera=at)).T_world_camera
    for n in range(4):
        gaps = [float((T[:3, 3] - at[0, n, :3, 3]).norm()) for T in poses]
        assert torch.equal(found[0, n], poses[int(np.argmin(gaps))])


def rendered(T_world_camera: torch.Tensor) -> torch.Tensor:
    """Textured boards, 3 to 6 m away, the nearer before the farther, seen by cameras at these poses [n 4 4]."""
    rng = np.random.default_rng(1)
    boards = [(6.0, -4.0, -3.0, 8.0, 6.0), (5.0, -2.2, -1.4, 1.6, 2.6), (4.2, 0.4, -1.3, 1.2, 1.2),
              (3.5, -0.4, 0.1, 0.9, 1.0), (3.0, 0.7, 0.2, 0.6, 0.8), (4.6, -0.6, -1.5, 0.8, 1.2)]  # z, left, top, size
    textures = [cv2.GaussianBlur(rng.integers(0, 255, (round(60 * h), round(60 * w), 3), np.uint8), (0, 0), 0.8)
                for *_, w, h in boards]
    K_fine = np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]])
    images = []
    for T in se3_inverse(T_world_camera).numpy():
        image = np.zeros((480, 640, 3), np.uint8)
        for k in sorted(range(len(boards)), key=lambda k: -boards[k][0]):
            z, left, top, *_ = boards[k]
            on_board = np.array([[1 / 60, 0, left], [0, 1 / 60, top], [0, 0, z], [0, 0, 1]])
            cv2.warpPerspective(textures[k], K_fine @ T[:3] @ on_board, (640, 480), image, cv2.INTER_LINEAR,
                                cv2.BORDER_TRANSPARENT)
        images.append(cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("features", ["sift", "orb"])
def test_two_views_tell_rotation_and_direction(features):
    T = se3_exp(torch.tensor([[0.0] * 6, [0.3, 0.0, 0.05, 0.0, 0.03, 0.01], [0.55, 0.1, 0.1, 0.01, 0.05, 0.0]]))
    views = Views(image=rendered(T)[None], K=K.expand(1, 3, 3, 3).clone())
    found = TwoViewOdometry(features, step=0.3)(views).T_first_camera[0]
    torch.testing.assert_close(found[0], torch.eye(4))
    for k in (1, 2):
        one, own = (se3_inverse(path[k - 1]) @ path[k] for path in (T, found))
        assert float(own[:3, 3].norm()) == pytest.approx(0.3, rel=1e-4)
        assert float(angle(one[:3, :3].mT @ own[:3, :3]).rad2deg()) < 1.5
        assert float(torch.nn.functional.cosine_similarity(one[:3, 3], own[:3, 3], dim=0)) > 0.9


def test_where_nothing_matches_the_camera_stands_still():
    views = Views(image=torch.zeros(1, 3, 3, 64, 64), K=K.expand(1, 3, 3, 3).clone())
    assert torch.equal(TwoViewOdometry()(views).T_first_camera[0], torch.eye(4).expand(3, 4, 4))
