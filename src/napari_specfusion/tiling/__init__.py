"""Tiles of an image: geometry, reading, predicting, blending."""
