"""The limits that containers get beyond the engine's own, and whether it may raise them: tried once, noted there.

An engine without CAP_SYS_RESOURCE, as one without root or in a container, refuses to start what asks for more than it
has itself, and says nowhere that it would.
"""

from __future__ import annotations

from flow_core.errors import InvalidRequest, NotFound
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import CARRIED, LIMITS, MADE

#: What large training jobs want: pinned memory without end, 64 MB of stack, a million open files.
ULIMITS = [
    {"Name": name, "Soft": limit, "Hard": limit}
    for name, limit in (("memlock", -1), ("stack", 64 << 20), ("nofile", 1 << 20))
]
#: The volume whose label tells; there is one an engine.
_MARK = "flow-limits"
_RAISED, _KEPT = "raised", "kept"


class Limits:
    """Knows whether one engine may raise limits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def may_be_raised(self, image: str) -> bool:
        """Whether containers may be given `ULIMITS`; the first time that takes as long as one of `image` does.

        Raises:
            InvalidRequest: no container of the image starts here, whatever its limits.
        """
        try:
            return bool(
                self._engine.ask("GET", f"/volumes/{_MARK}")["Labels"].get(LIMITS) == _RAISED
            )
        except NotFound:
            may = self._tried(image)
            labels = {LIMITS: _RAISED if may else _KEPT, MADE: "local-docker"}
            body = {"Name": _MARK, "Labels": labels}
            self._engine.ask("POST", "/volumes/create", body=body)
            return may

    def _tried(self, image: str) -> bool:
        box = {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", ":"],
            "Cmd": [],
            "Labels": {CARRIED: "limits", MADE: "local-docker"},
            "HostConfig": {"NetworkMode": "none", "Ulimits": ULIMITS},
        }
        made = self._engine.ask("POST", "/containers/create", body=box)["Id"]
        try:
            self._engine.ask("POST", f"/containers/{made}/start")
            return True
        except InvalidRequest as error:
            if "rlimit" in error.message:
                return False
            raise
        finally:
            self._engine.ask("DELETE", f"/containers/{made}", query={"force": "true"}, fine=(404,))
