"""Words and numbers as HTML. Every string of a run passes through `text`."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any


def text(value: object) -> str:
    """HTML-safe text. Control characters and lone surrogates (undecodable file names) become visible escapes."""
    visible = str(value).encode("utf-8", "backslashreplace").decode()
    visible = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda m: f"\\x{ord(m[0]):02x}", visible)
    return html.escape(visible, quote=True)


def script_data(name: str, data: Any) -> str:
    """A JSON island that a script reads by its id; no content can end the element."""
    body = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{body}</script>'


def number(value: Any, digits: int = 3) -> str:
    """Significant digits without an exponent where people would not write one; words stay words."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(value)
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int) or (value == round(value) and abs(value) >= 100):
        return str(round(value)) if abs(value) < 1e9 else f"{value:.{digits}g}"
    if value and not 1e-4 <= abs(value) < 10**7:
        return f"{value:.{digits - 1}e}"
    if not value:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def quantity(value: Any, unit: str) -> str:
    return f"{number(value)}\u202f{text(unit)}" if unit else number(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """Rows of ready HTML; `numeric` columns are aligned to the right. Wide tables scroll by themselves."""
    def line(cells: Sequence[str], tag: str) -> str:
        marks = (f'<{tag}{" class=num" if i in numeric else ""}>{c}</{tag}>' for i, c in enumerate(cells))
        return f"<tr>{''.join(marks)}</tr>"
    body = "".join(line(r, "td") for r in rows)
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and ready-made HTML values."""
    return f"<dl>{''.join(f'<div><dt>{text(k)}</dt><dd>{v}</dd></div>' for k, v in pairs)}</dl>"


def section(name: str, title: str, body: str, lead: str = "") -> str:
    lead = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{name}"><h2>{title}</h2>{lead}{body}</section>'


def absent(sentence: str) -> str:
    return f'<p class="absent">{text(sentence)}</p>'
