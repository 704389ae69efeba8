"""Where `flow setup` takes its answers from: the command line, a person at a terminal, what is set already."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from attrs import define, field, frozen

from flow_adapters.credentials import LocalSecrets
from flow_adapters.discovery import provider_names
from flow_adapters.key_files import expanded
from flow_adapters.logging import hide
from flow_cli.invocation import Invocation
from flow_cli.setup_keys import NEW, resolved, suggestions
from flow_cli.show.errors import error_text
from flow_core.domain.settings import Settings, find_setting
from flow_core.errors import FlowError, InvalidRequest, Misconfigured
from flow_core.ports.setup import Question, Takes
from flow_core.services.accounts import Accounts
from flow_core.services.setup import REGION, SettingUp

#: The flag that answers each kind of question which has one of its own.
_SECRET, _SSH_KEY = "api_key_from", "ssh_key"


@frozen(kw_only=True)
class Given:
    """What the command line answered: by short name, such as `project`, and the secret, already read."""

    named: Mapping[str, str]
    secret: str | None = field(default=None, repr=False)

    @classmethod
    def read(
        cls,
        invocation: Invocation,
        *,
        named: Mapping[str, str | None],
        api_key_from: str | None,
        other: Sequence[str],
    ) -> Given:
        """Read the flags, and the secret from where they say.

        Raises:
            InvalidRequest: a secret isn't where it should be, or `--set` is no NAME=VALUE.
        """
        found = {name: value for name, value in named.items() if value is not None}
        for pair in other:
            name, equals, value = pair.partition("=")
            if not equals or not name:
                raise InvalidRequest({"--set": f"{pair!r} is not NAME=VALUE"})
            found[name.strip()] = value
        secret = None if api_key_from is None else _secret(invocation, api_key_from)
        if secret is not None:
            hide(secret)
        return cls(named=found, secret=secret)

    def to(self, question: Question) -> str | None:
        """Return the answer to one question; None where it was not given."""
        if question.takes is Takes.UNSEEN:
            return self.secret
        if question.takes is Takes.SSH_KEY and _SSH_KEY in self.named:
            return self.named[_SSH_KEY]
        return self.named.get(question.setting, self.named.get(_short(question)))

    def refuse_strangers(self, questions: Sequence[Question], provider: str) -> None:
        """Refuse answers that the provider has no question for.

        Raises:
            InvalidRequest: with each of them.
        """
        known = {name for each in questions for name in (each.setting, _short(each))}
        if any(each.takes is Takes.SSH_KEY for each in questions):
            known.add(_SSH_KEY)
        problems = {
            name: f"{provider} needs no such thing" for name in self.named if name not in known
        }
        if self.secret is not None and all(each.takes is not Takes.UNSEEN for each in questions):
            problems["api_key"] = f"{provider} needs no key"
        if problems:
            raise InvalidRequest(problems)


@define
class Wizard:
    """Goes through the questions; `asks` says that there is a person to ask."""

    invocation: Invocation
    given: Given
    asks: bool
    #: The file for secrets that the person named when there was no keyring.
    key_file: Path | None = None

    def provider(self, settings: Settings) -> str:
        """Return which provider is meant.

        Raises:
            InvalidRequest: nobody says.
        """
        chosen = self.invocation.provider
        if chosen is not None:
            return chosen
        current, known = settings.text("provider"), provider_names()
        if not self.asks:
            if current is None:
                raise InvalidRequest({"provider": f"none is chosen; there are {', '.join(known)}"})
            return current
        return self._chosen("Provider", known, default=current)

    def go_through(self, service: SettingUp, settings: Settings) -> None:
        """Have each question answered: by the command line, by the person, else by what is set and works.

        Raises:
            InvalidRequest: nobody can be asked, and answers are missing or don't work; all are named at once.
            FlowError: an answer of the command line doesn't work.
        """
        missing: dict[str, str] = {}
        for question in service.questions():
            entry = settings.entries.get(question.setting)
            told = self.given.to(question)
            if told is not None:
                self._take(service, question, told)
            elif self.asks:
                self._ask(service, question, entry.value if entry else None)
            else:
                standing = service.standing(question, entry.value if entry else None)
                if standing.problem is not None:
                    missing[_short(question)] = standing.problem.message
                    if question.takes is Takes.UNSEEN:
                        break  # nothing else can be asked without it
        if missing:
            raise InvalidRequest(missing, hint="say it with the options, or run this in a terminal")

    def _take(self, service: SettingUp, question: Question, text: str) -> None:
        value, besides = text, {}
        if question.takes is Takes.SSH_KEY:
            value, found = resolved(self.invocation, Accounts(service.provider), text)
            besides = dict(found)
        words = service.take(question, value, besides=besides)
        self.invocation.talk.say(f"✓ {question.words}: {words}", "green")

    def _ask(self, service: SettingUp, question: Question, value: object) -> None:
        talk = self.invocation.talk
        standing = service.standing(question, value)
        if question.help:
            talk.say(f"{question.words}: {question.help}", "dim")
        while True:
            try:
                answer = self._answer(service, question, value, works=standing.works)
                if not answer:
                    talk.say(f"✓ {question.words}: {standing.words}", "green")
                    return
                self._take(service, question, answer)
                return
            except FlowError as trouble:
                problems = trouble.problems if isinstance(trouble, InvalidRequest) else None
                text = error_text(
                    trouble.kind, trouble.message, hint=trouble.hint, problems=problems
                )
                talk.say(text, "red")

    def _answer(self, service: SettingUp, question: Question, value: object, *, works: bool) -> str:
        """Return what the person says; '' where what is set works and they keep it."""
        if question.takes is Takes.UNSEEN:
            kept = " [Enter keeps the one that is set]" if works else ""
            while True:
                typed = click.prompt(
                    f"{question.words} (typed unseen){kept}",
                    default="" if works else None, hide_input=True, show_default=False, err=True,
                )  # fmt: skip
                hide(str(typed).strip())
                return str(typed).strip()
        choices = [choice.value for choice in service.choices(question)]
        shown = [choice.words or choice.value for choice in service.choices(question)]
        default = str(value) if value is not None and works else None
        note = ""
        if question.takes is Takes.SSH_KEY:
            there = service.provider.keys.keys() if service.provider.keys is not None else ()
            default = default or suggestions(self.invocation, there) or NEW
            note = f"the path of a public key adds it; {NEW!r} makes a pair"
        elif default is None and len(choices) == 1 and question != REGION:
            default = choices[0]
        optional = works and default is None
        return self._chosen(
            question.words, choices, shown=shown, default=default, note=note, optional=optional
        )

    def _chosen(
        self,
        words: str,
        choices: Sequence[str],
        *,
        shown: Sequence[str] = (),
        default: str | None = None,
        note: str = "",
        optional: bool = False,
    ) -> str:
        talk = self.invocation.talk
        for number, text in enumerate(shown or choices, start=1):
            talk.say(f"  {number}  {text}")
        if note:
            talk.say(f"  {note}", "dim")
        lead = f"{words} [{default or 'Enter for none'}]:" if default or optional else f"{words}:"
        while True:
            typed = talk.prompt(lead) or default or ""
            if typed.isdecimal() and typed not in choices and 1 <= int(typed) <= len(choices):
                return choices[int(typed) - 1]
            if typed or optional:
                return typed


def keep_secrets(
    invocation: Invocation, wizard: Wizard, service: SettingUp, key_file: str | None
) -> dict[str, str]:
    """Keep what is secret, and return where, by name.

    Raises:
        Misconfigured: there is no keyring, and nobody named a file.
    """
    if not service.secrets:
        return {}
    from flow_adapters.wiring import load_settings, local_secrets

    secrets = local_secrets(load_settings(environ=invocation.environ), invocation.environ)
    if key_file is not None:
        secrets = _in_file(invocation, key_file)
    found = {}
    for name, value in service.secrets.items():
        try:
            found[name] = secrets.store(name, value, origin=service.origin)
        except Misconfigured as refusal:
            if not wizard.asks:
                raise
            invocation.talk.say(f"{refusal.message}\n{refusal.hint}", "yellow")
            named = invocation.talk.prompt("Path of a file to keep it in (Enter for nowhere):")
            if not named:
                raise
            wizard.key_file = expanded(named, invocation.environ)
            secrets = _in_file(invocation, named)
            found[name] = secrets.store(name, value, origin=service.origin)
    return found


def _in_file(invocation: Invocation, path: str) -> LocalSecrets:
    return LocalSecrets({}, variables={}, file=expanded(path, invocation.environ))


def _secret(invocation: Invocation, source: str) -> str:
    if source == "stdin":
        text, where = sys.stdin.readline(), "standard input"
    elif source == "env":
        names = find_setting("api_key").environment
        where = " or ".join(names)
        text = next(
            (invocation.environ[name] for name in names if invocation.environ.get(name)), ""
        )
    else:
        path = expanded(source, invocation.environ)
        where = str(path)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest({"api_key": f"{path} can't be read: {error}"}) from error
    words = text.split()
    if len(words) != 1:
        much = "holds more than a key" if words else "holds no key"
        raise InvalidRequest({"api_key": f"{where} {much}"})
    return words[0]


def _short(question: Question) -> str:
    return question.setting.rpartition(".")[2]
