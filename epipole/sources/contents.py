"""What samples are read from, by a hash."""

import hashlib
from pathlib import Path

from ..types.errors import InputError
from .folder import IMAGE_SUFFIXES, SUBFOLDERS
from .footage import shown
from .pairs import FLOW, STEREO

SUFFIXES = IMAGE_SUFFIXES | {".txt", ".json", ".npz", ".flo"}
FOLDERS = (".", *SUBFOLDERS, "depth", *STEREO, "disparity", *FLOW, "flow")


def sha256_of(path: Path) -> str:
    """Of a file the hash of its contents; of a folder that of the names and contents of images and known truth in it,
    as plain folders and folders of pairs have them. Raises InputError for what cannot be read."""
    try:
        if path.is_file():
            return _digest(path)
        files = (file for name in FOLDERS if (path / name).is_dir() for file in (path / name).iterdir())
        known = sorted(file for file in files if file.suffix.lower() in SUFFIXES and file.is_file())
        table = [(str(file.relative_to(path)), _digest(file)) for file in known]
    except OSError as error:
        raise InputError(f"{shown(error.filename)} cannot be read ({error.strerror}); change that.") from error
    return hashlib.sha256(repr(table).encode("utf-8", "backslashreplace")).hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
