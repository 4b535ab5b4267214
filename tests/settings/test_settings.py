import pytest

from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.recipe import TrainSettings


def test_settings_survive_json():
    long = NoiseModel(read_noise=13.4, correlation_y=(0.62, 0.22, 0.13, 0.09))
    noise = ("auto", 3.5, NoiseModel(gain=2, offset=100, correlation_x=(0.6, 0.2)), long)
    settings = DenoiseSettings(noise=noise, tile=256, intensity_range=(0, 4095), strength=0.5)
    assert DenoiseSettings.parse(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strength", 1.5),
        ("tile", 3),
        ("noise", -1.0),
        ("realism", -0.1),
        ("intensity_range", (5.0, 5.0)),
        ("precision", "int8"),
        ("mapping", "gamma"),
        ("weigths", "photo"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        DenoiseSettings.parse({field: value})
    assert repr(value) in str(caught.value) or str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tile", 3, "tile = 3: expected auto, or a whole number of pixels, 16 or more"),
        ("noise", {"gain": -2}, "noise: gain -2.0 of the noise: expected 0 to 1e+30"),
        ("noise", {"gain": "x"}, "noise.gain = 'x': expected a number"),
        ("noise", float("inf"), "noise = inf: expected auto, a standard deviation"),
        (
            "intensity_range",
            (5, 1),
            "intensity_range = (5.0, 1.0): expected two numbers, LOW below",
        ),
    ],
)
def test_a_wrong_field_is_said_in_one_line(field, value, message):
    with pytest.raises(ValueError) as caught:
        DenoiseSettings.parse({field: value})
    text = str(caught.value)
    assert text.startswith(message)
    assert "\n" not in text


def test_a_recipe_with_a_misspelt_setting_is_refused():
    stage = {"steps": 1}
    recipe = {"name": "x", "domain": "photo", "architecture": "two-scale"}
    recipe["config"] = {"channels": 1}
    assert TrainSettings.parse({**recipe, "distortion": stage}).steps == 1
    with pytest.raises(ValueError, match=r"distortion\.step_size: there is no such setting"):
        TrainSettings.parse({**recipe, "distortion": {**stage, "step_size": 2}})
    with pytest.raises(ValueError, match=r"noise: sigma .*low <= high"):
        TrainSettings.parse({**recipe, "distortion": stage, "noise": {"sigma": (0.5, 0.1)}})
