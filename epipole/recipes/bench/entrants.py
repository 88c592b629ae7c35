"""Who competes in a bench, and what each of them is taught from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from ...sources.source import Source
from ...systems import load, presets
from ...types.errors import InputError, MissingField
from ..samples import Data, Shape, samples
from .fields import systems_of


class Entrant(NamedTuple):
    """A system of some preset, and what it is called in the table."""

    system: str
    preset: str
    label: str


def entrants_of(field: str, asked: Sequence[str], preset: str) -> list[Entrant]:
    """The systems that were asked for by NAME or NAME:PRESET; if none were, all of the field that have this preset.
    Raises InputError for names and presets that there are not, and for systems of another field."""
    able = systems_of(field)
    if not asked:
        return [Entrant(name, preset, name) for name in able if preset in presets(name)]
    entrants = []
    for label in dict.fromkeys(asked):
        name, _, own = label.partition(":")
        load(name)
        if name not in able:
            raise InputError(f"{name} predicts no {field}: choose from {', '.join(able)}")
        if (own or preset) not in presets(name):
            raise InputError(f"{name} has no preset '{own or preset}': choose one of {', '.join(presets(name))}")
        entrants.append(Entrant(name, own or preset, label))
    return entrants


def taught(
    entrants: Sequence[Entrant], more: Collection[str], data: Sequence[Data], shape: Shape, cache: Path, named: bool
) -> tuple[dict[Entrant, Source], list[str]]:
    """Training samples for every system, and a sentence for each that they cannot teach; `named`, it is an error.
    `more`: fields that samples carry beside what a system needs."""
    sources: dict[Entrant, Source] = {}
    notes, given = [], " and ".join(one.text for one in data)
    for one in entrants:
        name, needs = one.label, load(one.system).needs
        try:
            source = samples(data, needs | frozenset(more), shape, cache)
            if not len(source):
                raise InputError(f"{given} holds no sample: give more of it, or shorter clips")
            source[0].keep(needs)
            sources[one] = source
        except MissingField as error:
            if named:
                raise MissingField(f"{name} cannot learn from {given}: it {error}") from error
            notes.append(f"{name} cannot learn from {given}: it {error}")
        except InputError as error:
            if named:
                raise
            notes.append(f"{name} cannot learn from {given}: {error}")
    if not sources:
        raise InputError(f"none of the systems can learn from {given}: {'; '.join(notes)}")
    return sources, notes
