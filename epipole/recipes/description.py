"""run.yaml, in which a program says what it did (docs/run-folder.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..engine.checkpoint import write_bytes
from ..sources.footage import shown


def plain(value: Any) -> Any:
    """The value in the types that YAML has words for."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, Path):
        return shown(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def write_description(out: Path, about: Mapping[str, Any]) -> None:
    """run.yaml. Raises InputError where it cannot be written."""
    write_bytes(out / "run.yaml", yaml.safe_dump(plain(about), sort_keys=False, allow_unicode=True, width=120).encode())
