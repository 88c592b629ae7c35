"""A score is a number that carries its unit and the protocol by which it came about."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Score:
    """One number of a judge. `protocol` says in words how it was measured, `baselines` what something that learned
    nothing scores under the same protocol."""

    name: str
    value: float
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    protocol: str = ""
    baselines: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON and YAML."""
        entry = {"name": self.name, "value": self.value, "unit": self.unit, "protocol": self.protocol}
        return entry | ({"baselines": self.baselines} if self.baselines else {})

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Score:
        """The score that `as_dict` gave; raises KeyError for a dict without name and value."""
        return cls(entry["name"], float(entry["value"]), entry.get("unit", ""), better(entry["name"]),
                   entry.get("protocol", ""), dict(entry.get("baselines") or {}))


def better(name: str) -> Literal["lower", "higher"]:
    """Whether a score of this name is better when it is lower or higher."""
    return "higher" if name.startswith("delta") else "lower"


@dataclass(frozen=True)
class Protocol:
    """The arguments of a judge. Two scores may be compared where the keys of their protocols are equal."""

    def words(self) -> str:
        """The protocol in one line."""
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that change with every argument."""
        fields = repr((type(self).__name__, sorted(asdict(self).items())))
        return hashlib.sha256(fields.encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return f"{self.words()} [{self.key}]"
