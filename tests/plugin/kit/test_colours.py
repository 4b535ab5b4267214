"""Every text can be read in every theme, in the theme's own colours."""

from __future__ import annotations

import pytest
from napari.utils.theme import available_themes, get_theme

from napari_denoise.plugin.kit.colours import READABLE, Colours, contrast
from napari_denoise.plugin.kit.parts import Status, button, small_print


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_small_print_and_messages_can_be_read(theme: str):
    found = Colours()
    found.take(theme)
    for colour in (found.small, *found.kinds.values()):
        assert contrast(colour, found.background) >= READABLE
    assert found.background == get_theme(theme).background.as_hex(format="long")
    assert set(available_themes()) >= {theme}


def test_the_panel_follows_the_theme_and_messages_their_kind(bench, stack):
    bench.add(stack)
    note, status = bench.widget.header.facts, bench.widget.actions.status
    bench.viewer.theme = "light"
    light = Colours()
    light.take("light")
    bench.until(lambda: note.palette().windowText().color().name() == light.small)
    status.say("error", "no")
    assert status.property("denoiseRole") == "error"
    bench.viewer.theme = "dark"


def test_no_colour_is_written_into_a_part():
    assert "color" not in small_print().styleSheet()
    assert "#" not in Status(button("", "")).styleSheet()
