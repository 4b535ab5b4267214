"""What is wrong with settings, as values: the fields, what they hold, and the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_denoise.settings.text import printable, shortened, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST_LINES = 8
"""Problems that are told of one file or call."""
_RULES = {
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "multiple_of": "expected a multiple of {multiple_of}",
    "finite_number": "expected a finite number",
    "literal_error": "expected {expected}",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected text in quotes",
    "string_too_short": "expected {min_length} characters or more",
    "string_too_long": "expected {max_length} characters or fewer",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "tuple_type": "expected a list in [ ]",
    "list_type": "expected a list in [ ]",
    "dict_type": "expected a section of settings",
    "dataclass_type": "expected a section of settings",
    "missing": "it is missing",
    "missing_argument": "it is missing",
    "unexpected_keyword_argument": "there is no such setting",
}
"""What is expected, by the kind of a complaint."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, or with several together.

    Parameters
    ----------
    names
        Of the fields, or paths of them; none where it is the whole.
    rule
        What is expected or to be done.
    values
        What the fields hold, one each; empty where that needs no telling.
    """

    names: tuple[str, ...]
    rule: str
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.said(shortened, " = ", shown)

    def said(self, name: Callable[[str], str], between: str, value: Callable[[Any], str]) -> str:
        """Say it in a line, names and values as they are called where it is read."""
        called = [name(each) for each in self.names]
        if self.values:
            pairs = zip(called, self.values, strict=True)
            called = [f"{each}{between}{value(held)}" for each, held in pairs]
        return ": ".join(filter(None, [" and ".join(called), self.rule]))


class SettingsError(ValueError):
    """Settings that cannot be used; says each problem in a line.

    Parameters
    ----------
    problems
        Of a damaged file there may be any number; the first ones are told.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return self.said(str)

    def said(self, say: Callable[[Problem], str]) -> str:
        """Say all, a line each, in the words of `say`."""
        lines = [shortened(printable(say(each)), 300) for each in self.problems[:_MOST_LINES]]
        more = len(self.problems) - _MOST_LINES
        return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


class Wrong(ValueError):
    """A problem that a check of settings finds itself, with the fields it is about."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def rule_of(each: ErrorDetails) -> str:
    """Say the rule of one complaint of the library that checks settings."""
    context = each.get("ctx", {})
    if each["type"] == "value_error":
        return str(context.get("error", each["msg"]))
    plain = {key: f"{of:g}" if isinstance(of, float) else of for key, of in context.items()}
    rule = _RULES.get(each["type"])
    return rule.format_map(plain) if rule else each["msg"]
