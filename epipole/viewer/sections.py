"""What `run.yaml` and the log say, as sections of the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..formats.run import scaling_text
from .markup import absent, duration, facts, number, quantity, section, table, text
from .plots import loss_plot, share_bar, timeline
from .run_folder import RunFolder

SCORE_NAMES = {
    "abs_rel": "Depth error, relative", "sq_rel": "Depth error, squared relative", "rmse": "Depth error, RMS",
    "rmse_log": "Depth error, RMS of log", "log10": "Depth error, log10",
    "silog": "Depth error, scale-invariant", "delta_1": "Depth within 25 %", "delta_2": "Depth within 56 %",
    "delta_3": "Depth within 95 %", "scale_spread": "Scale spread between frames", "ate": "Path error (ATE)",
    "flicker": "Depth disagreement between frames", "ause": "Uncertainty, sparsification error",
    "ece": "Uncertainty, calibration error", "error_correlation": "Uncertainty, correlation with error",
    "nll": "Uncertainty, negative log likelihood", "coverage_error_50": "Uncertainty, coverage of 50 % is off by",
    "coverage_error_90": "Uncertainty, coverage of 90 % is off by", "hidden": "Points hidden in the next frame",
    "ate_percent": "Path error, of its length", "ate_snippet": "Path error in snippets",
    "ate_snippet_rmse": "Path error in snippets, RMS", "rpe_translation": "Motion error, translation",
    "rpe_rotation": "Motion error, rotation", "self_photometric": "Colours after the warp, difference",
    "self_reprojection": "Points after the warp, off the flow",
    "t_rel": "Drift in translation", "r_rel": "Drift in rotation", "focal_error": "Focal length error",
    "wall_s": "Time", "peak_memory_mb": "Peak memory",
}
HEADLINES = ("abs_rel", "delta_1", "ate", "t_rel", "focal_error", "scale_spread")


def head(run: RunFolder) -> str:
    """Name of the clip, what was learned from it, what is wrong with it, and the figures that matter most."""
    footage = run.part("footage")
    name = text(footage.get("name") or run.part("arguments").get("clip") or run.folder.name)
    return (f'<header><p class="brand">epipole <span>run report</span></p><h1>{name}</h1>'
            f'<p class="lead">{learned(run)}</p>{alarms(run)}{_tiles(run)}</header>')


def learned(run: RunFolder) -> str:
    """What stands in the folder, in a sentence of HTML."""
    things = [f"depth of {len(run.frames)} frames"] if run.frames else []
    if run.motion is not None:
        things.append(f"a camera path of {len(run.motion.T_first_camera)} poses")
    if (run.folder / "cloud.ply").is_file():
        things.append("a coloured 3-D map")
    if not things:
        return "Nothing has been learned yet."
    listed = things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"
    seconds = sum(_seconds(p) for p in run.items("phases"))
    spent = f" in {duration(seconds)}" if seconds else ""
    by = f": {text(scaling_text(scaling))}" if (scaling := run.part("scaling")) else ""
    scale = f"All lengths are in metres{by}." if run.unit == "m" else \
        "Metres are unknown: depth, path and map are <strong>up to scale</strong>, one common factor for all of them."
    return f"Learned from the footage alone{spent}: {listed}. {scale}"


def _tiles(run: RunFolder) -> str:
    scores = {s.get("name"): s for s in run.items("scores") if isinstance(s, dict)}
    if run.part("intrinsics").get("source") == "given":
        scores.pop("focal_error", None)  # 0 % of what was given says nothing
    tiles = [_tile(SCORE_NAMES[n], quantity(scores[n].get("value"), scores[n].get("unit") or ""), _beside(scores[n]))
             for n in HEADLINES if n in scores][:4]
    if not tiles:
        footage = run.part("footage")
        counts = [("Frames", footage.get("frames")), ("Key frames", len(run.items("key_frames")) or None)]
        tiles = [_tile(name, number(value), "") for name, value in counts if value is not None]
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _tile(name: str, value: str, below: str) -> str:
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{below}</small></div>'


def _beside(score: Mapping[str, Any]) -> str:
    """The baselines of a score, one line of HTML."""
    baselines = score.get("baselines")
    if not isinstance(baselines, dict):
        return ""
    unit = score.get("unit") or ""
    return "; ".join(f"{text(name)} {quantity(value, unit)}" for name, value in baselines.items())


def alarms(run: RunFolder) -> str:
    """What the reader has to know before anything else, in red; empty for a whole and healthy run."""
    unfinished = [] if run.about.get("finished") is True else [
        "This run is not finished: what follows is only what had been written when the report was made. "
        "The same command finishes it."]
    damaged = [f"{name} is damaged and was left out." for name in run.damaged]
    lines = "".join(f"<li>{text(w)}</li>" for w in [*unfinished, *damaged, *run.items("warnings")])
    return f'<ul class="alarms" role="alert">{lines}</ul>' if lines else ""


def scores(run: RunFolder) -> str:
    """Every score with the baselines beside it and the number of its protocol; these stand below, each once."""
    entries = [s for s in run.items("scores") if isinstance(s, dict)]
    if not entries:
        body = absent("This run was not judged against a truth; `epipole judge RUN --truth FOLDER` does so.")
        return section("scores", "Scores", body)
    names = [s.get("name", "") for s in entries]
    protocols = [str(s.get("protocol") or "not stated") for s in entries]
    notes = list(dict.fromkeys(protocols))
    rows = [[f"{SCORE_NAMES.get(n, '')}<code>{text(n)}</code>", quantity(s.get("value"), s.get("unit") or ""),
             _beside(s).replace("; ", "<br>"), str(notes.index(p) + 1)]
            for n, s, p in zip(names, entries, protocols, strict=True)]
    told = "".join(f"<li>{text(note)}</li>" for note in notes)
    body = table(("Score", "This run", "Baselines", "Protocol"), rows, numeric=(1, 3))
    return section("scores", "Scores", f'{body}<ol class="notes">{told}</ol>')


def learning(run: RunFolder) -> str:
    """One curve per loss term over all phases, with the band in which a healthy run ends."""
    if not run.log:
        return section("learning", "Learning", absent("No training step has been logged."))
    steps = _running_steps(run.log)
    phases = [str(e.get("phase", "")) for e in run.log]
    starts = [(float(steps[i]), p) for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p]
    healthy = run.part("healthy")
    plots = []
    for term in dict.fromkeys(t for e in run.log for t in e["loss"]):
        values = np.array([_value(e["loss"].get(term)) for e in run.log])
        band = healthy.get(term)
        band = (float(band[0]), float(band[1])) if isinstance(band, list) and len(band) == 2 else None
        last = values[np.isfinite(values)][-max(1, len(values) // 20):]
        end = f"ends at {number(float(np.median(last)))}" if last.size else "no finite value"
        range_ = f", healthy {number(band[0])} to {number(band[1])}" if band else ""
        plots.append(f'<figure><figcaption><b>{text(term)}</b> {end}{range_}</figcaption>'
                     f"{loss_plot(term, steps, values, starts, band)}</figure>")
    key = ('<p class="keys"><span class="key curve">running mean</span>'
           '<span class="key healthy">healthy at the end</span></p>')
    return section("learning", "Learning", f'<div class="curves">{"".join(plots)}</div>{key}')


def _running_steps(log: list[dict[str, Any]]) -> np.ndarray:
    """Steps counted through all phases, also where every phase counts from 0 again."""
    steps, offset, before = [], 0.0, -1.0
    for entry in log:
        step = _value(entry.get("step", 0))
        if step + offset < before:
            offset = before
        before = step + offset
        steps.append(before)
    return np.array(steps)


def footage(run: RunFolder) -> str:
    """What was found in the footage, which frames were skipped, and why."""
    about = run.part("footage")
    size = [("Size", f"{about['width']} × {about['height']}")] if {"width", "height"} <= about.keys() else []
    rate = [("Rate", f"{number(about['fps'])} frames/s")] if about.get("fps") else []
    keys = len(run.items("key_frames"))
    count = [(k, number(v)) for k, v in (("Frames", about.get("frames")), ("Key frames", keys)) if v]
    found = "".join(f"<li>{text(s)}</li>" for s in run.items("found"))
    spans = [(a, b) for a, b, _ in run.skipped]
    rows = [[f"{a}" if a == b else f"{a}–{b}", str(b - a + 1), text(why)] for a, b, why in run.skipped]
    body = facts(count + size + rate) + (f"<ul>{found}</ul>" if found else "")
    if isinstance(about.get("frames"), int) and (run.items("key_frames") or spans):
        body += timeline(about["frames"], [k for k in run.items("key_frames") if isinstance(k, int)], spans)
        body += '<p class="keys"><span class="key keyframe">key frame</span><span class="key gap">skipped</span></p>'
    body += table(("Frames", "Count", "Why it did not teach"), rows, (1,)) if rows else "<p>No frame was skipped.</p>"
    return section("footage", "Footage", body)


def camera(run: RunFolder) -> str:
    """Intrinsics used, where they came from, and what is to be thought of them."""
    K = run.part("intrinsics")
    if not K:
        return section("camera", "Camera", absent("The intrinsics have not been written yet."))
    source = str(K.get("source", "not stated"))
    origin = {"given": "given by the user", "estimated": "estimated from the footage"}.get(source, source)
    doubt = f" ± {number(K['sd_percent'], 2)} %" if K.get("sd_percent") is not None else ""
    pairs = [("Focal length", f"{number(K.get('fx'), 4)} × {number(K.get('fy'), 4)} px{doubt}"),
             ("Principal point", f"{number(K.get('cx'), 4)}, {number(K.get('cy'), 4)} px"),
             ("For frames of", f"{number(K.get('width'))} × {number(K.get('height'))} px"), ("Source", text(origin))]
    verdict = f"<p>{text(K['verdict'])}</p>" if K.get("verdict") else ""
    return section("camera", "Camera", facts(pairs) + verdict)


def time(run: RunFolder) -> str:
    """Phases, and how long each took."""
    phases = [(str(p.get("name", "")), _seconds(p)) for p in run.items("phases") if isinstance(p, dict)]
    if not phases:
        return section("time", "Time", absent("No phase has ended yet."))
    whole = sum(s for _, s in phases)
    rows = [[f'<span class="swatch tone{k % 6}"></span>{text(n)}', duration(s), f"{100 * s / (whole or 1):.0f} %"]
            for k, (n, s) in enumerate(phases)]
    rows.append(["<b>together</b>", f"<b>{duration(whole)}</b>", ""])
    return section("time", "Time", share_bar(phases) + table(("Phase", "Took", "Share"), rows, (1, 2)))


def turns(run: RunFolder) -> str:
    """What each turn of finding the path gained; nothing where the run does not say."""
    entries = [t for t in run.items("turns") if isinstance(t, dict)]
    if not entries:
        return ""
    rows = [[text(t.get("name", "")), quantity(t.get("reprojection_px"), "px"),
             quantity(t.get("scale_drift_percent"), "%")] for t in entries]
    for row, before in zip(rows[1:], rows, strict=False):
        row[0] += ": nothing to change" if row[1:] == before[1:] else ""
    lead = ("The path after every turn, held against the same flow and the depth as it was learned in the end: median "
            "distance of its points from the flow, and change of scale on the way. Rejoining changes nothing where "
            "depth and path agree on scale.")
    return section("turns", "Refinement", table(("Turn", "Off the flow", "Drift of scale"), rows, (1, 2)), lead)


def reproduce(run: RunFolder) -> str:
    """Command, arguments, versions, seed and hash: what it takes to make this run again."""
    arguments = run.part("arguments")
    command = "slam" if "model" in arguments else "learn"
    words = ["epipole", command, str(arguments.get("clip", "CLIP"))]
    for name, value in arguments.items():
        if name != "clip" and value is not None:
            option = "--" + name.replace("_", "-")
            words += [option, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    if "start" in arguments and arguments["start"] is None:
        words.append("--from-scratch")
    versions = {"epipole": run.about.get("epipole"), **run.part("versions")}
    pairs = [(k, text("not given" if v is None else v)) for k, v in arguments.items()]
    pairs += [(str(k), text(v)) for k, v in versions.items() if v is not None]
    if sha := run.part("footage").get("sha256"):
        pairs.append(("SHA-256 of the footage", f"<code>{text(sha)}</code>"))
    return section("reproduce", "To make this run again", f"<pre>{text(shlex.join(words))}</pre>{facts(pairs)}")


def _seconds(phase: Any) -> float:
    return _value(phase.get("seconds", 0)) if isinstance(phase, dict) else 0.0


def _value(value: Any) -> float:
    """A number of the log; NaN for what is none (JSON has no word for it, so null or "nan" may stand there)."""
    return float(value) if isinstance(value, int | float) else float("nan")
