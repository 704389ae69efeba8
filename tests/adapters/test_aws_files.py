"""Keys to buckets are found where AWS's own tools find them, and what is missing is named with its place."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from flow_adapters.aws_files import AwsFiles
from flow_core.errors import InvalidRequest

KEYS = {"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without AWS's files."""
    (tmp_path / ".aws").mkdir()
    return tmp_path


def found(home: Path, **environ: str) -> AwsFiles:
    """The adapter for a user whose home is `home`."""
    return AwsFiles({"HOME": str(home), "PATH": "/usr/bin:/bin", **environ})


def credentials(home: Path, text: str) -> None:
    """Write the file of credentials."""
    (home / ".aws" / "credentials").write_text(text)


def settings(home: Path, text: str) -> None:
    """Write the file of settings."""
    (home / ".aws" / "config").write_text(text)


def process(home: Path, **answer: object) -> str:
    """A program that answers so, as a setting names it."""
    place = home / "keys.json"
    place.write_text(json.dumps({"Version": 1, **answer}))
    return shlex.join(["cat", str(place)])


def test_the_environment_comes_first(home):
    """Variables count more than any profile, the token belongs to them, and S3's own address more than the general."""
    credentials(home, "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = x\n")
    keys = found(
        home, **KEYS, AWS_SESSION_TOKEN="token", AWS_REGION="eu-west-1",
        AWS_ENDPOINT_URL="https://all", AWS_ENDPOINT_URL_S3="https://s3",
    ).keys()  # fmt: skip

    assert ("AKENV", "env-secret", "token") == (
        keys.access_key,
        keys.secret_key,
        keys.session_token,
    )
    assert ("https://s3", "eu-west-1", "the environment") == (
        keys.endpoint,
        keys.region,
        keys.origin,
    )
    assert keys.expires_at is None


def test_half_a_pair_is_named(home):
    """One variable without the other opens nothing, and no file is asked instead."""
    credentials(home, "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = x\n")
    with pytest.raises(InvalidRequest, match="AWS_SECRET_ACCESS_KEY is not set"):
        found(home, AWS_ACCESS_KEY_ID="AK").keys()


def test_a_profile_of_the_credentials(home):
    """AWS_PROFILE names it; its region and its service's address are in the other file."""
    credentials(
        home, "[work]\naws_access_key_id=AKW\naws_secret_access_key=a%b=c\naws_session_token=t\n"
    )
    settings(
        home,
        "[profile work]\nregion = us-west-2\nservices = local\n"
        "[services local]\ns3 =\n  endpoint_url = http://127.0.0.1:9\n",
    )
    keys = found(home, AWS_PROFILE="work").keys()

    assert ("AKW", "a%b=c", "t") == (keys.access_key, keys.secret_key, keys.session_token)
    assert ("http://127.0.0.1:9", "us-west-2") == (keys.endpoint, keys.region)
    assert f"profile 'work' of {home}/.aws/credentials" == keys.origin


def test_a_credential_process(home):
    """A profile's own program gives keys, and when they expire."""
    line = process(
        home,
        AccessKeyId="AKP",
        SecretAccessKey="s",
        SessionToken="t",
        Expiration="2026-11-25T12:00:00Z",
    )
    settings(home, f"[default]\ncredential_process = {line}\n")
    keys = found(home).keys()

    assert ("AKP", "t") == (keys.access_key, keys.session_token)
    assert datetime(2026, 11, 25, 12, tzinfo=timezone.utc) == keys.expires_at


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{sys.executable} -c 'print(1)'", "gave no keys"),
        (f"{sys.executable} -c 'print()'", "gave no JSON"),
        (f"{sys.executable} -c 'exit(3)'", "ended with 3"),
        ("no-such-program", "No such file"),
    ],
)
def test_a_credential_process_that_gives_nothing(line, reason, home):
    """What it did is told, and nothing that it said."""
    settings(home, f"[profile sso]\ncredential_process = {line}\n")
    with pytest.raises(InvalidRequest, match=f"the credential_process of profile 'sso'.*{reason}"):
        found(home, AWS_PROFILE="sso").keys()


def test_static_keys_of_the_settings(home):
    """Keys may be in the file of settings too; files may lie elsewhere."""
    (home / "elsewhere").write_text("[default]\naws_access_key_id=AKC\naws_secret_access_key=s\n")
    keys = found(home, AWS_CONFIG_FILE="~/elsewhere").keys()

    assert "AKC" == keys.access_key


@pytest.mark.parametrize("line", ["sso_session = corp", "role_arn = arn:aws:iam::1:role/x"])
def test_what_must_log_in_is_told_how(line, home):
    """A profile that logs in or takes a role is not carried out; the hint is a line that does it."""
    settings(home, f"[profile corp]\n{line}\n")
    with pytest.raises(InvalidRequest, match="profile 'corp' has none in") as refused:
        found(home, AWS_PROFILE="corp").keys()

    assert "aws configure export-credentials --profile corp --format process" in str(
        refused.value.hint
    )


def test_nothing_at_all_names_every_place(home):
    """Variables and both files are named."""
    with pytest.raises(
        InvalidRequest, match=r"AWS_ACCESS_KEY_ID is not set.*credentials or .*config"
    ):
        found(home).keys()


def test_a_file_that_is_none(home):
    """A file that can't be read is named, and what is in it is not shown."""
    credentials(home, "aws_access_key_id = AKX\n")
    with pytest.raises(InvalidRequest) as refused:
        found(home).keys()

    assert f"{home}/.aws/credentials can't be read" in str(refused.value)
    assert "AKX" not in str(refused.value)


def test_what_another_process_handed_over_counts(home):
    """Handed variables count instead of this process's own, even where they only say which profile."""
    credentials(home, "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = x\n")
    there = found(home, AWS_ENDPOINT_URL="http://there")
    here = found(home, **KEYS)

    assert {"AWS_PROFILE": "default", "AWS_ENDPOINT_URL": "http://there"} == there.variables()
    assert ("AKFILE", "http://there") == (
        here.keys(there.variables()).access_key,
        here.keys(there.variables()).endpoint,
    )
    assert "AKENV" == there.keys(here.variables()).access_key
