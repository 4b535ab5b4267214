"""Write the tables of options in the documentation from what commands and settings say.

`python scripts/option_tables.py` writes them, between the comments that hold their place; a test
compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from napari_denoise.cli.commands import app
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.option import options_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "cli.md", DOCS / "api.md")
_PLACE = re.compile(r"(<!-- options of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SETTINGS = {"denoise": DenoiseSettings, "batch": DenoiseSettings, "finetune": FineTuneSettings}


def filled(text: str) -> str:
    """Return a page with its tables as they should be."""
    return _PLACE.sub(lambda found: f"{found[1]}{_table(found[2])}{found[3]}", text)


def _table(name: str) -> str:
    rows = _of_command(name) if name in _SETTINGS else _of_settings()
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _of_command(name: str) -> Iterable[tuple[str, str, str]]:
    yield "option", "meaning", "default"
    yield "---", "---", "---"
    pages = {field: told.page for field, told in options_of(_SETTINGS[name]).items()}
    group: Any = typer.main.get_command(app)
    shared = {"help", *(_names(group, "denoise") - {"output", "recursive", "skip_existing"})}
    left_out = shared if name == "batch" else {"help"}  # its page says that it takes them too
    for each in group.commands[name].params:
        if each.param_type_name == "option" and each.name not in left_out:
            names = sorted([*each.opts, *each.secondary_opts], key=len)
            held = f" {each.metavar}" if each.metavar else ""
            called = ", ".join(f"`{word}`" for word in names)
            if held:
                called = f"{called.removesuffix('`')}{held.replace('|', ' or ')}`"
            yield called, _with_page(each.help, pages.get(each.name, "")), _value(each.default)


def _names(group: Any, command: str) -> set[str]:
    return {each.name for each in group.commands[command].params}


def _of_settings() -> Iterable[tuple[str, str, str]]:
    yield "field", "meaning", "default"
    yield "---", "---", "---"
    usual = DenoiseSettings().to_json()
    for name, told in options_of(DenoiseSettings).items():
        yield f"`{name}`", _with_page(told.text, told.page), _value(usual[name]) or "null"


def _with_page(text: str, page: str) -> str:
    plain = text.replace("|", r"\|").replace("<", "&lt;").replace("{", "`{").replace("}", "}`")
    return f"{plain} [More]({page})" if page else plain


def _value(value: Any) -> str:
    """Say a default; what is off, empty or left out has none."""
    return "" if value is None or value is False or value == "" else f"`{value}`"


def main() -> None:
    """Write all pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
