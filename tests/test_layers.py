"""The house rules that a machine can check: who may import whom, and how long things may be."""

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "epipole"
FILES = sorted(ROOT.rglob("*.py"))

LIBRARY = {"geometry", "types", "formats", "nets", "losses", "judges", "sources", "engine", "systems", "pipelines",
           "methods", "recipes"}
MAY_IMPORT = {
    "geometry": set(),
    "types": set(),
    "nets": set(),
    "formats": {"types", "geometry"},
    "losses": {"geometry"},
    "judges": {"types", "geometry"},
    "sources": {"types", "geometry", "formats"},
    "engine": {"types", "formats"},
    "systems": {"types", "geometry", "nets", "losses", "engine"},
    "pipelines": {"types", "geometry", "losses"},
    "methods": {"types", "geometry", "losses"},
    "recipes": {"types", "geometry", "formats", "losses", "judges", "sources", "engine", "systems", "pipelines",
                "methods"},
    "viewer": {"types", "geometry", "formats", "judges"},
}
# for files right in epipole/
TOP = LIBRARY | {"viewer", "api", "options", "options_training", "option_types", "cli", "cli_runs"}
OUTSIDE = {  # packages that a room may use; rooms not listed may use any
    "geometry": {"torch", "jaxtyping", "math", "typing", "collections", "__future__"},
    "losses": {"torch", "jaxtyping", "math", "typing", "collections", "__future__"},
    "nets": {"torch", "jaxtyping", "math", "typing", "collections", "itertools", "dataclasses", "__future__"},
}
NO_ROOMS = {"utils", "util", "common", "helpers", "helper", "misc"}

each_file = pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(ROOT)) for f in FILES])


def imports(file: Path, at_once: bool = False) -> Iterator[str]:
    """Absolute names of all modules a file imports; also within functions, unless it is asked what it does at once."""
    package, tree = ".".join(["epipole", *file.relative_to(ROOT).parts[:-1]]), ast.parse(file.read_text())
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield base
            if (ROOT.parent / base.replace(".", "/")).is_dir():  # `from ..geometry import camera`
                yield from (f"{base}.{alias.name}" for alias in node.names)


def in_a_circle() -> set[str]:
    """Modules that cannot be imported first: they need, at once, one that needs them. A module needs what it imports,
    and the packages around that but for its own."""
    needs = {}
    for file in FILES:
        own = ("epipole", *file.relative_to(ROOT).with_suffix("").parts)
        own = own[:-1] if own[-1] == "__init__" else own
        around = {own[:i] for i in range(1, len(own) + 1)}
        parts = (tuple(name.split(".")) for name in imports(file, at_once=True))
        needs[".".join(own)] = {".".join(of[:i]) for of in parts for i in range(1, len(of) + 1) if of[:i] not in around}
    while free := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in free}
    return set(needs)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def forbidden(file: Path) -> list[str]:
    me = file.relative_to(ROOT).parts[0]
    floor = MAY_IMPORT[me] | {me} if (ROOT / me).is_dir() else TOP | {""}
    names = [name for name in imports(file) if name.split(".")[0] == "epipole"]
    if me != "systems":
        return [name for name in names if room(name) not in floor]
    own = "epipole." + ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return [name for name in names if room(name) not in floor
            or (room(name) == "engine" and not name.startswith("epipole.engine.system"))
            or (room(name) == "systems" and name != own)]


@each_file
def test_imports_only_point_down(file):
    assert forbidden(file) == []


def test_an_upward_import_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path / "epipole")
    for folder in ("geometry", "systems/depth", "types"):
        (ROOT / folder).mkdir(parents=True)
    cases = {
        "geometry/a.py": ["from ..types.views import Views", "import epipole.types", "from .. import types",
                          "def f():\n    from epipole.sources import video"],
        "systems/depth/a.py": ["from .b import B", "from ...systems import load", "from ...engine.fit import fit"],
        "types/a.py": ["from ..geometry.camera import project"],
    }
    for name, texts in cases.items():
        for text in texts:
            (ROOT / name).write_text(text)
            assert forbidden(ROOT / name), text
    (ROOT / "systems/depth/a.py").write_text("from ...engine.system import System\nfrom ...types.views import Views")
    assert forbidden(ROOT / "systems/depth/a.py") == []


def test_every_module_can_be_imported_first():
    assert in_a_circle() == set()


def test_a_circle_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path / "epipole")
    texts = {"a.py": "from .inner.deep import x", "b.py": "from .a import y", "c.py": "def f():\n    from .b import z",
             "inner/__init__.py": "from .program import p", "inner/program.py": "from ..b import q",
             "inner/deep.py": "x = 1"}
    for name, text in texts.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text)
    monkeypatch.setitem(globals(), "FILES", sorted(ROOT.rglob("*.py")))
    assert in_a_circle() == {"epipole.a", "epipole.b", "epipole.inner", "epipole.inner.program"}
    (ROOT / "a.py").write_text("y = 1")
    assert in_a_circle() == set()


@each_file
def test_the_lower_floors_use_only_torch(file):
    allowed = OUTSIDE.get(file.relative_to(ROOT).parts[0])
    outside = {name.split(".")[0] for name in imports(file)} - {"epipole"}
    assert allowed is None or outside <= allowed


@each_file
def test_grid_sample_has_one_caller(file):
    calls = any(isinstance(node, ast.Attribute | ast.Name) and (getattr(node, "attr", "") or getattr(node, "id", ""))
                == "grid_sample" for node in ast.walk(ast.parse(file.read_text())))
    assert calls == (file.relative_to(ROOT).as_posix() == "geometry/sample.py")


@each_file
def test_files_and_functions_stay_short(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 250
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > 60] == []


@each_file
def test_no_room_for_odds_and_ends(file):
    assert not NO_ROOMS & set(file.relative_to(ROOT).with_suffix("").parts)


@each_file
def test_every_module_says_what_it_is_for(file):
    text = file.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@each_file
def test_no_bare_except(file):
    handlers = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ExceptHandler)]
    assert [h.lineno for h in handlers if h.type is None] == []


def test_every_room_is_on_the_plan():
    rooms = {d.name for d in ROOT.iterdir() if d.is_dir() and any(d.rglob("*.py"))}
    assert rooms <= MAY_IMPORT.keys()


def test_the_plan_itself_has_no_cycle():
    order: list[str] = []
    while left := MAY_IMPORT.keys() - set(order):
        free = [r for r in left if MAY_IMPORT[r] <= set(order)]
        assert free, f"a cycle among {sorted(left)}"
        order += free
