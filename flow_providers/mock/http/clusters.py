"""Kubernetes clusters as state only: they become available after a while, and nothing runs."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from flow_providers.mock.estate.rows import ClusterRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.launching import ssh_keys
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.shapes import many, text
from flow_providers.mock.http.wire import when, when_known

PATH = "/v2/kubernetes/clusters"
ONE = PATH + "/{cluster_fid}"
#: How long a cluster is Pending; invented.
SETUP = timedelta(minutes=10)


def list_clusters(call: Call) -> Response:
    """Return a project's clusters, oldest first; deleted ones are left out."""
    project = call.project(call.query["project"])
    rows = call.world.clusters.in_group(project)
    return ok([_document(call, row) for row in rows if row.deleted_at is None])


def create_cluster(call: Call) -> Response:
    """Begin a cluster, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    keys = ssh_keys(call, asked["ssh_keys"], project=project)
    number = call.world.draw()
    row = ClusterRow(
        id=call.world.new_id("clust"),
        number=number,
        project=project,
        owner=call.me.id,
        name=asked["name"],
        region=market.region,
        type_id=market.type_id,
        version=asked["k8s_version"],
        keys=keys,
        created_at=call.now,
        image=asked["image_version"],
    )
    return created(_document(call, call.world.clusters.put(row)))


def show_cluster(call: Call) -> Response:
    """Return one cluster, deleted or not."""
    return ok(_document(call, _cluster(call)))


def delete_cluster(call: Call) -> Response:
    """End a cluster; one that has ended stays as it is."""
    row = _cluster(call)
    if row.deleted_at is None:
        call.world.clusters.put(evolve(row, deleted_at=call.now))
    return nothing()


def _cluster(call: Call) -> ClusterRow:
    fid = call.path["cluster_fid"]
    row: ClusterRow = known(call.world.clusters.held(fid), "Kubernetes cluster", fid)
    if not call.may_see(row.project):
        raise Refused(404, f"Kubernetes cluster {fid} not found")
    return row


def _document(call: Call, row: ClusterRow) -> Json:
    is_up = row.deleted_at is None and call.now >= row.created_at + SETUP
    status = "Terminated" if row.deleted_at is not None else "Available" if is_up else "Pending"
    bids = [bid.id for bid in call.world.bids.live() if bid.project == row.project]
    members = {each.id for each in call.world.launches.find(bids) if each.cluster == row.id}
    host = f"{row.id.replace('_', '-').lower()}.example.com"
    return {
        "fid": row.id,
        "project": row.project,
        "name": row.name,
        "region": row.region,
        "created_at": when(row.created_at),
        "kube_host": host if is_up else None,
        "ssh_keys": list(row.keys),
        "instances": [
            node.id for bid in sorted(members) for node in call.world.nodes.in_group(bid)
        ],
        "join_command": f"kubeadm join {host}:6443" if is_up else None,
        "status": status,
        "deleted_at": when_known(row.deleted_at),
        "k8s_version": row.version,
        "user_fid": row.owner,
    }


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List a project's clusters.", answer=list_clusters,
        replies={200: many(models.CLUSTER)}, query={"project": text()}, required=("project",),
        errors=(404,),
    ),
    Route(
        method="POST", path=PATH, summary="Make a cluster.", answer=create_cluster, changes=True,
        is_create=True, body=models.CLUSTER_ASKED, replies={201: models.CLUSTER}, errors=(404,),
    ),
    Route(
        method="GET", path=ONE, summary="Read a cluster.", answer=show_cluster,
        replies={200: models.CLUSTER}, errors=(404,),
    ),
    Route(
        method="DELETE", path=ONE, summary="Delete a cluster.", answer=delete_cluster, changes=True,
        replies={204: None}, errors=(404,),
    ),
)  # fmt: skip
