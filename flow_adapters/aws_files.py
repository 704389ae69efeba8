"""Keys to buckets from the environment and AWS's own files, as its command line finds them.

First the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN), then the profile that
AWS_PROFILE names (`default` otherwise): its keys in the file of credentials, its `credential_process`, its keys in the
file of settings. Profiles that log in (SSO) or take a role are not carried out here: the hint says how AWS's own
program does it. Sources: AWS's guides "Configuration and credential file settings", "Service-specific endpoints" and
"Sourcing credentials with an external process".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from flow_adapters.logging import hide
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_core.domain.s3 import BucketKeys

#: What decides which keys are found.
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)
#: Those that hold a secret.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PROCESS_S = 60.0

Section = Mapping[str, str]


class AwsFiles:
    """Implements `ports.buckets.Buckets`; `environ` is the user's environment, which names the files too."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def variables(self) -> Mapping[str, str]:
        """See `Buckets.variables`. The profile is always said, so that nobody takes their own instead."""
        told = {name: self._environ[name] for name in VARIABLES if self._environ.get(name)}
        return {**told, "AWS_PROFILE": _profile(self._environ)}

    def keys(self, handed: Mapping[str, str] | None = None) -> BucketKeys:
        """See `Buckets.keys`."""
        from flow_core.domain.s3 import BucketKeys

        own = {name: text for name, text in self._environ.items() if name not in VARIABLES}
        environ = {**own, **(self.variables() if handed is None else handed)}
        profile = _profile(environ)
        credentials, settings = _files(environ)
        about = {**_section(settings, profile), **_services(settings, profile)}
        found = _from_variables(environ) or _from_files(credentials, settings, profile, environ)
        hide(found["secret_key"])
        hide(found.get("session_token", ""))
        return BucketKeys(
            access_key=found["access_key"],
            secret_key=found["secret_key"],
            session_token=found.get("session_token", ""),
            expires_at=_moment(found.get("expires_at", "")),
            endpoint=environ.get("AWS_ENDPOINT_URL_S3")
            or environ.get("AWS_ENDPOINT_URL")
            or about.get("s3.endpoint_url")
            or about.get("endpoint_url", ""),
            region=environ.get("AWS_REGION")
            or environ.get("AWS_DEFAULT_REGION")
            or about.get("region", ""),
            origin=found["origin"],
        )


def _profile(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"


def _from_variables(environ: Mapping[str, str]) -> dict[str, str] | None:
    access, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not access and not secret:
        return None
    if not access or not secret:
        lacking = "AWS_SECRET_ACCESS_KEY" if access else "AWS_ACCESS_KEY_ID"
        raise InvalidRequest({"mounts": f"of the two variables that open buckets, {lacking} is not set"})  # fmt: skip
    return {
        "access_key": access,
        "secret_key": secret,
        "session_token": environ.get("AWS_SESSION_TOKEN", ""),
        "origin": "the environment",
    }


def _from_files(
    credentials: _File, settings: _File, profile: str, environ: Mapping[str, str]
) -> dict[str, str]:
    kept, about = credentials.sections.get(profile, {}), _section(settings, profile)
    if (found := _static(kept)) is not None:
        return {**found, "origin": f"profile {profile!r} of {credentials.place}"}
    process = about.get("credential_process") or kept.get("credential_process")
    if process:
        return _from_process(process, profile, environ)
    if (found := _static(about)) is not None:
        return {**found, "origin": f"profile {profile!r} of {settings.place}"}
    hint = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
    if any(name.startswith("sso_") or name in ("role_arn", "login_session") for name in {**kept, **about}):  # fmt: skip
        hint = (
            "Flow doesn't log in or take roles itself; make another profile whose credential_process is "
            f"`aws configure export-credentials --profile {profile} --format process`, and name it in AWS_PROFILE"
        )
    raise InvalidRequest(
        {
            "mounts": "no keys to open s3:// with: AWS_ACCESS_KEY_ID is not set, and profile "
            f"{profile!r} has none in {credentials.place} or {settings.place}"
        },
        hint=hint,
    )


def _static(section: Section) -> dict[str, str] | None:
    access, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not access or not secret:
        return None
    return {
        "access_key": access,
        "secret_key": secret,
        "session_token": section.get("aws_session_token", ""),
    }


def _from_process(line: str, profile: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Run a profile's own program; what it says is shown to nobody, for a secret may be in it."""
    import shlex
    import subprocess

    where = f"the credential_process of profile {profile!r}"
    try:
        done = subprocess.run(
            shlex.split(line),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PROCESS_S,
        )
        said = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        told = "gave no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidRequest({"mounts": f"{where} {told}"}, hint=f"run it: {line}") from None
    if done.returncode:
        raise InvalidRequest(
            {"mounts": f"{where} ended with {done.returncode}"}, hint=f"run it: {line}"
        )
    if not isinstance(said, dict) or not said.get("AccessKeyId") or not said.get("SecretAccessKey"):
        raise InvalidRequest({"mounts": f"{where} gave no keys"}, hint=f"run it: {line}")
    return {
        "access_key": str(said["AccessKeyId"]),
        "secret_key": str(said["SecretAccessKey"]),
        "session_token": str(said.get("SessionToken") or ""),
        "expires_at": str(said.get("Expiration") or ""),
        "origin": where,
    }


class _File:
    """One of AWS's files, by sections; one that isn't there has none."""

    def __init__(self, place: Path) -> None:
        import configparser

        self.place = place
        parser = configparser.RawConfigParser(strict=False, default_section="\0")
        try:
            parser.read_string(place.read_text("utf-8", "replace"))
        except FileNotFoundError:
            pass
        except (OSError, configparser.Error) as error:
            told = error.strerror if isinstance(error, OSError) else "it is no file of sections"
            raise InvalidRequest({"mounts": f"{place} can't be read: {told}"}) from None
        self.sections: dict[str, dict[str, str]] = {
            name: dict(parser.items(name)) for name in parser.sections()
        }


def _files(environ: Mapping[str, str]) -> tuple[_File, _File]:
    home = Path(environ.get("HOME") or Path.home())

    def named(variable: str, otherwise: str) -> Path:
        told = environ.get(variable)
        return Path(told.replace("~", str(home), 1) if told else home / ".aws" / otherwise)

    return (
        _File(named("AWS_SHARED_CREDENTIALS_FILE", "credentials")),
        _File(named("AWS_CONFIG_FILE", "config")),
    )


def _section(settings: _File, profile: str) -> Section:
    by_name = settings.sections.get(f"profile {profile}")
    return by_name or (settings.sections.get(profile) if profile == "default" else None) or {}


def _services(settings: _File, profile: str) -> Section:
    """Return what the profile's `services` section says of S3: lines below `s3 =`, one setting each."""
    named = _section(settings, profile).get("services", "")
    lines = settings.sections.get(f"services {named}", {}).get("s3", "").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line]
    return {f"s3.{name.strip()}": value.strip() for name, _, value in pairs}


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidRequest({"mounts": f"keys expire at {text!r}, which is no time"}) from None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
