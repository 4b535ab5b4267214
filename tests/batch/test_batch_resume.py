"""A batch that stops goes on: finished inputs are left alone, nothing half-written stays."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _small import contents, journal, outcomes, photons, planned, save

from _processes import CONTEXT
from napari_denoise.batch import Done, Ended, Failed, Progress, Resume, Skipped, run
from napari_denoise.batch.history import History
from napari_denoise.batch.journal import Journal
from napari_denoise.io.errors import FileError, FileExists
from napari_denoise.io.read import read


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events if not isinstance(event, Progress)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number, name in enumerate("abc"):
        save(tmp_path / f"raw/{name}.ome.tif", photons(40, 48, seed=number))
    return tmp_path / "raw"


def test_the_same_batch_again_finds_all_finished(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = list(run(planned([raw], out, tiny)))
    assert kinds(first).count("Done") == 3
    before = {file: file.stat().st_mtime_ns for file in out.glob("*.tif")}
    again = planned([raw], out, tiny)
    assert [row.act for row in again.rows] == ["skip"] * 3
    second = list(run(again))
    assert [e.why for e in second if isinstance(e, Skipped)] == ["finished before"] * 3
    assert isinstance(second[-1], Ended)
    assert (second[-1].done, second[-1].failed, second[-1].skipped) == (0, 0, 3)
    assert {file: file.stat().st_mtime_ns for file in out.glob("*.tif")} == before


def test_what_has_changed_is_made_again(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny)))
    (raw / "a.ome.tif").unlink()
    save(raw / "a.ome.tif", photons(40, 48, seed=9))
    (out / "b.ome.tif").unlink()
    plan = planned([raw], out, tiny)
    assert [row.act for row in plan.rows] == ["denoise", "denoise", "skip"]
    assert plan.rows[0].decision.why == "its input has changed"
    assert kinds(list(run(plan))).count("Done") == 2


def test_other_settings_do_not_replace_results_unasked(
    raw: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny)))
    other = planned([raw], out, tiny, strength=0.5)
    assert {row.act for row in other.rows} == {"refuse"}
    assert "made with other settings" in other.rows[0].problem
    events = [event for event in run(other) if isinstance(event, Failed)]
    assert len(events) == 3
    assert isinstance(events[0].error, FileExists)
    # What was refused is still known to be finished.
    assert {row.act for row in planned([raw], out, tiny).rows} == {"skip"}
    kept = planned([raw], out, tiny, Resume(skip_existing=True), strength=0.5)
    assert {row.act for row in kept.rows} == {"skip"}
    forced = planned([raw], out, tiny, Resume(force=True), strength=0.5)
    assert kinds(list(run(forced))).count("Done") == 3


def test_a_result_that_somebody_changed_is_kept(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny)))
    (out / "a.ome.tif").write_bytes(b"mine")
    plan = planned([raw], out, tiny)
    assert plan.rows[0].act == "refuse"
    assert "changed after it had been written" in plan.rows[0].problem


def test_a_failed_input_is_tried_again_when_asked(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("napari_denoise.batch.work.check_unchanged", _breaks)
        assert kinds(list(run(planned([raw], out, tiny)))).count("Failed") == 3
    assert not list(out.glob("*.tif"))
    again = list(run(planned([raw], out, tiny)))
    skipped = [event for event in again if isinstance(event, Skipped)]
    assert [event.failed for event in skipped] == [True] * 3
    assert "broken" in skipped[0].why
    assert (again[-1].done, again[-1].failed) == (0, 3)
    retried = planned([raw], out, tiny, Resume(retry_failed=True))
    assert kinds(list(run(retried))).count("Done") == 3


def _breaks(*_: object) -> None:
    raise ValueError("broken")


def test_a_second_run_into_one_folder_is_refused(raw: Path, tiny: Path, tmp_path: Path) -> None:
    plan = planned([raw], tmp_path / "out", tiny)
    first = run(plan)
    next(first)
    with pytest.raises(BlockingIOError, match="another batch is at work in this folder"):
        next(run(plan))
    first.close()
    assert kinds(list(run(plan))).count("Done") == 3


@pytest.mark.usefixtures("one_thread")
def test_cancel_leaves_nothing_half_written_and_is_gone_on_with(
    raw: Path, tiny: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    events = run(planned([raw], out, tiny))
    while not isinstance(next(events), Done):
        pass
    events.close()
    assert len(list(out.glob("*.tif"))) in (1, 2)
    assert not list(out.glob(".*.tmp"))
    list(run(planned([raw], out, tiny)))
    list(run(planned([raw], whole, tiny)))
    assert contents(out) == contents(whole)


def killed_at(inputs: list[Path], out: Path, weights: Path, frames: int) -> None:
    """Run in a process of its own that dies when so many tiles are done."""
    import torch

    torch.set_num_threads(1)
    tiles = 0
    for event in run(planned(inputs, out, weights, tile=16)):
        tiles += isinstance(event, Progress) and event.step is not None
        if tiles == frames:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_to_the_same_results(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = CONTEXT.Process(target=killed_at, args=([raw], out, tiny, 12))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    begun = {event["name"] for event in journal(out) if event["event"] == "started"}
    assert begun
    assert {row.act for row in planned([raw], out, tiny, tile=16).rows} >= {"denoise"}
    list(run(planned([raw], out, tiny, tile=16)))
    list(run(planned([raw], whole, tiny, tile=16)))
    assert contents(out) == contents(whole)
    done = [name for name, outcome in outcomes(out) if outcome == "done"]
    assert sorted(done) == ["a.ome.tif", "b.ome.tif", "c.ome.tif"]


def test_a_result_whose_line_was_lost_is_taken_as_it_is(
    raw: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny)))
    lines = (out / "batch.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"done"' not in line or '"b.ome.tif"' not in line]
    (out / "batch.jsonl").write_text("".join(kept[:-1]) + '{"event": "do')  # cut off, too
    before = (out / "b.ome.tif").stat().st_mtime_ns
    assert [row.act for row in planned([raw], out, tiny).rows] == ["skip"] * 3
    list(run(planned([raw], out, tiny)))
    assert (out / "b.ome.tif").stat().st_mtime_ns == before
    (line,) = [e for e in journal_whole(out) if e["event"] == "done" and e.get("adopted")]
    assert line["name"] == "b.ome.tif"


def journal_whole(folder: Path) -> list[dict[str, Any]]:
    from napari_denoise.batch.journal import read as read_journal

    return read_journal(folder)


def test_between_the_files_of_one_result_nothing_is_taken_for_whole(
    raw: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny)))
    lines = (out / "batch.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"done"' not in line or '"c.ome.tif"' not in line]
    (out / "batch.jsonl").write_text("".join(kept))
    (out / "c.ome.tif.json").unlink()  # it is written last
    plan = planned([raw], out, tiny)
    assert plan.rows[2].act == "denoise"
    assert plan.rows[2].decision.why == "an earlier run was cut off"
    list(run(plan))
    assert (out / "c.ome.tif.json").is_file()


def test_what_killed_processes_left_is_swept(raw: Path, tiny: Path, tmp_path: Path) -> None:
    from napari_denoise.io import atomic

    out = tmp_path / "out"
    out.mkdir()
    dead = 2**22 + 1  # above the largest number of a process
    left = out / f".a.ome.tif.{atomic._HOST}-{dead}-0.tmp"
    left.write_bytes(b"half")
    folder = out / f".a_frames_used.ome.tif.{atomic._HOST}-{dead}-0.tmp"
    folder.mkdir()
    (folder / "frames_used.npy").write_bytes(b"half")
    list(run(planned([raw], out, tiny)))
    assert not left.exists()
    assert not folder.exists()


def test_an_input_that_grows_meanwhile_gives_no_result(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "raw" / "a.npy"
    source.parent.mkdir()
    np.save(source, photons(40, 48))
    out = tmp_path / "out"
    failed = None
    for event in run(planned([source.parent], out, tiny, tile=16)):
        if isinstance(event, Progress) and event.step is not None:
            with source.open("ab") as file:
                file.write(b"more")
        failed = event if isinstance(event, Failed) else failed
    assert failed is not None
    assert "it changed while it was denoised" in str(failed.error)
    assert not list(out.glob("*.npy*"))


def test_an_input_that_vanishes_fails_alone(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = planned([raw], out, tiny)
    (raw / "b.ome.tif").unlink()
    events = list(run(plan))
    assert kinds(events).count("Done") == 2
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert "b.ome.tif: it cannot be read" in str(failed.error)


def test_a_full_disk_fails_what_does_not_fit(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_denoise.io import atomic

    flush, count = atomic.flush, iter(range(100))

    def full(path: Path) -> None:
        if next(count) == 2:  # image and sidecar of the first are written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    out = tmp_path / "out"
    plan = planned([raw], out, tiny)
    monkeypatch.setattr(atomic, "flush", full)
    events = list(run(plan))
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert "No space left on device" in str(failed.error)
    assert kinds(events).count("Done") == 2
    assert not list(out.glob(".*.tmp"))


def test_a_disk_too_small_for_all_is_refused_before_anything(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 2 * 40 * 48 * 2})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    plan = planned([raw], tmp_path / "out", tiny)
    with pytest.raises(FileError, match=r"the results need up to .* MB but .* MB are free"):
        list(run(plan))


def test_a_folder_that_cannot_be_written_is_named(raw: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    plan = planned([raw], tmp_path / "file" / "out", tiny)
    with pytest.raises(
        FileError, match=r"out: it cannot be written .*a file stands where a folder is needed"
    ):
        list(run(plan))


def test_a_folder_that_becomes_read_only_fails_each_result_by_name(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_denoise.io import atomic

    def refused(*_: object, **__: object) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    plan = planned([raw], tmp_path / "out", tiny)
    with monkeypatch.context() as patched:
        patched.setattr(atomic, "temporary", refused)
        patched.setattr("napari_denoise.batch.runner.write_report", lambda folder: None)
        failed = [event for event in run(plan) if isinstance(event, Failed)]
    assert len(failed) == 3
    for name, event in zip("abc", failed, strict=True):
        assert f"{name}.ome.tif: it could not be written" in str(event.error)
        assert "Read-only file system" in str(event.error)
    again = planned([raw], tmp_path / "out", tiny, Resume(retry_failed=True))
    assert kinds(list(run(again))).count("Done") == 3


def test_a_journal_that_cannot_grow_ends_the_run_and_nothing_is_done_twice(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A file on a disk that takes the first events of a run."""

        def __init__(self, file: Any) -> None:
            self._file, self.flush, self.fileno = file, file.flush, file.fileno

        def write(self, line: bytes) -> None:
            if b'"event": "done"' in line:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._file.write(line)

    out, begun = tmp_path / "out", Journal.__init__
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "__init__", lambda book, at, file: begun(book, at, Full(file)))
        with pytest.raises(FileError, match=r"batch.jsonl: it cannot be written \(No space left"):
            list(run(planned([raw], out, tiny)))
    (first,) = sorted(out.glob("*.tif"))[:1]
    before = first.stat().st_mtime_ns
    events = list(run(planned([raw], out, tiny)))
    assert first.stat().st_mtime_ns == before
    assert kinds(events).count("Skipped") >= 1
    assert kinds(events).count("Done") + kinds(events).count("Skipped") == 3


def test_a_journal_of_a_newer_version_is_refused(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "batch.jsonl").write_text('{"event": "batch", "napari_denoise_batch": 2}\n')
    with pytest.raises(FileError, match="journal of version 2, expected 1"):
        planned([raw], out, tiny)


def test_inputs_of_one_experiment_share_their_noise(raw: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run(planned([raw], out, tiny, one_noise=True)))
    noise = {
        str(read(file)[1].extra["napari_denoise"]["channels"][0]["noise"])
        for file in out.glob("*.tif")
    }
    assert len(noise) == 1
    apart = tmp_path / "apart"
    list(run(planned([raw], apart, tiny)))
    each = {event["noise"][0] for event in journal(apart) if event["event"] == "done"}
    assert len(each) == 3
    # The next run takes the noise that was measured, and finds all finished.
    assert {row.act for row in planned([raw], out, tiny, one_noise=True).rows} == {"skip"}
    assert len(History.of(out).noise) == 1
