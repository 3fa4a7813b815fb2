"""Parse untrusted XML inside image files."""

from __future__ import annotations

from xml.etree import ElementTree

from napari_specfusion import memory

__all__ = ["parse_xml"]


def parse_xml(text: str | bytes | None) -> ElementTree.Element | None:
    """Return the root of `text`; None if it is not XML, is longer than 64 MiB or declares a document type.

    Image descriptions need no document type. Rejecting it rules out entities, which could expand a few bytes to
    gigabytes or read other files.
    """
    if not text or len(text) > memory.LONGEST_TEXT:
        return None
    try:
        words = text.decode() if isinstance(text, bytes) else text
        return None if "<!DOCTYPE" in words else ElementTree.fromstring(words)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return None
