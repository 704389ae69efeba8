"""http.client without TLS: for those who ask for it, and for nobody else."""

from __future__ import annotations

import subprocess
import sys


def test_others_have_it_whole():
    """Loading it loads no OpenSSL, and takes nothing from who imports http.client afterwards."""
    told = """
import sys
from flow_adapters.lean_http import client
print("ssl" in sys.modules, hasattr(client, "HTTPSConnection"))
import http.client
print("ssl" in sys.modules, hasattr(http.client, "HTTPSConnection"))
"""
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)

    assert "False False\nTrue True\n" == run.stdout
