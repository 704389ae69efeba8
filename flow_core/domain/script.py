"""The node script: one text that turns a bare machine, a container or a folder into a node of a task.

The script is `flow_core/node/boot.sh` with a payload in it: the node helper, the task and, if they are few, the user's
files, together in one zlib stream, because a task's words are the helper's. It is in base85, whose alphabet has no
quote, backslash or newline, so that a quoted here-document carries it whatever it holds, and which is denser than
base64: every character counts where a provider takes 10,000. The helper is squeezed on the way, see `squeeze`; the
tests run it both ways.

What a thousand tasks have in common, the helper and the command, comes first and is packed once: Python's base85 is
slow, and a group of tasks would spend most of its time there.

Ranks and addresses are not in the script. They exist only after allocation and are delivered to the helper then.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from functools import lru_cache

from attrs import field, frozen

from flow_core.domain.node_files import NodeFiles
from flow_core.domain.task_parts import RunOn
from flow_core.errors import InvalidRequest

#: Some providers take 10,000 characters; what isn't the user's code leaves the rest to it. Source: contract, section 5.
MAX_OWN_CHARS = 6_000
_BEGINS, _ENDS = "<<'FLOW'\n", "\nFLOW\n"
#: Behind the helper, and behind the task: neither is text with one in it.
_END = b"\0"
#: Bytes that base85 takes at a time, and characters that are read at a time: a multiple of the five that it makes.
_WORD, _PIECE = 4, 500


@frozen(kw_only=True)
class NodeTask:
    """What a node must know of its task before it has met its fellows.

    `env` holds only what may be read by everyone who can read the script; the rest is delivered. `wants_delivery`
    says that the command must not start before something was delivered (code, variables); with more than one node
    it never does. `workspace` is where the command runs unless `working_dir` says otherwise.
    """

    name: str
    token: str
    command: str | tuple[str, ...]
    env: Mapping[str, str] = field(factory=dict, hash=False)
    working_dir: str | None = None
    num_nodes: int = 1
    run_on: RunOn = RunOn.EVERY_NODE
    wants_delivery: bool = False
    gpus: int = 0
    workspace: str = "/workspace"
    retries: int = 0
    notice_signal: str = "USR1"
    #: Where the provider tells the node of a notice, if it does; empty where the helper is told.
    notice_file: str = ""
    #: The user's files as a tar, where they ride along; each node unpacks them before the command's first attempt.
    code: bytes = field(default=b"", repr=False)


def render_script(task: NodeTask, *, files: NodeFiles) -> str:
    """Return the script that makes a node of `task`; equal tasks give equal scripts."""
    common = {
        "wants_delivery": task.wants_delivery,
        "workspace": task.workspace,
        "working_dir": task.working_dir,
        "retries": task.retries,
        "num_nodes": task.num_nodes,
        "run_on": task.run_on.value,
        "notice_file": task.notice_file,
        "notice_signal": task.notice_signal,
        "command": task.command if isinstance(task.command, str) else list(task.command),
        "gpus": task.gpus,
    }
    own = {"name": task.name, "token": task.token, "env": dict(task.env)}
    frame, helper = _squeezed(files)
    first = _packed(helper + _END + _plain(common)[:-1])
    stream = first.stream.copy()
    last = stream.compress(b"," + _plain(own)[1:] + _END + task.code) + stream.flush()
    return frame.replace("@PAYLOAD@", first.text + _in_base85(first.over + last))


def parse_script(script: str) -> NodeTask:
    """Return the task that `render_script` put into `script`.

    Raises:
        InvalidRequest: it is not a node script of Flow's.
    """
    payload, ends = script.partition(_BEGINS)[2].partition(_ENDS)[:2]
    if not ends:
        raise InvalidRequest({"script": "is not a node script of Flow's; it carries no task"})
    try:
        _, task_json, code = zlib.decompress(_from_base85(payload)).split(_END, 2)
        raw = json.loads(task_json)
        command = raw["command"]
        return NodeTask(
            name=raw["name"],
            token=raw["token"],
            command=command if isinstance(command, str) else tuple(command),
            env=raw["env"],
            working_dir=raw["working_dir"],
            num_nodes=raw["num_nodes"],
            run_on=RunOn(raw["run_on"]),
            wants_delivery=raw["wants_delivery"],
            gpus=raw["gpus"],
            workspace=raw["workspace"],
            retries=raw["retries"],
            notice_signal=raw["notice_signal"],
            notice_file=raw["notice_file"],
            code=code,
        )
    except (ValueError, KeyError, TypeError, zlib.error) as exc:
        raise InvalidRequest(
            {"script": "looks like a node script of Flow's, but its task can't be read"}
        ) from exc


def squeeze(files: NodeFiles) -> tuple[str, str]:
    """Return `files.boot` and `files.helper`, squeezed; slow."""
    from flow_core.domain.squeeze import squeezed_python, squeezed_shell

    return squeezed_shell(files.boot), squeezed_python(files.helper)


@lru_cache(maxsize=4)
def _squeezed(files: NodeFiles) -> tuple[str, bytes]:
    """Return the script without its payload, and the helper: the same for every task."""
    boot, helper = files.squeezed() if files.squeezed is not None else squeeze(files)
    return boot, helper.encode()


@frozen(kw_only=True, eq=False)
class _Packed:
    """The beginning of a payload: the compressor behind it, its text, and its last bytes that make no word of four."""

    stream: zlib._Compress
    text: str
    over: bytes


@lru_cache(maxsize=4)
def _packed(data: bytes) -> _Packed:
    """Return what all payloads that begin with `data` begin with."""
    stream = zlib.compressobj(9)
    data = stream.compress(data)
    # It ends a block of the stream, not a byte: what comes next costs a new block's few bytes and nothing else.
    data += stream.flush(zlib.Z_BLOCK)
    whole = len(data) // _WORD * _WORD
    return _Packed(stream=stream, text=_in_base85(data[:whole]), over=data[whole:])


def _plain(raw: Mapping[str, object]) -> bytes:
    return json.dumps(raw, separators=(",", ":")).encode("ascii")


def _in_base85(data: bytes) -> str:
    return base64.b85encode(data).decode("ascii")


def _from_base85(text: str) -> bytes:
    """Return what `text` holds; pieces that were met lately, such as the helper's, are known."""
    return b"".join(_piece(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))


@lru_cache(maxsize=128)
def _piece(text: str) -> bytes:
    return base64.b85decode(text)
