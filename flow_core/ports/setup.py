"""The setup role: what a provider must be told before it can be used, and whether what it was told works. Optional.

A provider is made of settings, so a question is put to the provider that was made with the answer: the caller connects
anew with each answer and asks whether that one works. Without this role nothing has to be told.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen


class Takes(str, enum.Enum):
    """What an answer is. What is UNSEEN is kept with secrets and shown nowhere; an SSH_KEY may be added on the way."""

    TEXT = "text"
    UNSEEN = "unseen"
    SSH_KEY = "ssh-key"


@frozen(kw_only=True)
class Question:
    """Something to ask. `setting` is the full name of the setting, or secret, that the answer becomes.

    `words` is what the user is asked for, such as 'API key'; `help` says where to find it.
    """

    setting: str
    words: str
    help: str = ""
    takes: Takes = Takes.TEXT


@frozen
class Choice:
    """An answer that can be chosen: what the setting becomes, and what people call it where that differs."""

    value: str
    words: str = ""


class Setup(Protocol):
    """Knows its provider's questions. Only `choices` and `check` may ask the provider."""

    def questions(self) -> Sequence[Question]:
        """Return what to ask, in an order in which no answer depends on a later one."""
        ...

    def origin(self) -> str | None:
        """Return the scheme, host and port that secrets are kept for and sent to; None where there is no network."""
        ...

    def choices(self, setting: str) -> Sequence[Choice]:
        """Return the answers there are to one question, empty where they can't be listed; may be repeated.

        Raises:
            NotAuthorized, Transient: as for every role.
        """
        ...

    def check(self, setting: str) -> str:
        """Return in a few words what the present answer comes to, as the provider sees it; may be repeated.

        No answer works where the provider finds one by itself, such as the only project there is.

        Raises:
            NotAuthorized: the provider doesn't accept it.
            Misconfigured, InvalidRequest: there is no such thing, or none was chosen from several; the message says
                what there is.
            Transient: the provider did not answer, so nothing is known.
        """
        ...
