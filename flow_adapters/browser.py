"""Opens a link in the user's browser without showing what is secret in it to this machine's other users."""

from __future__ import annotations

import html
import os
import webbrowser
from pathlib import Path

_PAGE = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}"><title>Flow</title><a href="{address}">Go on</a>
"""


def open_link(address: str, *, folder: Path) -> bool:
    """Open `address` in a browser; return whether there is one.

    A browser's arguments are for everybody to see, so it is given a page in `folder`, which only its owner may read,
    that sends it on. The page stays, for the browser may be slow; the next one replaces it.
    """
    page = folder / "open.html"
    page.unlink(missing_ok=True)
    descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_PAGE.format(address=html.escape(address, quote=True)))
    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
