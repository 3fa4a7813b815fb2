"""XML metadata of products, read without ever expanding an entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from napari_specfusion import memory
from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_xml"]

_DEEPEST = 200


def read_xml(path: Path) -> Element:
    """Return the root element of an XML file; a document type, where entities would be declared, is refused.

    Raises
    ------
    ReadError
        If the file is no XML, declares a document type, or is longer or deeper than metadata are.
    """
    with path.open("rb") as file:
        raw = file.read(memory.LONGEST_TEXT + 1)
    if len(raw) > memory.LONGEST_TEXT:
        raise ReadError(
            f"{path} is longer than {memory.LONGEST_TEXT >> 20} MB, which no metadata are; choose the product's own."
        )
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ReadError(f"{path} declares a document type (DOCTYPE), which no product does; get it anew.")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ReadError(f"{path} nests more than {_DEEPEST} elements, which no metadata do; get it anew.")
        # "{namespace}name" and "prefix:name" both end in the name.
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
        raise ReadError(f"{path} is no complete XML file ({error}); get it anew.") from error
    return builder.close()
