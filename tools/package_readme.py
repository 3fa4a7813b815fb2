"""Turn README.md into the description that travels with the package, as PyPI and the napari hub show it.

There no file lies beside the description. Links within the repository get its address, which is `Source Code` among the
`urls` of pyproject.toml; without one, links become plain words and pictures go. What is for a checkout alone goes too.
"""

from __future__ import annotations

import re

# around what only those need who have the repository
CHECKOUT = re.compile(r"<!-- checkout -->\n.*?<!-- /checkout -->\n+", re.DOTALL)
PICTURE = re.compile(r"!\[([^\]]*)\]\((?![a-z]+:)([^)]*)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)]*)\)")


def description(readme: str, address: str | None = None) -> str:
    """Return the description for a text of README.md.

    Parameters
    ----------
    readme
        The text, in Markdown.
    address
        Where the repository is on the web, in GitHub's way; None leaves out what would lead there.
    """
    text = CHECKOUT.sub("", readme)
    if address is None:
        return LINK.sub(r"\1", PICTURE.sub("", text))
    home = address.rstrip("/")
    text = PICTURE.sub(lambda found: f"![{found[1]}]({home}/raw/HEAD/{found[2]})\n\n", text)
    return LINK.sub(lambda found: f"[{found[1]}]({home}/blob/HEAD/{found[2]})", text)
