"""The table of a batch: one input a row, with what is known of it and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableView

from napari_denoise.batch import BatchTask, PlanRow
from napari_denoise.plugin.batch.running import key_of
from napari_denoise.plugin.kit.colours import colours
from napari_denoise.plugin.kit.text import size_text, time_text

COLUMNS = (
    "Name",
    "Status",
    "Shape",
    "Type",
    "Size",
    "Weights",
    "Noise",
    "Neighbors",
    "Time",
)
_SIGNS = {"error": "✗ ", "warning": "! ", "good": "✓ ", "info": ""}
_ORDER = ("error", "warning", "info", "good")
_ACTS = {"denoise": "waiting", "skip": "finished before", "failed": "failed before"}


@dataclass
class Line:
    """A row of the table."""

    row: PlanRow
    kind: str = "info"
    status: str = ""
    tip: str = ""

    def texts(self) -> tuple[str, ...]:
        """Return what stands in the columns."""
        row = self.row
        shape = f"{' x '.join(map(str, row.shape))} {row.axes}" if row.shape else ""
        seconds = "" if row.seconds is None else time_text(row.seconds)
        size = size_text(row.bytes) if row.bytes else ""
        status = _SIGNS[self.kind] + self.status
        return (
            row.task.name, status, shape, row.dtype, size,
            row.weights, row.noise, row.neighbors, seconds,
        )  # fmt: skip

    def sort_key(self, column: int) -> Any:
        """Return what a column is sorted by; the status has problems first."""
        if column == 1:
            return f"{_ORDER.index(self.kind)} {self.status}"
        numbers = {4: self.row.bytes, 8: self.row.seconds or 0.0}
        return numbers.get(column, self.texts()[column])


def line_of(row: PlanRow) -> Line:
    """Say what will be done with an input."""
    if row.act in ("refuse", "failed"):
        kind = "error" if row.error is not None else "warning"
        if row.wants_axes:
            return Line(row, kind, "say its axes", row.problem)
        status = "cannot be denoised" if row.act == "refuse" else _ACTS["failed"]
        return Line(row, kind, status, row.problem)
    if row.act == "skip":
        return Line(row, "good", _ACTS["skip"], row.decision.why)
    return Line(row, "warning" if row.notes else "info", _ACTS["denoise"], "\n".join(row.notes))


class PlanModel(QAbstractTableModel):  # type: ignore[misc]  # Qt has no types
    """The rows of a batch, by their inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self._places: dict[str, int] = {}

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many inputs there are."""
        return 0 if parent is not None and parent.isValid() else len(self.lines)

    def columnCount(self, _parent: QModelIndex | None = None) -> int:
        """Return how many facts are shown of each."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Return the name of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return a text, its colour, what it says in full, or what it is sorted by."""
        line, column = self.lines[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return line.texts()[column]
        if role == Qt.ItemDataRole.UserRole:
            return line.sort_key(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return line.tip or f"{line.row.task.source.pattern}\n→ {line.row.task.target}"
        if role == Qt.ItemDataRole.ForegroundRole and column < 2 and line.kind != "info":
            return QColor(colours.kinds[line.kind])
        return None

    def clear(self) -> None:
        """Show no input."""
        self.beginResetModel()
        self.lines, self._places = [], {}
        self.endResetModel()

    def put(self, row: PlanRow) -> None:
        """Show an input, in the place of what was known of it before."""
        place = self._places.get(key_of(row.task))
        if place is None:
            self.beginInsertRows(QModelIndex(), len(self.lines), len(self.lines))
            self._places[key_of(row.task)] = len(self.lines)
            self.lines.append(line_of(row))
            self.endInsertRows()
            return
        before = self.lines[place].row  # a look without pixels knows less
        if row.error is None and before.task == row.task and row.seconds is None:
            row = replace(row, seconds=before.seconds, weights=before.weights or row.weights)
        self.lines[place] = line_of(row)
        self._changed(place)

    def stopped(self) -> None:
        """Show that inputs at work wait again."""
        for line in self.lines:
            if line.kind == "info" and line.status != _ACTS["denoise"]:
                self.tell(line.row.task, "info", _ACTS["denoise"])

    def error_of(self, task: BatchTask) -> Exception | None:
        """Return why the plan leaves an input out; None where it does not."""
        place = self._places.get(key_of(task))
        return None if place is None else self.lines[place].row.error

    def tell(self, task: BatchTask, kind: str, status: str, tip: str = "") -> None:
        """Show how far an input is."""
        place = self._places.get(key_of(task))
        if place is None:
            return
        line = self.lines[place]
        if (line.kind, line.status, line.tip) != (kind, status, tip):
            line.kind, line.status, line.tip = kind, status, tip
            self._changed(place)

    def _changed(self, place: int) -> None:
        self.dataChanged.emit(self.index(place, 0), self.index(place, len(COLUMNS) - 1))


class PlanTable(QTableView):  # type: ignore[misc]  # Qt has no types
    """Shows the rows, sorted by any column; problems come first."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = PlanModel()
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self.lines)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self._sorted.setDynamicSortFilter(False)  # rows stay in place while they are worked on
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().setVisible(False)
        self.setToolTip("Double-click a row to see input and result side by side.")
        self.setMinimumHeight(140)

    def problems_first(self) -> None:
        """Sort as a plan is first shown."""
        self.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.resizeColumnsToContents()

    def shown(self) -> list[Line]:
        """Return the rows in the order of the screen."""
        model = self._sorted
        return [
            self.lines.lines[model.mapToSource(model.index(number, 0)).row()]
            for number in range(model.rowCount())
        ]

    def chosen(self) -> list[Line]:
        """Return the selected rows."""
        places = {self._sorted.mapToSource(i).row() for i in self.selectionModel().selectedRows()}
        return [self.lines.lines[place] for place in sorted(places)]

    def at(self, index: QModelIndex) -> Line:
        """Return the row that was clicked."""
        place: int = self._sorted.mapToSource(index).row()
        return self.lines.lines[place]
