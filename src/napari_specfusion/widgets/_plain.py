"""Messages of functions in the words of the window: its fields and buttons in place of arguments."""

from __future__ import annotations

import re

__all__ = ["plain"]

# What a message says to the author of a script, and to the user of the window. The first that fits comes first.
_WORDS: tuple[tuple[str, str], ...] = (
    # Fuse
    (r"overwrite=True to (?:replace it|start afresh)", "choose Overwrite"),
    (r"fuse again with overwrite=True", "fuse again, and choose Overwrite"),
    (r"write it to a \.zarr folder \(out=\.\.\.\)", "write it to a .zarr folder (Advanced, Result in)"),
    (r"write it to a folder instead: out='result\.zarr'", "choose a folder instead (Advanced, Result in)"),
    (r"; fuse with precision='float64', or scale the cube down", "; scale the cube down"),
    (r"smaller model, or device='cpu'", "smaller network, or the processor under Advanced, Device"),
    # Align
    (r"Give start='images' or point pairs instead", "Align by hand instead"),
    (r"search by their content alone \(start='images'\)", "align by hand"),
    (r"Give start='tags' to follow", "Choose \u201cOnly what the files' tags say\u201d to follow"),
    (r"give (three or more )?point pairs \(start=\)", r"give \1point pairs (Align by hand)"),
    (r"switch alignment off \(align=False\)", "switch alignment off (Align)"),
    (
        r"Correct them with replace\(crs=\.\.\.\), or remove them with replace\(crs=None, affine=None\)",
        "Correct them in the files",
    ),
    # files
    (r"; declare it with nodata=", "; declare it in the file"),
    (r"declare them with nodata=", "declare them in the file"),
    (r"; give wavelengths= to keep it", ""),
    (r"give them with replace\(wavelengths=\.\.\.\)", "choose a file under Wavelengths in Open cube"),
    (r"give your own with wavelengths=", "choose a file under Wavelengths in Open cube"),
    (r"linear=True undoes the gamma", "the gamma can be undone"),
    (r"give the data file of (.*?) with data=", r"put the data file of \1 beside it"),
    (r", or give it with data=", ""),
    (r"Name one with array= to open it as a single band", "Choose one under Array in Open cube"),
    (r"Name one with array=", "Choose one under Array in Open cube"),
    (r"open it with array= and axes=", "choose Array and Axes in Open cube"),
    (r'open one with array="[^"]*"', "choose one under Array in Open cube"),
    (
        r"Give size=\(height, width\), or only array= to open it as a single band",
        "Give Size in Open cube, or only Array to open it as a single band",
    ),
    (
        r"If that is wrong, give (?:axes=\"[^\"]*\" for [^.]*)",
        "If that is wrong, choose another under Axes in Open cube",
    ),
    (r"axes=(?:'[^']*'|\"[^\"]*\")", "the choice under Axes"),
    (r", or name (?:its|the) format with reader=", ""),
    (r"; choose one with reader=: [^.]*", "; choose another file"),
    (r" GDAL may support it too: reader='gdal'\.", ""),
    (r"; reader='gdal' may know it", ""),
    (r"open one of them with reader='gdal'", "open one of those"),
    (r"open it with reader='gdal', or save it", "save it"),
    (r"with numpy\.save\(\.\.\., allow_pickle=False\)", "with numpy.save"),
    (r"series=(\d+)", r"number \1"),
    (r"open two files: Scene\(open_cube\(cube\), open_cube\(guide\)\)", "open two files"),
    # reflectance
    (r"Give one with white=", "Choose one under White"),
    (r", or are interpolated with dead='interpolate'", ""),
    (r", and give times=", ""),
)
_PATTERNS = tuple((re.compile(said), words) for said, words in _WORDS)


def plain(message: str) -> str:
    """Return a message of a function in the words of the window."""
    for said, words in _PATTERNS:
        message = said.sub(words, message)
    return message
