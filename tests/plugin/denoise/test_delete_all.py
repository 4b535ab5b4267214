"""Everything is deleted at once while helpers of ours are there."""

from __future__ import annotations

import pytest

SHARE_A_VIEWER = True


@pytest.mark.parametrize("what", ["preview", "wipe", "residual", "wipe of a preview"])
def test_all_layers_are_deleted_with_our_helpers_among_them(bench, stack, what):
    for _ in range(3):
        bench.add(stack)
    if "preview" in what:
        bench.preview()
        if "wipe" in what:
            bench.widget.actions.wipe.native.click()
            bench.until(lambda: len(bench.viewer.layers) > 4)
    else:
        bench.run()
        getattr(bench.widget.actions, what).native.click()
        bench.until(lambda: len(bench.viewer.layers) > 3)
    bench.viewer.layers.selection.clear()
    bench.viewer.layers.select_all()
    bench.viewer.layers.remove_selected()
    bench.qtbot.wait(50)
    assert not bench.viewer.layers
