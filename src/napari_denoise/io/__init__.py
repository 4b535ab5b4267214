"""Files <-> arrays with axes and metadata; no napari types here."""
