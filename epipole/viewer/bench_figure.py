"""The tables of a bench as one still picture: who beats what, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..formats.atomic import replacing

LEARNED, BASELINE = "#1f5fae", "#8a9099"
WIDTH, ROW = 6.4, 0.3   # inches of a panel, and of each row in it


def write_bench_figure(results: Mapping[str, Any], path: Path) -> Path:
    """Writes a PNG with a panel for each test set of `bench.json`: the median of the field's first score for every
    system and baseline, best at the top, with the range over seeds. Raises InputError where the disk refuses."""
    tables = [table for table in results["tables"] if table["rows"]]
    score = results["shown"][0]
    tall = max((len(table["rows"]) for table in tables), default=1)
    picture = Figure(figsize=(WIDTH * max(len(tables), 1), 1.1 + ROW * tall), dpi=110, facecolor="white",
                     layout="constrained")
    for k, table in enumerate(tables):
        rows = [row for row in table["rows"] if score in row["scores"]]
        _panel(picture.add_subplot(1, len(tables), k + 1), rows, score, Path(table["test"]).name)
    with replacing(path) as part:
        picture.savefig(part, format="png")
    return path


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], score: str, title: str) -> None:
    """One row for each entrant; a logarithmic axis where the worst is far from the best."""
    higher = bool(rows) and rows[0]["scores"][score]["better"] == "higher"
    ordered = sorted(rows, key=lambda row: row["scores"][score]["median"], reverse=not higher)
    for y, row in enumerate(ordered):
        found, colour = row["scores"][score], LEARNED if row["learned"] else BASELINE
        axes.plot([found["least"], found["most"]], [y, y], color=colour, linewidth=3, solid_capstyle="round", alpha=0.5)
        axes.plot(found["median"], y, "o", color=colour, markersize=7)
        axes.annotate(f"{found['median']:.3g}", (found["median"], y), xytext=(7, -3), textcoords="offset points",
                      fontsize=8, color=colour)
    axes.set_yticks(range(len(ordered)), [row["name"] for row in ordered])
    for label, row in zip(axes.get_yticklabels(), ordered, strict=True):
        label.set_color(LEARNED if row["learned"] else BASELINE)
    values = [row["scores"][score]["median"] for row in ordered]
    if values and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_xscale("log")
    unit = rows[0]["scores"][score]["unit"] if rows else ""
    axes.set_xlabel(f"{score}{f' ({unit})' if unit else ''}, {'higher' if higher else 'lower'} is better")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.12)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
