"""The live page: a run in three dimensions, served by viser (an optional extra) to browsers on this machine alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..geometry.camera import resize_intrinsics, transform, unproject
from ..geometry.motion import rotation_to_quaternion
from ..types.errors import InputError
from .colour import ColourScale, fit_scale, inverse
from .preview import decode
from .run_folder import RunFolder, evenly

LOOPBACK, PORT = "127.0.0.1", 8080
CLOUD, FRUSTA, MEASURED = 400_000, 60, 24   # points, cameras, and frames whose depth is shown as points, at most
STRIDE = 2                                  # pixels of those frames, along each side
SUREST = 70.0                               # per cent of their points that are shown at first
GOLD, BLUE = (235, 170, 40), (60, 110, 200)
MODEL = (0.0, 1.0, 0.0, 0.0)                # half a turn about x: from glTF's axes to the run's
RATE = 8.0                                  # frames per second when playing


class Points(NamedTuple):
    """Points of several frames in the world, and how unsure each is."""

    points: Float[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"]
    log_variance: Float[np.ndarray, "n"]

    def surest(self, percent: float) -> Points:
        """That share of them."""
        kept = self.log_variance <= np.percentile(self.log_variance, percent)
        return Points(*(part[kept] for part in self))


def serve(folder: str | Path, port: int = PORT) -> Page:
    """Starts the page of a run and returns it; `page.address` is where it is, a free port from `port` on.

    Raises InputError where viser is not installed, or the folder has no path to show.
    """
    try:
        import viser
    except ImportError as error:
        raise InputError("the live page needs viser: pip install 'epipole[live]'") from error
    run = RunFolder(Path(folder))
    if run.motion is None:
        raise InputError(f"{folder} has no camera path yet; the live page shows a run once it is exported")
    return Page(viser.ViserServer(host=LOOPBACK, port=port, label=f"epipole {run.folder.name}", verbose=False), run)


class Page:
    """The page of one run. Layers: path, cameras, map (cloud.ply), mesh (mesh.glb), and what key frames measured, by
    how sure it is; a timeline moves the camera that carries the frame's picture."""

    def __init__(self, server: Any, run: RunFolder) -> None:
        assert run.motion is not None
        self.server, self.run = server, run
        self.path = run.motion.T_first_camera.double().numpy()
        self.photos = run.previews()
        self.frames = sorted(self.photos) or evenly(range(len(self.path)), 150)
        self.measured = measured_points(run, self.photos)
        self.scale = depth_scale(run, self.frames)
        self.layers: dict[str, Any] = {}
        self._layers()
        self._panel()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.server.get_port()}"

    def stop(self) -> None:
        """Ends the server."""
        self.server.stop()

    def play_forever(self) -> None:
        """Moves the timeline while `Play` is ticked, until interrupted."""
        while True:
            time.sleep(1 / RATE)
            if self.playing.value:
                self.timeline.value = (self.timeline.value + 1) % len(self.frames)

    def show(self, place: int) -> None:
        """Turns the page to the frame at this place of the timeline."""
        number = self.frames[place]
        picture = photo(self.photos, number)
        self._camera("/frame", number, GOLD, picture, 2.5)
        self.clock.content = f"Frame {number}, {place + 1} of {len(self.frames)} shown"
        if picture is not None:
            self.footage.image = picture
        if (depth := painted(self.run, number, self.scale)) is not None:
            self.depth.image = depth

    def sift(self, percent: float) -> None:
        """Shows this share of the measured points, the surest ones."""
        if self.measured is not None:
            chosen = self.measured.surest(percent)
            self.layers["measured"] = self._cloud("/measured", chosen.points, chosen.colours,
                                                  self.layers["measured"].visible)

    def _layers(self) -> None:
        scene = self.server.scene
        scene.set_up_direction("-y")
        places = self.path[:, :3, 3].astype(np.float32)
        if len(places) > 1:
            lines = np.stack([places[:-1], places[1:]], 1)
            self.layers["path"] = scene.add_line_segments("/path", lines, BLUE, thickness=2.0, thickness_units="screen")
        self.layers["cameras"] = scene.add_frame("/cameras", show_axes=False)
        for number in evenly(range(len(self.path)), FRUSTA):
            self._camera(f"/cameras/{number}", number, BLUE)
        if (cloud := self.run.cloud(CLOUD)) is not None:
            self.layers["map"] = self._cloud("/map", cloud.points, cloud.colours, True)
        if (mesh := self.run.folder / "mesh.glb").is_file():
            self.layers["mesh"] = scene.add_glb("/mesh", mesh.read_bytes(), wxyz=MODEL, visible=False)
        if self.measured is not None:
            chosen = self.measured.surest(SUREST)
            self.layers["measured"] = self._cloud("/measured", chosen.points, chosen.colours, False)

    def _panel(self) -> None:
        gui = self.server.gui
        self.clock = gui.add_markdown("")
        self.timeline = gui.add_slider("Timeline", 0, max(1, len(self.frames) - 1), 1, 0)
        self.playing = gui.add_checkbox("Play", False)
        blank = np.full((48, 64, 3), 118, np.uint8)
        self.footage = gui.add_image(blank, label="Footage")
        self.depth = gui.add_image(blank, label="Depth, near bright")
        for name in self.layers:
            self._switch(gui.add_checkbox(f"Show {name}", bool(self.layers[name].visible)), name)
        sureness = gui.add_slider("Surest measured points, %", 5.0, 100.0, 5.0, SUREST)
        self.timeline.on_update(lambda _: self.show(min(int(self.timeline.value), len(self.frames) - 1)))
        sureness.on_update(lambda _: self.sift(float(sureness.value)))
        self.show(0)

    def _switch(self, box: Any, name: str) -> None:
        def switch(_: Any) -> None:
            self.layers[name].visible = box.value

        box.on_update(switch)

    def _cloud(self, name: str, points: np.ndarray, colours: np.ndarray, visible: bool) -> Any:
        size = 0.004 * self.size
        return self.server.scene.add_point_cloud(name, points.astype(np.float32), colours, point_size=size,
                                                 point_shape="circle", precision="float32", visible=visible)

    @property
    def size(self) -> float:
        """A length that goes with the scene: its typical depth."""
        return float(self.run.part("depth").get("typical", 1.0))

    def _camera(self, name: str, number: int, colour: tuple[int, int, int], picture: np.ndarray | None = None,
                larger: float = 1.0) -> None:
        T, K = self.path[number], self.run.part("intrinsics")
        wxyz = rotation_to_quaternion(torch.from_numpy(T[:3, :3].copy())).roll(1).numpy()
        fov = 2 * math.atan(K.get("height", 3) / 2 / K.get("fy", 3))
        self.server.scene.add_camera_frustum(
            name, fov, K.get("width", 4) / K.get("height", 3), scale=0.05 * larger * self.size, color=colour,
            image=picture, wxyz=wxyz, position=T[:3, 3])


def photo(photos: dict[int, Path], number: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """The small picture of a frame; None where there is none."""
    return decode(photos[number].read_bytes()) if number in photos else None


def depth_scale(run: RunFolder, frames: list[int]) -> ColourScale:
    """One colour scale of inverse depth for all frames."""
    some = run.depth(evenly(frames, MEASURED))
    return fit_scale(np.zeros(1) if some is None else inverse(some.depth.numpy()), "magma")


def painted(run: RunFolder, number: int, scale: ColourScale) -> UInt8[np.ndarray, "h w 3"] | None:
    """Depth of a frame in colours; None where there is none."""
    said = run.depth([number])
    return None if said is None else scale.paint(inverse(said.depth[0, 0].numpy()))


def measured_points(run: RunFolder, photos: dict[int, Path]) -> Points | None:
    """Depth of some frames as points in the world, in the colours of their small pictures; None where there is none."""
    parts = [part for i in evenly(sorted(photos), MEASURED) if (part := _points_of(run, photos, i)) is not None]
    return Points(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None


def _points_of(run: RunFolder, photos: dict[int, Path], number: int) -> Points | None:
    said, picture, about = run.depth([number]), photo(photos, number), run.part("intrinsics")
    if said is None or "log_variance" not in said or picture is None or run.motion is None or "fx" not in about:
        return None
    z, (h, w) = said.depth[0].double(), said.depth.shape[-2:]
    K = torch.tensor([[about["fx"], 0, about["cx"]], [0, about["fy"], about["cy"]], [0, 0, 1]], dtype=torch.float64)
    K = resize_intrinsics(K, w / about["width"], h / about["height"])
    world = transform(run.motion.T_first_camera[number].double(), unproject(z, K))[:, ::STRIDE, ::STRIDE]
    colours = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)[::STRIDE, ::STRIDE]
    unsure = said.log_variance[0, 0, ::STRIDE, ::STRIDE].numpy()
    return Points(world.flatten(1).T.numpy(), colours.reshape(-1, 3).astype(np.uint8), unsure.reshape(-1))


def watch(folder: str | Path, port: int, tell: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted; `tell` hears its address."""
    page = serve(folder, port)
    tell(page.address)
    try:
        page.play_forever()
    except KeyboardInterrupt:
        page.stop()
