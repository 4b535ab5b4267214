import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from _networks import write_tiny_weights
from napari_denoise.models.registry import build
from napari_denoise.weights import catalogue, files
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.catalogue import (
    CARD_KEY,
    WeightsError,
    export_weights,
    find_weights,
    free_name,
    import_weights,
    list_weights,
    user_path,
)
from napari_denoise.weights.files import load_network, save_weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "user_folder", lambda: tmp_path)
    return tmp_path


def test_saved_weights_come_back_with_their_card(folder):
    path = write_tiny_weights(folder / "mine.safetensors")
    info = find_weights("mine")
    assert (info.path, info.card.title, info.bundled) == (path, "Tiny", False)
    assert len(info.sha256) == 64
    image, sigma = torch.rand(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.1)
    first, second = load_network(info), load_network(find_weights(path))
    assert torch.equal(first(image, sigma), second(image, sigma))


def test_weights_are_stored_in_half_precision(folder):
    tensors = load_file(write_tiny_weights(folder / "mine.safetensors"))
    assert {t.dtype for t in tensors.values()} == {torch.float16}


def test_realism_interpolates_between_two_ends(folder):
    path = write_tiny_weights(folder / "one.safetensors", seed=1)
    card = find_weights(path).card
    one = load_network(find_weights(path)).state_dict()
    two = load_network(
        find_weights(write_tiny_weights(folder / "two.safetensors", seed=2))
    ).state_dict()
    save_weights(folder / "both.safetensors", card, one, two)
    half = load_network(find_weights("both"), realism=0.5).state_dict()
    for key, value in half.items():
        assert torch.allclose(value, (one[key] + two[key]) / 2, atol=1e-6)
    with pytest.raises(WeightsError, match="no realistic end"):
        load_network(find_weights("one"), realism=0.5)


def test_an_unknown_name_suggests_the_nearest(folder):
    write_tiny_weights(folder / "lysosomes.safetensors")
    with pytest.raises(WeightsError, match="did you mean 'lysosomes'"):
        find_weights("lysosome")


def test_a_missing_file_a_truncated_one_and_a_foreign_one_are_told_apart(folder):
    with pytest.raises(WeightsError, match="no such weights file"):
        find_weights(folder / "absent.safetensors")
    whole = write_tiny_weights(folder / "whole.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        load_network(find_weights("cut"))
    (folder / "text.safetensors").write_text("not weights at all")
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        find_weights("text")
    save_file({"a": torch.zeros(1)}, folder / "foreign.safetensors")
    with pytest.raises(WeightsError, match="without the card"):
        find_weights("foreign")


def test_broken_files_do_not_hide_the_good_ones(folder):
    write_tiny_weights(folder / "good.safetensors")
    (folder / "bad.safetensors").write_bytes(struct.pack("<Q", 2**40))
    assert "good" in [info.name for info in list_weights()]
    assert "bad" not in [info.name for info in list_weights()]


def _rewrite(path, change_tensors=None, change_card=None):
    info = find_weights(path)
    tensors, card = load_file(path), json.loads(info.card.to_json())
    (change_tensors or (lambda _: None))(tensors)
    (change_card or (lambda _: None))(card)
    save_file(tensors, path, metadata={CARD_KEY: json.dumps(card)})


def test_tensors_that_do_not_fit_the_card_are_named_with_both_shapes(folder):
    path = write_tiny_weights(folder / "w.safetensors")
    _rewrite(path, change_card=lambda card: card["config"].update(widths=[8, 16]))
    with pytest.raises(WeightsError, match=r"down.bias.*\(8,\), expected \(16,\)"):
        load_network(find_weights(path))


def test_a_missing_tensor_and_a_nan_are_refused(folder):
    path = write_tiny_weights(folder / "w.safetensors")
    _rewrite(path, lambda tensors: tensors.pop("faithful.head.weight"))
    with pytest.raises(WeightsError, match=r"head.weight.*missing"):
        load_network(find_weights(path))
    path = write_tiny_weights(folder / "n.safetensors")
    _rewrite(path, lambda tensors: tensors["faithful.tail.bias"].fill_(float("nan")))
    with pytest.raises(WeightsError, match="NaN"):
        load_network(find_weights(path))


def test_a_card_of_an_unknown_architecture_or_without_fields_is_explained(folder):
    path = write_tiny_weights(folder / "w.safetensors")
    _rewrite(path, change_card=lambda card: card.update(architecture="future"))
    with pytest.raises(WeightsError, match=r"newer napari-denoise"):
        load_network(find_weights(path))
    _rewrite(path, change_card=lambda card: card.pop("domain"))
    with pytest.raises(WeightsError, match="domain"):
        find_weights(path)


def test_a_card_survives_json_and_ignores_what_it_does_not_know():
    card = WeightsCard(
        title="T",
        architecture="two-scale",
        config={"channels": 1},
        domain="photo",
        channels=1,
        mapping="affine",
        noise_range=(0, 0.2),
        figures={"PSNR": 30.1},
    )
    text = card.to_json()
    assert WeightsCard.from_json(text) == card
    assert WeightsCard.from_json(text.replace('"title"', '"later": 1, "title"')) == card


def test_names_that_would_not_be_found_again_are_refused(folder, tmp_path):
    path = write_tiny_weights(tmp_path / "given.safetensors")
    with pytest.raises(WeightsError, match="a name has no ending, that is a file's; use 'm2'"):
        import_weights(path, "m2.safetensors")
    assert import_weights(path, "é" * 90).name == "é" * 90
    with pytest.raises(WeightsError, match="182 bytes long: use at most 180"):
        import_weights(path, "é" * 91)


def test_a_free_name_is_made_of_any_title(folder):
    assert free_name("cells [1] of/mine") == "cells 1 ofmine"
    assert free_name("__") == "weights"
    write_tiny_weights(folder / "mine.safetensors")
    write_tiny_weights(folder / "mine 2.safetensors")
    assert free_name("mine") == "mine 3"


@pytest.mark.parametrize(
    "change",
    [{"widths": [6000, 6000]}, {"blocks": [1, 10**9, 1]}, {"channels": 10**6}, {"widths": [16, 8]}],
)
def test_of_a_card_that_its_file_does_not_fill_nothing_is_allocated(folder, monkeypatch, change):
    info = find_weights(write_tiny_weights(folder / "tiny.safetensors"))
    bomb = replace(info, card=replace(info.card, config={**info.card.config, **change}))
    devices = set()

    def watched(*arguments):
        network = build(*arguments)
        devices.update(p.device.type for p in network.parameters())
        return network

    monkeypatch.setattr(files, "build", watched)
    with pytest.raises(WeightsError, match="The file is damaged or its card is not its own"):
        load_network(bomb)
    assert devices <= {"meta"}
    load_network(info)
    assert devices == {"meta", "cpu"}


@pytest.mark.parametrize("name", ["aux", "NUL", "con.v2", "Com1"])
def test_weights_are_not_saved_under_names_that_windows_keeps_for_devices(folder, tmp_path, name):
    with pytest.raises(WeightsError, match="Windows keeps it for a device"):
        user_path(name)
    with pytest.raises(WeightsError, match=f"{name!r}: Windows"):
        save_weights(tmp_path / f"{name}.safetensors", None, {})
    with pytest.raises(WeightsError, match="Windows"):
        export_weights("microscopy", tmp_path / f"{name}.safetensors")
    assert not list(tmp_path.glob("*.safetensors"))
    assert user_path(free_name(name)).stem == f"weights {name}"
