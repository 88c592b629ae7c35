"""A world as it is asked for by name: from a family or a file to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from epipole.types.errors import InputError

from .drawn import DRAWN, write_drawn
from .export import Progress, is_written
from .families import FAMILIES
from .layouts import LAYOUTS, write_mesh
from .spec import Spec
from .truths import check_truths
from .world import World


def spec_of(family: str, layout: str = "plain", **changes: Any) -> Spec:
    """A family's usual spec, or the one in a world.yaml, with these values of its fields, as far as they are not None,
    and with the camera that the layout prescribes.

    Raises InputError for a family, a file or a layout that there is not, and for values that make no world.
    """
    if layout not in LAYOUTS:
        raise InputError(f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    if family.endswith((".yaml", ".yml")):
        spec = Spec.from_yaml(Path(family))
    elif family in DRAWN:
        width, height = DRAWN[family].size
        spec = Spec(family, width=width, height=height)
    else:
        spec = Spec(family)
    if spec.family not in (*FAMILIES, *DRAWN):
        raise InputError(f"there is no world family {spec.family!r}; there are {', '.join((*FAMILIES, *DRAWN))}")
    return LAYOUTS[layout].camera(replace(spec, **{k: v for k, v in changes.items() if v is not None}))


def commission(
    spec: Spec, folder: str | Path, layout: str = "plain", truth: Sequence[str] = (), mesh: str | Path | None = None,
    workers: int = 1, progress: Progress | None = None,
) -> Path:
    """Writes the world and returns its folder; a plain folder that holds this very clip already is left as it is.

    truth    what a plain folder shall hold besides, any of TRUTHS
    mesh     .ply or .glb file for the scene's geometry
    workers  processes that render a plain folder

    Raises InputError, before anything is rendered, for what cannot be written so.
    """
    check_truths(truth)
    if truth and layout != "plain":
        raise InputError(f"the layout {layout} says itself what truth it holds; ask for further truth with plain only")
    if spec.family in DRAWN:
        if truth or mesh is not None or layout != "plain":
            raise InputError(f"{spec.family} are drawn flat: their labels are always written, and there is no further "
                             "truth, no mesh and no other layout")
        return Path(folder) if is_written(spec, folder) else write_drawn(spec, folder, progress)
    if mesh is not None:
        write_mesh(World(spec), mesh)
    if layout != "plain":
        return LAYOUTS[layout].write(spec, folder, progress=progress)
    if is_written(spec, folder, truth):
        return Path(folder)
    return LAYOUTS[layout].write(spec, folder, progress=progress, workers=workers, truth=tuple(truth))
