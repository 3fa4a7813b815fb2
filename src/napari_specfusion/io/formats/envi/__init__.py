"""ENVI."""
