"""Packages for bioimage.io: valid by their own checker, and the same numbers as ours."""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app
from napari_denoise.engines.torch import TorchEngine
from napari_denoise.io.errors import FileExists
from napari_denoise.measure.mappings import Mapped
from napari_denoise.models.registry import build
from napari_denoise.weights import bioimage
from napari_denoise.weights.bioimage import check_package, export_bioimage
from napari_denoise.weights.catalogue import WeightsError, find_weights
from napari_denoise.weights.files import load_network, save_weights

KINDS = {
    "microscopy": {"spread": True},
    "photo": {"channels": 3},
    "render": {"channels": 3, "spread": True, "features": 8},
}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def member(package, name):
    with zipfile.ZipFile(package) as file:
        return file.read(name)


@contextmanager
def opened(package):
    """The description by the checker's own reader, all files looked at."""
    from bioimageio.spec import load_description

    with warnings.catch_warnings(), zipfile.ZipFile(package) as file:
        warnings.simplefilter("ignore", ResourceWarning)  # of files in the package, not closed
        model = load_description(file, perform_io_checks=True)
        assert model.validation_summary.status == "valid-format", model.validation_summary
        yield model


def stored_tensors(package):
    """The test tensors: inputs for PyTorch, outputs for numpy."""
    with opened(package) as model:
        inputs = [torch.from_numpy(array) for array in model.get_input_test_arrays()]
        return inputs, model.get_output_test_arrays()


def script_of(package, folder):
    (folder / "network.pt").write_bytes(member(package, "weights.pt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(folder / "network.pt")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One package per kind of weights."""
    folder = tmp_path_factory.mktemp("packages")
    for kind, options in KINDS.items():
        path = write_tiny_weights(folder / f"{kind}.safetensors", **options)
        export_bioimage(path, folder / f"{kind}.zip")
    return SimpleNamespace(
        weights=lambda kind: folder / f"{kind}.safetensors",
        package=lambda kind: folder / f"{kind}.zip",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_valid_by_its_own_checker(made, kind):
    features = KINDS[kind].get("features", 0)
    spread = KINDS[kind].get("spread", False)
    with opened(made.package(kind)) as model:
        inputs = {str(tensor.id): tensor.axes[1].channel_names for tensor in model.inputs}
        outputs = [str(tensor.id) for tensor in model.outputs]
        assert not model.authors and model.license is None  # nobody and nothing was invented
    assert list(inputs) == ["image", "noise", "features"][: 3 if features else 2]
    assert len(inputs.get("features", ())) == features
    assert outputs == ["denoised", "variance"][: 1 + spread]


@pytest.mark.parametrize("kind", KINDS)
def test_run_back_the_stored_test_tensors_are_those_of_our_network(made, tmp_path, kind):
    inputs, outputs = stored_tensors(made.package(kind))
    network = load_network(find_weights(made.weights(kind)))
    with torch.inference_mode():
        ours = [part for part in network.split(network(*inputs)) if part is not None]
        theirs = script_of(made.package(kind), tmp_path)(*inputs)
    theirs = [theirs] if isinstance(theirs, torch.Tensor) else theirs
    for mine, other, stored in zip(ours, theirs, outputs, strict=True):
        np.testing.assert_allclose(mine, stored, atol=1e-6)
        np.testing.assert_allclose(other, stored, atol=1e-6)
    assert (inputs[0] - ours[0]).abs().max() > 0.01  # one that does nothing would prove little


@pytest.mark.parametrize("shape", [(1, 20, 132), (2, 64, 8)])
def test_at_other_sizes_the_package_gives_what_the_engine_gives(made, tmp_path, shape):
    script = script_of(made.package("microscopy"), tmp_path)
    network = load_network(find_weights(made.weights("microscopy")))
    engine = TorchEngine(network, 1, "cpu", "float32")
    image = np.random.default_rng(1).random((shape[0], 1, *shape[1:]), np.float32)
    with torch.inference_mode():
        mean, variance = script(torch.from_numpy(image), torch.full(image.shape, 0.2))
    for number, frame in enumerate(image):
        estimate = engine.run(Mapped(frame), np.full(frame.shape, 0.2, np.float32))
        np.testing.assert_allclose(mean[number], estimate.mean, atol=1e-5)
        np.testing.assert_allclose(variance[number], estimate.variance, atol=1e-5)


def test_the_halo_and_the_steps_of_a_package_are_the_networks(made):
    network = load_network(find_weights(made.weights("photo")))
    with opened(made.package("photo")) as model:
        (step,) = {axis.size.step for axis in model.inputs[0].axes[2:]}
        (halo,) = {axis.halo for axis in model.outputs[0].axes[2:]}
    assert step == network.multiple
    assert network.radius <= halo < network.radius + network.multiple


def test_the_package_says_what_it_expects_and_where_it_comes_from(made):
    info = find_weights(made.weights("render"))
    text = member(made.package("render"), "README.md").decode()
    for said in (info.sha256, "The log mapping", "log(129)", "noise of 0 to 0.35", "albedo_r"):
        assert said in text
    with opened(made.package("render")) as model:
        assert "not raw intensities" in model.description
    assert json.loads(member(made.package("render"), "card.json"))["title"] == "Tiny"


def test_realism_authors_and_licence_reach_the_package(tmp_path):
    card = find_weights(write_tiny_weights(tmp_path / "a.safetensors", seed=1)).card
    ends = [
        load_network(find_weights(write_tiny_weights(tmp_path / "a.safetensors", seed=s)))
        for s in (1, 2)
    ]
    both = tmp_path / "both.safetensors"
    save_weights(both, card, *(end.state_dict() for end in ends))
    options = ("--realism", 1, "--author", "A. Uthor", "--licence", "CC-BY-4.0")
    result = run("weights", "export", both, tmp_path / "both.zip", *options)
    assert result.exit_code == 0, result.output
    with opened(tmp_path / "both.zip") as model:
        assert ([a.name for a in model.authors], str(model.license)) == (["A. Uthor"], "CC-BY-4.0")
    inputs, (stored,) = stored_tensors(tmp_path / "both.zip")
    with torch.inference_mode():
        first, second = (end(*inputs).numpy() for end in ends)
    np.testing.assert_allclose(second, stored, atol=1e-5)
    assert np.abs(first - stored).max() > 1e-2


def test_a_blind_network_is_said_to_be_blind(tmp_path):
    config = {"channels": 1, "width": 8, "blocks": 1}
    tiny = find_weights(write_tiny_weights(tmp_path / "tiny.safetensors"))
    card = replace(tiny.card, architecture="iteapoy2018", config=config)
    save_weights(tmp_path / "b.safetensors", card, build("iteapoy2018", config).state_dict())
    package = export_bioimage(tmp_path / "b.safetensors", tmp_path)
    assert package == tmp_path / "b.zip"
    assert "does not look at it" in member(package, "README.md").decode()


def test_any_title_and_description_of_a_card_can_be_exported(tmp_path):
    tiny = find_weights(write_tiny_weights(tmp_path / "tiny.safetensors"))
    card = replace(tiny.card, title="Zélls: a/b", description="many words " * 200)
    path = tmp_path / "Zélls (1).safetensors"
    save_weights(path, card, load_network(tiny).state_dict())
    package = export_bioimage(path, tmp_path)
    with opened(package) as model:
        assert model.description.startswith("many words")
        assert "not raw intensities" in model.description
    assert "Zélls: a/b" in member(package, "README.md").decode()


@pytest.fixture
def content(made):
    """The members of a package, by name."""
    with zipfile.ZipFile(made.package("photo")) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path, content):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def test_a_package_of_a_broken_description_is_refused(content, tmp_path):
    check_package(write_zip(tmp_path / "whole.zip", content))
    content["rdf.yaml"] = content["rdf.yaml"].replace(b"tensor_id: image", b"tensor_id: imagine")
    with pytest.raises(WeightsError, match=r"not valid as a bioimage.io package: .*imagine"):
        check_package(write_zip(tmp_path / "broken.zip", content))


def test_a_package_that_gives_other_numbers_is_refused(content, tmp_path):
    np.save(tmp_path / "x.npy", np.load(BytesIO(content["denoised.npy"])) + np.float32(1e-3))
    changed = (tmp_path / "x.npy").read_bytes()
    before, after = (
        sha256(data).hexdigest().encode() for data in (content["denoised.npy"], changed)
    )
    assert before in content["rdf.yaml"]
    content["rdf.yaml"] = content["rdf.yaml"].replace(before, after)
    package = write_zip(tmp_path / "other.zip", content | {"denoised.npy": changed})
    with pytest.raises(WeightsError, match=r"outputs differ by 0\.00"):
        check_package(package)


def test_an_export_that_fails_its_check_leaves_no_file(made, tmp_path, monkeypatch):
    monkeypatch.setattr(bioimage, "SAME", -1.0)  # nothing is that close
    with pytest.raises(WeightsError, match="outputs differ by 0"):
        export_bioimage(made.weights("photo"), tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_an_existing_package_stays_unless_overwriting_is_asked_for(made, tmp_path):
    target = tmp_path / "mine.zip"
    target.write_bytes(b"precious")
    with pytest.raises(FileExists, match="exists already"):
        export_bioimage(made.weights("photo"), target)
    refused = run("weights", "export", made.weights("photo"), target)
    assert (refused.exit_code, "--overwrite" in refused.stderr) == (2, True)
    assert target.read_bytes() == b"precious"
    done = run("weights", "export", made.weights("photo"), target, "--overwrite")
    assert done.exit_code == 0, done.output
    check_package(target)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zip"]


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("x.txt", ["--format", "bioimageio"], "must end in .zip"),
        ("x.zip", ["--format", "safetensors"], "must end in .safetensors"),
        ("x.safetensors", ["--author", "A. Uthor"], "--author: only a bioimage.io package"),
        ("x.zip", ["--licence", "FREE-FOR-ALL"], "'FREE-FOR-ALL' is not an SPDX"),
        ("x.zip", ["--realism", "0.5"], "no realistic end"),
        ("absent/x.zip", [], "does not exist"),
    ],
)
def test_what_cannot_be_exported_is_explained_and_leaves_no_file(
    made, tmp_path, target, options, said
):
    result = run("weights", "export", made.weights("microscopy"), tmp_path / target, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_how_to_install_it(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)  # as if it were not installed
    result = run("weights", "export", made.weights("photo"), tmp_path / "x.zip")
    assert result.exit_code == 2
    assert 'pip install "napari-denoise[bioimageio]"' in result.stderr
