"""Who asks, what is open to them, how much they may hold, and their API keys."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from flow_providers.mock.estate import people
from flow_providers.mock.estate.rows import ApiKeyRow, PersonRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.shapes import many, text
from flow_providers.mock.http.wire import when, when_known
from flow_providers.mock.rounds import held_of_type
from flow_providers.mock.volumes import STORAGE, storage_quota_gb, stored_gb

#: The longest name of an API key, and its longest life. Source: contract, sections 1 and 2.
LONGEST_NAME, LONGEST_LIFE = 59, timedelta(days=366)


def show_me(call: Call) -> Response:
    """Return whoever asks."""
    me = call.me
    return ok(
        {
            "id": people.long_id(me.id),
            "fid": me.id,
            "email": me.email,
            "user_name": me.name,
            "organization_id": people.organization(call.world),
            "organization_role": me.role,
        }
    )


def list_teammates(call: Call) -> Response:
    """Return everyone who shares a project with whoever asks; to an admin, everyone."""
    found = people.people(call.world)
    if call.me.role != "admin":
        mine = set(call.projects)
        found = [each for each in found if mine & set(people.open_to(call.world, each))]
    return ok([_teammate(call, each) for each in found])


def list_projects(call: Call) -> Response:
    """Return the projects that are open to whoever asks."""
    return ok(
        [
            {"fid": each.id, "name": each.name, "created_at": when(each.created_at)}
            for each in people.projects(call.world)
            if call.may_see(each.id)
        ]
    )


def list_api_keys(call: Call) -> Response:
    """Return one's own API keys, revoked ones too."""
    return ok([_key(each) for each in people.api_keys(call.world, call.me.id)])


def create_api_key(call: Call) -> Response:
    """Make an API key, and return it with its secret, this once."""
    name, expires_at = call.body["name"], call.body["expires_at"]
    if len(name) > LONGEST_NAME:
        raise Refused(400, "API key name must be less than 60 characters")
    if not call.now < expires_at <= call.now + LONGEST_LIFE:
        raise Refused(400, "expires_at must lie between now and a year from now")
    row, secret = people.add_key(call.world, call.me.id, name, now=call.now, expires_at=expires_at)
    return created({**_key(row), "secret": secret})


def revoke_api_key(call: Call) -> Response:
    """End an API key; one that has ended stays as it is."""
    fid = call.path["key_fid"]
    for row in people.api_keys(call.world, call.me.id):
        if row.id == fid:
            if row.deactivated_at is None:
                call.world.api_keys.put(evolve(row, deactivated_at=call.now))
            return nothing()
    raise Refused(404, f"API key {fid} not found")


def list_quotas(call: Call) -> Response:
    """Return what a project may hold: instances of each type, and storage."""
    return ok(_quotas(call, call.project(call.query["project"])))


def list_organization_quotas(call: Call) -> Response:
    """Return what every open project of the organization may hold."""
    if call.path["organization_id"] != people.organization(call.world):
        raise Refused(404, f"Organization {call.path['organization_id']} not found")
    return ok([row for project in call.projects for row in _quotas(call, project)])


def _quotas(call: Call, project: str) -> list[Json]:
    world, found = call.world, []
    for market in world.markets.live():
        quota = world.quotas.held(market.type_name)
        found.append(
            {
                "fid": f"quota_{market.id.removeprefix('auc_')}",
                "project": project,
                "instance_type": market.type_id,
                "product_type": "Spot",
                "total_quantity": quota.most if quota is not None else market.capacity,
                "used_quantity": held_of_type(world, market.type_name, project),
                "units": "instances",
                "name": f"{market.type_name} in {market.region}",
            }
        )
    storage = {
        "fid": "quota_storage",
        "project": project,
        "instance_type": None,
        "product_type": STORAGE,
        "total_quantity": storage_quota_gb(world),
        "used_quantity": stored_gb(world, project),
        "units": "GB",
        "name": STORAGE,
    }
    return [*found, storage]


def _teammate(call: Call, who: PersonRow) -> Json:
    mine = set(call.projects)
    return {
        "id": people.long_id(who.id),
        "fid": who.id,
        "user_name": who.name,
        "email": who.email,
        "organization_role": who.role,
        "project_ids": [each for each in people.open_to(call.world, who) if each in mine],
        "deactivated_at": when_known(who.deactivated_at),
    }


def _key(row: ApiKeyRow) -> Json:
    return {
        "fid": row.id,
        "name": row.name,
        "created_at": when(row.created_at),
        "expires_at": when(row.expires_at),
        "deactivated_at": when_known(row.deactivated_at),
        "snippet": row.snippet,
    }


ROUTES = (
    Route(
        method="GET", path="/v2/me", summary="Read who asks.", answer=show_me, method_name="people",
        replies={200: models.ME},
    ),
    Route(
        method="GET", path="/v2/me/teammates", summary="List people one shares a project with.",
        answer=list_teammates, method_name="people", replies={200: many(models.TEAMMATE)},
    ),
    Route(
        method="GET", path="/v2/projects", summary="List projects.", answer=list_projects,
        replies={200: many(models.PROJECT)},
    ),
    Route(
        method="GET", path="/v2/api-keys", summary="List one's API keys.", answer=list_api_keys,
        replies={200: many(models.API_KEY)},
    ),
    Route(
        method="POST", path="/v2/api-keys", summary="Make an API key.", answer=create_api_key,
        changes=True, body=models.API_KEY_ASKED, replies={201: models.NEW_API_KEY},
        errors=(400,),
    ),
    Route(
        method="DELETE", path="/v2/api-keys/{key_fid}", summary="Revoke an API key.",
        answer=revoke_api_key, changes=True, replies={204: None}, errors=(404,),
    ),
    Route(
        method="GET", path="/v2/quotas", summary="List a project's quotas.", answer=list_quotas,
        replies={200: many(models.QUOTA)}, query={"project": text()}, required=("project",),
        errors=(404,),
    ),
    Route(
        method="GET", path="/v2/organizations/{organization_id}/quotas",
        summary="List the organization's quotas.", answer=list_organization_quotas,
        replies={200: many(models.QUOTA)}, errors=(404,), beyond=True,
    ),
)  # fmt: skip
