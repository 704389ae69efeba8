"""S3 as a mount's source: bucket, prefix, and how it is mounted; and the keys that open it.

    s3://BUCKET/PREFIX             read-only
    s3://BUCKET/PREFIX?mode=rw     what the task writes there goes to the bucket
    s3://BUCKET/PREFIX?copy        copied to the node's own disk before the command; what is written stays there

An empty prefix is the whole bucket. Slashes at the ends of a prefix count for nothing.
"""

from __future__ import annotations

import re
from datetime import datetime

from attrs import field, frozen

from flow_core.domain.sources import split_source
from flow_core.errors import InvalidRequest

#: What names of buckets are made of, those of other stores and of old ones at AWS included.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PREFIX_BYTES = 1024


@frozen
class S3Source:
    """A part of a bucket and how it is brought to a node."""

    bucket: str
    prefix: str = ""
    writable: bool = False
    copied: bool = False


@frozen(kw_only=True)
class BucketKeys:
    """What opens buckets, and where they are; `endpoint` is empty for AWS itself, `expires_at` None for ever."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    endpoint: str = ""
    region: str = ""
    #: Where they were found, in words.
    origin: str = ""


def parse_s3(source: str, *, read_only: bool = False) -> S3Source:
    """Read an `s3://` source; `read_only` is what the mount says beside it.

    Raises:
        InvalidRequest: keyed `mounts`, in one sentence.
    """
    target, options = split_source(source, known=("mode", "copy"))
    bucket, _, prefix = target.partition("/")
    prefix = prefix.strip("/")
    mode = options.get("mode", "ro")
    problem = None
    if not _BUCKET.fullmatch(bucket):
        problem = f"{bucket!r} can't name a bucket"
    elif len(prefix.encode()) > _PREFIX_BYTES or any(ord(char) < 32 for char in prefix):
        problem = f"its prefix is over {_PREFIX_BYTES:,} bytes or holds a control character"
    elif any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        problem = "its prefix holds an empty part, '.' or '..', which no folder can be named"
    elif mode not in ("ro", "rw"):
        problem = f"mode is {mode!r}; write mode=ro or mode=rw"
    elif options.get("copy"):
        problem = f"copy is {options['copy']!r}; it has no value"
    elif mode == "rw" and "copy" in options:
        problem = "a copy is never written back; leave out mode=rw or copy"
    elif mode == "rw" and read_only:
        problem = "mode=rw and read-only contradict each other"
    if problem:
        raise InvalidRequest({"mounts": f"{source!r}: {problem}"})
    return S3Source(bucket, prefix, writable=mode == "rw", copied="copy" in options)
