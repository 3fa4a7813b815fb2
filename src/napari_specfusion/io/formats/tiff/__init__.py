"""TIFF, GeoTIFF and OME-TIFF files."""
