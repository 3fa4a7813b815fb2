"""XML inside image files, which nobody vouches for."""

from __future__ import annotations

from xml.etree import ElementTree

from napari_specfusion import memory

__all__ = ["parse_xml"]


def parse_xml(text: str | bytes | None) -> ElementTree.Element | None:
    """Return the root of `text`; None where it is no XML, is longer than 64 MiB or declares a document type.

    Descriptions of images need no document type, which is where entities are declared: what expands a few bytes to
    gigabytes, or reads other files, is not even looked at.
    """
    if not text or len(text) > memory.LONGEST_TEXT:
        return None
    try:
        words = text.decode() if isinstance(text, bytes) else text
        return None if "<!DOCTYPE" in words else ElementTree.fromstring(words)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return None
