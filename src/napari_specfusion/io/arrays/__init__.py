"""Lazy arrays over files."""
