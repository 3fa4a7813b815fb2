"""Metadata of files: units, axes, wavelengths, georeferencing."""
