"""What the engine answers, as kinds that a caller can act on."""

from __future__ import annotations

from flow_core.errors import (
    Conflict,
    FlowError,
    InUse,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    Transient,
)

_START_HINT = (
    "start it (`sudo systemctl start docker`, or open Docker Desktop); "
    "DOCKER_HOST or `docker context use` names another"
)


def unreached(error: OSError, place: str) -> FlowError:
    """Return what it means that no connection to the engine at `place` came about, or that one broke."""
    if isinstance(error, PermissionError):
        return NotAuthorized(
            f"you may not use the Docker engine at {place}",
            hint="join its group (`sudo usermod -aG docker $USER`, then log in again), or use rootless Docker",
        )
    if isinstance(error, FileNotFoundError):
        return Transient(
            f"no Docker engine is at {place}: there is no such socket", hint=_START_HINT
        )
    if isinstance(error, ConnectionRefusedError):
        return Transient(
            f"nobody answers at {place}: the Docker engine doesn't run", hint=_START_HINT
        )
    if isinstance(error, TimeoutError):
        return Transient(f"the Docker engine at {place} gave no answer in time")
    if type(error).__module__ == "ssl":
        return NotAuthorized(
            f"the Docker engine at {place} and this machine don't trust each other: {error}",
            hint="DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem, which its owner gives you",
        )
    reason = error.strerror or str(error) or type(error).__name__
    return Transient(
        f"the Docker engine at {place} could not be reached: {reason}", hint=_START_HINT
    )


def meant(status: int, words: str) -> int:
    """Return the status that Docker has for what an engine says: Podman answers 500 to what is a matter of state."""
    signs = ("is already in use", "container state improper")
    return 409 if status == 500 and any(each in words for each in signs) else status


def refusal(status: int, words: str) -> FlowError:
    """Return what an answer that is no success means; `words` are the engine's own."""
    said = f"Docker says: {words}" if words else f"Docker answered {status}"
    if status == 404:
        return NotFound(said)
    if status == 409:
        return InUse(said) if "in use" in words else Conflict(said)
    if status in (401, 403):
        return NotAuthorized(said)
    if status == 400 or (status >= 500 and _is_about_the_request(words)):
        return InvalidRequest({"docker": said}, hint=_advice(words))
    return Transient(said)


def _is_about_the_request(words: str) -> bool:
    # Docker's words for what it runs containers by are "OCI runtime", Podman's are "OCI permission" and others.
    signs = ("OCI ", "device driver", "invalid", "mounts denied", "not found", "no such")
    return any(each in words for each in signs)


def _advice(words: str) -> str | None:
    if "device driver" in words:
        return "GPUs in containers need NVIDIA's container toolkit on this machine"
    if "container-init" in words:
        return "Podman needs a first process for containers: install the package catatonit"
    if "HTTPS server" in words:
        return "it wants TLS: set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of its certificates"
    if "rlimit" in words:
        return (
            "Podman wants higher limits than it may have: lower default_ulimits in containers.conf"
        )
    return None
