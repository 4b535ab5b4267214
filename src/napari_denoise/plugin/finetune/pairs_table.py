"""The table of pairs, and what adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from magicgui import widgets as mg
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_denoise.plugin.finetune.entries import (
    Kind,
    Maker,
    PairEntry,
    Unreadable,
    checked,
    images_of,
    is_called_clean,
    likely_clean,
    of_files,
    of_folder,
    of_layers,
)
from napari_denoise.plugin.kit.colours import colours
from napari_denoise.plugin.kit.docked import notify
from napari_denoise.plugin.kit.parts import (
    Status,
    add_row,
    button,
    column,
    enable,
    form_layout,
    row,
    small_print,
)
from napari_denoise.plugin.kit.text import shape_text
from napari_denoise.plugin.kit.workers import WorkerTask


@dataclass(frozen=True)
class _Wording:
    """How a kind of pair is called.

    Parameters
    ----------
    title
        In the list of kinds.
    other
        What goes with the noisy image; empty where nothing does.
    files
        What the dialogs ask for, one after the other.
    tip
        Of the button that opens them.
    """

    title: str
    other: str
    files: tuple[str, ...]
    tip: str


_KINDS: dict[Kind, _Wording] = {
    "clean": _Wording(
        "Noisy and clean",
        "Clean",
        ("Open the noisy image", "Open its clean image"),
        "Choose the noisy file, then its clean one.",
    ),
    "second": _Wording(
        "Noisy and a second shot",
        "Second shot",
        ("Open the noisy image", "Open the second noisy shot of it"),
        "Choose the noisy file, then that of a second noisy shot of the same scene.",
    ),
    "repeats": _Wording(
        "Repeated frames",
        "",
        ("Open the repeated frames",),
        "Choose a file that holds repeated frames of one scene.",
    ),
    "stack": _Wording(
        "A noisy stack, no clean images",
        "",
        ("Open the noisy stack",),
        "Choose a file with a noisy stack, over time or depth.",
    ),
}
_NO_PAIR = (
    "There is no pair yet. Choose a noisy image and what goes with it above and press Add, or "
    "take files or a folder."
)
_NO_IMAGE = (
    "There is no pair yet. Open a noisy image and a clean one of the same scene, or take files "
    "or a folder. File > Open Sample > Denoise has some to try."
)
_SIGNS = {"good": "✓", "warning": "!", "error": "✗"}
_ROWS_SHOWN = 4
_ROW_HEIGHT, _MOST_HEIGHT = 26, 84


class PairsTable(QWidget):  # type: ignore[misc]  # Qt has no types
    """Pairs with their verdicts, and the controls that add to them.

    Signals
    -------
    changed : ()
        Other pairs are there now.
    selected : (PairEntry | None,)
        A row was clicked.
    """

    changed = Signal()
    selected = Signal(object)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.entries: list[PairEntry] = []
        self._tasks: list[WorkerTask] = []
        self._picked = False
        """Whether the user chose layers; until then they are guessed."""
        self._build()
        self.offer_layers()

    # --- what it looks like -------------------------------------------------------------

    def _build(self) -> None:
        self.kind = mg.ComboBox(
            choices=[(wording.title, kind) for kind, wording in _KINDS.items()],
            value="clean",
            tooltip="What the network learns from: a clean image of the same scene, a second "
            "noisy shot of it, repeated frames, whose mean is the clean image, or a noisy stack, "
            "whose frames teach each other whatever moves in them.",
        )
        self.noisy = mg.ComboBox(choices=[], nullable=True, tooltip="The image as it was recorded.")
        self.other = mg.ComboBox(choices=[], nullable=True, tooltip="The same scene, same shape.")
        self.add = button("Add", "Check the chosen layers and add them as a pair.")
        self.files = button("Files …", _KINDS["clean"].tip)
        self.folder = button(
            "Folder …", "A folder with noisy/ and clean/ (or noisy2/), files of equal names."
        )
        self.remove = button("Remove", "Take the selected pair out of the table.")
        self.align = QCheckBox("Align clean images")
        self.align.setToolTip("Shift clean images onto their noisy ones by the distance measured.")
        self.status = Status(button("", ""))  # which has no remedy to offer
        self.table = _table()
        self.empty = small_print()
        rows = column(self, 6)
        self._form = form_layout()
        for label, widget in (("Pair", self.kind), ("Noisy", self.noisy), ("Clean", self.other)):
            add_row(self._form, label, widget)
        rows.addLayout(self._form)
        rows.addLayout(row(self.add, self.files, self.folder))
        for part in (self.empty, self.table, self.align):
            rows.addWidget(part)
        rows.addWidget(self.status)
        self.kind.changed.connect(self._kind_changed)
        self.noisy.changed.connect(self._noisy_picked)
        self.add.changed.connect(self.add_layers)
        self.files.changed.connect(self._ask_files)
        self.folder.changed.connect(self._ask_folder)
        self.remove.changed.connect(self.remove_selected)
        self.align.toggled.connect(lambda _on: self.changed.emit())
        self.table.itemSelectionChanged.connect(self._row_selected)
        rows.insertWidget(4, self.remove.native)
        self.show_rows()

    # --- layers to choose from ----------------------------------------------------------

    def offer_layers(self, _event: Any = None) -> None:
        """Follow the layer list; keep what is chosen, else guess."""
        images = images_of(self._viewer.layers)
        choices = list(zip(_unlike([layer.name for layer in images]), images, strict=True))
        kept = self.noisy.value, self.other.value
        for combo in (self.noisy, self.other):
            with combo.changed.blocked():
                combo.choices = choices
        with self.noisy.changed.blocked():
            self._picked = self._picked and kept[0] in images  # else it is guessed anew
            self.noisy.value = kept[0] if self._picked else self._likely_noisy(images)
        if self._picked and kept[1] in images:
            self.other.value = kept[1]
        else:
            self._guess_other()
        enable(self.add, bool(images), "Open an image first.")
        self.empty.say(_NO_PAIR if images else _NO_IMAGE)
        self.empty.setVisible(not self.entries)

    def _likely_noisy(self, images: Sequence[Image]) -> Image | None:
        """Take the selected layer, else the topmost one that is shown; a clean one at last."""
        noisy = [x for x in images if not is_called_clean(x)]
        chosen = [x for x in noisy if x in self._viewer.layers.selection]
        shown = [x for x in noisy if x.visible]
        return next(iter([*chosen[-1:], *shown[-1:], *noisy[-1:], *images[-1:]]), None)

    def _noisy_picked(self, _value: Any = None) -> None:
        self._picked = True
        self._guess_other()

    def _guess_other(self) -> None:
        if self.noisy.value is not None:
            self.other.value = likely_clean(images_of(self._viewer.layers), self.noisy.value)

    def _kind_changed(self, kind: Kind) -> None:
        wording = _KINDS[kind]
        self._form.setRowVisible(self.other.native, bool(wording.other))
        self._form.labelForField(self.other.native).setText(wording.other)
        self.files.tooltip = wording.tip

    # --- adding and removing ------------------------------------------------------------

    def add_layers(self, _value: Any = None) -> None:
        """Add the chosen layers."""
        noisy = self.noisy.value
        if noisy is None:
            self.status.say("warning", "There is no image to add: open one first.")
            return
        try:
            maker = of_layers(self._viewer.layers, noisy, self.other.value, self.kind.value)
        except ValueError as error:
            self.status.say("error", str(error))
            return
        other = self.other.value
        self.take(maker, noisy.name, noisy, other.name if other is not None else "")

    def take(self, maker: Maker, name: str, layer: Image | None = None, other: str = "") -> None:
        """Make and check pairs in the background, and add each as it comes."""
        if self.busy:
            self.status.say("warning", "A pair is still being checked: add this one after it.")
            return
        self.status.say("info", f"Checking “{name}” …")
        self._tasks = [task for task in self._tasks if task.running]
        self._tasks.append(
            WorkerTask(
                checked,
                maker,
                name,
                tuple(entry.pair for entry in self.entries),
                layer,
                other,
                on_event=self._arrived,
                on_error=lambda error: self._failed(name, error),
            )
        )

    def _failed(self, name: str, error: Exception) -> None:
        notify(error)
        self.status.say("error", _about(name, str(error)))

    @property
    def busy(self) -> bool:
        """Whether pairs are being checked."""
        return any(task.running for task in self._tasks)

    def _arrived(self, found: PairEntry | Unreadable) -> None:
        if isinstance(found, Unreadable):
            self.status.say("error", _about(found.name, found.text))
            return
        if self.status.kind == "info":  # what is wrong with another of them stays
            self.status.clear()
        self.set_entries([*self.entries, found])

    def set_entries(self, entries: Sequence[PairEntry]) -> None:
        """Show these pairs."""
        self.entries = list(entries)
        self.show_rows()
        if self.entries:
            self.table.selectRow(len(self.entries) - 1)
        self.changed.emit()

    def remove_selected(self, _value: Any = None) -> None:
        """Take the selected row out."""
        entry = self.chosen
        if entry is not None:
            self.set_entries([other for other in self.entries if other is not entry])

    def _ask_files(self) -> None:
        kind = self.kind.value
        files = []
        for title in _KINDS[kind].files:
            name, _ = QFileDialog.getOpenFileName(self, title)
            if not name:
                return
            files.append(name)
        self.take(of_files(files, kind), files[0])

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder with noisy and clean")
        if name:
            self.take(of_folder(name), name)

    # --- the rows -----------------------------------------------------------------------

    @property
    def usable(self) -> list[PairEntry]:
        """Pairs that can be trained on."""
        return [entry for entry in self.entries if entry.usable]

    @property
    def doubts(self) -> list[str]:
        """What speaks against the targets of the pairs, by their names."""
        return [
            f"{entry.pair.name}: {finding}"
            for entry in self.usable
            for finding in entry.verdict.doubts
        ]

    @property
    def aligned(self) -> bool:
        """Whether clean images are to be shifted; only asked where some lie apart."""
        return bool(any(entry.apart for entry in self.entries) and self.align.isChecked())

    @property
    def chosen(self) -> PairEntry | None:
        """The pair of the selected row; the only one where there is one."""
        rows: set[int] = {index.row() for index in self.table.selectedIndexes()}
        if rows:
            return self.entries[min(rows)]
        return self.entries[0] if len(self.entries) == 1 else None

    def _row_selected(self) -> None:
        self.selected.emit(self.chosen)

    def show_rows(self) -> None:
        """Show the pairs, in the colours of the theme."""
        self.table.setRowCount(len(self.entries))
        for number, entry in enumerate(self.entries):
            for place, item in enumerate(_items(entry)):
                self.table.setItem(number, place, item)
        self.table.resizeRowsToContents()
        heights = [
            min(self.table.rowHeight(number), _MOST_HEIGHT) for number in range(len(self.entries))
        ]
        for number, height in enumerate(heights):
            self.table.setRowHeight(number, height)
        self.table.setFixedHeight(_ROW_HEIGHT + sum(heights[:_ROWS_SHOWN]) + 4)
        self.empty.setVisible(not self.entries)
        self.table.setVisible(bool(self.entries))
        self.remove.native.setVisible(bool(self.entries))
        self.align.setVisible(any(entry.apart for entry in self.entries))

    def stop_work(self) -> None:
        """Forget what is being checked."""
        for task in self._tasks:
            task.detach()


def _about(name: str, text: str) -> str:
    """Say what a text is about, unless it begins with it."""
    return text if text.startswith(name) else f"“{name}”: {text}"


def _table() -> QTableWidget:
    table = QTableWidget(0, 2)
    table.setHorizontalHeaderLabels(["Pair", "Check"])
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
    table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
    table.setColumnWidth(0, 110)
    table.verticalHeader().setVisible(False)
    table.setWordWrap(True)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    return table


def _items(entry: PairEntry) -> tuple[QTableWidgetItem, QTableWidgetItem]:
    pair = entry.pair
    facts = shape_text(tuple(pair.noisy.shape), pair.axes, pair.noisy.dtype)
    guides = f" · with {' and '.join(pair.features)}" if pair.features else ""
    name = QTableWidgetItem(pair.name)
    name.setToolTip(f"{pair.name}: {facts}{guides}\n{entry.partner}")
    kind, text = entry.says
    verdict = QTableWidgetItem(f"{_SIGNS[kind]} {text}{guides}")
    verdict.setToolTip(text)
    verdict.setForeground(QColor(colours.kinds[kind]))
    for item in (name, verdict):
        item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    return name, verdict


def _unlike(names: Sequence[str]) -> list[str]:
    """Tell equal names apart: a layer has that of another one until napari has changed it."""
    unlike: list[str] = []
    for name in names:
        number, label = 1, name
        while label in unlike:
            number += 1
            label = f"{name} ({number})"
        unlike.append(label)
    return unlike
