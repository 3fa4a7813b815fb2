"""The napari face: one dock widget per task, over the same functions that a script calls."""
