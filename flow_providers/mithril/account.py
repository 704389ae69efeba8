"""The account, projects and images roles: who we are, where we bid, what we may hold, what nodes boot."""

from __future__ import annotations

from collections.abc import Sequence

from flow_core.domain.kept import BootImage
from flow_core.domain.people import Person
from flow_core.domain.quota import Project, Quota
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client


class MithrilAccount:
    """Implements `ports.account.Account` over /v2/me."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def me(self) -> Person:
        """See `Account.me`."""
        return _person(self._client.read("look up account", wire.Me, "/v2/me"))

    def people(self) -> Sequence[Person]:
        """See `Account.people`; people who have left are among them, since their bids still are."""
        me = self.me()
        team = self._client.listed("list teammates", wire.Me, "/v2/me/teammates")
        found = {me.id: me} | {each.fid: _person(each) for each in team if each.fid != me.id}
        return list(found.values())


class MithrilProjects:
    """Implements `ports.projects.Projects` over /v2/projects and /v2/quotas."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def projects(self) -> Sequence[Project]:
        """See `Projects.projects`."""
        there = [
            Project(id=each.fid, name=each.name or each.fid) for each in self._client.projects()
        ]
        return sorted(there, key=lambda project: (project.name, project.id))

    def current(self) -> Project:
        """See `Projects.current`."""
        chosen = self._client.project
        named = [project for project in self.projects() if project.id == chosen]
        return named[0] if named else Project(id=chosen, name=chosen)

    def quotas(self) -> Sequence[Quota]:
        """See `Projects.quotas`."""
        told = self._client.listed(
            "list quotas", wire.Quota, "/v2/quotas", {"project": self._client.project}
        )
        found = [
            Quota(
                id=each.fid,
                what=each.name or each.product_type,
                total=each.total_quantity,
                used=each.used_quantity,
                unit=each.units,
                type_id=each.instance_type,
            )
            for each in told
        ]
        return sorted(found, key=lambda quota: (quota.what, quota.id))


class MithrilImages:
    """Implements `ports.images.Images` over /v2/image-versions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def images(self) -> Sequence[BootImage]:
        """See `Images.images`."""
        told = self._client.listed("list images", wire.Image, "/v2/image-versions")
        found = [
            BootImage(
                id=each.image_version_fid,
                name=each.image_version_name,
                system=" ".join(filter(None, (each.os, each.kernel))),
                is_default=each.stable,
                regions=tuple(each.supported_regions),
                driver=each.nvidia_driver,
                cuda=each.cuda,
            )
            for each in told
            if each.deactivated_at is None
        ]
        return sorted(found, key=lambda image: (not image.is_default, image.name, image.id))


def _person(told: wire.Me) -> Person:
    by_mail = (told.email or "").partition("@")[0]
    return Person(id=told.fid, name=told.user_name or by_mail or told.fid, email=told.email)
