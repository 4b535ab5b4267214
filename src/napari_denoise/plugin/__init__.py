"""All that knows napari: what the manifest names, layers, and the dock widgets."""
