"""A folder of images as footage: in the order of their names, numbers sorted as numbers."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ..types.errors import InputError
from .footage import Footage, Frame, resized, shown

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SUBFOLDERS = ("image", "images", "color")


class FolderFootage(Footage):
    """The images of a folder, or of its subfolder `image`, `images` or `color`, whichever holds the most.

    8 or 16 bit, gray or colour; the orientation that a camera wrote into the file is honoured.

    Raises:
        InputError: no images, a folder that may not be read, a damaged image, images of different sizes.
    """

    def __init__(self, path: Path) -> None:
        self.files = max((images_in(folder) for folder in (path, *(path / s for s in SUBFOLDERS))), key=len)
        if not self.files:
            raise InputError(
                f"{shown(path)} holds no images (jpg, png, webp, bmp, tif), nor does a subfolder "
                f"{', '.join(SUBFOLDERS)}; give a folder of frames or a video file."
            )
        height, width = load_image(self.files[0]).shape[:2]
        super().__init__(path, width, height, fps=None, announced=len(self.files))
        self._sha256: str | None = None

    def count(self) -> int:
        return len(self.files)

    def sha256(self) -> str:
        if self._sha256 is None:
            digest = hashlib.sha256()
            for file in self.files:
                name, data = bytes(file.name, "utf-8", "surrogateescape"), _bytes_of(file)
                for part in (name, data):  # lengths keep ("ab", "c") apart from ("a", "bc")
                    digest.update(len(part).to_bytes(8, "little") + part)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        size = self.size(width, height)
        for index, file in enumerate(self.files):
            if only is None or index in only:
                image = load_image(file)
                self._check_size(file, image)
                yield Frame(index, float(index), resized(image, size))

    def _check_size(self, file: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
        height, width = image.shape[:2]
        if (width, height) != (self.width, self.height):
            raise InputError(
                f"{shown(file)} is {width}x{height} but {shown(self.files[0].name)} is {self.width}x{self.height}; "
                "all frames must have one size, so crop or resize them, or move the odd ones away."
            )


def images_in(folder: Path) -> list[Path]:
    """Image files of `folder` in natural order; names that begin with a dot are other programs' notes."""
    if not folder.is_dir():
        return []
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be listed ({error.strerror}); change its permissions.") from error
    return sorted(files, key=_natural)


def _natural(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts frame2 before frame10; the name itself decides between 01 and 1."""
    parts = re.findall(r"[0-9]+|[^0-9]+", file.name.lower())
    return [(int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in parts], file.name


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{shown(file)} cannot be read ({error.strerror}); change its permissions.") from error


def load_image(file: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The image in RGB; raises InputError where it cannot be read or is damaged."""
    data = _bytes_of(file)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data and not _cut_short(data) else None
    if image is None:
        raise InputError(f"{shown(file)} is damaged or not an image; replace it or move it out of the folder.")
    return np.ascontiguousarray(image[..., ::-1])


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark: decoders fill the missing part with gray and say nothing.

    An embedded preview has an end mark of its own, hence the search in the second half only.
    """
    second_half = data[len(data) // 2 :]
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in second_half
    return data.startswith(b"\x89PNG") and b"IEND" not in second_half
