"""httpx without the program that it is too.

`import httpx` also imports its command line, which brings click, rich and pygments: more than a third of what the
import costs, and 77 modules that no command of ours needs where there is no terminal. httpx goes without where that
module can't be had (`httpx/__init__.py` catches the ImportError), and here it can't, while httpx is loaded.
"""

import sys

_PROGRAM = "httpx._main"
_hidden = _PROGRAM not in sys.modules and "httpx" not in sys.modules
if _hidden:
    sys.modules[_PROGRAM] = None  # type: ignore[assignment]  # Python's own way to say that there is none
try:
    import httpx
finally:
    if _hidden:
        del sys.modules[_PROGRAM]

__all__ = ["httpx"]
