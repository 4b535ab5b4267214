"""How settings are checked, and say what is wrong; JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from napari_denoise.settings.option import options_of
from napari_denoise.settings.problems import Problem, SettingsError, Wrong, rule_of

STRICT = ConfigDict(extra="forbid")

_CONTAINERS = ("dataclass_type", "tuple_type")
"""Complaints that hardly anybody can act on, where a plain value was given."""


class Settings:
    """JSON both ways, and one readable error for everything that is wrong."""

    _nested: ClassVar[bool] = False
    """Whether fields are settings themselves, so that errors name the whole path."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build from plain values, as read from JSON or TOML.

        Raises
        ------
        SettingsError
            One line per wrong field: its name, its value, the rule.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            if cls._nested:
                problems = [_of_path(each) for each in error.errors()]
            else:
                rules = {name: option.rule for name, option in options_of(cls).items()}
                problems = _of_fields(error, rules, values)
            raise SettingsError(problems) from error

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `parse` turns into an equal object."""
        values: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return values


def describe(error: ValidationError) -> str:
    """Say each problem of a validation error in one line."""
    return str(SettingsError(_of_fields(error, {}, {})))


def _of_path(each: ErrorDetails) -> Problem:
    """Name a field as a recipe does: section.field."""
    path = ".".join(map(str, each["loc"])) or "settings"
    told = each["type"] in ("value_error", "missing", "unexpected_keyword_argument")
    return Problem((path,), rule_of(each), () if told else (each["input"],))


def _of_fields(
    error: ValidationError, rules: Mapping[str, str], values: Mapping[str, Any]
) -> list[Problem]:
    """Make one problem of all that is wrong with a field."""
    fields: dict[Any, list[ErrorDetails]] = {}
    for each in error.errors():
        fields.setdefault((*each["loc"], None)[0], []).append(each)
    return [_of_field(name, found, rules, values) for name, found in fields.items()]


def _of_field(
    name: Any, found: list[ErrorDetails], rules: Mapping[str, str], values: Mapping[str, Any]
) -> Problem:
    """Say what is wrong with one field: where it may be of several kinds, the nearest one."""
    own = [each for each in found if each["type"] == "value_error"]
    if own:
        wrong = own[0].get("ctx", {}).get("error")
        if isinstance(wrong, Wrong):
            return wrong.problem
        return Problem(() if name is None else (str(name),), rule_of(own[0]))
    if rules.get(name) and not isinstance(values.get(name), (dict, list, tuple)):
        return Problem((name,), f"expected {rules[name]}", (values.get(name),))
    plain = [each for each in found if each["type"] not in _CONTAINERS] or found
    deepest = max(len(each["loc"]) for each in plain)
    chosen = [each for each in plain if len(each["loc"]) == deepest]
    said = [rule_of(each) for each in chosen]
    rule = ", or ".join([said[0], *(each.removeprefix("expected ") for each in said[1:])])
    return Problem((_name(chosen),), rule, (chosen[0]["input"],))


def _name(found: list[ErrorDetails]) -> str:
    """Name a field and its part; between them stand only the kinds that were tried."""
    place = found[0]["loc"]
    if not place:
        return "settings"
    part = place[-1] if len(found) == 1 and len(place) > 1 else None
    return str(place[0]) if part is None else f"{place[0]}.{part}"
