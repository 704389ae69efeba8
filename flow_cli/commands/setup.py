"""`flow setup`: a provider's questions, each answer tried before it is kept; `--check` says how things stand."""

from __future__ import annotations

import click

from flow_adapters.config_files import set_setting
from flow_adapters.key_files import expanded
from flow_adapters.places import shown as shown_path
from flow_adapters.places import user_settings
from flow_adapters.wiring import load_settings
from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.setup_answers import Given, Wizard, keep_secrets
from flow_cli.show.setup import HIDDEN, Answer, setup_json, setup_table
from flow_core.domain.settings import Settings
from flow_core.errors import InvalidRequest
from flow_core.ports.setup import Question, Takes
from flow_core.services.setup import SettingUp, Standing

SPELLED = {
    "provider": "--provider",
    "project": "--project",
    "region": "--region",
    "api_url": "--api-url",
    "api_key": "--api-key-from",
    "ssh_key": "--ssh-key",
}


@click.command(cls=FlowCommand)
@click.option(
    "--check",
    is_flag=True,
    help="Only say what is set, where it comes from, and whether it works.",
)
@click.option(
    "--api-key-from",
    metavar="env|stdin|FILE",
    help="Take the key from its variable, from standard input, or from a file; never from the command line.",
)
@click.option(
    "--key-file",
    metavar="PATH",
    help="Keep the key in this file, which only you can read, instead of the keyring.",
)
@click.option("--project", metavar="NAME", help="The project that tasks belong to.")
@click.option(
    "--ssh-key",
    metavar="NAME|PATH|new",
    help="The key that opens nodes: one the provider knows, a public key to add, or a pair to make now.",
)
@click.option("--region", help="Where tasks go that don't say.")
@click.option("--api-url", metavar="URL", help="Where the provider's API answers.")
@click.option(
    "--set",
    "other",
    metavar="NAME=VALUE",
    multiple=True,
    help="Answer another of the provider's questions; may be repeated.",
)
@click.option(
    "-y", "--yes", is_flag=True, help="Ask nothing: take what is said here and what is set."
)
@pass_invocation
def setup(
    invocation: Invocation, /, check: bool, api_key_from: str | None, key_file: str | None, yes: bool,
    other: tuple[str, ...], **flags: str | None,
) -> int:  # fmt: skip
    """Choose a provider and tell it what it needs: a key, a project, an SSH key, a region.

    Each answer is tried on the provider as it is given. The key goes to the system's keyring, the rest into your file
    of settings, whose comments stay. What a variable sets is not asked for.

    \b
      flow setup
      flow setup --provider mock --yes
      flow setup --check
    """
    invocation.spelled.update(SPELLED)
    settings = load_settings(environ=invocation.environ)
    given = Given.read(
        invocation, api_key_from=api_key_from, other=other,
        named={name: value for name, value in flags.items() if name != "api_url"},
    )  # fmt: skip
    wizard = Wizard(invocation, given, asks=not (yes or check) and invocation.talk.can_ask)
    name = wizard.provider(settings)
    url = flags.get("api_url")
    base: dict[str, str] = {"api_url": url} if url else {}
    service = SettingUp(lambda answers: invocation.provider_with(name, {**base, **answers}))
    if check:
        return _check(invocation, service, settings, name)
    given.refuse_strangers(service.questions(), name)
    wizard.go_through(service, settings)
    written = {"provider": name, **base, **service.answers}
    where = keep_secrets(invocation, wizard, service, key_file)
    if key_file is not None or wizard.key_file is not None:
        written["secrets_file"] = str(
            expanded(key_file, invocation.environ) if key_file is not None else wizard.key_file
        )
    for setting, value in written.items():
        set_setting(user_settings(invocation.environ), setting, value)
    _tell(invocation, service, name, written=written, kept=where)
    return 0


def _tell(
    invocation: Invocation,
    service: SettingUp,
    name: str,
    *,
    written: dict[str, str],
    kept: dict[str, str],
) -> None:
    settings = load_settings(environ=invocation.environ)
    file = shown_path(user_settings(invocation.environ), invocation.environ)
    if invocation.json:
        answers = _answers(invocation, service, settings, name)
        invocation.out.document("setup", _document(invocation, name, answers))
        return
    for place in kept.values():
        invocation.talk.say(f"✓ the key is in {place}", "green")
    invocation.talk.say(f"✓ {name} is set up ({file})", "green")
    for setting in written:
        entry = settings.entries.get(setting)
        if entry is not None and not entry.origin.startswith(file):
            invocation.talk.say(
                f"warning: {entry.origin} outranks the {setting} set here", "yellow"
            )
    url = settings.entries["api_url"]
    if url.value is not None and not url.origin.startswith(file) and "api_url" not in written:
        invocation.talk.say(
            f"note: {url.origin} says where the API is and isn't written down; `--api-url {url.value}` would be",
            "dim",
        )
    invocation.talk.say("Try it: flow submit nvidia-smi")


def _check(invocation: Invocation, service: SettingUp, settings: Settings, name: str) -> int:
    answers = _answers(invocation, service, settings, name)
    if invocation.json:
        invocation.out.document("setup", _document(invocation, name, answers))
    else:
        file = shown_path(user_settings(invocation.environ), invocation.environ)
        invocation.out.show(setup_table(answers, file=file))
    return 0 if all(each.works for each in answers) else 1


def _document(invocation: Invocation, name: str, answers: list[Answer]) -> dict[str, object]:
    return {
        "provider": name,
        "works": all(each.works for each in answers),
        "settings": setup_json(answers),
        "file": str(user_settings(invocation.environ)),
    }


def _answers(
    invocation: Invocation, service: SettingUp, settings: Settings, name: str
) -> list[Answer]:
    entry = settings.entries["provider"]
    origin = "--provider" if invocation.provider is not None else entry.origin
    found = [Answer("provider", "Provider", name, origin, service.provider.name)]
    url = settings.entries["api_url"]
    if url.value is not None and service.origin is not None:
        found.append(Answer("api_url", "API", str(url.value), url.origin, service.origin))
    for question in service.questions():
        set_here = settings.entries.get(question.setting)
        standing = service.standing(question, set_here.value if set_here else None)
        found.append(_answer(invocation, service, settings, question, standing))
    return found


def _answer(
    invocation: Invocation,
    service: SettingUp,
    settings: Settings,
    question: Question,
    standing: Standing,
) -> Answer:
    problem = standing.problem
    says = standing.words
    if isinstance(problem, InvalidRequest):
        says = "; ".join(problem.problems.values())
    elif problem is not None:
        says = problem.message
    if question.takes is Takes.UNSEEN:
        from flow_adapters.wiring import local_secrets

        secrets = local_secrets(settings, invocation.environ)
        origin = secrets.where(question.setting, origin=service.origin) or ""
        value = HIDDEN if origin else ""
    else:
        entry = settings.entries.get(question.setting)
        value = str(entry.value) if entry is not None and entry.value is not None else ""
        origin = entry.origin if entry is not None and value else ""
    hint = problem.hint or "" if problem is not None else ""
    return Answer(question.setting, question.words, value, origin, says, standing.works, hint)
