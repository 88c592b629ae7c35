"""The report and the live page of a synthetic run as Chromium draws them; skipped where there is no Chromium."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epipole.formats import mesh
from epipole.viewer.marks import MOVED
from epipole.viewer.report import write_report
from tests.viewer.chromium import FOUND, Tab, tab
from tests.viewer.synthetic_run import ROOM, WALLS, write_run
from tests.viewer.test_live import free_port

pytestmark = pytest.mark.skipif(not FOUND, reason="chromium is not installed")

STAGE = (20, 22, 26)
SERVE = "import sys; from epipole.viewer.live import watch; watch(sys.argv[1], int(sys.argv[2]), print)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    run = write_run(tmp_path_factory.mktemp("browser") / "run <&> #1", 6)
    for write, name in ((mesh.write_ply, "mesh.ply"), (mesh.write_glb, "mesh.glb")):
        write(run / name, *walls())
    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    pytest.importorskip("websockets")
    with tab(tmp_path_factory.mktemp("profile")) as page:
        yield page


def walls() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two side walls and the end wall of the room, each of its colour."""
    x, y, z = ROOM
    sides = [[(s * x, -y, -z), (s * x, y, -z), (s * x, y, z), (s * x, -y, z)] for s in (-1, 1)]
    corners = np.array([*sides, [(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)]], np.float32).reshape(-1, 3)
    faces = np.array([[4 * k + a, 4 * k + b, 4 * k + c] for k in range(3) for a, b, c in ((0, 1, 2), (0, 2, 3))])
    return corners, faces, np.repeat(WALLS[[0, 1, 5]], 4, axis=0).astype(np.uint8)


def drawn(image: np.ndarray) -> float:
    """Share of pixels that are not the empty stage."""
    return float((np.abs(image.astype(int) - STAGE).max(-1) > 12).mean())


def colours(image: np.ndarray) -> int:
    """How many different ones, in 16 steps of each channel."""
    return len(np.unique(image.reshape(-1, 3) // 16, axis=0))


def near(image: np.ndarray, colour: np.ndarray) -> float:
    """Share of pixels of a colour."""
    return float((np.abs(image.astype(int) - colour).max(-1) < 10).mean())


def click(page: Tab, selector: str) -> None:
    page.evaluate(f"document.querySelector({selector!r}).click()")
    page.evaluate("new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")


def test_the_report_shows_pictures_surface_and_points_without_an_error(folder, browser):
    browser.open(write_report(folder).as_uri())
    browser.wait("document.querySelector('.clock').textContent == 'frame 0 · 0.0 s · key frame'")
    browser.wait("[...document.querySelectorAll('.screens canvas')].every((c) => c.width == 64 && c.height == 48)")
    assert all(colours(browser.picture(f".screens figure:nth-child({k}) canvas")) > 10 for k in (1, 2, 3))
    surface = browser.picture(".stage canvas")
    assert all(near(surface, WALLS[wall]) > 0.1 for wall in (0, 5))
    click(browser, '[data-show="points"]')
    points = browser.picture(".stage canvas")
    assert drawn(points) > 0.2
    assert colours(points) > 50
    click(browser, '[data-view="camera"]')
    assert drawn(browser.picture(".stage canvas")) > 0.6
    assert browser.errors == []


def test_marks_are_switched_on_over_every_picture(folder, browser):
    browser.open(write_report(folder).as_uri())
    browser.wait("[...document.querySelectorAll('.screens canvas')].every((c) => c.width == 64 && c.height == 48)")
    screens = [f".screens figure:nth-child({k}) canvas" for k in (1, 2, 3)]
    before = [browser.picture(screen) for screen in screens]
    click(browser, ".mark input")
    browser.wait("[...document.querySelectorAll('.screens img:not([hidden])')].filter((i) => i.complete).length == 3")
    for screen, plain in zip(screens, before, strict=True):
        image = browser.picture(screen)
        changed = (np.abs(image.astype(int) - plain).max(-1) > 12)
        height, width = changed.shape
        assert near(image, np.array(MOVED.colour)) > 0.001
        assert changed[height // 5 : height // 2, width // 4 : 3 * width // 4].sum() == changed.sum() > 0
    assert browser.evaluate("document.querySelector('.mark output').textContent") == "5.2 %"
    browser.evaluate("(() => {const s = document.querySelector('.controls input'); s.value = 1;"
                     "s.dispatchEvent(new Event('input'))})()")
    assert browser.evaluate("document.querySelector('.mark output').textContent") == "not a key frame"
    assert browser.evaluate("document.querySelectorAll('.screens img:not([hidden])').length") == 0
    assert browser.errors == []


def test_a_drag_turns_the_map(folder, browser):
    browser.open(write_report(folder).as_uri())
    browser.wait("!!document.querySelector('[data-view=orbit][aria-pressed=true]')")
    browser.evaluate("document.querySelector('.stage canvas').scrollIntoView({block: 'center'})")
    before = browser.picture(".stage canvas")
    x, y = browser.evaluate("(() => {const b = document.querySelector('.stage canvas').getBoundingClientRect();"
                            "return [b.x + b.width / 2, b.y + b.height / 2]})()")
    for kind, way in (("mousePressed", 0), ("mouseMoved", 120), ("mouseReleased", 120)):
        browser.ask("Input.dispatchMouseEvent", type=kind, x=x + way, y=y, button="left", buttons=1, clickCount=1)
    browser.evaluate("new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
    assert (np.abs(browser.picture(".stage canvas").astype(int) - before).max(-1) > 12).mean() > 0.05
    assert browser.errors == []


@pytest.mark.slow
def test_the_live_page_shows_the_scene_without_an_error(folder, browser):
    pytest.importorskip("viser")
    port = str(free_port())
    server = subprocess.Popen([sys.executable, "-u", "-c", SERVE, str(folder), port], stdout=subprocess.PIPE, text=True)
    try:
        address = next(line for line in server.stdout if line.startswith("http"))
        browser.open(address.strip())
        browser.wait("document.body.innerText.includes('Frame 0, 1 of 6 shown')")
        for name in ("Timeline", "Play", "Look through", "Layers", "Mesh", "Measured", "Footage", "red ≤"):
            assert browser.evaluate(f"document.body.innerText.includes({name!r})"), name
        for _ in range(60):  # the scene follows the panel
            scene = browser.picture("canvas")
            if drawn(scene) > 0.1 and colours(scene) > 50:
                break
            browser.evaluate("new Promise((seen) => setTimeout(seen, 500))")
        assert drawn(scene) > 0.1
        assert colours(scene) > 50
        assert browser.errors == []
    finally:
        server.terminate()
        server.wait(20)
