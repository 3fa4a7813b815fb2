"""OME-Zarr and plain Zarr."""
