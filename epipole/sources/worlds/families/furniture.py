"""The pieces of a furnished room: small parametric grammars of boxes and turned solids. Lengths in m.

Every piece is a function of a generator; it draws shapes only, materials are chosen elsewhere.
"""

from __future__ import annotations

import numpy as np

from ..meshes import Part, Piece, ball, box, cylinder, lathe, rigid


def table(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(1.0, 1.5), rng.uniform(0.65, 0.9), rng.uniform(0.55, 0.76)
    leg, board = rng.uniform(0.06, 0.11), rng.uniform(0.04, 0.07)
    x, y = w / 2 - leg, d / 2 - leg
    legs = [Part(box(leg, leg, h - board, i * x, j * y), "wood", 1) for i in (-1, 1) for j in (-1, 1)]
    return Piece([Part(box(w, d, board, z=h - board), "wood"), *legs], (w, d, h), (w * 0.85, d * 0.8, h), "table")


def chair(rng: np.random.Generator) -> Piece:
    w, h, back = rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.48), rng.uniform(0.4, 0.55)
    leg = rng.uniform(0.04, 0.06)
    x = w / 2 - leg / 2
    legs = [Part(box(leg, leg, h, i * x, j * x), "wood") for i in (-1, 1) for j in (-1, 1)]
    rails = [Part(box(leg, leg, back, i * x, x, h + 0.05), "wood") for i in (-1, 1)]
    seat = Part(box(w, w, 0.05, z=h), "fabric", 1)
    rest = Part(box(w - leg, 0.04, back * rng.uniform(0.5, 0.9), 0.0, x, h + back * 0.15), "fabric", 1)
    return Piece([*legs, *rails, seat, rest], (w, w, h + back), kind="chair")


def sofa(rng: np.random.Generator) -> Piece:
    w, d, seat, back = rng.uniform(1.5, 2.1), rng.uniform(0.8, 0.95), rng.uniform(0.36, 0.44), rng.uniform(0.75, 0.9)
    arm, rest = rng.uniform(0.14, 0.22), rng.uniform(0.2, 0.26)
    inner, count = w - 2 * arm, int(rng.integers(2, 4))
    parts = [
        Part(box(w, d, seat * 0.6), "fabric"),
        Part(box(w, rest, back, 0.0, d / 2 - rest / 2), "fabric"),
        *(Part(box(arm, d, seat + 0.2, i * (w - arm) / 2), "fabric") for i in (-1, 1)),
    ]
    for k in range(count):
        x = ((k + 0.5) / count - 0.5) * inner
        parts.append(Part(box(inner / count - 0.02, d - rest, seat * 0.4, x, -rest / 2, seat * 0.6), "fabric", 1))
    for k in range(int(rng.integers(1, 4))):  # cushions, leaning at odd angles
        T = rigid(rng.uniform(-0.4, 0.4) * inner, d / 2 - rest - 0.1, seat, rng.uniform(-0.5, 0.5))
        parts.append(Part(box(0.4, 0.13, rng.uniform(0.34, 0.42)).moved(T), "print", 2 + k))
    return Piece(parts, (w, d, back), kind="sofa")


def _row_of_books(
    rng: np.random.Generator, x0: float, x1: float, y: float, z: float, height: float, slot: int
) -> list[Part]:
    parts, x = [], x0
    while x < x1 - 0.08:
        thick, tall = rng.uniform(0.025, 0.07), height * rng.uniform(0.55, 0.92)
        if rng.random() < 0.88:
            book = box(thick, rng.uniform(0.14, 0.2), tall, x + thick / 2, y, z)
            parts.append(Part(book, "cover", slot + int(rng.integers(9))))
        x += thick + (rng.uniform(0.05, 0.2) if rng.random() < 0.12 else 0.003)
    return parts


def shelf(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.8, 1.4), rng.uniform(0.28, 0.36), rng.uniform(1.4, 2.0)
    boards, t = int(rng.integers(4, 6)), 0.03
    gap = (h - t) / (boards - 1)
    parts = [Part(box(t, d, h, i * (w - t) / 2), "wood") for i in (-1, 1)]
    parts += [Part(box(w - 2 * t, 0.02, h, 0.0, d / 2 - 0.01), "wood", 1)]
    parts += [Part(box(w - 2 * t, d - 0.02, t, 0.0, -0.01, k * gap), "wood") for k in range(boards)]
    for k in range(boards - 1):
        parts += _row_of_books(rng, -w / 2 + t, w / 2 - t, -0.02, k * gap + t, gap - t, 2)
    return Piece(parts, (w, d, h), (w * 0.9, d * 0.8, h), "furniture")


def cabinet(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.8, 1.5), rng.uniform(0.4, 0.5), rng.uniform(0.6, 1.0)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    dw, dh = (w - 0.04) / columns, (h - 0.12) / rows
    parts = [Part(box(w, d, h - 0.08, z=0.08), "wood"), Part(box(w * 0.9, d * 0.8, 0.08), "wood", 1)]
    for i in range(columns):
        for j in range(rows):
            x, z = (i + 0.5) * dw - (w - 0.04) / 2, 0.1 + j * dh
            parts.append(Part(box(dw - 0.03, 0.03, dh - 0.03, x, -d / 2 - 0.01, z), "wood", 2))
            parts.append(Part(box(0.1, 0.03, 0.025, x, -d / 2 - 0.035, z + dh * 0.7), "ceramic", 3))
    return Piece(parts, (w, d + 0.08, h), (w * 0.85, d * 0.7, h), "furniture")


def lamp(rng: np.random.Generator) -> Piece:
    h, shade = rng.uniform(1.35, 1.7), rng.uniform(0.17, 0.24)
    return Piece([
        Part(cylinder(0.15, 0.04), "wood"), Part(cylinder(0.018, h - 0.2, 0.03), "wood"),
        Part(cylinder(shade, 0.3, h - 0.3, shade * rng.uniform(0.55, 0.85)), "print", 1),
    ], (2 * shade, 2 * shade, h))


def plant(rng: np.random.Generator) -> Piece:
    r, h = rng.uniform(0.14, 0.2), rng.uniform(0.25, 0.38)
    parts = [Part(cylinder(r * 0.7, h, 0.0, r), "ceramic"), Part(cylinder(0.02, 0.4, h - 0.02), "wood", 1)]
    for _ in range(int(rng.integers(6, 10))):
        a, out, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.2), rng.uniform(0.08, 0.14)
        T = rigid(out * np.cos(a), out * np.sin(a), h + rng.uniform(0.05, 0.55))
        parts.append(Part(ball(size, rng.uniform(0.5, 1.0)).moved(T), "leaf", 2))
    return Piece(parts, (0.5, 0.5, h + 0.8))


def crates(rng: np.random.Generator) -> Piece:
    parts, z, side = [], 0.0, rng.uniform(0.34, 0.5)
    for k in range(int(rng.integers(1, 4))):
        w, d, h = side * rng.uniform(0.7, 1.0), side * rng.uniform(0.7, 1.0), rng.uniform(0.18, 0.34)
        parts.append(Part(box(w, d, h).moved(rigid(0.0, 0.0, z, rng.uniform(-0.4, 0.4))), "print", k))
        z += h
    return Piece(parts, (side * 1.3, side * 1.3, z))


def toy(rng: np.random.Generator) -> Piece:
    r = rng.uniform(0.12, 0.26)
    return Piece([Part(ball(r), "print")], (2 * r, 2 * r, 2 * r))


def stool(rng: np.random.Generator) -> Piece:
    r, h = rng.uniform(0.18, 0.28), rng.uniform(0.35, 0.5)
    parts = [Part(cylinder(r, h), "print"), Part(cylinder(r * 1.03, 0.06, h), "fabric", 1)]
    return Piece(parts, (2 * r, 2 * r, h + 0.06), kind="chair")


def vase(rng: np.random.Generator) -> Piece:
    h, t = rng.uniform(0.2, 0.4), np.linspace(0, 1, 16)
    r = 0.07 + 0.05 * np.sin(2 * np.pi * (t * rng.uniform(0.6, 1.1) + rng.uniform(0, 0.3)))
    return Piece([Part(lathe([(0.0, 0.0), *zip(r, t * h, strict=True), (0.0, h)]), "ceramic")], (0.24, 0.24, h))


def stack_of_books(rng: np.random.Generator) -> Piece:
    parts, z = [], 0.0
    for k in range(int(rng.integers(2, 6))):
        t = rng.uniform(0.025, 0.06)
        parts.append(Part(box(0.2, 0.27, t).moved(rigid(0.0, 0.0, z, rng.uniform(-0.5, 0.5))), "cover", k))
        z += t
    return Piece(parts, (0.32, 0.32, z))


def carton(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.12, 0.26, 3)
    return Piece([Part(box(w, d, h), "cover")], (w, d, h))


def fruit(rng: np.random.Generator) -> Piece:
    r = rng.uniform(0.06, 0.11)
    return Piece([Part(ball(r), "ceramic")], (2 * r, 2 * r, 2 * r))


def picture(rng: np.random.Generator) -> Piece:
    """Hangs on a wall: its back is at y = 0, its middle at z = 0."""
    w, h = rng.uniform(0.4, 1.0), rng.uniform(0.4, 0.75)
    frame, sheet = box(w, 0.04, h, 0.0, -0.02, -h / 2), box(w - 0.1, 0.02, h - 0.1, 0.0, -0.04, -h / 2 + 0.05)
    return Piece([Part(frame, "wood"), Part(sheet, "poster", 1)], (w, 0.05, h))


def rug(rng: np.random.Generator) -> Piece:
    w, d = rng.uniform(1.6, 2.4), rng.uniform(1.2, 1.8)
    return Piece([Part(box(w, d, 0.012), "rug")], (w, d, 0.012))
