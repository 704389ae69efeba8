"""Lifecycle scripts: kept and told; nothing runs them, for bids bring their own."""

from __future__ import annotations

from attrs import evolve

from flow_providers.mock.codec import micros
from flow_providers.mock.estate.rows import ScriptRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.paging import Key, page
from flow_providers.mock.http.shapes import one_of, page_of, text, whole
from flow_providers.mock.http.wire import when

PATH = "/v2/lifecycle-scripts"
ONE = PATH + "/{ls_fid}"


def list_scripts(call: Call) -> Response:
    """Return a page of the scripts that a project sees, newest first unless told otherwise."""
    asked = call.query
    project = call.project(asked["project"])
    rows = [
        row for row in call.world.scripts.live() if row.project == project or row.scope != "PROJECT"
    ]
    order = asked["sort_by"] or "created_at"
    shown, cursor = page(
        rows,
        key=_by_change if order == "last_modified_at" else _by_age,
        order=order,
        descending=(asked["sort_dir"] or "desc") == "desc",
        limit=asked["limit"],
        cursor=asked["next_cursor"],
    )
    return ok({"data": [_document(call, row) for row in shown], "next_cursor": cursor})


def create_script(call: Call) -> Response:
    """Keep a script, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    number = call.world.draw()
    row = ScriptRow(
        id=call.world.new_id("ls"),
        number=number,
        project=project,
        name=asked["name"],
        description=asked["description"] or "",
        content=asked["content"],
        scope=asked["scope"],
        created_at=call.now,
        created_by=call.me.id,
        modified_at=call.now,
        modified_by=call.me.id,
    )
    return created(_document(call, call.world.scripts.put(row)))


def show_content(call: Call) -> Response:
    """Return a script's text."""
    return ok(_script(call).content)


def change_script(call: Call) -> Response:
    """Change what is said about a script, never its text."""
    row, asked = _script(call), call.body
    told = {name: asked[name] for name in ("name", "description", "scope")}
    changes = {name: value for name, value in told.items() if value is not None}
    if changes:
        row = evolve(row, **changes, modified_at=call.now, modified_by=call.me.id)
        call.world.scripts.put(row)
    return ok(_document(call, row))


def delete_script(call: Call) -> Response:
    """Forget a script."""
    call.world.scripts.drop(_script(call).id)
    return nothing()


def _script(call: Call) -> ScriptRow:
    fid = call.path["ls_fid"]
    row: ScriptRow = known(call.world.scripts.held(fid), "Lifecycle script", fid)
    if row.scope == "PROJECT" and not call.may_see(row.project):
        raise Refused(404, f"Lifecycle script {fid} not found")
    return row


def _document(call: Call, row: ScriptRow) -> Json:
    return {
        "fid": row.id,
        "name": row.name,
        "description": row.description,
        "content_url": f"{call.base_url}{PATH}/{row.id}/content",
        "project": row.project,
        "created_at": when(row.created_at),
        "created_by": row.created_by,
        "last_modified_at": when(row.modified_at),
        "last_modified_by": row.modified_by,
        "scope": row.scope,
    }


def _by_age(row: ScriptRow) -> Key:
    return (row.number,)


def _by_change(row: ScriptRow) -> Key:
    return (micros(row.modified_at), row.number)


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List lifecycle scripts.", answer=list_scripts,
        replies={200: page_of(models.SCRIPT)}, required=("project",), errors=(404,),
        query={
            "project": text(), "sort_by": one_of("created_at", "last_modified_at"),
            "sort_dir": models.SORT_DIR, "limit": whole(least=1, most=100), "next_cursor": text(),
        },
    ),
    Route(
        method="POST", path=PATH, summary="Keep a lifecycle script.", answer=create_script, changes=True,
        is_create=True, body=models.SCRIPT_ASKED, replies={201: models.SCRIPT}, errors=(404,),
    ),
    Route(
        method="GET", path=ONE + "/content", summary="Read a lifecycle script.", answer=show_content,
        replies={200: models.ANYTHING}, errors=(404,),
    ),
    Route(
        method="PATCH", path=ONE, summary="Rename or describe a lifecycle script.", answer=change_script,
        changes=True, body=models.SCRIPT_CHANGE, replies={200: models.SCRIPT}, errors=(404,),
    ),
    Route(
        method="DELETE", path=ONE, summary="Delete a lifecycle script.", answer=delete_script,
        changes=True, replies={204: None}, errors=(404,),
    ),
)  # fmt: skip
