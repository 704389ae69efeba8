"""The log: on stderr, as loud as was asked for, and without secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.logging import HIDDEN, hide, log, redacted, speak

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("verbosity", "heard"),
    [
        (-1, ["warned"]),
        (0, ["warned"]),
        (1, ["told", "warned"]),
        (2, ["noted", "told", "warned"]),
        (9, ["noted", "told", "warned"]),
    ],
)
def test_as_loud_as_asked_for(capsys, verbosity, heard):
    """Warnings are always written, facts with -v, everything with -vv; to stderr, never to stdout."""
    speak(verbosity)
    logger = log(bid="b1")
    logger.debug("noted")
    logger.info("told")
    logger.warning("warned", limit="$1.00")
    said = capsys.readouterr()
    lines = said.err.splitlines()

    assert "" == said.out
    assert heard == [
        next(word for word in ("noted", "told", "warned") if f"event='{word}'" in line)
        for line in lines
    ]
    assert all("bid='b1'" in line for line in lines)


@pytest.mark.parametrize(
    "name", ["api_key", "token", "X-Token", "client_secret", "PASSWORD", "authorization", "cookie"]
)
def test_names_tell_of_secrets(name):
    """What stands under a telling name is hidden, at any depth; None shows, since it hides nothing."""
    event = redacted(None, "info", {name: "abc", "headers": {name: "abc"}, "list": [{name: "abc"}]})

    assert "abc" not in str(event)
    assert 3 == str(event).count(HIDDEN)
    assert {name: None} == redacted(None, "info", {name: None})


@given(secret=st.text("abcdefgh123456-_", min_size=6, max_size=20), before=st.text(max_size=5))
def test_a_hidden_text_never_shows(secret, before):
    """A registered secret is taken out of texts, lists, mappings and the text of any object."""
    hide(secret)
    event = redacted(
        None,
        "info",
        {
            "event": before + secret,
            "a": [secret],
            "b": {"c": (secret,)},
            "d": ValueError(secret),
            "n": 5,
        },
    )

    assert secret not in str(event)
    assert 5 == event["n"]


def test_a_short_text_is_not_hidden():
    """Texts that occur by chance are left alone."""
    hide("a1")

    assert "a1b" == redacted(None, "info", {"event": "a1b"})["event"]


def test_importing_it_loads_no_logger():
    """Neither this module nor the one for secrets loads structlog, keyring or rich."""
    program = (
        "import sys, flow_adapters.logging, flow_adapters.credentials\n"
        "print(sorted({'structlog', 'keyring', 'rich'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "[]" == said.stdout.strip()
