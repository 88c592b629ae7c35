"""Files and folders that are either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..types.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file name beside `path` to write to; what was written takes the place of `path` when the block ends well.

    A block that fails leaves `path` as it was and nothing beside it. The temporary name keeps the suffix, because some
    writers choose the format by it. Raises InputError, in a sentence, where the disk refuses.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise InputError(unwritable(path, error)) from error
    finally:
        with suppress(OSError):  # gone, or never begun
            part.unlink()


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` when the block ends well: what stands there is always whole.

    A block that fails, or is killed, leaves no `folder`-like thing behind; what stood there stays until it is
    replaced. Raises InputError, in a sentence, where the disk refuses.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> str:
    """The sentence that tells a person why `path` could not be written, and what to do."""
    if error.errno in FULL:
        return f"the disk is full, {path} could not be written: free some space and run the same command again"
    return f"{path} could not be written ({error.strerror or error}): choose a folder that exists and can be written to"


def make_folder(path: str | Path) -> Path:
    """The folder, made with its parents where it is missing; raises InputError where that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(unwritable(path, error)) from error
    return path
