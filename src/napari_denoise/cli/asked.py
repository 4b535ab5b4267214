"""Options of a command from the fields of settings: one for each field that has words."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from napari_denoise.cli import completion
from napari_denoise.settings.option import Option, options_of

Command = Callable[..., None]
_SHORT = {"weights": "-w", "noise": "-n", "device": "-d"}
_OF_WEIGHTS = ("weights", "base")


def asking(settings: type) -> Callable[[Command], Command]:
    """Give a command the options of some settings.

    Parameters
    ----------
    settings
        A dataclass. The command takes what is given for its fields, by name, as the parameter
        `asked`; the options stand in its help where that stands.
    """
    types, told = get_type_hints(settings), options_of(settings)
    fields = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[_typed(types[field.name]), option(field.name, told[field.name])],
        )
        for field in dataclasses.fields(settings)
        if field.name in told
    ]

    def give(command: Command) -> Command:
        @wraps(command)
        def asked(**given: Any) -> None:
            values = {field.name: given.pop(field.name) for field in fields}
            command(**given, asked=values)

        parameters = list[inspect.Parameter]()
        for each in inspect.signature(command, eval_str=True).parameters.values():
            own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
            parameters += fields if each.name == "asked" else own
        # What typer reads a command by; it calls it by names alone.
        asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        asked.__annotations__ = {each.name: each.annotation for each in parameters}
        return asked

    return give


def option(name: str, told: Option) -> Any:
    """Make the option of a field: its name, its help, and the values that a shell completes."""
    values = completion.weights if name in _OF_WEIGHTS else completion.among(told.values)
    return typer.Option(
        f"--{name.replace('_', '-')}",
        *filter(None, [_SHORT.get(name)]),
        help=told.text,
        metavar=told.metavar or None,
        autocompletion=values if told.values or name in _OF_WEIGHTS else None,
        rich_help_panel=told.group or None,
    )


def _typed(hint: Any) -> Any:
    """Return what a field is typed as: text, where a word may be given."""
    words = any(get_origin(part) is Literal for part in (hint, *get_args(hint)))
    return str if words else hint
