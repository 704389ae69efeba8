"""Asks an S3 service, signed, whether a bucket opens with the keys at hand: s3fs itself would end without a word.
Puts and deletes single objects too, for what must not depend on a mount that ends with the command.

Source: AWS's "Signature Version 4 signing process" and the API reference of ListObjectsV2, PutObject and DeleteObject.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import ssl
import time
from typing import Any
from urllib.parse import quote, urlsplit

from flow_core.node.kit.steps import StepFailed

_TIMEOUT_S = 30
#: Error codes -> what they mean to whoever wrote the mount.
_MEANING = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "the service doesn't know the access key",
    "SignatureDoesNotMatch": "the secret key doesn't belong to the access key",
    "AccessDenied": "the keys may not open it",
    "ExpiredToken": "the keys have expired",
    "InvalidToken": "the session token is none that the service knows",
}


def url_of(about: dict[str, Any]) -> str:
    """Return the service's address."""
    told = str(about.get("endpoint") or "")
    return told.rstrip("/") or "https://s3.%s.amazonaws.com" % region_of(about)


def region_of(about: dict[str, Any]) -> str:
    """Return the region that requests are signed for."""
    return str(about.get("region") or "us-east-1")


def check(about: dict[str, Any], keys: dict[str, Any]) -> None:
    """Return when the bucket opens and has the prefix; a writable one that lacks it gets it.

    `about` is told the bucket's own region where the service says that it is another: hand in a copy.
    """
    prefix = about["prefix"] + "/" if about["prefix"] else ""
    query = "list-type=2&max-keys=1&prefix=%s" % quote(prefix, safe="")
    status, headers, body = _ask("GET", about, keys, query=query)
    home = headers.get("x-amz-bucket-region")
    if status in (301, 307, 400) and home and home != region_of(about):
        about["region"] = home
        status, headers, body = _ask("GET", about, keys, query=query)
    _refuse(about, status, body)
    if prefix and b"<Key>" not in body:
        if not about["writable"]:
            raise StepFailed("%s: nothing in the bucket lies under that prefix" % named(about))
        status, _, body = _ask("PUT", about, keys, key=prefix)
        _refuse(about, status, body)


def put(about: dict[str, Any], keys: dict[str, Any], key: str, data: bytes) -> None:
    """Put an object below the mount's prefix."""
    key = "/".join(filter(None, (about["prefix"], key)))
    status, _, body = _ask("PUT", about, keys, key=key, data=data)
    _refuse(about, status, body)


def drop(about: dict[str, Any], keys: dict[str, Any], key: str) -> None:
    """Delete an object below the mount's prefix; one that isn't there is no mistake."""
    key = "/".join(filter(None, (about["prefix"], key)))
    status, _, body = _ask("DELETE", about, keys, key=key)
    _refuse(about, status, body)


def named(about: dict[str, Any]) -> str:
    """Return the source as the user wrote it."""
    return "s3://%s" % "/".join(filter(None, (about["bucket"], about["prefix"])))


def _refuse(about: dict[str, Any], status: int, body: bytes) -> None:
    if status < 300:
        return
    found = re.search(rb"<Code>([A-Za-z]+)</Code>", body)
    code = found.group(1).decode() if found else ""
    means = _MEANING.get(code, "the service answered %d %s" % (status, code))
    raise StepFailed("%s at %s: %s" % (named(about), url_of(about), means.strip()))


def _ask(
    verb: str,
    about: dict[str, Any],
    keys: dict[str, Any],
    query: str = "",
    key: str = "",
    data: bytes = b"",
) -> tuple[int, Any, bytes]:
    """Send one signed request, in path style, and return status, headers and body."""
    where = urlsplit(url_of(about))
    path = quote("%s/%s/%s" % (where.path, about["bucket"], key), safe="/-_.~")
    if not key:
        path = path.rstrip("/")
    query = "&".join(sorted(query.split("&"))) if query else ""
    content = hashlib.sha256(data).hexdigest()
    headers = _signed(verb, where.netloc, path, query, region_of(about), keys, content)
    secure = where.scheme == "https"
    kind: Any = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    more = {"context": ssl.create_default_context()} if secure else {}
    try:
        link = kind(where.netloc, timeout=_TIMEOUT_S, **more)
        target = path + ("?" + query if query else "")
        link.request(verb, target, body=data or None, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise StepFailed(
            "%s: %s can't be reached: %s" % (named(about), url_of(about), error)
        ) from None


def _signed(
    verb: str,
    host: str,
    path: str,
    query: str,
    region: str,
    keys: dict[str, Any],
    content: str,
) -> dict[str, str]:
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": host, "x-amz-content-sha256": content, "x-amz-date": now}
    if keys.get("token"):
        headers["x-amz-security-token"] = keys["token"]
    names = ";".join(sorted(headers))
    lines = [verb, path, query] + ["%s:%s" % (name, headers[name]) for name in sorted(headers)]
    request = "\n".join([*lines, "", names, content])
    scope = "%s/%s/s3/aws4_request" % (now[:8], region)
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, digest])
    secret = ("AWS4" + keys["secret"]).encode()
    for part in scope.split("/"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
        % (
            keys["access"],
            scope,
            names,
            signature,
        )
    )
    return headers
