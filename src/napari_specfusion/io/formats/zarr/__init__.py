"""OME-Zarr and plain Zarr stores."""
