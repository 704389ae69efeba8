"""asyncssh without what it looks for in vain.

At its import it asks the system for two libraries, nettle and liboqs, which runs ldconfig and, where there is one, a
compiler. Few machines have them, and every cipher, MAC and key exchange of theirs has another that both sides know
(ML-KEM is cryptography's own). For X.509 it loads a part of cryptography, and then misses pyOpenSSL, which Flow doesn't
bring. asyncssh goes without either where they can't be had (`asyncssh/crypto/__init__.py` catches the ImportError), and
here they can't, while asyncssh is loaded.
"""

import ctypes.util
import sys

_HIDDEN = ("asyncssh.crypto.umac", "asyncssh.crypto.x509")
_is_first = "asyncssh" not in sys.modules
_found = ctypes.util.find_library
if _is_first:
    for _name in _HIDDEN:
        sys.modules[_name] = None  # type: ignore[assignment]  # Python's own way to say that there is none
    ctypes.util.find_library = lambda name: None
try:
    import asyncssh
finally:
    if _is_first:
        ctypes.util.find_library = _found
        for _name in _HIDDEN:
            del sys.modules[_name]

__all__ = ["asyncssh"]
