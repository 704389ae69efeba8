"""http.client without TLS, for what is spoken over sockets of our own.

`import http.client` also imports ssl, and with it OpenSSL, and goes without where there is none. So there is none while
it is loaded here. It is nobody else's: who imports http.client has it whole.
"""

import sys

_hidden = not {"ssl", "http.client"} & sys.modules.keys()
if _hidden:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # Python's own way to say that there is none
try:
    from http import client
finally:
    if _hidden:
        del sys.modules["ssl"], sys.modules["http.client"]

__all__ = ["client"]
