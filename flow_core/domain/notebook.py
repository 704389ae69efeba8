"""A notebook server on a node: what starts it, where it listens, and the link that opens it from here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from attrs import field, frozen

#: Unpacks the kit that comes with the question, and asks it. Node's process lists show it, not what it is told.
_ASK = (
    'exec "${FLOW_PYTHON:-python3}" -c "'
    "import base64,json,os,sys;t=json.load(sys.stdin);"
    "p=os.path.join(os.environ.get('FLOW_HOME','/opt/flow'),'notebook.zip');"
    "open(p,'wb').write(base64.b64decode(t.pop('kit')));sys.path.insert(0,p);"
    'from flow_core.node.kit.notebook import main;main(t)"'
)


@frozen(kw_only=True)
class Notebook:
    """Where a server listens on its node's loopback, and the token that it wants."""

    port: int
    token: str = field(repr=False)
    #: Whether this answer found it running.
    was_there: bool = True


def ask_line() -> str:
    """Return the line for a node's shell that finds the server, or starts or stops it, as its input says."""
    return _ASK


def question(kit: bytes, told: Mapping[str, object]) -> bytes:
    """Return the input of `ask_line`."""
    return json.dumps({**told, "kit": base64.b64encode(kit).decode("ascii")}).encode()


def parse_answer(said: bytes) -> Notebook | None:
    """Return the server that a node told of; None where it says that there is none.

    Raises:
        ValueError: it says something else.
    """
    lines = said.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        raise ValueError("the node said nothing")
    told = json.loads(lines[-1])
    if not isinstance(told, dict):
        raise ValueError(f"the node said {lines[-1]!r}")
    if told.get("port") is None:
        return None
    return Notebook(port=int(told["port"]), token=str(told["token"]), was_there=told["was_there"])


def link(local_port: int, token: str) -> str:
    """Return the address of JupyterLab, as a browser on this machine opens it."""
    return f"http://127.0.0.1:{local_port}/lab?token={token}"


def server_link(local_port: int, token: str) -> str:
    """Return the address that editors and other Jupyter programs attach to."""
    return f"http://127.0.0.1:{local_port}/?token={token}"
