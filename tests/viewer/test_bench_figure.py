"""The picture of a bench's tables."""

import cv2
import numpy as np
import pytest

from epipole.types.errors import InputError
from epipole.viewer.bench_figure import write_bench_figure


def entry(name: str, learned: bool, *values: float, better: str = "lower") -> dict:
    score = {"median": float(np.median(values)), "least": min(values), "most": max(values), "unit": "px",
             "better": better}
    return {"name": name, "learned": learned, "scores": {"aee": score}}


def results(rows: list[dict], tests: int = 1) -> dict:
    return {"shown": ["aee", "fl"], "tables": [{"test": f"DATA/{k}", "rows": rows} for k in range(tests)]}


def drawn(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Mean row of the pixels of a colour (BGR)."""
    rows = np.nonzero(np.abs(image.astype(int) - colour).max(-1) < 12)[0]
    return float(rows.mean())


@pytest.mark.parametrize(("better", "above"), [("lower", True), ("higher", False)])
def test_the_best_stands_at_the_top(tmp_path, better, above):
    rows = [entry("none", False, 9.0, better=better), entry("net", True, 1.0, 1.5, 2.0, better=better)]
    image = cv2.imread(str(write_bench_figure(results(rows), tmp_path / "bench.png")))
    assert (drawn(image, (0xAE, 0x5F, 0x1F)) < drawn(image, (0x99, 0x90, 0x8A))) == above


def test_every_test_set_has_a_panel_and_none_is_no_error(tmp_path):
    rows = [entry("none", False, 9.0)]
    one, two = (cv2.imread(str(write_bench_figure(results(rows, n), tmp_path / f"{n}.png"))) for n in (1, 2))
    assert two.shape[1] == pytest.approx(2 * one.shape[1], abs=4)
    write_bench_figure(results([], 1), tmp_path / "empty.png")
    write_bench_figure(results([{"name": "x", "learned": True, "scores": {}}]), tmp_path / "unjudged.png")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError):
        write_bench_figure(results([entry("none", False, 9.0)]), tmp_path / "no" / "such" / "bench.png")
