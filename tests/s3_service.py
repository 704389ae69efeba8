"""A real S3 service on loopback that checks signatures, with a bucket, and the programs that mount it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

import pytest
from attrs import frozen

BUCKET = "data"
_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


@frozen
class Service:
    """Where it answers, and a user's keys; `client` is boto3's, with the same keys."""

    url: str
    access_key: str
    secret_key: str
    client: Any
    #: Keys of a role, which need their session token.
    temporary: dict[str, object]

    @property
    def environ(self) -> dict[str, str]:
        """The keys as the usual variables."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL_S3": self.url,
        }

    def keys(self, **more: object) -> dict[str, object]:
        """The keys as a node is told them."""
        return {"access": self.access_key, "secret": self.secret_key, "token": "", **more}

    def texts(self) -> dict[str, str]:
        """Every object of the bucket, by its key."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        names = [each["Key"] for each in found]
        return {
            name: self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read().decode()
            for name in names
        }


@contextmanager
def serving(**objects: str) -> Iterator[Service]:
    """Serve a bucket that holds `objects` (`__` in a name is a slash) until the end of the block."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start: Any) -> Any:
        # S3 signs queries in their one canonical spelling; moto as they came, and s3fs leaves slashes bare.
        pairs = [each.partition("=") for each in environ.get("QUERY_STRING", "").split("&")]
        spelled = [name + sep + quote(unquote(value), safe="-_.~") for name, sep, value in pairs]
        return inner({**environ, "QUERY_STRING": "&".join(spelled)}, start)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    serve = threading.Thread(target=server.serve_forever, daemon=True)
    serve.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        _open_to_all(url, "inf")
        first = _client(boto3, "iam", url, "first", "first")
        first.create_user(UserName="someone")
        first.put_user_policy(UserName="someone", PolicyName="all", PolicyDocument=_POLICY)
        made = first.create_access_key(UserName="someone")["AccessKey"]
        first.create_role(RoleName="visitor", AssumeRolePolicyDocument=_POLICY)
        first.put_role_policy(RoleName="visitor", PolicyName="all", PolicyDocument=_POLICY)
        role = "arn:aws:iam::123456789012:role/visitor"
        visitor = _client(boto3, "sts", url, "first", "first").assume_role(
            RoleArn=role, RoleSessionName="visit"
        )["Credentials"]
        _open_to_all(url, "0")
        access, secret = made["AccessKeyId"], made["SecretAccessKey"]
        temporary = {
            "access": visitor["AccessKeyId"],
            "secret": visitor["SecretAccessKey"],
            "token": visitor["SessionToken"],
            "expires": None,
        }
        s3 = _client(boto3, "s3", url, access, secret)
        service = Service(url, access, secret, s3, temporary)
        service.client.create_bucket(Bucket=BUCKET)
        for name, text in objects.items():
            key = name.replace("__", "/")
            service.client.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        yield service
    finally:
        _open_to_all(url, "inf")
        server.shutdown()
        serve.join()


def s3fs_problem() -> str | None:
    """Why buckets can't be mounted here; None where they can."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):  # noqa: PTH110
        return "needs root and /dev/fuse"
    missing = [each for each in ("s3fs", "unshare", "nsenter") if shutil.which(each) is None]
    return f"this machine has no {missing[0]}" if missing else None


def _client(boto3: Any, kind: str, url: str, access: str, secret: str) -> Any:
    return boto3.client(
        kind,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
    )


def _open_to_all(url: str, requests: str) -> None:
    import httpx

    httpx.post(f"{url}/moto-api/reset-auth", content=requests, trust_env=False)
    if requests == "inf":
        httpx.post(f"{url}/moto-api/reset", trust_env=False)
