"""Readers and writers, one module or package per format."""
