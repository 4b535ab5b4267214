"""Recipes: what they hold, and how their faults are named."""

from __future__ import annotations

import json

import pytest

from napari_denoise.settings.recipe import TrainSettings

RECIPE = {
    "name": "small",
    "domain": "photo",
    "architecture": "two-scale",
    "config": {"channels": 3, "widths": [8, 8]},
    "distortion": {"steps": 10, "decay": 5},
    "adversarial": {"steps": 4},
}


def changed(**paths):
    """Change single values of the recipe, named as section__field."""
    recipe = json.loads(json.dumps(RECIPE))
    for path, value in paths.items():
        *sections, field = path.split("__")
        place = recipe
        for section in sections:
            place = place.setdefault(section, {})
        place[field] = value
    return recipe


def test_a_recipe_survives_json():
    settings = TrainSettings.parse(
        changed(
            noise__sigma=[0.1, 0.2],
            noise__camera=0.5,
            distortion__final_loss="l2",
            adversarial__weights={"pixel": 0.5, "ssim": 0.1},
            training_data=[{"name": "pictures", "licence": "CC0"}],
        )
    )
    text = json.dumps(settings.to_json())
    assert TrainSettings.parse(json.loads(text)) == settings
    assert settings.noise.sigma == (0.1, 0.2)
    assert settings.training_data[0].licence == "CC0"


def test_steps_and_channels_are_those_of_all_stages_and_of_the_network():
    settings = TrainSettings.parse(RECIPE)
    assert (settings.steps, settings.channels) == (14, 3)
    without = {k: v for k, v in RECIPE.items() if k != "adversarial"}
    assert TrainSettings.parse(without).steps == 10


def test_a_recipe_cannot_be_changed():
    settings = TrainSettings.parse(RECIPE)
    with pytest.raises(AttributeError):
        settings.batch = 3


WRONG = {
    "distortion__steps": (0, r"distortion\.steps = 0: "),
    "distortion__step_size": (2, r"distortion\.step_size: there is no such"),
    "distortion__loss": (
        "huber",
        r"distortion\.loss = 'huber': .*'l1', 'even_l1', 'l2' or 'relative'",
    ),
    "distortion__learning_rate": (0, r"distortion\.learning_rate = 0: expected more than 0"),
    "distortion__warmup": (-1, r"distortion\.warmup = -1: "),
    "distortion__spread": (-0.1, r"distortion\.spread = -0\.1: "),
    "adversarial__objective": ("hinge", r"adversarial\.objective = 'hinge': "),
    "adversarial__critic_steps": (0, r"adversarial\.critic_steps = 0: "),
    "adversarial__weights__pixel": (-1, r"adversarial\.weights\.pixel = -1: "),
    "adversarial__weights__pixle": (1, r"adversarial\.weights\.pixle: there is no such"),
    "adversarial__betas": ([0.5, 1.0], r"adversarial\.betas\.1 = 1\.0: expected less than 1"),
    "noise__sigma": ([0.5, 0.1], r"noise: sigma \(0\.5, 0\.1\): expected 0 <= low <= high"),
    "noise__photons": ([-1, 3], r"noise: photons \(-1\.0, 3\.0\): expected 0 <= low"),
    "noise__poisson": (1.5, r"noise\.poisson = 1\.5: expected 1 or less"),
    "noise__sigma_power": (0, r"noise\.sigma_power = 0: "),
    "noise__jpeg_quality": ([60.5, 90], r"noise\.jpeg_quality\.0 = 60\.5: "),
    "noise__full_well": ([900, 90], r"noise: full_well \(900\.0, 90\.0\): expected 0 <= low"),
    "domain": ("radio", r"domain = 'radio': "),
    "patch": (30, r"patch = 30: .*multiple of 4"),
    "batch": (0, r"batch = 0: "),
    "ema": (1.0, r"ema = 1\.0: expected less than 1"),
    "precision": ("16", r"precision = '16': "),
    "bach": (2, r"bach: there is no such"),
    "training_data": ([{"name": "a"}], r"training_data\.0\.licence: "),
}


@pytest.mark.parametrize("path", WRONG)
def test_a_fault_is_said_in_one_line_with_its_section(path):
    value, message = WRONG[path]
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        TrainSettings.parse(changed(**{path: value}))
    assert "\n" not in str(caught.value)


def test_every_fault_is_said():
    with pytest.raises(ValueError) as caught:
        TrainSettings.parse(changed(distortion__steps=0, noise__poisson=2, batch=0))
    names = {line.partition(" ")[0] for line in str(caught.value).splitlines()}
    assert names == {"distortion.steps", "noise.poisson", "batch"}


def test_a_missing_section_or_field_is_named():
    for name in ("distortion", "name", "config"):
        with pytest.raises(ValueError, match=f"^{name}: "):
            TrainSettings.parse({k: v for k, v in RECIPE.items() if k != name})
    with pytest.raises(ValueError, match=r"^distortion\.steps: "):
        TrainSettings.parse({**RECIPE, "distortion": {}})


CONTRADICTIONS = {
    "shares beyond the whole": (
        {"noise__poisson": 0.6, "noise__correlated": 0.3, "noise__camera": 0.2},
        r"^noise: poisson \+ correlated \+ camera = 1\.1: .*at most 1",
    ),
    "a mosaic of gray": (
        {"noise__camera": 0.1, "config": {"channels": 1}},
        r"noise\.camera = 0\.1 with 1 channels",
    ),
    "a final loss without its time": (
        {"distortion__final_loss": "l2", "distortion__decay": 0},
        r"^distortion: final_loss = 'l2' with decay = 0",
    ),
    "nothing wanted": (
        {
            "adversarial__weights": dict.fromkeys(
                ("pixel", "feature", "adversarial", "mean_intensity"), 0
            )
        },
        r"^adversarial\.weights: every weight is 0",
    ),
    "an error never learnt": (
        {"config": {"channels": 3, "spread": True}},
        r"config\.spread = true with distortion\.spread = 0",
    ),
    "channels left open": ({"config": {}}, r"config\.channels is missing"),
    "windows larger than patches": (
        {"adversarial__weights__ssim": 0.1, "patch": 8},
        r"patch = 8 with adversarial\.weights\.ssim: SSIM needs at least 11",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(case):
    paths, message = CONTRADICTIONS[case]
    with pytest.raises(ValueError, match=message):
        TrainSettings.parse(changed(**paths))
