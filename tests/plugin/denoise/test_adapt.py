"""From the Denoise panel to Fine-tune, with the stack."""

from __future__ import annotations

from _bench import noisy

from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget


def test_a_noisy_stack_opens_in_fine_tune(bench, stack):
    image = bench.add(noisy((40, 56)), name="one image")
    adapt = bench.widget.adapt.button
    assert adapt.native.isHidden()  # nothing to learn from
    layer = bench.add(stack, name="film")
    assert not adapt.native.isHidden() and adapt.enabled
    bench.viewer.layers.selection = {image, layer}
    assert not adapt.enabled and "Select one layer" in adapt.tooltip
    bench.viewer.layers.selection = {layer}
    bench.run()
    assert not adapt.enabled and "press Undo first" in adapt.tooltip
    bench.widget.actions.undo.native.click()
    assert adapt.enabled and "Undo" not in adapt.tooltip
    adapt.native.click()
    docks = list(bench.viewer.window.dock_widgets.values())
    (tuning,) = (x for x in docks if isinstance(x, FineTuneWidget))
    assert tuning.pairs.kind.value == "stack"
    assert tuning.pairs.noisy.value is layer
    bench.until(lambda: not tuning.pairs.busy)
    tuning.shut_down()
