"""The live page: a run in three dimensions, served by viser (an optional extra) to browsers on this machine alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from ..formats.run import lengths_text
from ..geometry.motion import rotation_to_quaternion
from ..types.errors import InputError
from .colour import ColourScale, depth_ends, deviation_ends, fit_scale, inverse
from .marks import Mark, left_out, marked, marks_in, masks_of, share
from .markup import number as written
from .markup import text
from .measured import FRAMES, measured_points, photo
from .run_folder import RunFolder, evenly
from .viewpoint import overview, turned

LOOPBACK, PORT = "127.0.0.1", 8080
CLOUD, FRUSTA = 400_000, 24                 # points and cameras, at most
SUREST = 70.0                               # per cent of their points that are shown at first
GOLD, BLUE = (235, 170, 40), (106, 165, 236)
STAGE = (20, 22, 26)                        # behind the scene
PICTURE, FOOTAGE = 320, "Footage"           # pixels, across the panel; name of one
MODEL = (0.0, 1.0, 0.0, 0.0)                # half a turn about x: from glTF's axes to the run's
RATE = 8.0                                  # frames per second when playing


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
    """The page of one run. Layers: path, cameras, map (cloud.ply), mesh (mesh.glb), what key frames measured, by how
    sure it is, and the camera that carries the frame's picture, which a timeline moves. Marks over the pictures."""

    def __init__(self, server: Any, run: RunFolder) -> None:
        assert run.motion is not None
        self.server, self.run = server, run
        self.path = run.motion.T_first_camera.double().numpy()
        self.photos = run.previews()
        self.frames = sorted(self.photos) or evenly(range(len(self.path)), 150)
        self.measured = measured_points(run, self.photos)
        self.scales = colour_scales(run, self.frames)
        self.layers: dict[str, Any] = {}
        self._stage()
        self._layers()
        self._panel()
        self.show(0)

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
        self.number = self.frames[place]
        masks = masks_of(self.run, self.number)
        chosen = {mark: mask for mark, mask in masks.items() if self.marks[mark].value}
        picture, size = photo(self.photos, self.number), (PICTURE, round(PICTURE / self.aspect))
        carried = None if picture is None else marked(picture, chosen, size)
        self.layers["frame"] = self._camera("/frame", self.number, GOLD, carried, 3, self.layers["frame"].visible)
        shares = "".join(f"  \n{mark.name}: {share(masks.get(mark))}" for mark in self.marks)
        self.clock.content = f"Frame {self.number}, {place + 1} of {len(self.frames)} shown{shares}"
        for name, image in {FOOTAGE: picture, **painted(self.run, self.number, self.scales)}.items():
            if image is not None and name in self.pictures:
                self.pictures[name].image = marked(image, chosen, size)

    def look(self, camera: Any) -> None:
        """Puts a browser's camera where the frame was taken from, without the frame's picture before it."""
        self.boxes["frame"].value = False
        camera.wxyz, camera.position, camera.fov = *self._pose(self.number), self.fov

    def sift(self, percent: float) -> None:
        """Shows this share of the measured points, the surest ones."""
        if self.measured is not None:
            chosen = self.measured.surest(percent)
            self.layers["measured"] = self._cloud("/measured", chosen.points, chosen.colours,
                                                  self.layers["measured"].visible)

    def _stage(self) -> None:
        """Dark, upright as the cameras were, and with all of the map in sight."""
        cloud = self.run.cloud(CLOUD)
        view = overview(self.path[:, :3, 3] if cloud is None else cloud.points, self.path)
        back, up = -turned(view.yaw, view.pitch)[2], -view.level[1]
        self.server.scene.set_up_direction(tuple(up))
        self.server.scene.set_background_image(np.full((1, 1, 3), STAGE, np.uint8), format="png")
        camera = self.server.initial_camera
        camera.position = view.level.T @ (view.centre + view.distance * back)
        camera.look_at, camera.fov = view.level.T @ view.centre, 2 * np.arctan(0.5)
        camera.near, camera.far = 0.01 * self.size, 1e4 * self.size
        self.server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)

    def _layers(self) -> None:
        scene = self.server.scene
        places = self.path[:, :3, 3].astype(np.float32)
        if len(places) > 1:
            lines = np.stack([places[:-1], places[1:]], 1)
            self.layers["path"] = scene.add_line_segments("/path", lines, BLUE, thickness=2.0, thickness_units="screen")
        self.layers["cameras"] = scene.add_frame("/cameras", show_axes=False)
        for number in evenly(range(len(self.path)), FRUSTA):
            self._camera(f"/cameras/{number}", number, BLUE)
        mesh = self.run.folder / "mesh.glb"
        if (cloud := self.run.cloud(CLOUD)) is not None:
            self.layers["map"] = self._cloud("/map", cloud.points, cloud.colours, not mesh.is_file())
        if mesh.is_file():
            self.layers["mesh"] = scene.add_glb("/mesh", mesh.read_bytes(), wxyz=MODEL)
        if self.measured is not None:
            chosen = self.measured.surest(SUREST)
            self.layers["measured"] = self._cloud("/measured", chosen.points, chosen.colours, False)
        self.layers["frame"] = self._camera("/frame", self.frames[0], GOLD)

    def _panel(self) -> None:
        gui = self.server.gui
        self.clock = gui.add_markdown("")
        self.timeline = gui.add_slider("Timeline", 0, max(1, len(self.frames) - 1), 1, 0)
        self.playing = gui.add_checkbox("Play", False)
        through = gui.add_button("Look through this camera")
        with gui.add_folder("Layers"):
            self.boxes = {name: gui.add_checkbox(name.capitalize(), bool(layer.visible))
                          for name, layer in self.layers.items()}
            if self.measured is not None:
                sureness = gui.add_slider("Surest measured, %", 5.0, 100.0, 5.0, SUREST)
                sureness.on_update(lambda _: self.sift(float(sureness.value)))
        self.marks: dict[Mark, Any] = {}
        if known := marks_in(self.run):
            with gui.add_folder("Marks on pictures"):
                self.marks = {mark: gui.add_checkbox(mark.name, False) for mark in known}
        blank = np.full((round(PICTURE / self.aspect), PICTURE, 3), 118, np.uint8)
        names = [FOOTAGE] * bool(self.photos) + list(self.scales)
        self.pictures = {name: gui.add_image(blank, label=name) for name in names}
        said = [sentence for sentence in (lengths_text(self.run.about), left_out(self.run)) if sentence]
        paragraphs = (f'<p style="margin: 0.8em; font-size: 0.8em">{text(s[:1].upper() + s[1:])}</p>' for s in said)
        self.words = gui.add_html("".join(paragraphs))
        for name, box in self.boxes.items():
            self._switch(box, name)
        for control in (self.timeline, *self.marks.values()):
            control.on_update(lambda _: self.show(min(int(self.timeline.value), len(self.frames) - 1)))
        through.on_click(lambda event: self.look(event.client.camera))

    def _switch(self, box: Any, name: str) -> None:
        def switch(_: Any) -> None:
            self.layers[name].visible = box.value

        box.on_update(switch)

    def _cloud(self, name: str, points: np.ndarray, colours: np.ndarray, visible: bool) -> Any:
        size = 0.004 * self.size
        return self.server.scene.add_point_cloud(name, points.astype(np.float32), colours, point_size=size,
                                                 point_shape="circle", point_shading="flat", precision="float32",
                                                 visible=visible)

    @property
    def size(self) -> float:
        """A length that goes with the scene: its typical depth."""
        return self.run.typical

    @property
    def aspect(self) -> float:
        """Width over height of a frame."""
        K = self.run.part("intrinsics")
        return float(K.get("width", 4) / K.get("height", 3))

    @property
    def fov(self) -> float:
        """Of a frame's height, in radians."""
        K = self.run.part("intrinsics")
        return float(2 * np.arctan(K.get("height", 3) / 2 / K.get("fy", 3)))

    def _pose(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Quaternion w, x, y, z and place of a camera."""
        T = self.path[number]
        return rotation_to_quaternion(torch.from_numpy(T[:3, :3].copy())).roll(1).numpy(), T[:3, 3]

    def _camera(self, name: str, number: int, colour: tuple[int, int, int], picture: np.ndarray | None = None,
                larger: int = 1, visible: bool = True) -> Any:
        wxyz, place = self._pose(number)
        return self.server.scene.add_camera_frustum(
            name, self.fov, self.aspect, scale=0.04 * larger * self.size, thickness=1.5,
            thickness_units="screen", color=colour, image=picture, wxyz=wxyz, position=place, visible=visible)


def colour_scales(run: RunFolder, frames: list[int]) -> dict[str, ColourScale]:
    """Of inverse depth and, where it is known, of its log variance, for all frames; empty where there is no depth."""
    some = run.depth(evenly(frames, FRAMES))
    if some is None:
        return {}
    scale = fit_scale(inverse(some.depth.numpy()), "turbo")
    near, far = (written(end, 2) for end in depth_ends(scale))
    scales = {f"Depth ({run.unit}), red ≤ {near}, violet ≥ {far}": scale}
    if "log_variance" in some:
        scale = fit_scale(some.log_variance.numpy(), "magma")
        sure, unsure = (written(end, 2) for end in deviation_ends(scale))
        scales[f"Uncertainty, dark ≤ {sure} %, bright ≥ {unsure} %"] = scale
    return scales


def painted(run: RunFolder, number: int, scales: dict[str, ColourScale]) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """A frame in the colours of each scale."""
    said = run.depth([number])
    if said is None:
        return {}
    values = [inverse(said.depth[0, 0].numpy())] + [said.log_variance[0, 0].numpy()] * ("log_variance" in said)
    return {name: scale.paint(value) for (name, scale), value in zip(scales.items(), values, strict=True)}


def watch(folder: str | Path, port: int, tell: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted; `tell` hears its address."""
    page = serve(folder, port)
    tell(page.address)
    try:
        page.play_forever()
    except KeyboardInterrupt:
        page.stop()
