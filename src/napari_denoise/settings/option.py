"""What a field of settings tells people: its words, once for every place that shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class Option:
    """What a person reads of a field, in a form, a command, an error or the documentation.

    It stands in the field's annotation: ``tile: Annotated[int, Option(...)]``.

    Parameters
    ----------
    label
        What a form calls it.
    help
        What it does: whole sentences, without values as one types them, for a form has other ones.
    values
        Values that may be chosen, each with its meaning, or "" where the value says it.
    expects
        What may be given, where that is more than `values`: it follows "expected".
    metavar
        What stands for the value in a command: FILE, or its unit.
    group
        Heading of options that belong together.
    page
        Where the documentation says more.
    """

    label: str
    help: str
    values: Mapping[str, str] = field(default_factory=dict)
    expects: str = ""
    metavar: str = ""
    group: str = ""
    page: str = ""

    @property
    def rule(self) -> str:
        """What is expected, for errors; empty where anything goes that is checked later.

        >>> Option("", "", {"auto": "T, else Z", "T": "time", "Z": "depth"}).rule
        'auto, T or Z'
        """
        return self.expects or _listed(list(self.values), "or")

    @property
    def text(self) -> str:
        """What it does and what may be given, for commands and the documentation.

        >>> Option("", "The axis.", {"auto": "T, else Z", "T": ""}).text
        'The axis. Expects auto (T, else Z) or T.'
        """
        told = [f"{value} ({means})" if means else value for value, means in self.values.items()]
        expected = self.expects or _listed(told, "or")
        return f"{self.help} Expects {expected}." if expected else self.help

    def tip(self, choices: Mapping[Any, str] | None = None) -> str:
        """Say what it does, and what each choice of a form means.

        Parameters
        ----------
        choices
            Labels by value; one that says the meaning itself needs no more.

        >>> Option("", "The axis.", {"auto": "T, else Z"}).tip({"auto": "Auto", "T": "Time"})
        'The axis. Auto: T, else Z.'
        """
        labels = {str(value): label for value, label in (choices or {}).items()}
        means = [(labels[v], told) for v, told in self.values.items() if told and v in labels]
        more = [f"{label}: {told}." for label, told in means if label.lower() != told]
        return " ".join([self.help, *more])


class Within:
    """Bounds of a number in an annotation, as pydantic's `Field`, but without loading pydantic.

    Parameters
    ----------
    bounds
        Any of ge, gt, le, lt and multiple_of.
    """

    def __init__(self, **bounds: float) -> None:
        self.bounds = bounds

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Hand the bounds to what checks the number."""
        return {**handler(source), **self.bounds}


def options_of(settings: type) -> dict[str, Option]:
    """Return what the fields of some settings tell, by name; of the others there is nothing."""
    hints = get_type_hints(settings, include_extras=True)
    told = {}
    for each in dataclasses.fields(settings):
        found = [part for part in get_args(hints[each.name])[1:] if isinstance(part, Option)]
        if found:
            told[each.name] = found[-1]
    return told


def _listed(words: list[str], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
