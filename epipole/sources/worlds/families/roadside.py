"""The pieces of a street: cars, trees, poles, signs, houses. Lengths in m; a car's front faces +x, a house's -y."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..meshes import Mesh, Part, Piece, ball, blob, box, cylinder, flat, joined, lathe, prism, rigid


def _loft(profile: list[tuple[float, float, float, float]]) -> Mesh:
    """A solid through upright sections (x, half width, low, high) in order of x."""
    rings = np.array([[(x, -w, lo), (x, w, lo), (x, w, hi), (x, -w, hi)] for x, w, lo, hi in profile])
    faces = []
    for a, b in pairwise(rings):
        for i in range(4):
            j = (i + 1) % 4
            faces += [(a[i], b[j], b[i]), (a[i], a[j], b[j])]
    faces += [(rings[0][0], rings[0][2], rings[0][1]), (rings[0][0], rings[0][3], rings[0][2])]
    faces += [(rings[-1][0], rings[-1][1], rings[-1][2]), (rings[-1][0], rings[-1][2], rings[-1][3])]
    return flat(np.array(faces))


def _wheel(x: float, y: float, r: float, width: float, segments: int = 8) -> Mesh:
    mesh = cylinder(r, width, -width / 2, segments=segments)
    T = np.eye(4)
    T[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # its axle lies across the car
    T[:3, 3] = x, y, r
    return mesh.moved(T)


def car(rng: np.random.Generator) -> Piece:
    """From hatchback to van: bonnet, cabin with windows, boot, wheels, lights, plates."""
    length, w = rng.uniform(3.6, 4.9), rng.uniform(0.82, 0.94)
    low, waist, roof = rng.uniform(0.16, 0.25), rng.uniform(0.75, 0.95), rng.uniform(1.38, 1.6)
    nose, boot = rng.uniform(0.18, 0.3) * length, rng.choice([0.02, rng.uniform(0.1, 0.2)]) * length
    if rng.random() < 0.15:  # a van
        roof, nose, boot = rng.uniform(1.85, 2.3), 0.12 * length, 0.01 * length
    back, front = -length / 2, length / 2
    a, b, slope = back + boot, front - nose, rng.uniform(0.35, 0.7)
    body = _loft([(back, w * 0.9, low + 0.12, waist * 0.93), (back + 0.12, w, low, waist), (b, w, low, waist),
                  (front - 0.15, w * 0.97, low, waist * rng.uniform(0.8, 0.9)),
                  (front, w * 0.85, low + 0.1, waist * 0.7)])
    glass = _loft([(a, w * 0.9, waist, waist + 0.02), (a + 0.5 * slope, w * 0.82, waist, roof - 0.04),
                   (b - slope, w * 0.82, waist, roof - 0.04), (b, w * 0.9, waist, waist + 0.02)])
    top = box(max(b - a - 1.5 * slope, 0.6), 1.68 * w, 0.05, (a + b - 0.5 * slope) / 2, 0.0, roof - 0.05)
    pillar = [box(0.07, 0.05, roof - waist, x, i * (0.84 * w), waist)
              for i in (-1, 1) for x in (a + 0.5 * slope, (a + b) / 2)]
    r = rng.uniform(0.29, 0.35)
    axles = (back + 0.19 * length, front - 0.19 * length)
    wheels = [_wheel(x, i * (w - 0.08), r, 0.2) for x in axles for i in (-1, 1)]
    hubs = [_wheel(x, 0.0, r * 0.6, 2 * w + 0.07, 6).moved(rigid(0.0, 0.0, r * 0.4)) for x in axles]
    lights = [box(0.04, 0.3, 0.12, front - 0.08, i * w * 0.65, waist * 0.62) for i in (-1, 1)]
    rear = [box(0.04, 0.25, 0.14, back + 0.01, i * w * 0.75, waist * 0.75) for i in (-1, 1)]
    plates = [box(0.02, 0.5, 0.11, x, 0.0, low + 0.22) for x in (back - 0.005, front + 0.005)]
    return Piece([
        Part(joined([body, top, *pillar]), "paint"), Part(glass, "pane", 1), Part(joined(wheels), "rubber", 2),
        Part(joined(hubs), "metal", 3), Part(joined(lights), "lamplight", 4), Part(joined(rear), "tail", 5),
        Part(joined(plates), "plate", 6),
    ], (length, 2 * w, roof), kind="car")


def tree(rng: np.random.Generator) -> Piece:
    trunk, r, crown = rng.uniform(1.8, 3.2), rng.uniform(0.09, 0.2), rng.uniform(1.0, 2.0)
    parts = [Part(cylinder(r, trunk + 0.5 * crown, 0.0, r * 0.6, 10), "bark")]
    for k in range(int(rng.integers(3, 7))):
        angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.65) * crown
        lump = blob(rng, crown * rng.uniform(0.4, 0.7), rng.uniform(0.2, 0.45), 5)
        at = rigid(out * np.cos(angle), out * np.sin(angle), trunk + crown * rng.uniform(0.35, 1.3))
        parts.append(Part(lump.moved(at), "leaf", 1 + k % 2))
    return Piece(parts, (2 * crown, 2 * crown, trunk + 2 * crown), kind="vegetation")


def bush(rng: np.random.Generator) -> Piece:
    lumps = []
    for _ in range(int(rng.integers(2, 5))):
        at = rigid(rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.3), 0.3)
        lumps.append(blob(rng, rng.uniform(0.25, 0.5), 0.35, 5).moved(at))
    return Piece([Part(joined(lumps), "leaf")], (1.6, 1.0, 0.9), kind="vegetation")


def lamp_post(rng: np.random.Generator) -> Piece:
    h, arm, r = rng.uniform(4.5, 7.5), rng.uniform(0.5, 1.6), rng.uniform(0.05, 0.09)
    return Piece([
        Part(cylinder(r * 1.8, 0.4, segments=10), "metal"), Part(cylinder(r, h, 0.0, r * 0.6, 10), "metal"),
        Part(box(0.07, arm, 0.07, 0.0, -arm / 2, h - 0.1), "metal"),
        Part(box(0.2, 0.5, 0.1, 0.0, -arm, h - 0.14), "plastic", 1),
    ], (0.4, 0.4, h), kind="pole")


def sign(rng: np.random.Generator) -> Piece:
    h, size, corners = rng.uniform(2.0, 2.7), rng.uniform(0.25, 0.42), int(rng.choice([3, 4, 8, 24]))
    turn = 2 * np.pi * (np.arange(corners) + 0.5) / corners - np.pi / 2
    plate = prism(size * np.stack([np.cos(turn), np.sin(turn)], -1), 0.0, 0.02)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]], [0.0, -0.04, h]
    post = cylinder(0.03, h + size, segments=8)
    return Piece([Part(post, "metal"), Part(plate.moved(T), "poster", 1)], (0.3, 0.3, h), kind="sign")


def bollard(rng: np.random.Generator) -> Piece:
    h, r = rng.uniform(0.6, 1.0), rng.uniform(0.05, 0.12)
    return Piece([Part(lathe([(0.0, 0.0), (r, 0.0), (r, h), (r * 0.6, h + 0.06), (0.0, h + 0.08)], 12), "metal")],
                 (2 * r, 2 * r, h), kind="pole")


def bin_(rng: np.random.Generator) -> Piece:
    w, h = rng.uniform(0.4, 0.7), rng.uniform(0.8, 1.2)
    return Piece([Part(box(w, w, h), "plastic"), Part(box(w + 0.06, w + 0.06, 0.07, z=h), "plastic", 1)], (w, w, h),
                 kind="object")


def person(rng: np.random.Generator) -> Piece:
    """Someone who waits: legs, coat, head."""
    h, w = rng.uniform(1.55, 1.9), rng.uniform(0.17, 0.23)
    legs = [cylinder(0.08, 0.48 * h, 0.0, 0.1, 8).moved(rigid(0.0, i * 0.1, 0.0)) for i in (-1, 1)]
    outline = [(0.0, 0.42), (w * 1.1, 0.42), (w, 0.6), (w * 1.05, 0.78), (0.07, 0.86), (0.0, 0.86)]
    coat = lathe([(r, z * h) for r, z in outline], 8)
    return Piece([Part(joined(legs), "fabric"), Part(coat, "print", 1),
                  Part(ball(0.11, 1.2, 10).moved(rigid(0.0, 0.0, 0.85 * h)), "skin", 2)], (0.5, 0.5, h), kind="person")


def house(rng: np.random.Generator, width: float) -> Piece:
    """A façade with its grid of windows, a door, cornices, sometimes a shop, a balcony, a pitched roof."""
    floors, storey, deep = int(rng.integers(2, 6)), rng.uniform(2.8, 3.4), 6.0
    base, height = rng.uniform(0.2, 1.2), floors * storey + rng.uniform(0.8, 1.6)
    bay = rng.uniform(1.9, 3.2)
    columns, w = max(1, round(width / bay)), bay * rng.uniform(0.35, 0.6)
    tall, inset, frame = storey * rng.uniform(0.42, 0.62), rng.uniform(0.02, 0.08), rng.uniform(0.05, 0.12)
    shop, balcony, sills = rng.random() < 0.4, rng.random() < 0.3, rng.random() < 0.7
    wall = [box(width, deep, height, 0.0, deep / 2)]
    panes, trims, rails = [], [box(width, 0.12, 0.25, 0.0, -0.06, height - 0.3)], []
    if sills:  # one ledge under all windows of a storey
        trims += [box(width, 0.16, 0.1, 0.0, -0.08, base + k * storey + 0.7) for k in range(1, floors)]
    entrance = int(rng.integers(columns))
    for i in range(columns):
        x = ((i + 0.5) / columns - 0.5) * width
        for k in range(floors):
            z = base + k * storey + 0.9 * (k > 0) * rng.uniform(0.9, 1.0)
            if k == 0 and i == entrance:
                trims.append(box(1.1, 0.1, 2.2, x, -0.05))
                continue
            wide, high = (width / columns - 0.5, 2.1) if k == 0 and shop else (w, tall)
            panes.append(box(wide, 0.04 + inset, high, x, -0.02 - inset / 2, z + 0.4 * (k == 0)))
            top = z + 0.4 * (k == 0)
            if k < 3:  # frames higher up are hardly seen from the road
                trims.append(box(wide + 2 * frame, 0.03 + inset, high + frame, x, -0.015 - inset / 2, top))
            if balcony and k and (i + k) % 2:
                rails += [box(wide + 0.8, 0.9, 0.1, x, -0.45, top - 0.3),
                          box(wide + 0.8, 0.05, 0.9, x, -0.88, top - 0.2)]
    parts = [Part(joined(wall), "facade"), Part(joined(panes), "pane", 1), Part(joined(trims), "trim", 2),
             Part(box(width, 0.1, base, 0.0, -0.05), "trim", 3)]
    if rails:
        parts.append(Part(joined(rails), "metal", 4))
    if rng.random() < 0.5:
        parts.append(Part(_roof(width, deep, height, rng.uniform(1.5, 3.5)), "roof", 5))
    return Piece(parts, (width, deep, height), kind="building")


def _roof(width: float, deep: float, z: float, rise: float) -> Mesh:
    """A pitched roof whose ridge runs along the street."""
    x, o = width / 2, 0.3
    return _loft_ridge(np.array([(-x, -o, z), (x, -o, z), (x, deep, z), (-x, deep, z),
                                 (-x, deep / 2, z + rise), (x, deep / 2, z + rise)]))


def _loft_ridge(p: np.ndarray) -> Mesh:
    faces = [(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5), (1, 2, 5), (3, 0, 4), (0, 3, 2), (0, 2, 1)]
    return flat(p[np.array(faces)])
