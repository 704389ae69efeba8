"""`flow upload`: the code as it is now, to a task's nodes."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand, yes_option
from flow_cli.completing import task_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.copies import uploaded_text
from flow_cli.sizing import with_size_agreed
from flow_core.services.uploading import Uploaded


@click.command(cls=FlowCommand)
@click.argument("task", metavar="TASK", shell_complete=task_names)
@click.argument("folder", metavar="[FOLDER]", required=False, default=None)
@yes_option("Upload more than 500 MB")
@pass_invocation
def upload(invocation: Invocation, task: str, folder: str | None, yes: bool) -> None:
    """Bring the code as it is now to all nodes of TASK; only what changed is sent.

    FOLDER is the one that the task's code came from unless you name another. A command that runs is not started
    again. Where the nodes still wait for their files, because the machine that brought them was shut or killed,
    this completes the delivery, with the secrets that this shell knows.

    \b
      flow upload train
      flow upload train ~/src/model
    """
    session = invocation.session()

    def brought() -> Uploaded:
        with invocation.talk.waiting() as wait:
            wait.tell("Uploading")
            return session.uploading.upload(task, folder=folder)

    done = with_size_agreed(invocation, session, brought, yes=yes)
    if invocation.json:
        payload = {
            "task": done.record.name,
            "digest": done.bundle.digest,
            "files": done.bundle.files,
            "bytes": done.bundle.bytes,
            "changed": done.is_new,
            "completed": done.completed,
            "nodes": list(done.ranks),
        }
        invocation.out.document("upload", payload)
        return
    text = uploaded_text(
        done.record.name,
        done.bundle.files,
        done.bundle.bytes,
        done.ranks,
        is_new=done.is_new,
        completed=done.completed,
    )
    invocation.talk.say(text, "green")
