"""This machine's edges without a machine: a watcher that is stepped with the time, and code that is never packed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from flow_adapters.clocks import ManualClock
from flow_core.domain.code import Bundle
from flow_core.domain.run import LogChunk, LogPiece
from flow_core.errors import NotFound, Transient

if TYPE_CHECKING:
    from flow_adapters.packing_ahead import PackingAhead
    from flow_core.services.watcher import Watcher

#: How often one instant may be looked at again because a look changed something.
_SETTLING_LOOKS = 20
#: How long a provider that did not answer is left alone, as the watcher's process does.
_BACK_OFF = timedelta(seconds=10)


class SteppedWatch:
    """Implements `ports.watch.Watch` in process: time stops for a tick whenever something has changed."""

    def __init__(self, clock: ManualClock, changes: Callable[[], object]) -> None:
        self._clock = clock
        self._changes = changes
        self._seen: object = None
        self._is_awake = False
        self._watcher: Watcher | None = None
        self._trouble: str | None = None
        self._again_at: datetime | None = None

    def drive(self, watcher: Watcher) -> None:
        """Tick `watcher` from now on: at its deadlines, when `changes` does, and when woken."""
        self._watcher = watcher
        self._clock.add_stepper(self._due, self._step)

    def wake(self) -> None:
        """Have the next instant that the clock meets looked at; the cloud calls this when something happened."""
        self._is_awake = True

    def ensure(self) -> None:
        """See `Watch.ensure`; there is nothing to start."""

    def is_running(self) -> bool:
        """See `Watch.is_running`."""
        return self._watcher is not None

    def trouble(self) -> str | None:
        """See `Watch.trouble`."""
        return self._trouble

    def _due(self) -> datetime | None:
        if self._watcher is None:
            return None
        if self._is_awake or self._changes() != self._seen:
            return self._clock.now()
        return min(filter(None, (self._watcher.next_due(), self._again_at)), default=None)

    def _step(self) -> None:
        for _ in range(_SETTLING_LOOKS):
            before = self._changes()
            self._is_awake = False
            if self._watcher is not None:
                self._tick(self._watcher)
            self._seen = self._changes()
            if self._seen == before:
                return

    def _tick(self, watcher: Watcher) -> None:
        """Tick as the real watcher's process does: a provider that doesn't answer is its trouble, nobody else's."""
        try:
            watcher.tick()
            self._trouble, self._again_at = None, None
        except Transient as silence:
            self._trouble, self._again_at = silence.message, self._clock.now() + _BACK_OFF


class UnpackedCode:
    """Implements `ports.code.CodeStore` by name alone: nothing is read, nothing is stored."""

    def __init__(self) -> None:
        self._bundles: dict[str, Bundle] = {}

    def pack(self, folder: str) -> Bundle:
        """Return a bundle whose digest names the folder, not its content."""
        digest = hashlib.sha256(folder.encode("utf-8", "surrogateescape")).hexdigest()
        return self._bundles.setdefault(
            digest, Bundle(digest=digest, location=folder, files=0, bytes=0)
        )

    def packing(self, folder: str) -> PackingAhead:
        """See `CodeStore.packing`."""
        from flow_adapters.packing_ahead import PackingAhead

        return PackingAhead(lambda begun, borrows: self.pack(folder))

    def signature(self, folder: str) -> str:
        """Return the folder's name: what is in it doesn't count here."""
        return folder

    def absolute(self, path: str) -> str:
        """See `CodeStore.absolute`; what is only named is wherever it says."""
        return path

    def agree_to_any_size(self) -> None:
        """See `CodeStore.agree_to_any_size`; nothing has a size here."""

    def folder_of(self, digest: str) -> str | None:
        """See `CodeStore.folder_of`."""
        return self._bundles[digest].location if digest in self._bundles else None

    def bundle(self, digest: str) -> Bundle:
        """See `CodeStore.bundle`."""
        if digest not in self._bundles:
            raise NotFound(f"no snapshot {digest[:12]} was taken here")
        return self._bundles[digest]

    def tar(self, digest: str, *, most: int) -> bytes | None:
        """See `CodeStore.tar`; there never is one."""
        return None

    def keep_only(self, digests: set[str]) -> None:
        """See `CodeStore.keep_only`."""
        self._bundles = {
            digest: bundle for digest, bundle in self._bundles.items() if digest in digests
        }


class MemoryLogKeep:
    """Implements `ports.log_keep.LogKeep` without a disk."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], list[LogPiece]] = {}
        self._whole: set[tuple[str, int]] = set()
        self._said: dict[str, tuple[datetime, Mapping[int, str]]] = {}

    def size(self, bid_id: str, rank: int) -> int:
        """See `LogKeep.size`."""
        return sum(len(piece.data) for piece in self._kept.get((bid_id, rank), ()))

    def keep(self, bid_id: str, chunk: LogChunk) -> None:
        """See `LogKeep.keep`."""
        if chunk.offset != self.size(bid_id, chunk.rank):
            return
        self._kept.setdefault((bid_id, chunk.rank), []).extend(chunk.pieces)
        if chunk.is_last:
            self._whole.add((bid_id, chunk.rank))

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """See `LogKeep.read`."""
        pieces: list[LogPiece] = []
        place, end = 0, offset
        for piece in self._kept.get((bid_id, rank), ()):
            data = piece.data[max(0, end - place) : max(0, offset + limit - place)]
            if data:
                pieces.append(evolve(piece, data=data))
                end += len(data)
            place += len(piece.data)
        is_whole = (bid_id, rank) in self._whole
        if not pieces and not is_whole:
            return None
        last = is_whole and end >= place
        return LogChunk(
            rank=rank, offset=offset, next_offset=end, pieces=tuple(pieces), is_last=last
        )

    def tell(self, bid_id: str, said: Mapping[int, str], *, at: datetime) -> None:
        """See `LogKeep.tell`."""
        self._said[bid_id] = (at, dict(said))

    def told(self, bid_id: str, *, since: datetime) -> Mapping[int, str] | None:
        """See `LogKeep.told`."""
        at, said = self._said.get(bid_id, (None, None))
        return said if at is not None and at >= since else None

    def keep_only(self, bid_ids: Collection[str]) -> None:
        """See `LogKeep.keep_only`."""
        self._said = {key: said for key, said in self._said.items() if key in bid_ids}
        self._kept = {key: found for key, found in self._kept.items() if key[0] in bid_ids}
        self._whole = {key for key in self._whole if key[0] in bid_ids}
