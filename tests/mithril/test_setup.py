"""What Mithril must be told, and how it answers each."""

from __future__ import annotations

import pytest

from flow_core.errors import FlowError, InvalidRequest, Misconfigured, NotAuthorized
from flow_core.services.setup import SettingUp
from tests.mithril.desk import KEY, REGION, URL, Reply, body


def test_it_asks_for_a_key_a_project_and_an_ssh_key(mithril):
    """Nothing is asked of Mithril to know the questions; keys are kept for the API's origin."""
    asked = [question.setting for question in mithril.setup.questions()]

    assert ["api_key", "project", "mithril.ssh_key"] == asked
    assert URL == mithril.setup.origin()


def test_a_key_is_whoever_it_belongs_to(desk, mithril):
    """A key that works says whose it is; one that doesn't is not authorized."""
    assert "Ada (ada@example.com)" == mithril.setup.check("api_key")
    desk.on("GET /v2/me", Reply({"detail": "no"}, 401))
    with pytest.raises(NotAuthorized):
        mithril.setup.check("api_key")


def test_projects_are_chosen_by_name(desk, mithril):
    """Names are offered, ids where a name is shared."""
    one, *_ = body("projects")
    namesake, other = {**one, "fid": "proj_2"}, {**one, "fid": "proj_3", "name": "serving"}
    desk.on("GET /v2/projects", [one, namesake, other])

    assert [
        ("proj_2", "research (proj_2)"),
        (one["fid"], f"research ({one['fid']})"),
        ("serving", ""),
    ] == sorted((each.value, each.words) for each in mithril.setup.choices("project"))


def test_the_only_project_needs_no_answer(desk):
    """Where the key may use one project, that is it; from several none is taken."""
    provider = desk.provider(project=None)

    assert "research, the only one" == provider.setup.check("project")
    several = [*body("projects"), {**body("projects")[0], "fid": "proj_2", "name": "serving"}]
    desk.on("GET /v2/projects", several)
    with pytest.raises(Misconfigured, match="research, serving"):
        desk.provider(project=None).setup.check("project")


def test_a_project_that_is_not_there_is_told(desk):
    """An id is looked up too, though requests would take it as it stands."""
    with pytest.raises(Misconfigured, match="research"):
        desk.provider(project="proj_gone").setup.check("project")


def test_an_ssh_key_is_named(desk, mithril):
    """The answer is what bids would carry; without any key, that is told."""
    assert "laptop" == mithril.setup.check("mithril.ssh_key")
    assert ["laptop"] == [each.value for each in mithril.setup.choices("mithril.ssh_key")]
    desk.on("GET /v2/ssh-keys", [])
    with pytest.raises(InvalidRequest, match="no SSH key"):
        mithril.setup.check("mithril.ssh_key")


def test_other_questions_are_not_its_own(mithril):
    """A setting that it doesn't ask for has no answer."""
    assert () == mithril.setup.choices("api_key")
    with pytest.raises(FlowError):
        mithril.setup.check("colour")


def test_each_answer_is_tried_over_the_api(desk):
    """A wrong key is refused by Mithril and forgotten; with the right one the others are found by their names."""

    def who(request):
        known = request.headers["Authorization"] == f"Bearer {KEY}"
        return body("me") if known else Reply({"detail": "Unauthorized"}, 401)

    def connect(answers):
        return desk.provider(
            find_key=lambda: answers.get("api_key"),
            project=answers.get("project"),
            ssh_keys=[answers[name] for name in ("mithril.ssh_key",) if name in answers],
        )

    desk.on("GET /v2/me", who)
    service = SettingUp(connect)
    key, project, ssh_key, region = service.questions()
    with pytest.raises(NotAuthorized):
        service.take(key, "fkey_wrong")

    assert "Ada (ada@example.com)" == service.take(key, KEY)
    assert "research" == service.take(project, "research")
    assert "laptop" == service.take(ssh_key, "laptop")
    assert service.take(region, REGION).startswith(REGION)
    assert {"project": "research", "mithril.ssh_key": "laptop", "region": REGION} == service.answers
    with pytest.raises(InvalidRequest, match="it has: laptop"):
        service.take(ssh_key, "desk")
