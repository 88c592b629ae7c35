"""Depth of what moves by itself: where a run sees moving cars, and how far.

    python benchmarks/moving.py WORLD RUN [--picture FILE] [--lead 9]
    python benchmarks/moving.py WORLD --lead 9 --difficulty 2 --frames 100

WORLD is a folder of `epipole world street --truth instance`, RUN what `epipole learn` made of it. Depth is laid over
the truth by one factor for the whole clip: the median ratio over what stands still. Told are, of all pixels of moving
cars, the shares whose depth is more than twice the truth (a hole to the horizon), less than half of it, and within a
quarter; beside parked cars, the road and all that stands still; and what share of them `epipole mesh` takes in.
`--picture` writes image, true and learned depth, and the mask, of the frames with the most moving pixels.

Cars of a street come towards the camera. With `--lead` one drives ahead of it, always as many metres away: what moves
with the camera has no parallax, which is how holes to the horizon come about. Without RUN that world is rendered first.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from epipole.formats.run import RunFiles
from epipole.recipes.mesh_run import _keep, key_frames
from epipole.sources.plain import read_truth
from epipole.sources.worlds.export import write_world
from epipole.sources.worlds.families import roadside, street
from epipole.sources.worlds.meshes import rigid
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import World
from epipole.types.views import Views

HOLE, NEAR, RIGHT = 2.0, 0.5, 0.25
SHOWN = 5       # frames of the picture
NOTHING = Views()


def let_a_car_lead(spec: Spec, ahead: float) -> None:
    """From now on, streets of this spec have a car that keeps this distance (m) before the camera."""
    alone = World(spec)
    road, times = alone.scene.stage.road, np.arange(spec.frames) / spec.fps
    if road is None:
        raise SystemExit(f"the family {spec.family} has no road")
    ways = np.arange(0.0, 400.0, 0.05)
    points = road(ways)[0][:, :2]
    nearest = [ways[np.linalg.norm(points - place, axis=1).argmin()] for place in alone.poses[:, :2, 3].numpy()]
    way = np.array(nearest)
    traffic = street.traffic

    def leading(time: float) -> np.ndarray:
        (x, y, _), angle = (value[0] for value in road(np.array([np.interp(time, times, way) + ahead])))
        return rigid(x, y, 0.0, angle)

    def with_a_leader(block: street.Block, count: int) -> None:
        traffic(block, count)
        piece = roadside.car(np.random.default_rng(1))
        block.builder.add_moving(piece.parts, leading, piece.kind)

    street.traffic = with_a_leader


class Seen(NamedTuple):
    """One frame at the size of the run's depth."""

    number: int
    z: np.ndarray           # learned, in its own unit
    true: np.ndarray        # m, 0 where unknown
    moving: np.ndarray
    car: np.ndarray         # parked or not
    road: np.ndarray


def small(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels or depth at another size, by the nearest pixel."""
    return cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST)


def read(file: Path) -> np.ndarray:
    """An image as it is stored."""
    found = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise SystemExit(f"{file} is missing or damaged: render the world again")
    return found


def frames(world: Path, run: RunFiles) -> list[Seen]:
    """Every frame of the clip."""
    spec = World(Spec.from_yaml(world / "world.yaml"))
    moving = np.array(list(spec.scene.motions)) + 1
    cars, road = (np.flatnonzero(spec.scene.kind == spec.scene.classes.index(name)) + 1 for name in ("car", "road"))
    truth, shape, out = read_truth(world), run.depth[0].shape, []
    for i in range(len(truth.images)):
        labels = small(read(world / "instance" / f"{i:06d}.png"), shape)
        true = small(read(world / "depth" / f"{i:06d}.png") / np.float32(1000), shape)
        out.append(Seen(i, run.depth[i], true, *(np.isin(labels, some) for some in (moving, cars, road))))
    return out


def row(name: str, ratio: np.ndarray) -> str:
    """A line of the table, of depth over truth."""
    if not len(ratio):
        return f"| {name} | 0 | – | – | – | – |"
    shares = (ratio > HOLE).mean(), (ratio < NEAR).mean(), (np.abs(ratio - 1) < RIGHT).mean()
    cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
    return f"| {name} | {len(ratio)} | {cells} | {np.median(ratio):.2f} |"


def picture(seen: list[Seen], run: RunFiles, world: Path, factor: float, file: Path) -> None:
    """The frames in which the most moves, a column each."""
    images, columns = read_truth(world).images, []
    masks = np.load(run.folder / "mask.npz")
    for s in sorted(seen, key=lambda s: -s.moving.sum())[:SHOWN]:
        h, w = s.z.shape
        image = cv2.resize(read(images[s.number]), (w, h), interpolation=cv2.INTER_AREA)
        inverse = [np.where(z > 0, 2.0 / np.maximum(z, 0.5), 0) for z in (s.true, s.z * factor)]
        name = f"{s.number:06d}"
        mask = masks[name].astype(np.float32) if name in masks else np.full((h, w), 0.5, np.float32)
        shown = [cv2.applyColorMap((255 * np.clip(x, 0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO) for x in inverse]
        columns.append(np.vstack([image, *shown, np.repeat((255 * mask[..., None]).astype(np.uint8), 3, 2)]))
    cv2.imwrite(str(file), np.hstack(columns))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--lead", type=float)
    parser.add_argument("--difficulty", type=int, default=2)
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    if options.lead is not None:
        known = options.world / "world.yaml"
        spec = Spec.from_yaml(known) if known.exists() else Spec("street", options.difficulty, frames=options.frames)
        let_a_car_lead(spec, options.lead)
        if options.run is None:
            write_world(spec, options.world, truth=("instance",))
    if options.run is None:
        return
    run = RunFiles(options.run)
    seen = frames(options.world, run)
    still = np.concatenate([(s.z / np.maximum(s.true, 1e-6))[(s.true > 0) & ~s.moving] for s in seen])
    factor = 1 / float(np.median(still))
    names = "moving cars", "parked cars", "the road", "all that stands still"
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for s in seen:
        ratio, there = factor * s.z / np.maximum(s.true, 1e-6), s.true > 0
        for name, which in zip(ratios, (s.moving, s.car & ~s.moving, s.road, ~s.moving), strict=True):
            ratios[name].append(ratio[there & which])
    print("| what | pixels | > 2x truth | < truth / 2 | within 25 % | median ratio |\n|---|---|---|---|---|---|")
    for name, parts in ratios.items():
        print(row(name, np.concatenate(parts)))
    taken = [(frame.number, _keep(frame, NOTHING)[0, 0].numpy()) for frame in key_frames(run)]
    kept = np.concatenate([kept[seen[i].moving] for i, kept in taken])
    far = np.concatenate([(factor * seen[i].z > HOLE * seen[i].true)[seen[i].moving] for i, _ in taken])
    if kept.any():
        print(f"of the key frames' {len(kept)} pixels of moving cars {100 * kept.mean():.0f} % enter the map; of these "
              f"{100 * far[kept].mean():.1f} % are farther than twice the truth, of the others "
              f"{100 * far[~kept].mean():.1f} %")
    if options.picture:
        picture(seen, run, options.world, factor, options.picture)


if __name__ == "__main__":
    main()
