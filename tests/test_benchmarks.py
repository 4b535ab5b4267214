"""The benchmarks' protocol gives known numbers, and each command runs on something tiny."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import _repository

# isort: split
from benchmarks import gpu, memory, neighbours, protocol, quality, speed, stacks, tiling
from benchmarks.fidelity import microscopy_row, photo_table, stack_table
from benchmarks.realism import SLIDER, look, realism_table, top_octave
from benchmarks.tables import Table, fill, limit_verdict, verdict
from benchmarks.timing import Timing

from _networks import write_tiny_weights
from napari_denoise import NoiseModel
from napari_denoise.image.metrics import psnr


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "gray.safetensors")


@pytest.mark.parametrize(("sigma", "expected"), [(15, 24.61), (25, 20.17), (50, 14.15)])
def test_added_noise_has_the_psnr_of_its_sigma(sigma: int, expected: float) -> None:
    clean = np.full((256, 256), 128, np.uint8)
    noisy = protocol.add_noise(clean, sigma)
    assert psnr(clean, noisy, 255) == pytest.approx(expected, abs=0.05)
    assert np.array_equal(noisy, protocol.add_noise(clean, sigma))


def test_bytes_are_clipped_then_rounded() -> None:
    assert protocol.to_bytes([-3.0, 0.6, 254.4, 300.0]).tolist() == [0, 1, 254, 255]


def test_matching_undoes_a_stretch() -> None:
    clean = np.arange(256.0).reshape(16, 16)
    noisy = 0.5 * clean + 20
    assert np.abs(protocol.match(clean, noisy) - noisy).max() <= 0.5


def test_renders_are_compared_as_shown() -> None:
    black, bright = np.zeros((8, 8, 3)), np.full((8, 8, 3), 7.0)
    assert protocol.display_psnr(black, bright) == pytest.approx(0.0)  # shown as 0 and 1
    assert protocol.display_psnr(bright, 2 * bright) == float("inf")


def test_bias_finds_the_bin_that_is_off() -> None:
    clean = np.arange(64.0).reshape(8, 8)
    image = clean + 3.0 * (clean >= 56)
    assert protocol.bias(clean, image, np.linspace(0, 64, 9)).tolist() == [0.0] * 7 + [3.0]
    assert np.isnan(protocol.bias(clean, image, np.linspace(0, 640, 9))[1:]).all()


def test_the_mean_is_compared_above_the_offset() -> None:
    noisy = np.full((4, 4), 110, np.uint16)
    assert protocol.relative_mean_error(noisy, noisy + 1, offset=100.0) == pytest.approx(0.1)


def test_a_shifted_channel_breaks_the_limit_of_photographs() -> None:
    clean = np.full((16, 16, 3), 100.0)
    table = photo_table("x", [(clean, clean + np.array([0.0, 0.0, 0.6]))])
    assert table.rows[0][2] == "0.600"
    assert "broken" in table.notes[0]


def test_rows_of_microscopy_tell_change_and_bias_apart() -> None:
    clean = np.tile(np.linspace(100, 200, 64), (16, 1))
    change, cells = microscopy_row("cells", clean, clean, clean + 1, offset=50.0)
    assert change == pytest.approx(1.0)  # 1 of 100 above the offset
    assert cells[1:4] == ("50.0", "+1.00 %", "+1.00 (+0.00)")


def test_a_stack_that_fades_too_fast_shows_as_drift() -> None:
    noisy = np.full((10, 8, 8), 100.0)
    image = noisy * np.linspace(1, 0.9, 10)[:, None, None]
    row = stack_table("x", [("fading", noisy, image, NoiseModel(read_noise=1.0))], "").rows[0]
    assert row[3:5] == ("10.000 %", "-8.889 %")


def test_verdicts_say_which_side_of_the_bar() -> None:
    assert "met by 0.50" in verdict("BM3D", 32.0, 31.5)
    assert "**missed** by 0.50" in verdict("BM3D", 31.0, 31.5)
    assert "**broken**" in limit_verdict("error", 2e-5, 1e-5, "of the range")


def test_ratios_are_taken_round_by_round() -> None:
    slow, fast = Timing((2.0, 20.0, 4.0), (1, 1, 1)), Timing((1.0, 10.0, 2.0), (1, 1, 1))
    assert slow.ratio(fast) == (2.0, 2.0, 2.0)


def test_tables_go_into_their_places_and_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table t -->\nold\n<!-- end t -->\nafter\n")
    for value in ("1", "2"):
        fill(page, [Table("t", ("a",), ((value,),))])
    expected = "before\n<!-- table t -->\n| a |\n| --- |\n| 2 |\n<!-- end t -->\nafter\n"
    assert page.read_text() == expected
    with pytest.raises(ValueError, match="no place for table 'u'"):
        fill(page, [Table("u", ("a",), (("1",),))])
    assert page.read_text() == expected


def test_the_page_has_a_place_for_every_table() -> None:
    page = (_repository.ROOT / "docs" / "benchmarks.md").read_text()
    for name in (
        "kodak",
        "cameras",
        "w2s-fidelity",
        "renders",
        "stacks",
        "neighbours-fmd",
        "neighbours-moving",
        "neighbours-films",
        "neighbours-traps",
        "neighbours-events",
        "neighbours-mean",
        "neighbours-cost",
        "neighbours-tractor",
        "neighbours-sequences",
        "neighbours-radiance",
        "neighbours-films-validation",
        "tiling",
        "memory",
        "speed-parts",
    ):
        assert f"<!-- table {name} -->" in page
        assert f"<!-- end {name} -->" in page


def test_quality_measures_a_photograph(
    tmp_path: Path, gray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos_val" / "Set12"
    folder.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8)).repeat(4, 0).repeat(4, 1)
    Image.fromarray(picture.astype(np.uint8)).save(folder / "01.png")
    weights = [f"--weights-{name}={gray}" for name in ("photo", "microscopy", "render")]
    quality.main([f"--data={tmp_path}", *weights, "--only=set12"])
    printed = capsys.readouterr().out
    assert "| noisy | 24." in printed
    assert "### set12-fidelity" in printed


def test_quality_measures_real_cameras_apart_from_those_looked_at(
    tmp_path: Path, gray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos_val" / "PolyU"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        mean = rng.integers(60, 200, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
        shot = np.clip(mean + 5 * rng.standard_normal(mean.shape), 0, 255)
        for kind, picture in (("mean", mean), ("real", shot)):
            Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}_{kind}.JPG")
    weights = [f"--weights-{name}={gray}" for name in ("photo", "microscopy", "render")]
    quality.main([f"--data={tmp_path}", *weights, "--only=cameras"])
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["| all", "8"] in rows
    assert ["| measured only", "6"] in rows
    assert ["| development", "2"] in rows


def test_psnr_is_taken_of_every_frame_and_rounding_costs_nothing() -> None:
    clean = np.full((3, 8, 8), 100.0)
    image = clean + np.array([0.1, 1.0, 10.0])[:, None, None]
    expected = [10 * np.log10(12 * 255**2), 48.13, 28.13]
    assert protocol.psnrs(clean, image, 255) == pytest.approx(expected, abs=0.01)


def test_an_error_that_stays_does_not_flicker() -> None:
    clean = np.zeros((3, 4, 4))
    assert protocol.flicker(clean, clean + 0.2) == 0
    turns = clean + np.array([0, 2 / 255, 0])[:, None, None]
    assert protocol.flicker(clean, turns) == pytest.approx(2)


def test_the_mean_is_compared_by_quarters_from_dark_to_bright() -> None:
    order = np.random.default_rng(0).permutation(64.0 * np.ones(64).cumsum()).reshape(8, 8)
    dimmed = np.where(order > np.sort(order.ravel())[47], 0.9, 1.0) * order
    change = protocol.change_by_quarter(dimmed, order, order)
    assert change == pytest.approx([0, 0, 0, -10])
    same = protocol.change_by_quarter(np.ones(64), np.ones(64), np.zeros(64))
    assert same == pytest.approx([0, 0, 0, 0])


def test_neighbours_are_given_as_numbers_or_auto() -> None:
    assert neighbours.parsed("3,auto") == (3, "auto")
    assert neighbours.parsed("") == ()


def test_a_film_is_measured_frame_by_frame(
    tmp_path: Path, gray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sequences" / "tractor"
    folder.mkdir(parents=True)
    for number in range(1, 11):
        Image.fromarray(np.full((64, 64, 3), 100 + number, np.uint8)).save(
            folder / f"{number:03d}.png"
        )
    weights = [f"--weights-{name}={gray}" for name in ("photo", "microscopy", "render")]
    stacks.main([f"--data={tmp_path}", *weights, "--neighbors=", "--only=tractor"])
    printed = capsys.readouterr().out
    assert "| noisy | 20." in printed
    assert "| frame by frame | " in printed


def test_tiles_agree_in_the_tiling_benchmark(
    gray: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiling.main([f"--weights-microscopy={gray}", "--only=time", "--size=80", "--rounds=1"])
    printed = capsys.readouterr().out
    assert "| un-tiled |" in printed
    assert "of the range, kept" in printed


def test_speed_compares_with_plain_networks(capsys: pytest.CaptureFixture[str]) -> None:
    speed.main(["--only=networks,render", "--size=16", "--rounds=1"])
    assert "| plain gray, 15 x 64 | 0.49 M |" in capsys.readouterr().out


def test_the_checks_of_a_graphics_card_run_on_a_cpu(
    gray: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [f"--weights-{name}={gray}" for name in ("photo", "microscopy", "render")]
    table = tmp_path / "gpu.md"
    assert gpu.main(["--device=cpu", *weights, f"--markdown={table}"]) == 0, capsys.readouterr().out
    text = table.read_text()
    assert "| out of memory, from enough |" in text and "a tile of 160 became 80" in text
    assert "| all of it, uint16 to uint16 |" in text
    assert "12 of 12 checks are kept." in text


def test_a_broken_check_ends_the_graphics_card_benchmark_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half_gone(bench: gpu.Bench) -> Iterator[gpu.Row]:
        yield gpu.Row("tiles", float("nan"), "of the range", 1e-5)
        raise RuntimeError("the device fell off")

    monkeypatch.setattr(gpu, "SECTIONS", {"tiles": half_gone})
    assert gpu.main(["--device=cpu"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("**broken**") == 4  # as it is measured, and in the table
    assert "RuntimeError: the device fell off" in printed and "0 of 2 checks" in printed


def test_without_cuda_the_graphics_card_benchmark_says_so_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 2
    assert capsys.readouterr().out.count(".") == 1


@pytest.mark.skipif(not memory.STATUS.exists(), reason="reads Linux's account of the process")
def test_memory_of_a_window_is_counted(gray: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory.main(["window", f"--weights={gray}", "--size=256"])
    assert '"bytes_per_pixel"' in capsys.readouterr().out


@pytest.mark.parametrize("command", [quality, stacks, tiling, speed, memory, gpu])
def test_every_command_explains_itself(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])  # type: ignore[attr-defined]
    assert "--weights" in capsys.readouterr().out


def test_a_multiplied_photon_has_twice_the_variance_of_a_counted_one() -> None:
    camera = NoiseModel(gain=20.0, offset=100.0, read_noise=3.0)
    image = protocol.multiply(np.full((500, 500), 2.0), camera)
    assert image.mean() == pytest.approx(100 + 20 * 2, rel=0.005)
    assert image.var() == pytest.approx(2 * 20**2 * 2 + 3**2, rel=0.02)


def test_the_finest_structures_are_those_of_few_pixels() -> None:
    y, x = np.mgrid[:128, :128]
    coarse, fine = (np.sin(2 * np.pi * (x + 0.5 * y) / period) for period in (32, 3))
    assert top_octave(fine) > 1000 * top_octave(coarse)
    assert top_octave(0.5 * fine) == pytest.approx(0.25 * top_octave(fine))


def test_noise_of_a_clean_image_is_told_from_its_structures_by_a_second_one() -> None:
    rng = np.random.default_rng(0)
    scene = 128 + 20 * rng.standard_normal((192, 192, 3))
    clean, again = (scene + sd * rng.standard_normal(scene.shape) for sd in (15, 60))
    assert top_octave(clean, again) == pytest.approx(top_octave(scene), rel=0.03)
    found = look([clean], [scene], [again])
    assert found.power == pytest.approx(0.64, rel=0.03)
    assert found.signal == pytest.approx(1, rel=0.03)


def test_the_slider_is_judged_by_what_it_gives_and_costs() -> None:
    rng = np.random.default_rng(0)
    clean = 128 + 20 * rng.standard_normal((96, 96, 3))
    smooth = 128 + 0.5 * (clean - 128)

    def table(last: np.ndarray) -> str:
        ends = {share: smooth + share * (last - smooth) for share in SLIDER}
        return realism_table("x", {s: look([clean], [i]) for s, i in ends.items()}, None, "").notes[
            0
        ]

    kept = table(0.2 * smooth + 0.8 * clean)
    assert kept.count("kept") == 4 and "missed" not in kept
    assert "of 255, limit 0.3: **missed**" in table(clean + 2)
    assert "along the slider 2" in table(clean + 2)
    assert "PSNR falls" in table(smooth - 30) and table(smooth - 30).count("**missed**") == 4
