"""Checks that protect against damaged and malicious files."""
