"""Start-up is a feature: what the two front doors leave unloaded."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.house import tree

HEAVY = {
    "asyncssh", "cattrs", "cloudpickle", "docker", "httpx", "keyring", "pathspec", "rich",
    "structlog", "tenacity", "tomlkit", "yaml",
}  # fmt: skip
REPORT = "import atexit, json, sys; atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))\n"
HELP = REPORT + "sys.argv = ['flow', '--help']\nfrom flow_cli.app import main\nsys.exit(main())"


def loaded_by(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds when the program has run well."""
    return {name.split(".")[0] for name in modules_of(program)}


def modules_of(program: str) -> set[str]:
    """All of them."""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tree.ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stderr.splitlines()[-1]))


def test_import_flow_loads_nothing_heavy():
    """`import flow` alone loads none of the large libraries, nor any of our own packages."""
    if importlib.util.find_spec("flow").origin is None:
        pytest.skip("flow/__init__.py is not written yet")
    loaded = loaded_by(REPORT + "import flow")

    assert set() == loaded & (HEAVY | {"attr", "click"})
    assert {"flow"} == loaded & set(tree.PACKAGES)


def test_flow_help_loads_nothing_heavy():
    """`flow --help` loads click and the names of the commands, none of what the commands need."""
    if not (tree.ROOT / "flow_cli" / "app.py").exists():
        pytest.skip("flow_cli/app.py is not written yet")
    loaded = loaded_by(HELP)

    assert set() == loaded & HEAVY


def test_the_pytest_plugin_loads_nothing_heavy():
    """A user's own test suite starts no slower for having Flow installed."""
    if not (tree.ROOT / "flow_providers" / "mock" / "pytest_plugin.py").exists():
        pytest.skip("flow_providers/mock/pytest_plugin.py is not written yet")
    loaded = loaded_by(REPORT + "import flow_providers.mock.pytest_plugin")

    assert set() == loaded & (HEAVY | {"attr", "click", "sqlite3"})


def test_connecting_to_mithril_loads_no_http():
    """A command that only enters a node waits for no HTTP; asking brings httpx, without the program that it is too."""
    connecting = (
        "from flow_adapters.clocks import SystemClock\n"
        "from flow_core.ports.provider import ProviderContext\n"
        "from flow_providers.mithril import connect\n"
        "there = connect(ProviderContext(state_dir='.', clock=SystemClock()))\n"
    )
    connected = loaded_by(REPORT + connecting)
    asked = loaded_by(REPORT + connecting + "there.market.bids")

    assert set() == connected & {"httpx", "tenacity", "cattrs", "asyncssh", "rich"}
    assert {"httpx"} == asked & {"httpx", "rich", "pygments"}


def test_a_session_and_a_shell_load_neither_bids_nor_connections():
    """A command that only reads a log loads nothing of placing, of node scripts, of waiting, nor of sockets."""
    connecting = (
        "import tempfile\n"
        "from pathlib import Path\n"
        "from flow_adapters.ssh import SshShell\n"
        "from flow_adapters.wiring import connect\n"
        "folder = tempfile.TemporaryDirectory()\n"
        "there = connect(provider='mithril', environ={}, state_dir=Path(folder.name))\n"
        "there.tasks.logs\n"
        "SshShell(state_dir=Path(folder.name))\n"
        "there.ports.journal.close()\n"
    )
    unwanted = {
        "flow_core.domain.script", "flow_core.domain.status", "flow_core.domain.waiting",
        "flow_core.services.placing", "socket",
    }  # fmt: skip

    assert set() == modules_of(REPORT + connecting) & unwanted


def test_asyncssh_is_loaded_without_what_it_looks_for_in_vain():
    """No library is asked of the system for it, nothing stays hidden, and who had loaded it whole keeps it whole."""
    loading = "from flow_adapters.lean_asyncssh import asyncssh\n"
    looks = (
        "import ctypes.util\n"
        "def found(name): raise AssertionError(name)\n"
        "ctypes.util.find_library = found\n"
    )
    after = (
        "assert ctypes.util.find_library is found\n"
        "assert None not in sys.modules.values()\n"
        "assert 'asyncssh.crypto.umac' not in sys.modules\n"
    )
    whole = "import asyncssh\n" + loading + "assert 'asyncssh.crypto.umac' in sys.modules\n"

    assert "asyncssh" in loaded_by(REPORT + looks + loading + after)
    assert "asyncssh" in loaded_by(REPORT + whole)


def test_connecting_to_docker_loads_no_role_but_the_shell():
    """A command that only enters a container loads neither what makes containers nor what it starts threads with."""
    connecting = (
        "from flow_adapters.clocks import SystemClock\n"
        "from flow_core.ports.provider import ProviderContext\n"
        "from flow_providers.local_docker import connect\n"
        "there = connect(ProviderContext(state_dir='.', clock=SystemClock()))\n"
    )

    assert set() == loaded_by(REPORT + connecting) & {"concurrent", "tarfile", "subprocess"}
