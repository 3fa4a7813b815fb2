"""Lists that read well in a console: a tuple of records that prints as a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)
else:
    Record = TypeVar("Record")

__all__ = ["Listing"]


class Listing(tuple[Record, ...]):
    """Records of one dataclass; ``repr`` and ``print`` show one per line, under the field names."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "(empty)"
        names = [field.name for field in dataclasses.fields(self[0]) if field.repr]
        rows = [names, *([str(getattr(record, name)) for name in names] for record in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
