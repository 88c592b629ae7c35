"""Folders of pairs, and the formats of their truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from epipole.formats import flo, kitti, png16
from epipole.sources.pairs import FLOW, STEREO, FlowFolder, StereoFolder, holds_pairs
from epipole.sources.wrap import Joined, Part, resized
from epipole.types.errors import InputError
from epipole.types.pairs import rectified_pair
from epipole.types.views import Views

H, W, SHIFT = 24, 40, 6
K = np.array([[30.0, 0, 19.5], [0, 30.0, 11.5], [0, 0, 1]])


def write_stereo(folder: Path, pairs: int = 2, truth: bool = True) -> Path:
    """Textures, the right one moved by SHIFT; the first SHIFT columns are unknown."""
    for name in (*STEREO, "disparity"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(pairs):
        wide = np.random.default_rng(i).integers(0, 255, (H, W + SHIFT, 3), np.uint8)
        cv2.imwrite(str(folder / "left" / f"{i}.png"), wide[:, :W])
        cv2.imwrite(str(folder / "right" / f"{i}.png"), wide[:, SHIFT:])
        disparity = np.full((H, W), float(SHIFT))
        disparity[:, :SHIFT] = 0
        png16.write(folder / "disparity" / f"{i}.png", disparity, 256.0)
    if truth:
        kitti.write_intrinsics(folder / "intrinsics.txt", K)
        (folder / "baseline.txt").write_text("0.5\n")
    return folder


def write_flow(folder: Path, pairs: int = 2) -> Path:
    """Textures that move by SHIFT to the left; flow of what leaves is unknown."""
    for name in (*FLOW, "flow"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(pairs):
        wide = np.random.default_rng(i).integers(0, 255, (H, W + SHIFT, 3), np.uint8)
        cv2.imwrite(str(folder / "first" / f"{i}.png"), wide[:, :W])
        cv2.imwrite(str(folder / "second" / f"{i}.png"), wide[:, SHIFT:])
        flow = np.zeros((2, H, W), np.float32)
        flow[0] = -SHIFT
        flo.write(folder / "flow" / f"{i}.flo", flow, np.arange(W) >= np.full((H, 1), SHIFT))
    return folder


def test_a_stereo_pair_tells_all_that_stands_beside_it(tmp_path):
    folder = StereoFolder(write_stereo(tmp_path))
    assert len(folder) == 2
    batch = Views.collate([folder[1]])
    left, right = rectified_pair(batch, "a test")
    assert torch.equal(right[..., :-SHIFT], left[..., SHIFT:])
    known = batch.disparity_valid
    assert known[:, 0, :, :, SHIFT:].all()
    assert not known[:, 0, :, :, :SHIFT].any()
    assert not known[:, 1].any()
    assert (batch.disparity[known] == SHIFT).all()
    assert torch.equal(batch.depth_valid, known)
    torch.testing.assert_close(batch.depth[known], torch.full_like(batch.depth[known], 30 * 0.5 / SHIFT))


def test_what_a_stereo_folder_does_not_know_is_absent(tmp_path):
    folder = write_stereo(tmp_path, truth=False)
    assert set(StereoFolder(folder)[0].fields()) == {"image", "disparity", "disparity_valid"}
    for file in (folder / "disparity").iterdir():
        file.unlink()
    (folder / "disparity").rmdir()
    assert set(StereoFolder(folder)[0].fields()) == {"image"}


def test_disparity_follows_the_width_and_depth_stays(tmp_path):
    pair = StereoFolder(write_stereo(tmp_path))[0]
    small = resized(pair, 20, 18)
    known = small.disparity_valid
    assert small.disparity.shape == (2, 1, 18, 20)
    assert (small.disparity[known] == SHIFT / 2).all()
    assert (small.depth[known] == pair.depth[pair.depth_valid][0]).all()
    again = small.K[0, 0, 0] * small.baseline[0] / small.disparity[known]
    torch.testing.assert_close(again, small.depth[known])


def test_a_flow_pair_leads_from_the_first_view_to_the_second(tmp_path):
    pair = FlowFolder(write_flow(tmp_path))[0]
    valid = pair.flow_valid[0, 0]
    assert valid.sum() == H * (W - SHIFT)
    assert not pair.flow_valid[1].any()
    assert (pair.flow[0, 0][valid] == -SHIFT).all()
    assert not pair.flow[0, 1].any()
    assert torch.equal(pair.image[0][..., SHIFT:], pair.image[1][..., :-SHIFT])


def test_flo_files_survive_and_damaged_ones_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    flow, valid = rng.normal(size=(2, 5, 7)).astype(np.float32), rng.random((5, 7)) > 0.3
    flo.write(tmp_path / "a.flo", flow, valid)
    data = (tmp_path / "a.flo").read_bytes()
    assert data[:4] == b"PIEH"
    assert np.frombuffer(data, "<i4", 2, 4).tolist() == [7, 5]
    assert np.frombuffer(data, "<f4", offset=12).reshape(5, 7, 2)[~valid].min() > 1e9
    back, known = flo.read(tmp_path / "a.flo")
    assert np.array_equal(known, valid)
    assert np.array_equal(back, np.where(valid, flow, 0))
    for wrong in (data[:-1], b"PNG " + data[4:], b"", data[:4] + bytes(8)):
        (tmp_path / "b.flo").write_bytes(wrong)
        with pytest.raises(InputError):
            flo.read(tmp_path / "b.flo")


def test_real_flow_is_read_as_published(shared_data):
    flow, valid = flo.read(shared_data / "flow_rubberwhale" / "RubberWhale.flo")
    assert flow.shape == (2, 388, 584)
    assert valid.mean() == pytest.approx(0.984, abs=5e-4)
    assert np.hypot(*flow).max() == pytest.approx(4.6, abs=0.05)


@pytest.mark.parametrize("damage", ["a right image is missing", "a truth is missing", "sizes differ", "K is another's",
                                    "the baseline is no length", "the truth has another size"])
def test_folders_that_do_not_fit_together_are_refused(tmp_path, damage):
    folder = write_stereo(tmp_path)
    small = np.zeros((H, W - 2, 3), np.uint8)
    if damage == "a right image is missing":
        (folder / "right" / "1.png").unlink()
    elif damage == "a truth is missing":
        (folder / "disparity" / "1.png").unlink()
    elif damage == "sizes differ":
        cv2.imwrite(str(folder / "right" / "1.png"), small)
    elif damage == "K is another's":
        kitti.write_intrinsics(folder / "intrinsics.txt", K * [[9], [9], [1]])
    elif damage == "the baseline is no length":
        (folder / "baseline.txt").write_text("-1\n")
    else:
        png16.write(folder / "disparity" / "1.png", small[..., 0] + 1.0, 256.0)
    with pytest.raises(InputError):
        StereoFolder(folder)[1]


def test_other_folders_hold_no_pairs(tmp_path):
    assert not holds_pairs(tmp_path, STEREO)
    with pytest.raises(InputError):
        StereoFolder(tmp_path)
    write_stereo(tmp_path)
    assert holds_pairs(tmp_path, STEREO)
    assert not holds_pairs(tmp_path, FLOW)


def test_parts_and_joined_sources_count_as_lists_do(tmp_path):
    folder = StereoFolder(write_stereo(tmp_path, pairs=3))
    joined = Joined([Part(folder, [2, 0]), folder])
    assert len(joined) == 5
    for place, index in enumerate((2, 0, 0, 1, 2)):
        assert torch.equal(joined[place].image, folder[index].image)
    assert torch.equal(joined[-1].image, folder[2].image)
    with pytest.raises(IndexError):
        joined[5]
