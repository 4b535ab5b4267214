"""Garbage is collected on the GUI thread while a worker is alive."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from napari_denoise.plugin.kit.collection import GuiCollection, collection
from napari_denoise.plugin.kit.workers import WorkerTask


class Node:
    """Lies in a cycle, and remembers on which threads its like died."""

    died_on: list[threading.Thread] = []  # noqa: RUF012 - one for all

    def __init__(self) -> None:
        self.me = self
        weakref.finalize(self, lambda: Node.died_on.append(threading.current_thread()))


@pytest.fixture(autouse=True)
def as_it_was(qtbot: Any) -> Iterator[None]:
    """Begin and end with no worker held, automatic collection on and low thresholds."""
    qtbot.waitUntil(lambda: not collection.active, timeout=60_000)
    before = gc.get_threshold()
    gc.set_threshold(50, 5, 5)
    Node.died_on = []
    yield
    gc.set_threshold(*before)
    gc.enable()


def until_idle(qtbot: Any, task: WorkerTask) -> None:
    qtbot.waitUntil(lambda: not (task.running or collection.active), timeout=60_000)


def test_cycles_that_a_worker_leaves_die_on_the_gui_thread(qtbot):
    def leave_cycles() -> Iterator[None]:
        while not Node.died_on:
            for _ in range(50):
                Node()
            yield None

    until_idle(qtbot, WorkerTask(leave_cycles))
    assert set(Node.died_on) == {threading.main_thread()}


def test_automatic_collection_comes_back_with_the_end_of_the_last_worker(qtbot):
    first_may_end, second_may_end = threading.Event(), threading.Event()
    seen: list[bool] = []

    def wait(event: threading.Event) -> Iterator[None]:
        while not event.wait(0.01):
            yield None
        seen.append(gc.isenabled())

    first, second = WorkerTask(wait, first_may_end), WorkerTask(wait, second_may_end)
    assert not gc.isenabled()
    first_may_end.set()
    qtbot.waitUntil(lambda: not first.running, timeout=60_000)
    collection.look()
    collection.look()
    assert not gc.isenabled()
    second_may_end.set()
    until_idle(qtbot, second)
    assert gc.isenabled()
    assert seen == [False, False]


def test_a_worker_that_fails_or_is_cancelled_is_let_go_of_too(qtbot):
    def fail() -> Iterator[None]:
        yield None
        raise ValueError("on purpose")

    def go_on() -> Iterator[None]:
        while True:
            yield None

    failed, cancelled = WorkerTask(fail), WorkerTask(go_on)
    cancelled.detach()
    until_idle(qtbot, failed)
    until_idle(qtbot, cancelled)
    assert gc.isenabled()


def test_who_had_collection_off_keeps_it_off(qtbot):
    def one() -> Iterator[None]:
        Node()
        yield None

    gc.disable()
    task = WorkerTask(one)
    qtbot.waitUntil(lambda: not task.running, timeout=60_000)
    for _ in range(3):
        collection.look()
    assert not gc.isenabled()
    assert not Node.died_on


def test_somebody_who_switches_it_on_meanwhile_is_overruled_for_that_long(qtbot):
    may_end = threading.Event()

    def wait() -> Iterator[None]:
        while not may_end.wait(0.01):
            yield None

    task = WorkerTask(wait)
    gc.enable()
    collection.look()
    assert not gc.isenabled()
    may_end.set()
    until_idle(qtbot, task)
    assert gc.isenabled()


def test_a_worker_is_kept_until_its_thread_has_had_time_to_leave(qtbot):
    class Worker:
        pass

    own, worker = GuiCollection(), Worker()
    gone = weakref.ref(worker)
    own.hold(worker)
    own.leave(worker)
    del worker
    own.look()
    assert gone() is not None and own.active
    own.look()
    gc.collect()
    assert gone() is None and not own.active


def test_filters_of_warnings_survive_workers_that_overlap(qtbot):
    ends = [threading.Event(), threading.Event()]

    def wait(event: threading.Event) -> Iterator[None]:
        while not event.wait(0.01):
            yield None

    shown, filters = warnings.showwarning, list(warnings.filters)
    first, second = (WorkerTask(wait, event) for event in ends)
    for task, event in ((first, ends[0]), (second, ends[1])):
        event.set()
        qtbot.waitUntil(lambda task=task: not task.running, timeout=60_000)
    assert warnings.showwarning is shown
    assert list(warnings.filters) == filters
