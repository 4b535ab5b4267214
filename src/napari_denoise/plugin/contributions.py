"""What napari calls: reader, writer, and the commands to open and save.

Importing this loads neither PyTorch nor napari nor Qt, so that napari starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.viewer

    from napari_denoise.io.errors import FileError
    from napari_denoise.plugin.kit.workers import WorkerTask
    from napari_denoise.plugin.layers.data import LayerData

PathOrPaths = str | Sequence[str]
Entry = str | list[str] | tuple[str | list[str], str | None]
MOST_IMAGES = 24
"""Images of one file that are opened at once; a plate may hold thousands."""


# --- reader and writer ----------------------------------------------------------------


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """Offer to read files that this package knows; of folders only ``*.ome.zarr`` with images.

    Parameters
    ----------
    path
        A file, the frames of one stack, or a store.

    Returns
    -------
    `read_layers`, or None for other files.
    """
    from napari_denoise.io.inputs import suffix_of
    from napari_denoise.io.zarr_folders import holds_images

    paths = [Path(path)] if isinstance(path, str) else [Path(entry) for entry in path]
    if len(paths) == 1 and paths[0].is_dir():
        is_ours = paths[0].name.lower().endswith(".ome.zarr") and holds_images(paths[0])
        return read_layers if is_ours else None
    known = all(suffix_of(entry) and not entry.is_dir() for entry in paths)
    return read_layers if paths and known else None


def read_layers(path: PathOrPaths, layer: str | None = None) -> list[LayerData]:
    """Read a file, or a list of frames, as layers; every image of a file with several.

    Parameters
    ----------
    path
        A file, or the frames of one stack.
    layer
        Of OpenEXR, the layer or view that is the image; None chooses.

    Raises
    ------
    FileError
        As for `napari_denoise.read`.
    """
    from napari_denoise.io.errors import ReadWarning, say
    from napari_denoise.io.read import read
    from napari_denoise.plugin.layers.data import to_layers

    several = isinstance(path, (list, tuple)) and len(path) != 1
    path = path if several or isinstance(path, str) else path[0]
    series = None if several else 0
    array, meta = read(path, sequence=True if several else None, series=series, layer=layer)
    if layer is not None:
        meta = replace(meta, name=f"{meta.name} {layer}")
    layers = to_layers(array, meta)
    images = meta.extra.get("series", {"count": 1})["count"]
    if images > MOST_IMAGES:
        text = (
            f"{path}: it holds {images} images; the first {MOST_IMAGES} were opened: open the "
            "folder of a field by itself for another one"
        )
        say(text, ReadWarning, stacklevel=2)
    for number in range(1, min(images, MOST_IMAGES)):
        try:
            array, meta = read(path, series=number)
        except ValueError as error:  # a label or map of another kind beside the image
            say(str(error), ReadWarning, stacklevel=2)
            continue
        for data, attrs, kind in to_layers(array, meta):
            if attrs["name"] in {taken["name"] for _, taken, _ in layers}:
                attrs = {**attrs, "name": f"{attrs['name']} [{number}]"}
            layers.append((data, attrs, kind))
    return layers


def write_layers(path: str, layers: Sequence[LayerData], *, overwrite: bool = True) -> list[str]:
    """Write image layers to one file, several of equal shape as its channels.

    Parameters
    ----------
    path
        As for `napari_denoise.write`.
    layers
        As napari hands them over.
    overwrite
        True by default, as napari has asked already.

    Returns
    -------
    The files written.

    Raises
    ------
    FileError
        The layers do not fit into one file, or the format cannot hold them.
    """
    from napari_denoise.io.write import write
    from napari_denoise.plugin.layers.data import from_layers

    array, meta = from_layers(path, layers)
    return [str(file) for file in write(path, array, meta, overwrite=overwrite)]


# --- commands -------------------------------------------------------------------------


def open_stack(viewer: napari.viewer.Viewer) -> None:
    """Ask for files and open them: numbered frames together, anything else by itself."""
    from qtpy.QtWidgets import QFileDialog

    from napari_denoise.plugin.layers.choosing import with_layers

    names, _ = QFileDialog.getOpenFileNames(
        _window(viewer), "Open noisy stack", str(_folder(viewer)), _open_filter()
    )
    if names:
        inputs = _inputs(viewer, [Path(name) for name in names])
        chosen = [pair for entry in inputs for pair in with_layers(_window(viewer), entry)]
        if chosen:
            load(viewer, chosen)


def open_store(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder that is an OME-Zarr store, whatever it is called, and open its images."""
    from qtpy.QtWidgets import QFileDialog

    name = QFileDialog.getExistingDirectory(
        _window(viewer), "Open noisy OME-Zarr", str(_folder(viewer))
    )
    if name:
        load(viewer, [name])


def save_denoised(
    viewer: napari.viewer.Viewer, said: Callable[[str], object] | None = None
) -> None:
    """Ask for a name and save the selected image layers, channels into one file.

    Parameters
    ----------
    viewer
        Where they are.
    said
        Is told which files were written, beside the user.
    """
    from napari.utils.notifications import show_error
    from qtpy.QtWidgets import QFileDialog

    layers = _to_save(viewer)
    if not layers:
        show_error("There is no image to save: select an image layer in the list.")
        return
    suggested = suggest_name(layers[0])
    name, _ = QFileDialog.getSaveFileName(
        _window(viewer),
        "Save denoised",
        str(suggested),
        "OME-TIFF (*.ome.tif *.tif);;OME-Zarr (*.ome.zarr);;OpenEXR (*.exr);;PNG (*.png);;"
        "NumPy (*.npy)",
        "OpenEXR (*.exr)" if suggested.suffix == ".exr" else "",
        options=QFileDialog.Option.DontConfirmOverwrite,  # asked below, for sequences too
    )
    if name:
        save(viewer, with_suffix(name), layers, said=said)


def load(viewer: napari.viewer.Viewer, inputs: Sequence[Entry]) -> WorkerTask:
    """Read inputs off the GUI thread and add their layers.

    Parameters
    ----------
    viewer
        Gets the layers.
    inputs
        A file name each, or the list of the frames of a stack; or a pair of that with the name of
        a layer.

    Returns
    -------
    The task, whose `running` tells whether it is still at work.
    """
    from napari import current_viewer
    from napari.layers import Layer
    from napari.utils.notifications import show_error, show_warning

    from napari_denoise.plugin.kit.workers import WorkerTask

    def add(event: tuple[list[LayerData], list[str]]) -> None:
        layers, messages = event
        if current_viewer() is None:
            return  # the window was closed meanwhile
        for message in messages:
            show_warning(message)
        for data in layers:
            viewer.add_layer(Layer.create(*data))

    return _kept(WorkerTask(_reading, inputs, on_event=add, on_error=lambda e: show_error(str(e))))


def save(
    viewer: napari.viewer.Viewer,
    path: str,
    layers: Sequence[LayerData],
    *,
    overwrite: bool = False,
    said: Callable[[str], object] | None = None,
) -> WorkerTask:
    """Write layers off the GUI thread; ask before replacing a file.

    Returns
    -------
    The task.
    """
    from napari.utils.notifications import show_error, show_info, show_warning

    from napari_denoise.io.errors import FileError
    from napari_denoise.plugin.kit.workers import WorkerTask

    def done(event: tuple[list[str], list[str]]) -> None:
        files, messages = event
        for message in messages:
            show_warning(message)
        show_info(saved_text(files))
        if said is not None:
            said(saved_text(files))

    def failed(error: Exception) -> None:
        if not (isinstance(error, FileError) and error.replaceable):
            show_error(str(error))
        elif _may_replace(viewer, error):
            save(viewer, path, layers, overwrite=True, said=said)

    return _kept(WorkerTask(_writing, path, layers, overwrite, on_event=done, on_error=failed))


def saved_text(files: list[str]) -> str:
    """Name the image that was written, how many more, and the file of what it cannot hold."""
    images = [file for file in files if not file.endswith(".json")]
    notes = [Path(file).name for file in files if file.endswith(".json")]
    more = f" and {len(images) - 1} more" if images[1:] else ""
    beside = f"; what it cannot hold is beside it, in {notes[0]}" if notes else ""
    return f"Saved {images[0]}{more}{beside}"


def suggest_name(layer: LayerData) -> Path:
    """Suggest where to save a layer: beside its file, as ``<name>_denoised.ome.tif``."""
    from napari_denoise.plugin.layers.data import FILE

    file = layer[1].get("metadata", {}).get(FILE, {})
    sources = [Path(p) for p in file.get("source", ())]
    name = str(layer[1].get("name", "image"))
    names = file.get("channel_names") or ()
    number = file.get("channel")
    if isinstance(number, int):  # the name of the image, not of one of its channels
        name = name.removesuffix(
            f" {names[number]}" if number < len(names) else f" channel {number}"
        )
    name = "".join("_" if c in '/\\:*?"<>|#' else c for c in name).strip() or "image"
    suffix = ".ome.tif"
    if file.get("extra", {}).get("format") == "exr":
        suffix = "_####.exr" if len(sources) > 1 else ".exr"
    folder = sources[0].parent if sources else Path.home()
    return folder / f"{name}_denoised{suffix}"


def with_suffix(name: str) -> str:
    """Add ``.ome.tif`` to a name without a suffix."""
    return name if Path(name).suffix else f"{name}.ome.tif"


_tasks: list[WorkerTask] = []
"""At work now: no widget holds these, and Qt's signals alone do not keep them alive."""


def _kept(task: WorkerTask) -> WorkerTask:
    _tasks[:] = [other for other in _tasks if other.running]
    _tasks.append(task)
    return task


# --- helpers --------------------------------------------------------------------------


def _reading(inputs: Sequence[Entry]) -> Iterator[tuple[list[LayerData], list[str]]]:
    from napari_denoise.io.errors import listening

    for entry in inputs:
        files, layer = entry if isinstance(entry, tuple) else (entry, None)
        with listening() as messages:
            layers = read_layers(files, layer)
        yield layers, messages


def _writing(
    path: str, layers: Sequence[LayerData], overwrite: bool
) -> Iterator[tuple[list[str], list[str]]]:
    from napari_denoise.io.errors import listening

    with listening() as messages:
        files = write_layers(path, layers, overwrite=overwrite)
    yield files, messages


def _inputs(viewer: napari.viewer.Viewer, paths: list[Path]) -> list[str | list[str]]:
    """Group the chosen files; a single frame of a sequence may bring its neighbours."""
    from napari.utils.notifications import show_error

    from napari_denoise.io.inputs import find_sequences, siblings

    try:
        found = find_sequences(paths)
        if len(paths) == 1:
            stack = siblings(paths[0])
            if stack.is_stack and _wants_stack(viewer, paths[0], len(stack.files)):
                found = [stack]
    except ValueError as error:
        show_error(str(error))
        return []
    files = [[str(file) for file in entry.files] for entry in found]
    return [names if len(names) > 1 else names[0] for names in files]


def _wants_stack(viewer: napari.viewer.Viewer, path: Path, count: int) -> bool:
    return _ask(
        viewer,
        "Open noisy stack",
        f"{path.name} is one of {count} numbered frames.\nOpen all of them as one stack?",
    )


def _may_replace(viewer: napari.viewer.Viewer, error: FileError) -> bool:
    text = f"{error.path}: {error.rule}.\n\nReplace what is there?"
    return _ask(viewer, "Save denoised", text)


def _ask(viewer: napari.viewer.Viewer, title: str, text: str) -> bool:
    from qtpy.QtWidgets import QMessageBox

    answer = QMessageBox.question(_window(viewer), title, text)
    return bool(answer == QMessageBox.StandardButton.Yes)


def _to_save(viewer: napari.viewer.Viewer) -> list[LayerData]:
    """Take the selected image layers, else the only one; with the guides of one render."""
    from napari.layers import Image

    from napari_denoise.plugin.layers.data import GROUP
    from napari_denoise.plugin.layers.source import is_helper

    images = [x for x in viewer.layers if isinstance(x, Image) and not is_helper(x)]
    chosen = [x for x in images if x in viewer.layers.selection]
    if not chosen and len(images) == 1:
        chosen = images
    ids = {x.metadata[GROUP]["id"] for x in chosen if GROUP in x.metadata}
    if len(chosen) == 1 and ids and chosen[0].metadata[GROUP]["role"] == "color":
        chosen += [
            x for x in images if x not in chosen and x.metadata.get(GROUP, {}).get("id") in ids
        ]
    return [x.as_layer_data_tuple() for x in chosen]


def _folder(viewer: napari.viewer.Viewer) -> Path:
    """Folder of the last opened file, else the user's."""
    from napari_denoise.plugin.layers.data import FILE

    for layer in reversed(viewer.layers):
        sources = layer.metadata.get(FILE, {}).get("source", ())
        if sources:
            return Path(sources[0]).parent
    return Path.home()


def _open_filter() -> str:
    from napari_denoise.io.inputs import SUFFIXES
    from napari_denoise.io.zarr_folders import MARKS

    patterns = " ".join([*(f"*{suffix}" for suffix in SUFFIXES), *MARKS])
    return f"Images ({patterns});;All files (*)"


def _window(viewer: napari.viewer.Viewer) -> Any:
    """Parent of a dialog: the main window, or the one in front where it is hidden."""
    from qtpy.QtWidgets import QApplication

    return QApplication.activeWindow()
