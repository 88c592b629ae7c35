import numpy as np
import pytest

from epipole.formats.run import FAR
from epipole.viewer.marks import DISTANT, MOVED, PERIOD, left_out, marked, marks_in, masks_of, share, stripes
from epipole.viewer.run_folder import RunFolder
from tests.viewer.synthetic_run import PATCH, load_about, save_about


def test_what_moved_is_known_of_key_frames_and_what_is_far_of_all(run_folder):
    about = load_about(run_folder)
    depth = np.load(run_folder / "depth.npz")["000003"]
    about["depth"]["typical"] = float(np.median(depth)) / FAR
    save_about(run_folder, about)
    run = RunFolder(run_folder)
    masks = masks_of(run, 3)
    assert list(masks) == marks_in(run) == [MOVED, DISTANT]
    assert masks[MOVED][PATCH].all()
    assert masks[MOVED].sum() == masks[MOVED][PATCH].size
    assert masks[DISTANT].mean() == pytest.approx(0.5, abs=0.05)
    assert depth[masks[DISTANT]].min() > np.median(depth) * 0.99
    assert list(masks_of(run, 4)) == [DISTANT]


def test_without_masks_or_depth_there_are_no_marks(run_folder):
    (run_folder / "mask.npz").write_bytes(b"PK")
    run = RunFolder(run_folder)
    assert marks_in(run) == list(masks_of(run, 0)) == [DISTANT]
    assert run.damaged == ["mask.npz"]
    (run_folder / "depth.npz").unlink()
    assert marks_in(RunFolder(run_folder)) == []


@pytest.mark.parametrize("mark", [MOVED, DISTANT])
def test_stripes_lie_where_the_mask_is_and_lean_as_they_should(mark):
    mask = np.zeros((6, 8), bool)
    mask[:, 4:] = True
    picture = stripes(mask, mark, (80, 60))
    assert not picture[:, :40].any()
    assert 0.3 < (picture[:, 40:, 3] > 0).mean() < 0.5
    here = (picture[..., :3] == mark.colour).all(-1)[:, 40:]
    assert 0.1 < here.mean() < 0.3
    np.testing.assert_array_equal(here[1:, PERIOD:-PERIOD], np.roll(here[:-1], -mark.lean, 1)[:, PERIOD:-PERIOD])


def test_a_marked_picture_keeps_all_other_pixels():
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    large = np.kron(image, np.ones((10, 10, 1), np.uint8))
    np.testing.assert_array_equal(marked(image, {}, (80, 60)), large)
    mask = np.zeros((6, 8), bool)
    mask[:3] = True
    both = marked(image, {MOVED: mask, DISTANT: ~mask}, (80, 60))
    np.testing.assert_array_equal((both[:30] == MOVED.colour).all(-1), stripes(mask, MOVED, (80, 60))[:30, :, 0] > 0)
    np.testing.assert_array_equal((both[30:] == DISTANT.colour).all(-1),
                                  stripes(~mask, DISTANT, (80, 60))[30:, :, 0] > 0)
    clear = stripes(~mask, DISTANT, (80, 60))[30:, :, 3] == 0
    np.testing.assert_array_equal(both[30:][clear], large[30:][clear])


def test_shares_in_words():
    assert share(None) == "not a key frame"
    assert share(np.eye(4, dtype=bool)) == "25 %"


def test_what_the_map_lacks_is_said_with_its_share(run_folder):
    said = left_out(RunFolder(run_folder))
    assert "70 % entered" in said
    for piece in ("12 % moved, or no flow", "4.4 % is far (beyond 5 typical", "8.0 % is unsure", "2.5 % is contra"):
        assert piece in said
    about = load_about(run_folder)
    save_about(run_folder, about | {"left_out": {"far": 5.0, "unsure": "much"}})
    said = left_out(RunFolder(run_folder))
    assert "95 % entered" in said
    assert "moved" not in said
    save_about(run_folder, {name: value for name, value in about.items() if name != "left_out"})
    assert left_out(RunFolder(run_folder)) == ""
