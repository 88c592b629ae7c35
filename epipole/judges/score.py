"""A score is a number that carries its unit and the protocol by which it came about."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..types.errors import InputError

HIGHER = ("delta", "accuracy", "class_accuracy", "mean_iou", "weighted_iou", "boundary_f", "iou", "precision", "recall",
          "f_score", "psnr", "ssim", "repeatability", "nn_map", "matching_score", "homography", "share", "auc",
          "error_correlation", "rank_correlation")  # what the names begin with of scores that are better when higher


@dataclass(frozen=True)
class Score:
    """One number of a judge. `protocol` says in words how it was measured, `baselines` what something that learned
    nothing scores under the same protocol; `key` is the protocol's, empty where there is none."""

    name: str
    value: float
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    protocol: str = ""
    baselines: dict[str, float] = field(default_factory=dict)
    key: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON and YAML."""
        entry: dict[str, Any] = {"name": self.name, "value": self.value, "unit": self.unit, "protocol": self.protocol}
        entry |= {"baselines": self.baselines} if self.baselines else {}
        return entry | ({"key": self.key} if self.key else {})

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Score:
        """The score that `as_dict` gave; raises KeyError for a dict without name and value."""
        return cls(entry["name"], float(entry["value"]), entry.get("unit", ""), better(entry["name"]),
                   entry.get("protocol", ""), dict(entry.get("baselines") or {}), entry.get("key", ""))


def better(name: str) -> Literal["lower", "higher"]:
    """Whether a score of this name is better when it is lower or higher."""
    return "higher" if name.startswith(HIGHER) else "lower"


def advantage(one: Score, other: Score) -> float:
    """By how much `one` is better than `other`, in their unit; below zero where it is worse.

    Raises InputError unless both are of one name, unit and protocol.
    """
    if one.name != other.name:
        raise InputError(f"{one.name} cannot be compared with {other.name}: they measure different things")
    if one.unit != other.unit:
        raise InputError(f"a {one.name} in {one.unit or 'no unit'} cannot be compared with one in "
                         f"{other.unit or 'no unit'}")
    if not one.key or one.key != other.key:
        raise InputError(f"these {one.name} were measured by different protocols and cannot be compared: "
                         f"'{one.protocol}' and '{other.protocol}'")
    return one.value - other.value if one.better == "higher" else other.value - one.value


@dataclass(frozen=True)
class Protocol:
    """The arguments of a judge, and a name for them. Two scores may be compared where the keys of their protocols are
    equal; the name does not change the key."""

    name: str = field(default="", kw_only=True, compare=False)

    def words(self) -> str:
        """The protocol in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.arguments().items())

    def arguments(self) -> dict[str, Any]:
        """Everything but the name."""
        return {name: value for name, value in asdict(self).items() if name != "name"}

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that change with every argument."""
        fields = repr((type(self).__name__, sorted(self.arguments().items())))
        return hashlib.sha256(fields.encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return f"{self.name + ': ' if self.name else ''}{self.words()} [{self.key}]"

    def score(
        self, name: str, value: float, unit: str = "", about: str = "", baselines: dict[str, float] | None = None
    ) -> Score:
        """A score under this protocol; `about` says what it was measured on, such as "12 images".

        Raises InputError for a value that is no finite number; such baselines are left out.
        """
        if not math.isfinite(value):
            raise InputError(f"{name} came out as {value}: there is nothing to judge, or what is judged is not finite")
        beside = {key: float(b) for key, b in (baselines or {}).items() if math.isfinite(b)}
        how = f"{self}, {about}" if about else str(self)
        return Score(name, float(value), unit, better(name), how, beside, self.key)
