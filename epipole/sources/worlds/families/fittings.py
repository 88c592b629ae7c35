"""More pieces of a room: beds, televisions, windows, doors, and furniture of other shapes. Lengths in m."""

from __future__ import annotations

import numpy as np

from ..meshes import Part, Piece, box, cylinder, lathe, rigid


def bed(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.95, 1.8), rng.uniform(1.95, 2.1), rng.uniform(0.25, 0.38)
    head, foot, thick = rng.uniform(0.6, 1.15), rng.uniform(0.0, 0.45), rng.uniform(0.14, 0.26)
    top, cover = h + thick, rng.uniform(0.45, 0.8) * d
    parts = [
        Part(box(w, d - 0.08, h - 0.1, z=0.1), "wood"),
        Part(box(w, 0.06, head, 0.0, d / 2 - 0.03), "wood", 1),
        *(Part(box(0.08, 0.08, 0.1, i * (w / 2 - 0.1), j * (d / 2 - 0.15)), "wood") for i in (-1, 1) for j in (-1, 1)),
        Part(box(w - 0.06, d - 0.12, thick, 0.0, 0.0, h), "linen"),
        Part(box(w + 0.03, cover, 0.05, 0.0, (cover - d) / 2 + 0.04, top - 0.01), "linen", 1),
    ]
    if foot > 0.15:
        parts.append(Part(box(w, 0.05, h + foot * 0.5, 0.0, -d / 2 + 0.025), "wood", 1))
    count = 1 if w < 1.3 else 2
    for k in range(count):
        x = ((k + 0.5) / count - 0.5) * w
        pillow = box(rng.uniform(0.5, 0.65), rng.uniform(0.3, 0.4), rng.uniform(0.08, 0.14))
        parts.append(Part(pillow.moved(rigid(x, d / 2 - 0.3, top - 0.01, rng.uniform(-0.2, 0.2))), "linen", 2 + k))
    return Piece(parts, (w + 0.03, d, max(head, top)), kind="bed")


def television(rng: np.random.Generator) -> Piece:
    """Stands on a low board of its own, which belongs to it."""
    w = rng.uniform(0.8, 1.4)
    h, thick, stand = w * rng.uniform(0.54, 0.62), rng.uniform(0.03, 0.08), rng.uniform(0.3, 0.55)
    board, depth, bezel = w * rng.uniform(1.0, 1.4), rng.uniform(0.32, 0.45), rng.uniform(0.015, 0.04)
    neck, foot = rng.uniform(0.04, 0.12), rng.uniform(0.3, 0.6) * w
    z = stand + neck
    return Piece([
        Part(box(board, depth, stand), "wood"),
        Part(box(foot, 0.2, 0.02, z=stand), "plastic"), Part(box(0.08, 0.05, neck, 0.0, 0.02, stand), "plastic"),
        Part(box(w, thick, h, z=z), "plastic"),
        Part(box(w - 2 * bezel, 0.01, h - 2 * bezel, 0.0, -thick / 2 - 0.004, z + bezel), "screen", 1),
    ], (board, depth, z + h), kind="tvs")


def screen_on_wall(rng: np.random.Generator) -> Piece:
    """Hangs on a wall: its back is at y = 0, its middle at z = 0."""
    w = rng.uniform(0.7, 1.3)
    h, thick, bezel = w * rng.uniform(0.54, 0.62), rng.uniform(0.04, 0.09), rng.uniform(0.015, 0.04)
    return Piece([
        Part(box(w, thick, h, 0.0, -thick / 2, -h / 2), "plastic"),
        Part(box(w - 2 * bezel, 0.01, h - 2 * bezel, 0.0, -thick - 0.004, -h / 2 + bezel), "screen", 1),
    ], (w, thick, h), kind="tvs")


def window(rng: np.random.Generator) -> Piece:
    """Sits on a wall: its back is at y = 0, its foot at z = 0. The panes show what is outside."""
    w, h, bar = rng.uniform(0.8, 1.9), rng.uniform(0.9, 1.45), rng.uniform(0.04, 0.08)
    columns, rows, depth = int(rng.integers(1, 4)), int(rng.integers(1, 4)), rng.uniform(0.03, 0.06)
    parts = [Part(box(w, 0.015, h, 0.0, -0.0075), "glass", 1),
             Part(box(w + 0.12, rng.uniform(0.1, 0.2), 0.04, 0.0, -0.08, -0.04), "trim")]
    for k in range(columns + 1):
        parts.append(Part(box(bar, depth, h, (k / columns - 0.5) * (w - bar), -depth / 2), "trim"))
    for k in range(rows + 1):
        parts.append(Part(box(w, depth, bar, 0.0, -depth / 2, k / rows * (h - bar)), "trim"))
    if rng.random() < 0.6:  # curtains
        side, fold = rng.uniform(0.15, 0.35), rng.uniform(0.06, 0.12)
        for i in (-1, 1):
            for k in range(3):
                x = i * (w / 2 + side * (0.1 - k / 3))
                parts.append(Part(box(side / 3 + 0.01, fold * (1 + k % 2) / 2, h + 0.3, x, -0.12, -0.12), "linen", 2))
    return Piece(parts, (w + 0.3, 0.2, h), kind="window")


def door(rng: np.random.Generator) -> Piece:
    """Part of its wall: its back is at y = 0; panels, frame, handle."""
    w, h, frame = rng.uniform(0.75, 0.95), rng.uniform(1.95, 2.1), rng.uniform(0.06, 0.1)
    columns, rows, inset = int(rng.integers(1, 3)), int(rng.integers(1, 5)), rng.uniform(0.06, 0.12)
    parts = [Part(box(w, 0.03, h, 0.0, -0.015), "door"), Part(box(w + 2 * frame, 0.05, frame, 0.0, -0.025, h), "trim")]
    parts += [Part(box(frame, 0.05, h, i * (w + frame) / 2, -0.025), "trim") for i in (-1, 1)]
    pw, ph = w / columns, (h - 0.1) / rows
    for i in range(columns):
        for j in range(rows):
            panel = box(pw - inset, 0.02, ph - inset, (i + 0.5) * pw - w / 2, -0.035, 0.1 + j * ph)
            parts.append(Part(panel, "door", 1))
    parts.append(Part(box(0.12, 0.04, 0.025, 0.38 * w, -0.055, 1.0), "metal"))
    return Piece(parts, (w + 2 * frame, 0.07, h), kind="wall")


def round_table(rng: np.random.Generator) -> Piece:
    r, h, board = rng.uniform(0.4, 0.65), rng.uniform(0.5, 0.76), rng.uniform(0.025, 0.05)
    foot, neck, base = rng.uniform(0.2, 0.35), rng.uniform(0.03, 0.06), rng.uniform(0.02, 0.05)
    return Piece([
        Part(cylinder(r, board, h - board), "wood"), Part(cylinder(neck, h - board - base, base), "wood", 1),
        Part(cylinder(foot, base, 0.0, foot * rng.uniform(0.4, 1.0)), "wood", 1),
    ], (2 * r, 2 * r, h), (r, r, h), "table")


def desk(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(1.1, 1.6), rng.uniform(0.55, 0.8), rng.uniform(0.7, 0.76)
    chest, drawers, side = rng.uniform(0.32, 0.45), int(rng.integers(2, 5)), int(rng.choice([-1, 1]))
    x, dh = side * (w - chest) / 2, (h - 0.1) / drawers
    parts = [Part(box(w, d, 0.04, z=h - 0.04), "wood"), Part(box(chest, d - 0.06, h - 0.04, x), "wood"),
             Part(box(0.04, d - 0.06, h - 0.04, -side * (w - 0.04) / 2), "wood")]
    parts += [Part(box(chest - 0.04, 0.02, dh - 0.03, x, -d / 2 + 0.025, 0.04 + k * dh), "wood", 1)
              for k in range(drawers)]
    return Piece(parts, (w, d, h), (w * 0.9, d * 0.7, h), "table")


def armchair(rng: np.random.Generator) -> Piece:
    w, d, seat, back = rng.uniform(0.7, 0.95), rng.uniform(0.7, 0.9), rng.uniform(0.36, 0.46), rng.uniform(0.75, 1.05)
    arm, rest, high = rng.uniform(0.1, 0.18), rng.uniform(0.14, 0.22), rng.uniform(0.14, 0.26)
    return Piece([
        Part(box(w, d, seat * 0.65), "fabric"), Part(box(w, rest, back, 0.0, d / 2 - rest / 2), "fabric"),
        *(Part(box(arm, d, seat + high, i * (w - arm) / 2), "fabric") for i in (-1, 1)),
        Part(box(w - 2 * arm - 0.02, d - rest, seat * 0.35, 0.0, -rest / 2, seat * 0.65), "fabric", 1),
    ], (w, d, back), kind="sofa")


def office_chair(rng: np.random.Generator) -> Piece:
    r, h, back = rng.uniform(0.24, 0.32), rng.uniform(0.42, 0.52), rng.uniform(0.4, 0.65)
    lean, spokes, w = rng.uniform(0.0, 0.06), int(rng.integers(4, 6)), rng.uniform(0.4, 0.5)
    parts = [Part(cylinder(0.03, h - 0.08, 0.06), "metal"), Part(box(w, w, 0.08, z=h), "fabric"),
             Part(box(w * rng.uniform(0.7, 0.95), 0.06, back, 0.0, w / 2 + lean, h + 0.15), "fabric"),
             Part(box(0.06, 0.04, 0.3, 0.0, w / 2 + lean, h), "metal")]
    for k in range(spokes):
        spoke = box(r, 0.05, 0.04, r / 2, 0.0, 0.03)
        parts.append(Part(spoke.moved(rigid(0.0, 0.0, 0.0, 2 * np.pi * k / spokes)), "plastic"))
    return Piece(parts, (2 * r, 2 * r, h + 0.15 + back), kind="chair")


def wardrobe(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.9, 1.8), rng.uniform(0.5, 0.62), rng.uniform(1.8, 2.15)
    doors, plinth, gap = int(rng.integers(2, 4)), rng.uniform(0.04, 0.1), rng.uniform(0.004, 0.012)
    parts = [Part(box(w, d, h - plinth, z=plinth), "wood"), Part(box(w * 0.97, d * 0.9, plinth), "wood", 1)]
    for k in range(doors):
        x, dw = ((k + 0.5) / doors - 0.5) * w, w / doors - gap
        parts.append(Part(box(dw, 0.025, h - plinth - 0.04, x, -d / 2 - 0.012, plinth + 0.02), "door", 2))
        parts.append(Part(box(0.02, 0.03, 0.18, x + dw * 0.4, -d / 2 - 0.035, h * 0.48), "metal", 3))
    return Piece(parts, (w, d + 0.1, h), kind="furniture")


def pendant(rng: np.random.Generator) -> Piece:
    """Hangs from the ceiling: its top is at z = 0."""
    cord, r, h = rng.uniform(0.2, 0.5), rng.uniform(0.12, 0.25), rng.uniform(0.12, 0.25)
    shade = lathe([(0.0, -cord - h), (r, -cord - h), (r * rng.uniform(0.2, 0.8), -cord), (0.0, -cord)])
    return Piece([Part(cylinder(0.008, cord, -cord), "plastic"), Part(shade, "print", 1)], (2 * r, 2 * r, cord + h))
