"""What Mithril's refusals mean: one table of statuses, one of words, and `translated`, which every call goes through.

Its documentation declares no body for most errors. The words are those that existing clients look for, as lower-case
parts of the message; a table row applies to any status from 400 to 499. Source: contract section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flow_adapters.http import Garbled, NoAnswer, Refused
from flow_core.errors import (
    BillingRefused,
    Conflict,
    FlowError,
    InUse,
    InvalidRequest,
    NameTaken,
    NotAuthorized,
    NotFound,
    PriceTooLow,
    QuotaExceeded,
    Transient,
    Unsupported,
)
from flow_providers.mithril.wire import Unreadable

_LOOK = "it may have taken effect; Flow looks before it repeats anything"

#: status -> kind; 5xx and whatever is missing here are told below.
STATUSES: dict[int, type[FlowError]] = {
    401: NotAuthorized,
    402: BillingRefused,
    403: NotAuthorized,
    404: NotFound,
    405: Unsupported,
    409: Conflict,
    410: NotFound,
    501: Unsupported,
}

#: Parts of a 4xx's words -> kind; the first row that fits counts.
WORDS: tuple[tuple[tuple[str, ...], type[FlowError]], ...] = (
    (("price below minimum", "below the minimum", "minimum price"), PriceTooLow),
    (("quota", "organization limit", "org limit"), QuotaExceeded),
    (("billing", "payment"), BillingRefused),
    (
        (
            "name already",
            "name is already",
            "name is taken",
            "duplicate name",
            "same name",
            "name exists",
        ),
        NameTaken,
    ),
    (("in use", "is attached", "being used", "currently used"), InUse),
)

_HINTS: dict[type[FlowError], str] = {
    NotAuthorized: "the key may be wrong or revoked, or lack this permission; `flow setup --check` tells",
    BillingRefused: "put the account's billing in order on Mithril's site",
    QuotaExceeded: "`flow quota` shows what the project may hold",
}

#: Mithril's name of a field -> what the user calls it.
_FIELDS = {
    "limit_price": "max_price_per_hour",
    "instance_quantity": "num_instances",
    "quantity": "num_instances",
    "volumes": "mounts",
    "ssh_keys": "mithril.ssh_key",
    "public_key": "public_key",
    "image_version": "mithril.image_version",
    "startup_script": "command",
    "size_gb": "size",
    "disk_interface": "interface",
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Within, whatever HTTP raises becomes a kind of FlowError that says `what` was asked, such as 'place bid'."""
    try:
        yield
    except Refused as refusal:
        raise _kind_of(what, refusal) from refusal
    except Garbled as garbled:
        raise Transient(
            f"{what}: {garbled.why}{_tail(garbled.request_id)}",
            hint="is api_url the address of Mithril's API? " + _LOOK,
        ) from garbled
    except Unreadable as unreadable:
        raise Transient(
            f"{what}: Mithril's answer can't be read: {unreadable}", hint=_LOOK
        ) from unreadable
    except NoAnswer as silence:
        raise Transient(
            f"{what}: {silence.why}",
            hint=_LOOK if silence.may_have_happened else "nothing was sent",
        ) from silence


def is_refused_as(error: FlowError, status: int) -> bool:
    """Whether `error` is the translation of an answer with this status."""
    return isinstance(error.__cause__, Refused) and error.__cause__.status == status


def _kind_of(what: str, refusal: Refused) -> FlowError:
    message = f"{what}: Mithril says: {refusal.words}{_tail(refusal.request_id, refusal.status)}"
    if (refusal.status >= 500 and refusal.status != 501) or refusal.status in (408, 425, 429):
        return Transient(message, hint=_passing(refusal), retry_after_s=refusal.retry_after_s)
    said = refusal.words.lower()
    for parts, kind in WORDS:
        if any(part in said for part in parts):
            return _made(kind, message)
    if refusal.status == 403 and "limit" in said:
        return QuotaExceeded(message, hint=_HINTS[QuotaExceeded])
    kind = STATUSES.get(refusal.status, InvalidRequest)
    return _invalid(what, refusal) if kind is InvalidRequest else _made(kind, message)


def _made(kind: Callable[..., FlowError], message: str) -> FlowError:
    hint = next((text for each, text in _HINTS.items() if each is kind), None)
    return kind(message, hint=hint)


def _passing(refusal: Refused) -> str:
    if refusal.status != 429:
        return _LOOK
    asked = refusal.retry_after_s
    return "too many requests" + (f"; Mithril asks to wait {asked:g} s" if asked else "")


def _invalid(what: str, refusal: Refused) -> InvalidRequest:
    tail = _tail(refusal.request_id, refusal.status)
    problems = {field: f"{text}{tail} ({what})" for field, text in _problems(refusal.body).items()}
    return InvalidRequest(problems or {what: f"Mithril says: {refusal.words}{tail}"})


def _problems(body: object) -> dict[str, str]:
    """Return one sentence a field of a validation error's list; empty when the body is none."""
    found: dict[str, str] = {}
    details = body.get("detail") if isinstance(body, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, Mapping) or not isinstance(detail.get("msg"), str):
            continue
        where = [str(part) for part in detail.get("loc") or () if not isinstance(part, int)]
        name = where[-1] if where else "request"
        found[_FIELDS.get(name, name)] = f"Mithril says: {' '.join(detail['msg'].split())}"
    return found


def _tail(request_id: str | None, status: int | None = None) -> str:
    parts = [f"HTTP {status}"] if status is not None else []
    parts += [f"request {request_id}"] if request_id else []
    return f" [{', '.join(parts)}]" if parts else ""
