"""How settings are checked, and say what is wrong; JSON both ways."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from napari_denoise.settings.text import printable, shortened, shown

STRICT = ConfigDict(extra="forbid")


_CONTAINERS = ("dataclass_type", "tuple_type")
"""Complaints that hardly anybody can act on, where a plain value was given."""
_MOST_LINES = 8
"""Problems that are told of one file or call."""


class Settings:
    """JSON both ways, and one readable error for everything that is wrong."""

    _nested: ClassVar[bool] = False
    """Whether fields are settings themselves, so that errors name the whole path."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build from plain values, as read from JSON or TOML.

        Raises
        ------
        ValueError
            One line per wrong field: its name, its value, the rule.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            text = _describe_paths(error) if cls._nested else describe(error)
            raise ValueError(text) from error

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `parse` turns into an equal object."""
        values: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return values


def describe(error: ValidationError) -> str:
    """Say each problem of a validation error in one line."""
    fields: dict[Any, list[ErrorDetails]] = {}
    for problem in error.errors():
        fields.setdefault((*problem["loc"], None)[0], []).append(problem)
    return _lines([_describe_field(problems) for problems in fields.values()])


def _describe_paths(error: ValidationError) -> str:
    """Say each problem in one line, naming the field as a recipe does: section.field."""
    lines = []
    for problem in error.errors():
        path = shortened(".".join(map(str, problem["loc"])) or "settings")
        rule = problem["msg"].removeprefix("Value error, ")
        plain = problem["type"] in ("value_error", "missing", "unexpected_keyword_argument")
        lines.append(f"{path}: {rule}" if plain else f"{path} = {shown(problem['input'])}: {rule}")
    return _lines(lines)


def _lines(problems: list[str]) -> str:
    """Join problems, one a line; of a damaged file there may be any number."""
    more = len(problems) - _MOST_LINES
    shorter = [shortened(printable(problem), 300) for problem in problems[:_MOST_LINES]]
    return "\n".join([*shorter, *([f"and {more} more"] if more > 0 else [])])


def _describe_field(problems: list[ErrorDetails]) -> str:
    """Say what is wrong with one field: where it may be of several kinds, the nearest one."""
    own = [problem for problem in problems if problem["type"] == "value_error"]
    if own:
        rule = own[0]["msg"].removeprefix("Value error, ")
        return ": ".join([*map(str, own[0]["loc"][:1]), rule])
    plain = [problem for problem in problems if problem["type"] not in _CONTAINERS] or problems
    deepest = max(len(problem["loc"]) for problem in plain)
    chosen = [problem for problem in plain if len(problem["loc"]) == deepest]
    rules = [chosen[0]["msg"]]
    rules += [problem["msg"].removeprefix("Input should be ") for problem in chosen[1:]]
    return f"{_name(chosen)} = {shown(chosen[0]['input'])}: {', or '.join(rules)}"


def _name(problems: list[ErrorDetails]) -> str:
    """Name a field and its part; between them stand only the kinds that were tried."""
    place = problems[0]["loc"]
    if not place:
        return "settings"
    part = place[-1] if len(problems) == 1 and len(place) > 1 else None
    return str(place[0]) if part is None else f"{place[0]}.{part}"
