"""One HTML file that opens from disk, without a server or a network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ..formats.atomic import replacing
from .markup import text

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head>
<body><main>{body}</main>{script}</body></html>
"""


def write_page(target: Path, title: str, body: str, scripts: Sequence[str] = ()) -> Path:
    """Writes ready HTML under a title, with the scripts of these names, and returns where it stands. Raises InputError
    where that is impossible."""
    script = f"<script>{''.join(_asset(name) for name in scripts)}</script>" if scripts else ""
    page = PAGE.format(title=text(title), style=_asset("report.css"), body=body, script=script)
    with replacing(target) as part:
        part.write_text(page, encoding="utf-8")
    return target


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
