"""Drawn pictures as files, read back without the code that wrote them."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.sources.worlds import Sensor, Spec
from epipole.sources.worlds.commission import spec_of
from epipole.sources.worlds.drawn import DRAWN, Shapes, Slopes, drawn_sheet, write_drawn
from epipole.sources.worlds.drawn.shapes import KINDS
from epipole.types.errors import InputError


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def gray(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image.ndim == 2
    return image


def test_shapes_come_with_their_names_and_corners(tmp_path: Path) -> None:
    spec = replace(spec_of("shapes"), frames=7, difficulty=2, seed=1)
    told: list[tuple[int, int]] = []
    folder, source = write_drawn(spec, tmp_path / "w", lambda *done: told.append(done)), Shapes(spec)
    assert told[-1] == (7, 7)
    assert sorted(f.stem for f in (folder / "color").iterdir()) == [f"{i:06d}" for i in range(7)]
    labels, corners = table(folder / "labels.csv"), table(folder / "corners.csv")
    assert [row["primitive"] for row in labels] == [KINDS[int(source[i].label[0])] for i in range(7)]
    for i in range(7):
        views, name = source[i], f"{i:06d}"
        np.testing.assert_allclose(gray(folder / "color" / f"{name}.png") / 255, views.image[0, 0], atol=0.51 / 255)
        found = np.array([[float(row["u"]), float(row["v"])] for row in corners if row["image"] == name])
        expected = views.keypoints[0][views.keypoints_valid[0]].numpy()
        np.testing.assert_allclose(found.reshape(-1, 2), expected, atol=1e-4)
    assert sum(len(source[i].keypoints_valid.nonzero()) for i in range(7)) == len(corners) > 7
    assert Spec.from_yaml(folder / "world.yaml") == spec


def test_digits_and_slopes_come_with_their_labels_and_questions(tmp_path: Path) -> None:
    digits = write_drawn(replace(spec_of("digits"), frames=5), tmp_path / "digits")
    rows = table(digits / "labels.csv")
    assert [row["image"] for row in rows] == [f"{i:06d}" for i in range(5)]
    assert {row["digit"] for row in rows} <= set("0123456789")
    assert gray(digits / "color" / "000004.png").shape == (28, 28)
    assert not (digits / "corners.csv").exists()

    spec = replace(spec_of("slopes"), frames=6)
    slopes, source = write_drawn(spec, tmp_path / "slopes"), Slopes(spec)
    rises = {row["image"]: int(row["rises"]) for row in table(slopes / "labels.csv")}
    for i, row in enumerate(table(slopes / "questions.csv")):
        own = [rises[f"{i:06d}_{k}"] for k in range(4)]
        assert own == source[i].label.tolist()
        assert (row["sample"], int(row["odd"])) == (f"{i:06d}", sum(own) % 2)
        assert int(row["all_same"]) == (len(set(own)) == 1)
        assert gray(slopes / "color" / f"{i:06d}_3.png").shape == (20, 20)


@pytest.mark.parametrize("family", DRAWN)
def test_the_same_spec_writes_the_same_bytes_and_a_sheet(tmp_path: Path, family: str) -> None:
    spec = replace(spec_of(family), frames=4, difficulty=3, seed=2)
    one, two = write_drawn(spec, tmp_path / "one"), write_drawn(spec, tmp_path / "two")
    files = sorted(f.relative_to(one) for f in one.rglob("*") if f.is_file())
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
    sheet = cv2.imread(str(one / "contact_sheet.png"))[..., ::-1]
    np.testing.assert_array_equal(sheet, drawn_sheet(spec))
    assert sheet.std() > 20
    assert 300 < sheet.shape[1] < 1600
    other = write_drawn(replace(spec, seed=3), tmp_path / "other")
    assert any((one / f).read_bytes() != (other / f).read_bytes() for f in files)


def test_corners_are_marked_on_the_sheet() -> None:
    spec = replace(spec_of("shapes"), frames=1, seed=1)
    views, sheet = Shapes(spec)[0], drawn_sheet(spec, rows=1).astype(int)
    coloured = np.abs(sheet[..., 0] - sheet[..., 2]) > 60
    zoom = (sheet.shape[1] // 4 - 2) // 160
    inner = views.keypoints[0][views.keypoints_valid[0]]
    assert len(inner) > 0
    for u, v in inner:
        x, y = round(float(u + 0.5) * zoom), round(float(v + 0.5) * zoom)
        assert coloured[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7].any()
    assert coloured[:, : sheet.shape[1] // 4].mean() < 0.1


@pytest.mark.parametrize("change", [{"motion": "drive"}, {"sensor": Sensor(noise=0.1)}])
def test_what_has_no_camera_takes_no_motion_and_no_sensor(tmp_path: Path, change: dict) -> None:
    with pytest.raises(InputError, match="without a camera"):
        write_drawn(replace(spec_of("digits"), **change), tmp_path / "w")


def test_a_folder_of_other_pictures_is_refused(tmp_path: Path) -> None:
    write_drawn(replace(spec_of("digits"), frames=3), tmp_path / "w")
    with pytest.raises(InputError, match="another clip"):
        write_drawn(replace(spec_of("digits"), frames=2), tmp_path / "w")
