"""Things to be seen one at a time: chairs, tables and lamps, each a grammar with a dozen numbers. Lengths in m.

Their fronts face -y. Cars come from the street, blobs from `starshaped`.
"""

from __future__ import annotations

import numpy as np

from ..meshes import Array, Mesh, Part, ball, box, cylinder, joined, lathe, prism

FRAMES = ("wood", "metal", "plastic")


def beam(a: tuple[float, ...], b: tuple[float, ...], width: float, depth: float) -> Mesh:
    """A bar of rectangular section from a to b."""
    T, length = _along(np.array(a), np.array(b))
    return box(width, depth, length).moved(T)


def rod(a: tuple[float, ...], b: tuple[float, ...], r: float, end: float | None = None) -> Mesh:
    """A round bar from a to b, of another radius at its end."""
    T, length = _along(np.array(a), np.array(b))
    return cylinder(r, length, top=end, segments=12).moved(T)


def _along(a: Array, b: Array) -> tuple[Array, float]:
    """T [4, 4] that lays the z axis from a to b, x as level as can be; and their distance."""
    length = float(np.linalg.norm(b - a))
    z = (b - a) / length
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3] = np.stack([x, np.cross(z, x), z, a], -1)
    return T, length


def polygon(corners: int, a: float, b: float, turn: float = 0.5) -> Array:
    """Outline [corners, 2] within an ellipse of half axes a and b."""
    angle = 2 * np.pi * (np.arange(corners) + turn) / corners
    return np.stack([a * np.cos(angle), b * np.sin(angle)], -1)


def _four_legs(rng: np.random.Generator, w: float, d: float, h: float) -> list[Mesh]:
    """Straight or splayed, square or round, tapered; sometimes with stretchers between them."""
    t, splay, taper = rng.uniform(0.025, 0.055), rng.uniform(0.0, 0.08), rng.uniform(0.5, 1.0)
    round_, low = rng.random() < 0.5, rng.uniform(0.25, 0.6) * h
    x, y, meshes = w / 2 - t, d / 2 - t, []
    for i in (-1, 1):
        for j in (-1, 1):
            foot, top = (i * (x + splay), j * (y + splay), 0.0), (i * x, j * y, h)
            meshes.append(rod(foot, top, taper * t / 2, t / 2) if round_ else beam(foot, top, t, t))
    if rng.random() < 0.4:
        out = splay * (1 - low / h)
        meshes += [beam((i * (x + out), -y - out, low), (i * (x + out), y + out, low), 0.5 * t, 0.5 * t)
                   for i in (-1, 1)]
        meshes.append(beam((-x - out, 0.0, low), (x + out, 0.0, low), 0.5 * t, 0.5 * t))
    return meshes


def _pedestal(rng: np.random.Generator, w: float, d: float, h: float) -> list[Mesh]:
    """One column on a disc or a star of feet."""
    r, foot, thick = rng.uniform(0.02, 0.05), rng.uniform(0.35, 0.5) * min(w, d), rng.uniform(0.02, 0.05)
    column = rod((0.0, 0.0, thick / 2), (0.0, 0.0, h), r, r * rng.uniform(0.7, 1.3))
    if rng.random() < 0.5:
        return [column, cylinder(foot, thick, 0.0, foot * rng.uniform(0.5, 1.0))]
    count, start = int(rng.integers(3, 7)), rng.uniform(0, 1)
    tips = polygon(count, foot, foot, start)
    return [column, *(beam((0.0, 0.0, 1.2 * thick), (x, y, thick / 2), thick, thick) for x, y in tips)]


def _runners(rng: np.random.Generator, w: float, d: float, h: float) -> list[Mesh]:
    """A closed frame on either side."""
    t, meshes = rng.uniform(0.02, 0.04), []
    x, y = w / 2 - t / 2, d / 2 - t
    for i in (-1, 1):
        meshes.append(box(t, 2 * y + t, t, i * x))
        meshes += [box(t, t, h - t, i * x, j * y, t) for j in (-1, 1)]
    return meshes


def _panels(rng: np.random.Generator, w: float, d: float, h: float) -> list[Mesh]:
    """A board on either side, and one between them."""
    t, inset = rng.uniform(0.02, 0.05), rng.uniform(0.0, 0.1) * w
    sides = [box(t, d * 0.96, h, i * (w / 2 - inset - t / 2)) for i in (-1, 1)]
    return [*sides, box(w - 2 * inset - t, t, h * rng.uniform(0.3, 0.8), 0.0, d * rng.uniform(-0.1, 0.3), 0.1 * h)]


FEET = (_four_legs, _four_legs, _pedestal, _runners, _panels)


def _back(rng: np.random.Generator, w: float, y: float, low: float, high: float, lean: float) -> list[Mesh]:
    """Slats, bars or one board between two posts that lean backwards."""
    t, style = rng.uniform(0.02, 0.045), int(rng.integers(4))
    x = w / 2 - t / 2
    posts = [beam((i * x, y, low), (i * x, y + lean, high), t, t) for i in (-1, 1)]
    rail = beam((-x, y + lean, high - t / 2), (x, y + lean, high - t / 2), t, t)
    if style == 0:  # slats
        count = int(rng.integers(2, 6))
        inner = [beam((s, y, low), (s, y + lean, high), 0.6 * t, 0.5 * t) for s in np.linspace(-x, x, count + 2)[1:-1]]
        return [*posts, rail, *inner]
    if style == 1:  # bars
        share = np.linspace(0.35, 0.9, int(rng.integers(2, 5)))
        return posts + [beam((-x, y + lean * s, low + (high - low) * s), (x, y + lean * s, low + (high - low) * s),
                             0.6 * t, rng.uniform(1.0, 1.6) * t) for s in share]
    foot = low + (0.0 if style == 2 else rng.uniform(0.2, 0.5) * (high - low))
    start = y + lean * (foot - low) / (high - low)
    board = beam((0.0, start, foot), (0.0, y + lean, high), w * rng.uniform(0.85, 1.0), t)
    return [board] if style == 2 else [*posts, board]


def _arms(rng: np.random.Generator, w: float, d: float, seat: float) -> list[Mesh]:
    t, h, front = rng.uniform(0.025, 0.06), rng.uniform(0.16, 0.26), rng.uniform(0.2, 0.45) * d
    meshes = []
    for i in (-1, 1):
        x = i * (w / 2 + 0.2 * t)
        meshes += [beam((x, -front, seat), (x, -front, seat + h), 0.7 * t, 0.7 * t),
                   box(t, front + d / 2, 0.6 * t, x, (d / 2 - front) / 2, seat + h)]
    return meshes


def chair(rng: np.random.Generator) -> list[Part]:
    """Office chair, kitchen chair, cantilever or throne: feet x seat x back x arms."""
    w, d, h = rng.uniform(0.4, 0.58), rng.uniform(0.4, 0.55), rng.uniform(0.34, 0.5)
    thick, back, lean = rng.uniform(0.03, 0.1), rng.uniform(0.3, 0.65), rng.uniform(0.0, 0.14)
    round_ = rng.random() < 0.3
    seat = prism(polygon(16, w / 2, d / 2), h, h + thick) if round_ else box(w, d, thick, z=h)
    share = 0.66 if round_ else 0.95  # the corners of the feet lie under a round seat
    feet = FEET[rng.integers(len(FEET))](rng, w * share, d * share, h + 0.5 * thick)
    frame = str(rng.choice(FRAMES))
    rest = _back(rng, w * rng.uniform(0.8, 0.98), d / 2 - 0.03, h + 0.3 * thick, h + thick + back, lean)
    arms = _arms(rng, w, d, h + 0.5 * thick) if rng.random() < 0.4 else []
    soft = str(rng.choice(["fabric", "wood", "print"]))
    return [Part(joined([*feet, *arms]), frame), Part(seat, soft, 1), Part(joined(rest), frame, 2)]


def table(rng: np.random.Generator) -> list[Part]:
    """Dining table, desk or bistro table: feet x top x apron x shelf."""
    w, d, h = rng.uniform(0.6, 1.6), rng.uniform(0.5, 0.9), rng.uniform(0.38, 0.8)
    board, style = rng.uniform(0.025, 0.07), int(rng.integers(3))
    if style == 0:
        top = box(w, d, board, z=h - board)
    elif style == 1:
        top = prism(polygon(int(rng.integers(5, 9)), w / 2, d / 2), h - board, h)
    else:
        top = prism(polygon(32, w / 2, d / 2), h - board, h)
    share = 0.95 if style == 0 else 0.66  # the corners of the feet lie under a round top
    feet = FEET[rng.integers(len(FEET))](rng, w * share, d * share, h - 0.5 * board)
    extra = []
    if rng.random() < 0.4:
        extra.append(box(w * share * 0.9, d * share * 0.9, rng.uniform(0.05, 0.12), z=h - board - 0.05))
    if rng.random() < 0.3:
        extra.append(box(w * share * 0.9, d * share * 0.9, 0.025, z=h * rng.uniform(0.2, 0.5)))
    return [Part(top, "wood"), Part(joined([*feet, *extra]), str(rng.choice(FRAMES)), 1)]


def _shade(rng: np.random.Generator, r: float, height: float, z: float) -> Mesh:
    """Cone, drum, globe or bell."""
    style, end = int(rng.integers(3)), rng.uniform(0.35, 1.0)
    if style == 0:
        return cylinder(r, height, z, r * end, 24)
    t = np.linspace(0, 1, 9)
    if style == 1:
        return ball(r, height / (2 * r), 20).moved(np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, z], [0, 0, 0, 1]]))
    bell = r * (end * 0.4 + (1 - end * 0.4) * (1 - t) ** rng.uniform(0.5, 2.0))
    return lathe([(0.0, z), *zip(bell, z + t * height, strict=True), (0.0, z + height)], 24)


def lamp(rng: np.random.Generator) -> list[Part]:
    """Table or floor lamp: base x stem x shade; the stem is straight, turned, or has an elbow."""
    h, r, tall = rng.uniform(0.35, 1.5), rng.uniform(0.09, 0.2), rng.uniform(0.14, 0.32)
    foot, thick, stem = rng.uniform(0.07, 0.17), rng.uniform(0.02, 0.06), rng.uniform(0.013, 0.03)
    base = cylinder(foot, thick, 0.0, foot * rng.uniform(0.5, 1.0)) if rng.random() < 0.6 \
        else prism(polygon(int(rng.integers(3, 7)), foot, foot), 0.0, thick)
    style, low = int(rng.integers(3)), thick * 0.5
    x = y = 0.0
    if style == 0:
        stems = [rod((0.0, 0.0, low), (0.0, 0.0, h + 0.02), stem)]
    elif style == 1:
        t = np.linspace(0, 1, 17)
        bulge = stem * (1.6 + np.sin(2 * np.pi * (t * rng.uniform(0.8, 2.5) + rng.uniform())) * rng.uniform(0.3, 0.9))
        stems = [lathe([(0.0, low), *zip(bulge, low + t * (h + 0.02 - low), strict=True), (0.0, h + 0.02)], 16)]
    else:
        angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3)
        x, y, knee = out * np.cos(angle), out * np.sin(angle), h * rng.uniform(0.4, 0.8)
        stems = [rod((0.0, 0.0, low), (-0.5 * x, -0.5 * y, knee), stem),
                 rod((-0.5 * x, -0.5 * y, knee), (x, y, h + 0.02), stem * 0.8)]
    T = np.eye(4)
    T[:2, 3] = x, y
    frame = str(rng.choice(FRAMES))
    return [Part(base, frame), Part(joined(stems), frame, 1), Part(_shade(rng, r, tall, h).moved(T), "print", 2)]
