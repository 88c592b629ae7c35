"""Stage 2: dense flow both ways between chosen pairs of key frames, checked forth and back, kept on disk.

The network works at (w, h); flow is computed at (2w, 2h) and kept at (w, h), in network pixels. A network pixel is the
area of 2 x 2 flow pixels, u_full = 2 u + 0.5, so its flow is half their mean, and it is valid when all four are.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, groupby, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...formats.atomic import whole_folder
from ...sources.footage import Footage
from ...sources.look import one_thread
from ...types.errors import InputError
from .cache import Rows, RowWriter
from .flow import Flow, both_ways

A = TypeVar("A")
B = TypeVar("B")
Pair = tuple[int, int]
Guesses = Callable[[Pair], tuple[Flow, Flow] | None]

LEAST_VALID = 0.1
"""Pairs with a smaller share of valid pixels (mean of both directions) are not kept."""


class KeyImages:
    """Key frames on disk: `gray` [n, 2h, 2w] for flow and `colour` [n, h, w, 3] (RGB) for the network, both uint8.

    `key_frames` are their numbers in the footage; `size` is the network's (w, h).
    """

    def __init__(self, folder: Path) -> None:
        self.gray, self.colour = Rows(folder / "gray.npy"), Rows(folder / "colour.npy")
        self.key_frames: Int[np.ndarray, "n"] = np.load(folder / "key_frames.npy")
        self.size: tuple[int, int] = (self.colour.shape[2], self.colour.shape[1])

    def __len__(self) -> int:
        return len(self.key_frames)

    @staticmethod
    def open(folder: str | Path) -> "KeyImages":
        """What `write` left; raises FileNotFoundError where it never came to its end."""
        return KeyImages(Path(folder))

    @staticmethod
    def write(
        folder: str | Path, footage: Footage, key_frames: Sequence[int], size: tuple[int, int]
    ) -> "KeyImages":
        """Streams the footage once; `folder` is whole or not there.

        Raises:
            InputError: a key frame does not decode any more; the disk is full or may not be written to.
        """
        numbers, (w, h) = np.array(sorted(set(key_frames)), np.int64), size
        with whole_folder(folder) as part:
            with (RowWriter(part / "gray.npy", (2 * h, 2 * w), np.uint8) as gray,
                  RowWriter(part / "colour.npy", (h, w, 3), np.uint8) as colour):  # fmt: skip
                for frame in footage.read(2 * w, 2 * h, only=set(numbers.tolist())):
                    gray.append(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY))
                    colour.append(cv2.resize(frame.image, (w, h), interpolation=cv2.INTER_AREA))
            if gray.count != len(numbers):
                raise InputError(
                    f"{footage.name} gave {gray.count} of {len(numbers)} frames when read a second time; "
                    "see that nothing changes the footage and run the same command again."
                )
            np.save(part / "key_frames.npy", numbers)
        return KeyImages(Path(folder))


def chain_pairs(shots: Sequence[int], gaps: Sequence[int] = (1, 2, 3, 5)) -> list[Pair]:
    """Pairs (a, a + gap) of key frames of one shot; `shots` names the shot of every key frame. In order of a."""
    return [(a, a + gap) for a in range(len(shots)) for gap in gaps
            if a + gap < len(shots) and shots[a] == shots[a + gap]]  # fmt: skip


def around(pair: Pair, near: int) -> Iterator[Pair]:
    """All pairs whose numbers both differ by at most `near` from this one's, itself among them."""
    apart = range(-near, near + 1)
    return ((pair[0] + i, pair[1] + j) for i in apart for j in apart)


class Samples(NamedTuple):
    """Correspondences on a grid of anchors, as `geometry.bundle` takes them; pixels of the network."""

    source: Int[Tensor, "e"]
    target: Int[Tensor, "e"]
    pixels: Float[Tensor, "m 2"]
    observed: Float[Tensor, "e m 2"]
    weight: Float[Tensor, "e m"]


class FlowStore:
    """Checked flow on disk. Row p belongs to `pairs[p]` = (a, b); direction 0 leads from a to b, 1 from b to a.

    `flow` float16 [P, 2, h, w, 2] in network pixels is read row by row; `share` [P, 2] is the valid share.
    """

    def __init__(self, folder: Path) -> None:
        self.flow, self._bits = Rows(folder / "flow.npy"), Rows(folder / "valid.npy")
        self.pairs: Int[np.ndarray, "p 2"] = np.load(folder / "pairs.npy")
        self.share: Float[np.ndarray, "p 2"] = np.load(folder / "share.npy")
        self.size: tuple[int, int] = (self.flow.shape[3], self.flow.shape[2])

    def __len__(self) -> int:
        return len(self.pairs)

    def valid(self, index: int | slice | Sequence[int] | np.ndarray) -> Bool[np.ndarray, "*b 2 h w"]:
        """Where the flow passed the check, for the pairs of these numbers."""
        w, h = self.size
        bits = self._bits[index]
        return np.unpackbits(bits, axis=-1, count=w * h).reshape(*bits.shape[:-1], h, w).astype(bool)

    @staticmethod
    def open(folder: str | Path) -> "FlowStore":
        """What `build` left; raises FileNotFoundError where it never came to its end."""
        return FlowStore(Path(folder))

    @staticmethod
    def build(
        folder: str | Path,
        images: KeyImages,
        pairs: Sequence[Pair],
        guesses: Guesses | None = None,
        progress: Callable[[int, int], None] | None = None,
        threads: int = 2,
        enough: float = 0.0,
    ) -> "FlowStore":
        """Flow of all pairs, those with less than `LEAST_VALID` left out; `folder` is whole or not there.

        Of pairs with the same first frame in a row, nearest first, none is tried after one with less than `enough`.
        `guesses(pair)` may give flow at (2w, 2h), a to b and b to a, to start from; it is called from worker threads.
        `progress(done, total)` is called after every pair. The result does not depend on `threads`.

        Raises:
            InputError: the disk is full or may not be written to.
        """
        w, h = images.size

        def work(row: list[Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
            found = list[tuple[np.ndarray, np.ndarray]]()
            for pair in row:
                first, second = images.gray[list(pair)]
                found.append(both_ways(first, second, guesses(pair) if guesses else None))
                if found[-1][1].mean() < enough:
                    break
            return found

        rows, done = [list(row) for _, row in groupby(pairs, key=itemgetter(0))], 0
        with (
            whole_folder(folder) as part,
            RowWriter(part / "pairs.npy", (2,), np.int64) as kept,
            RowWriter(part / "share.npy", (2,), np.float32) as shares,
            RowWriter(part / "flow.npy", (2, h, w, 2), np.float16) as flows,
            RowWriter(part / "valid.npy", (2, (w * h + 7) // 8), np.uint8) as bits,
            one_thread(),
        ):
            for row, found in zip(rows, in_order(work, rows, threads), strict=True):
                for pair, result in zip_longest(row, found):
                    if result is not None and result[1].mean() >= LEAST_VALID:
                        flow, valid = result
                        kept.append(np.array(pair))
                        shares.append(valid.mean((1, 2)))
                        flows.append(flow)
                        bits.append(np.packbits(valid.reshape(2, -1), axis=-1))
                    done += 1
                    if progress:
                        progress(done, len(pairs))
        return FlowStore(Path(folder))

    def seen_at(self, pixels: Float[np.ndarray, "m 2"], border: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of every pair where these (whole) pixels are seen [2, m, 2], and the weight of that [2, m]: 1 where the flow
        is valid and both ends keep `border` (a share of the side) off the image's edge, else 0."""
        side, (u, v) = np.array(self.size, np.float32), pixels.astype(np.int64).T
        low, high = border * side, side - 1 - border * side
        near = ((pixels >= low) & (pixels <= high)).all(-1)
        for p in range(len(self)):
            observed = pixels + self.flow[p][:, v, u]
            inside = ((observed >= low) & (observed <= high)).all(-1)
            yield observed, self.valid(p)[:, v, u] & inside & near


def samples(stores: Sequence[FlowStore], stride: int, border: float = 0.08) -> Samples:
    """Anchors every `stride` pixels in all pairs of stores of one size, one after the other: edge 2p leads from a to b
    and 2p + 1 from b to a, weighted as `FlowStore.seen_at` says."""
    (w, h), pairs = stores[0].size, np.concatenate([store.pairs for store in stores])
    v, u = np.mgrid[stride // 2 : h : stride, stride // 2 : w : stride].reshape(2, -1)
    pixels = np.stack([u, v], -1).astype(np.float32)
    observed = np.empty((len(pairs), 2, len(pixels), 2), np.float32)
    weight = np.empty((len(pairs), 2, len(pixels)), np.float32)
    for p, found in enumerate(chain.from_iterable(store.seen_at(pixels, border) for store in stores)):
        observed[p], weight[p] = found
    source, target = torch.from_numpy(pairs).flatten(), torch.from_numpy(pairs).flip(1).flatten()
    return Samples(source, target, torch.from_numpy(pixels),
                   torch.from_numpy(observed).flatten(0, 1), torch.from_numpy(weight).flatten(0, 1))  # fmt: skip


def flow_leaving(stores: Iterable[FlowStore]) -> defaultdict[int, list[tuple[FlowStore, int, int]]]:
    """Key frame -> (store, row, direction) of all flow that leads away from it."""
    leaving = defaultdict[int, list[tuple[FlowStore, int, int]]](list)
    for store in stores:
        for row, pair in enumerate(store.pairs.tolist()):
            for direction, source in enumerate(pair):
                leaving[source].append((store, row, direction))
    return leaving


def in_order(work: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Results in the order of the items; no more are begun than a few ahead of what was taken."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
