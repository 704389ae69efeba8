"""Mithril's API as calls: each says what it asks, reads the answer into a value, and pages to the end.

A client is bound to one project, because most lists ask for one; it is found out when first needed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from flow_adapters.http import Http
from flow_core.errors import Misconfigured, NotFound, Transient
from flow_providers.mithril import wire
from flow_providers.mithril.errors import translated

#: The most items that a page may have. Source: the service's OpenAPI, `limit`.
PAGE = 100
#: More pages than any account has; a server that pages on for ever is stopped here.
_MOST_PAGES = 10_000
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")

Kind = TypeVar("Kind")
Asked = TypeVar("Asked")
Query = Mapping[str, object]


class Client:
    """Asks Mithril. Safe to share between threads; `lanes` is how many requests may be under way at once."""

    def __init__(self, http: Http, *, project: str | None = None, lanes: int = 1) -> None:
        self._http = http
        self._wanted = project
        self._lanes = lanes
        self._lock = threading.Lock()
        self._project: str | None = None

    @property
    def project(self) -> str:
        """The project's id: the configured one, by id or name, else the only one there is.

        Raises:
            Misconfigured: there is no such project, or none was chosen from several.
        """
        with self._lock:
            if self._project is None:
                self._project = self._chosen_project()
            return self._project

    def projects(self) -> list[wire.Project]:
        """Return every project that the key may use."""
        return self.listed("list projects", wire.Project, "/v2/projects")

    def ping(self) -> None:
        """Ask something small once, to learn the server's time or whether it is there."""
        with translated("reach Mithril"):
            self._http.get("/v2/me", once=True)

    def read(self, what: str, kind: type[Kind], path: str, query: Query | None = None) -> Kind:
        """Return one thing."""
        with translated(what):
            return wire.read(kind, self._http.get(path, _told(query)).data)

    def bare(self, what: str, path: str) -> object:
        """Return an answer as it is, for those whose form is declared nowhere."""
        with translated(what):
            return self._http.get(path).data

    def listed(
        self, what: str, kind: type[Kind], path: str, query: Query | None = None
    ) -> list[Kind]:
        """Return a whole list, however many pages it has."""
        return [each for page in self.pages(what, kind, path, query) for each in page]

    def pages(
        self, what: str, kind: type[Kind], path: str, query: Query | None = None
    ) -> Iterator[list[Kind]]:
        """Yield a list page by page: a bare array is the only page of its list.

        With more lanes than one the next page is under way while one is read.

        Raises:
            Transient: a cursor came twice, so the list would never end; what was yielded is not the whole list.
        """
        asked = dict(query or {})
        seen: set[str] = set()

        def ask() -> tuple[list[object], str | None]:
            with translated(what):
                return _page(self._http.get(path, _told(asked)).data)

        with ExitStack() as stack:
            ahead: ThreadPoolExecutor | None = None
            items, cursor = ask()
            while True:
                following: Future[tuple[list[object], str | None]] | None = None
                goes_on = cursor is not None and cursor not in seen and len(seen) < _MOST_PAGES
                if cursor is not None and goes_on:
                    seen.add(cursor)
                    asked["next_cursor"] = cursor
                    if self._lanes > 1:
                        ahead = ahead or stack.enter_context(ThreadPoolExecutor(1))
                        following = ahead.submit(ask)
                with translated(what):
                    page = [wire.read(kind, item) for item in items]
                yield page
                if cursor is None:
                    return
                if not goes_on:
                    raise Transient(
                        f"{what}: Mithril's pages go round in circles; the list has no end"
                    )
                items, cursor = ask() if following is None else following.result()

    def create(
        self,
        what: str,
        kind: type[Kind],
        path: str,
        body: Mapping[str, object],
        *,
        token: str | None = None,
    ) -> Kind:
        """Make something, with one request and no other; `token` lets a server that knows it answer twice alike."""
        headers = {"Idempotency-Key": token} if token else None
        with translated(what):
            return wire.read(kind, self._http.post(path, body, headers).data)

    def act(self, what: str, path: str, body: Mapping[str, object]) -> tuple[int, object]:
        """Send a request of which only the status and the bare answer are of interest; it is not repeated."""
        with translated(what):
            heard = self._http.post(path, body)
        return heard.status, heard.data

    def change(self, what: str, kind: type[Kind], path: str, body: Mapping[str, object]) -> Kind:
        """Change something and return it."""
        with translated(what):
            return wire.read(kind, self._http.patch(path, body).data)

    def delete(self, what: str, path: str) -> bool:
        """Delete something; False when it isn't there."""
        try:
            with translated(what):
                self._http.delete(path)
        except NotFound:
            return False
        return True

    def side_by_side(self, ask: Callable[[Asked], Kind], about: Sequence[Asked]) -> list[Kind]:
        """Return what `ask` answers about each, in their order, asking as many at once as there are lanes."""
        if self._lanes == 1 or len(about) < 2:
            return [ask(each) for each in about]
        with ThreadPoolExecutor(min(self._lanes, len(about))) as pool:
            return list(pool.map(ask, about))

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _chosen_project(self) -> str:
        if self._wanted is not None and self._wanted.startswith("proj_"):
            return self._wanted
        there = self.projects()
        names = ", ".join(sorted(each.name or each.fid for each in there)) or "none"
        hint = "choose one with `flow project use NAME`"
        if self._wanted is None:
            if len(there) == 1:
                return there[0].fid
            raise Misconfigured(f"no project is chosen, and the key may use: {names}", hint=hint)
        found = [each.fid for each in there if self._wanted in (each.fid, each.name)]
        if len(found) != 1:
            much = "several projects are" if found else "no project is"
            raise Misconfigured(f"{much} named {self._wanted!r}; there are: {names}", hint=hint)
        return found[0]


def segment(text: str) -> str:
    """Return an id that can be one segment of a path and nothing else.

    Raises:
        NotFound: it can't, so it is nobody's; asking with it might reach something else.
    """
    if not _ID.fullmatch(text):
        raise NotFound(f"{text!r} is nobody's id at Mithril")
    return text


def _told(query: Query | None) -> dict[str, str]:
    return {key: str(value) for key, value in (query or {}).items() if value is not None}


def _page(data: object) -> tuple[list[object], str | None]:
    """Return a page's items, and the cursor of the next or None."""
    if isinstance(data, list):
        return data, None
    if not isinstance(data, Mapping):
        raise wire.Unreadable("it is no list")
    items = next((data[key] for key in ("data", "instances") if key in data), None)
    if not isinstance(items, list):
        raise wire.Unreadable("it holds no list")
    cursor = data.get("next_cursor")
    return items, str(cursor) if cursor else None
