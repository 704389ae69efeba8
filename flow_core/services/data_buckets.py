"""Buckets that tasks mount: the keys that open them, from the user's machine to the nodes and renewed in time.

Keys are read where the task is submitted, to refuse one that has none, and again whenever nodes are told. What only
the submitting shell's environment knows goes to the watcher through the vault, in memory. A node gets keys over the
shell, on the standard input of its helper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flow_core.domain.duration import format_duration
from flow_core.domain.record import TaskEvent, TaskRecord
from flow_core.domain.task_parts import Source
from flow_core.errors import InvalidRequest
from flow_core.ports.shell import Call, NodeExit, NodeLost

if TYPE_CHECKING:
    from flow_core.domain.allocation import Allocation
    from flow_core.domain.s3 import BucketKeys
    from flow_core.domain.status import TaskView
    from flow_core.domain.task import TaskSpec
    from flow_core.ports.buckets import Buckets
    from flow_core.services.ports import Ports

#: Keys are renewed this long before they expire: AWS's own tools make new ones 15 minutes before.
MARGIN = timedelta(minutes=10)
#: How long to wait before asking again for keys that were not to be had.
PAUSE = timedelta(minutes=1)
#: Real seconds for telling one node its new keys, for which it mounts its buckets anew.
RENEWAL_S = 120.0
#: What takes new keys on a node, from its standard input.
RENEW = '"${FLOW_PYTHON:-python3}" "${FLOW_HOME:-/opt/flow}/kit.zip" renew-s3'


def planned_buckets(ports: Ports, spec: TaskSpec) -> list[str]:
    """Return what is to be said of the buckets of `spec` before it is bid: whose keys open them, and until when.

    Raises:
        InvalidRequest: there are no keys, or they have expired.
    """
    if not _mounts_buckets(spec):
        return []
    keys = _role(ports).keys()
    now = ports.clock.now()
    where = f" at {keys.endpoint}" if keys.endpoint else ""
    known = f"s3://{where} opens with the keys of {keys.origin} ({keys.access_key[:4]}…)"
    if keys.expires_at is None:
        lasting = "; a session token's end is not known" if keys.session_token else ""
        return [known + lasting]
    if keys.expires_at <= now:
        told = f"the keys of {keys.origin} expired at {keys.expires_at:%Y-%m-%d %H:%M} UTC"
        raise InvalidRequest({"mounts": told}, hint="log in again, or renew them")
    left = format_duration(timedelta(seconds=int((keys.expires_at - now).total_seconds())))
    return [f"{known}, which expire in {left}; the watcher renews them while this machine is awake"]


def hand_over(ports: Ports, record: TaskRecord) -> None:
    """Let whoever delivers to the nodes find the keys that this process finds."""
    if _mounts_buckets(record.spec):
        ports.vault.entrust(_key(record), _role(ports).variables())


def forget(ports: Ports, record: TaskRecord) -> None:
    """Drop what was handed over."""
    ports.vault.forget(_key(record))


def buckets_part(ports: Ports, view: TaskView) -> object:
    """Return what the nodes must mount, with the keys of now; None where they mount no bucket.

    Raises:
        InvalidRequest: there are no keys.
    """
    record = view.record
    if not _mounts_buckets(record.spec):
        return None
    from flow_core.domain.s3 import parse_s3

    keys = _keys(ports, record)
    mounts = []
    for mount in record.spec.mounts:
        if mount.kind is Source.S3:
            source = parse_s3(mount.source, read_only=mount.read_only)
            mounts.append(
                {
                    "path": mount.path,
                    "bucket": source.bucket,
                    "prefix": source.prefix,
                    "writable": source.writable,
                    "copied": source.copied,
                    "endpoint": keys.endpoint,
                    "region": keys.region,
                }
            )
    scratch = ports.provider.limits.scratch_paths
    return {"keys": _told(keys), "mounts": mounts, "scratch": scratch[0] if scratch else ""}


def expiry_of(setup: Mapping[str, object]) -> datetime | None:
    """Return when the keys expire that nodes were told with `setup`; None for never."""
    part = setup.get("s3")
    keys = part.get("keys") if isinstance(part, dict) else None
    at = keys.get("expires") if isinstance(keys, dict) else None
    return None if at is None else _moment(float(at))


class Renewals:
    """Brings nodes new keys before the old ones expire; asks for them at most once a minute."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._asked: dict[str, datetime] = {}

    def renew(self, record: TaskRecord, allocation: Allocation) -> None:
        """Bring every node of a task new keys, if its old ones are about to expire and there are newer ones.

        Raises:
            InvalidRequest: there are no keys any more.
        """
        ports, expires = self._ports, record.keys_expire_at
        now = ports.clock.now()
        if expires is None or record.has_ended or now < expires - MARGIN:
            return
        if not allocation.is_complete or now - self._asked.get(record.token, _LONG_AGO) < PAUSE:
            return
        self._asked[record.token] = now
        keys = _keys(ports, record)
        if keys.expires_at is not None and keys.expires_at <= expires:
            return
        problems = _bring(ports, allocation, keys)
        if problems:
            _note(
                ports,
                record,
                "new keys to its buckets did not reach all nodes",
                "; ".join(problems),
            )
            return
        ports.journal.update(record.token, keys_expire_at=keys.expires_at)
        until = f"{keys.expires_at:%Y-%m-%d %H:%M} UTC" if keys.expires_at else "they are revoked"
        _note(ports, record, f"its nodes have new keys to its buckets, good until {until}")


_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _bring(ports: Ports, allocation: Allocation, keys: BucketKeys) -> list[str]:
    told = json.dumps(_told(keys)).encode()
    calls = [Call(node=node, line=RENEW, stdin=told) for node in allocation.nodes]
    problems: list[str] = []
    said: dict[int, bytes] = {}
    with closing(ports.provider.shell.run_many(calls, timeout_s=RENEWAL_S)) as events:
        for event in events:
            if isinstance(event, NodeLost):
                problems.append(f"node {event.node.rank}: {event.reason}")
            elif isinstance(event, NodeExit):
                if event.code != 0:
                    words = said.get(event.node.rank, b"").decode("utf-8", "replace").strip()
                    problems.append(f"node {event.node.rank}: {words or event.code}")
            else:
                said[event.node.rank] = said.get(event.node.rank, b"") + event.data
    return problems


def _keys(ports: Ports, record: TaskRecord) -> BucketKeys:
    return _role(ports).keys(ports.vault.held(_key(record)) or None)


def _told(keys: BucketKeys) -> dict[str, object]:
    """Return keys as nodes are told them."""
    return {
        "access": keys.access_key,
        "secret": keys.secret_key,
        "token": keys.session_token,
        "expires": keys.expires_at.timestamp() if keys.expires_at else None,
    }


def _role(ports: Ports) -> Buckets:
    if ports.buckets is None:
        raise InvalidRequest({"mounts": "this session knows no keys to s3://"})
    return ports.buckets


def _mounts_buckets(spec: TaskSpec) -> bool:
    return any(mount.kind is Source.S3 for mount in spec.mounts)


def _key(record: TaskRecord) -> str:
    """Return under what the vault holds a task's variables for buckets, which no command is given."""
    return f"{record.token}/s3"


def _moment(at: float) -> datetime:
    return _LONG_AGO + timedelta(seconds=at)


def _note(ports: Ports, record: TaskRecord, what: str, why: str = "") -> None:
    now = ports.provider.clock.now()
    ports.journal.log(record.token, TaskEvent(at=now, what=what, why=why))
