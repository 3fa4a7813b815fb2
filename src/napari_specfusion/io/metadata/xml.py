"""Read XML metadata files of products, without ever expanding entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import bytes_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_xml"]

_DEEPEST = 200


def read_xml(path: Path) -> Element:
    """Return the root element of an XML file; document types, which could declare entities, are refused.

    Raises
    ------
    ReadError
        If the file is not XML, declares a document type, or is too long or too deeply nested.
    """
    raw = bytes_of(path, memory.LONGEST_TEXT)
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ReadError(f"{path} declares a document type (DOCTYPE), unlike any product; get a new copy.")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ReadError(f"{path} nests more than {_DEEPEST} elements, too many for metadata; get a new copy.")
        # Strip the namespace of "{namespace}name" and the prefix of "prefix:name".
        builder.start(tag.rpartition(":")[2], attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag.rpartition(":")[2])

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError) as error:
        raise ReadError(f"{path} is not a complete XML file ({error}); get a new copy.") from error
    return builder.close()
