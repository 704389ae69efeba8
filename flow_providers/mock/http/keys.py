"""SSH keys of a project."""

from __future__ import annotations

import base64
import binascii

from attrs import evolve

from flow_core.domain.keys import is_same_key
from flow_providers.mock.estate.rows import SshKeyRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.shapes import many, text
from flow_providers.mock.http.wire import when

PATH = "/v2/ssh-keys"
ONE = PATH + "/{ssh_key_fid}"
_BITS = 2048
_KINDS = ("ssh-", "ecdsa-", "sk-")


def list_keys(call: Call) -> Response:
    """Return a project's keys, oldest first."""
    project = call.project(call.query["project"])
    return ok([_document(row) for row in call.world.ssh_keys.in_group(project)])


def create_key(call: Call) -> Response:
    """Add a key and return it; without a public key a pair is made, whose private half is told this once."""
    asked = call.body
    project = call.project(asked["project"])
    private = None
    public = asked["public_key"]
    if public is not None and not _is_key(public):
        raise Refused(400, "public_key is not a public key as OpenSSH writes it")
    for row in call.world.ssh_keys.in_group(project):
        if row.name == asked["name"] and not (public and is_same_key(row.public_key, public)):
            raise Refused(409, f"SSH key name {asked['name']} already exists")
        if row.name == asked["name"]:
            return created({**_document(row), "private_key": None})
    if public is None:
        private, public = _new_pair()
    number = call.world.draw()
    row = SshKeyRow(
        id=call.world.new_id("sshkey"),
        number=number,
        project=project,
        name=asked["name"],
        public_key=public,
        created_at=call.now,
        required=asked["required"],
    )
    call.world.ssh_keys.put(row)
    return created({**_document(row), "private_key": private})


def change_key(call: Call) -> Response:
    """Have every bid of the project carry a key, or no longer; admins only."""
    row = _key(call)
    if call.me.role != "admin":
        raise Refused(403, "Only an admin can require an SSH key")
    return ok(_document(call.world.ssh_keys.put(evolve(row, required=call.body["required"]))))


def delete_key(call: Call) -> Response:
    """Forget a key that no live bid or reservation carries."""
    row = _key(call)
    owners = [
        *(bid.id for bid in call.world.bids.live() if bid.project == row.project),
        *(each.id for each in call.world.reservations.live() if each.project == row.project),
    ]
    for launch in call.world.launches.find(owners):
        if row.id in launch.keys:
            raise Refused(409, f"SSH key {row.name} is in use by {launch.id}")
    call.world.ssh_keys.drop(row.id)
    return nothing()


def _key(call: Call) -> SshKeyRow:
    fid = call.path["ssh_key_fid"]
    row: SshKeyRow = known(call.world.ssh_keys.held(fid), "SSH key", fid)
    if not call.may_see(row.project):
        raise Refused(404, f"SSH key {fid} not found")
    return row


def _document(row: SshKeyRow) -> Json:
    return {
        "fid": row.id,
        "name": row.name,
        "project": row.project,
        "public_key": row.public_key,
        "created_at": when(row.created_at),
        "required": row.required,
    }


def _is_key(text: str) -> bool:
    """Whether `text` is a kind and a body that repeats it; the rest is a comment."""
    words = text.split()
    if len(words) < 2 or not words[0].startswith(_KINDS):
        return False
    try:
        body = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return False
    name = words[0].encode("utf-8", "replace")
    return body[:4] == len(name).to_bytes(4, "big") and body[4:].startswith(name)


def _new_pair() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode("ascii"), public.decode("ascii")


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List a project's SSH keys.", answer=list_keys,
        replies={200: many(models.SSH_KEY)}, query={"project": text()}, required=("project",),
        errors=(404,),
    ),
    Route(
        method="POST", path=PATH, summary="Add an SSH key.", answer=create_key, changes=True,
        body=models.SSH_KEY_ASKED, replies={201: models.NEW_SSH_KEY},
        errors=(400, 404, 409),
    ),
    Route(
        method="PATCH", path=ONE, summary="Require an SSH key, or not.", answer=change_key, changes=True,
        body=models.SSH_KEY_CHANGE, replies={200: models.SSH_KEY}, errors=(403, 404),
    ),
    Route(
        method="DELETE", path=ONE, summary="Delete an SSH key.", answer=delete_key, changes=True,
        replies={204: None}, errors=(404, 409),
    ),
)  # fmt: skip
