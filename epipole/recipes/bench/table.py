"""The bench's results as numbers for JSON, and those as a Markdown page."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ...judges.score import Score, better
from .cells import Cell

Entry = dict[str, Any]


def row(name: str, cells: Sequence[Cell], test: str, learned: bool) -> Entry | None:
    """Every score of a system, over its seeds, or of a baseline, on one test set; None where no cell has any."""
    runs = [cell for cell in cells if test in cell.scores]
    if not runs:
        return None
    by_name = [{score.name: score for score in cell.scores[test]} for cell in runs]
    names = [score.name for score in runs[0].scores[test] if all(score.name in scores for scores in by_name)]
    entry: Entry = {"name": name, "learned": learned, "scores": {n: spread([s[n] for s in by_name]) for n in names}}
    if learned:
        entry |= {"weights": runs[0].weights, "steps": [cell.steps for cell in runs],
                  "minutes": [round(cell.seconds / 60, 2) for cell in runs]}
    return entry


def spread(scores: Sequence[Score]) -> Entry:
    """One score over all seeds: its values, their median, least and most."""
    values = [score.value for score in scores]
    return {"values": values, "median": statistics.median(values), "least": min(values), "most": max(values),
            "unit": scores[0].unit, "better": better(scores[0].name), "protocol": scores[0].protocol}


def beside(rows: Sequence[Entry], cells: Sequence[Cell], test: str, names: Sequence[str]) -> list[Entry]:
    """The rows of baselines that the judge computed beside the scores of the first cell on this test set."""
    scores = next((cell.scores[test] for cell in cells if test in cell.scores), [])
    found = []
    for name in names:
        own = [Score(s.name, s.baselines[name], s.unit, protocol=s.protocol) for s in scores if name in s.baselines]
        if own and all(name != entry["name"] for entry in rows):
            found.append({"name": name, "learned": False, "scores": {s.name: spread([s]) for s in own}})
    return found


def gain(value: float, rival: float, which: str) -> float | None:
    """Per cent by which an error is smaller, or what is better when higher is larger, than a rival's."""
    if rival == 0:
        return None
    return 100 * (value / rival - 1 if which == "higher" else 1 - value / rival)


def with_gains(rows: list[Entry], rivals: Sequence[tuple[str, str]]) -> list[Entry]:
    """The same rows, each with its gains in the medians of scores over the rivals (score, baseline)."""
    for entry in rows:
        entry["gains"] = {}
        for score, rival in rivals:
            base: dict[str, Any] = next((other["scores"] for other in rows if other["name"] == rival), {})
            if entry["name"] != rival and score in base and score in entry["scores"]:
                own = entry["scores"][score]
                entry["gains"][gain_name(score, rival)] = gain(own["median"], base[score]["median"], own["better"])
    return rows


def gain_name(score: str, rival: str) -> str:
    """The head of the column."""
    return f"{score} over {rival}"


def markdown(results: Entry) -> str:
    """The whole page."""
    about = [f"# {results['title']}", "", "```", results["command"], "```", ""]
    about += [f"- {line}" for line in [*results["about"], *results["notes"]]]
    tables = [line for table in results["tables"]
              for line in ["", f"## {table['test']}", "", *_table(table, results["shown"])]]
    return "\n".join([*about, *tables]) + "\n"


def _table(table: Entry, shown: Sequence[str]) -> list[str]:
    rows = table["rows"]
    scores = [name for name in shown if any(name in entry["scores"] for entry in rows)]
    gains = list(dict.fromkeys(name for entry in rows for name in entry["gains"]))
    head = ["", "weights", "steps", "minutes", *(_head(name, rows) for name in scores), *gains]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    lines += [_line(_cells(entry, scores, gains)) for entry in rows]
    protocols = {entry["scores"][name]["protocol"] for entry in rows for name in scores if name in entry["scores"]}
    return [*lines, "", *(f"- {line}" for line in [*table["notes"], *sorted(protocols)])]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(name: str, rows: Sequence[Entry]) -> str:
    unit = next(entry["scores"][name]["unit"] for entry in rows if name in entry["scores"])
    return f"{name} ({unit})" if unit else name


def _cells(entry: Entry, scores: Sequence[str], gains: Sequence[str]) -> list[str]:
    costs = ["", "", ""]
    if entry["learned"]:
        steps, minutes = _range(entry["steps"], "{:.0f}"), _range(entry["minutes"], "{:.1f}")
        costs = [f"{entry['weights'] / 1e6:.2f} M", steps, minutes]
    numbers = [number(entry["scores"][name]) if name in entry["scores"] else "" for name in scores]
    over = [entry["gains"].get(name) for name in gains]
    name = f"**{entry['name']}**" if entry["learned"] else entry["name"]
    return [name, *costs, *numbers, *("" if share is None else f"{share:+.0f} %" for share in over)]


def number(score: Entry) -> str:
    """The median, and how far the seeds spread."""
    if score["least"] == score["most"]:
        return f"{score['median']:.4g}"
    return f"{score['median']:.4g} ({score['least']:.4g} to {score['most']:.4g})"


def _range(values: Sequence[int] | Sequence[float], how: str) -> str:
    low, high = how.format(min(values)), how.format(max(values))
    return low if low == high else f"{low} to {high}"
