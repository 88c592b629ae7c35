"""A score is a number that carries its unit and the protocol by which it came about."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Score:
    """One number of a judge. `protocol` says in words how it was measured."""

    name: str
    value: float
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    protocol: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "protocol": self.protocol}


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
