"""`flow image`: the systems that nodes boot."""

from __future__ import annotations

import click

from flow_cli.command import FlowSubgroup
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.kept import image_json, image_table
from flow_core.services.kept import Kept


@click.group(cls=FlowSubgroup)
def image() -> None:
    """The systems that nodes boot, on providers whose nodes are machines."""


@image.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List boot images, the default first.

    On Mithril, `flow config set mithril.image_version ID` has later nodes boot another.
    """
    images = Kept(invocation.session().provider).images()
    if invocation.json:
        invocation.out.document("image-list", {"images": image_json(images)})
    else:
        invocation.out.show(image_table(images))
