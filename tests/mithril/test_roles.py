"""The smaller roles: volumes, people, projects, quotas, images, keys and the history of prices."""

from __future__ import annotations

import pytest

from flow_core.domain.keys import is_same_key
from flow_core.domain.money import Price
from flow_core.domain.volume import Interface
from flow_core.errors import InUse, InvalidRequest, Misconfigured, NameTaken, NotFound, Transient
from flow_providers.mithril.encoding import when
from tests.mithril.desk import PROJECT, REGION, TYPE, Reply, body

VOLUMES = "GET /v2/volumes"
KEYS = "GET /v2/ssh-keys"
SINCE, UNTIL = when("2026-03-01T07:00:00Z"), when("2026-03-01T12:00:00Z")


def create(provider, name="models", **changes):
    """Ask for a volume."""
    values = {"region": REGION, "capacity_gb": 2000, "interface": Interface.FILE, **changes}
    return provider.volumes.create(name, **values)


def test_volumes_are_listed_without_deleted_ones(desk, mithril):
    """Volumes come oldest first, those deleted left out, each with the bids that use it."""
    desk.on(VOLUMES, body("volumes"))
    scratch, models = mithril.volumes.volumes()

    assert ["scratch", "models"] == [scratch.name, models.name]
    assert (Interface.BLOCK, Interface.FILE) == (scratch.interface, models.interface)
    assert ("bid_Ab3dE5gH7jK9mN1p",) == models.attached_to


def test_a_volume_is_asked_for_in_mithril_s_words(desk, mithril):
    """A request names size and interface otherwise than the answer does."""
    desk.on("POST /v2/volumes", Reply(body("volumes")[0], 201))
    volume = create(mithril)

    assert {
        "name": "models",
        "project": PROJECT,
        "region": REGION,
        "disk_interface": "File",
        "size_gb": 2000,
    } == desk.sent("POST /v2/volumes")
    assert 2000 == volume.capacity_gb


def test_all_that_is_wrong_with_a_volume_is_told_at_once(desk, mithril):
    """Name, size and region are checked together, before anything is sent, and the regions there are are named."""
    with pytest.raises(InvalidRequest) as caught:
        create(mithril, "Models", capacity_gb=0, region="nowhere")

    assert {"name", "size", "region"} == set(caught.value.problems)
    assert REGION in caught.value.problems["region"]
    assert [] == desk.asked_for("POST /v2/volumes")


@pytest.mark.parametrize(
    "answer, kind",
    [
        (Reply({"detail": "exists"}, 409), NameTaken),
        (Reply({"detail": "boom"}, 500), Transient),
        (Reply(body("validation_error"), 422), InvalidRequest),
    ],
)
def test_a_refused_volume_is_a_kind(desk, mithril, answer, kind):
    """A name that is taken, no answer, and a request that is wrong are told apart; none is sent twice."""
    desk.on("POST /v2/volumes", answer)

    with pytest.raises(kind):
        create(mithril)

    assert 1 == len(desk.asked_for("POST /v2/volumes"))


@pytest.mark.parametrize(
    "status, words",
    [(409, "conflict"), (400, "Volume is in use"), (400, "can not do that"), (422, "no")],
)
def test_a_volume_in_use_is_told_by_the_list(desk, mithril, status, words):
    """Whatever status Mithril refuses a deletion with, a volume with users is in use."""
    desk.on(VOLUMES, body("volumes"))
    desk.on("DELETE /v2/volumes/vol_7Qm2Xc4Lr9Tn1BvK", Reply({"detail": words}, status))

    with pytest.raises(InUse):
        mithril.volumes.delete("vol_7Qm2Xc4Lr9Tn1BvK")


def test_deleting_what_isn_t_there_does_nothing(desk, mithril):
    """A volume or key that is gone, or an id that can't be one, is deleted already."""
    for wrong in ("vol_nobody", "../projects"):
        mithril.volumes.delete(wrong)
        mithril.keys.delete(wrong)


def test_we_are_among_the_people_once(desk, mithril):
    """Teammates and ourselves, each once, each with a name to show."""
    desk.on("GET /v2/me/teammates", body("teammates"))

    assert [("user_Ty6Ui7Op8As9Df0G", "Ada"), ("user_Bo1Ri2Su3Vi4An5C", "boris")] == [
        (person.id, person.name) for person in mithril.account.people()
    ]


def test_quotas_and_images_are_listed(desk, mithril):
    """Quotas say what is left; images that are offered no more are left out."""
    desk.on("GET /v2/quotas", body("quotas"))
    desk.on("GET /v2/image-versions", body("image_versions"))
    (quota,) = mithril.projects.quotas()
    (image,) = mithril.images.images()

    assert (12, TYPE) == (quota.left, quota.type_id)
    assert (True, "ubuntu-22.04-b") == (image.is_default, image.name)


@pytest.mark.parametrize("wanted", [PROJECT, "research", None])
def test_a_project_is_chosen_by_id_or_name_or_being_the_only_one(desk, wanted):
    """The only project need not be named."""
    desk.on(VOLUMES, [])
    provider = desk.provider(project=wanted)
    provider.volumes.volumes()

    assert PROJECT == desk.asked_for(VOLUMES)[0].url.params["project"]
    assert "research" == provider.projects.current().name


def test_a_project_is_never_guessed(desk):
    """Of several projects none is taken unasked, and an unknown name is no project; both say what there is."""
    both = [*body("projects"), {"fid": "proj_2", "name": "other", "created_at": "2026-01-01"}]
    desk.on("GET /v2/projects", both)
    for wanted in (None, "typo"):
        with pytest.raises(Misconfigured, match="other, research"):
            desk.provider(project=wanted).volumes.volumes()


def test_a_pair_that_mithril_made_is_told_once(desk, mithril):
    """Without a public key Mithril makes a pair; the private half is returned and in no repr."""
    desk.on("POST /v2/ssh-keys", Reply(body("created_ssh_key"), 201))
    made = mithril.keys.add("made")

    assert "PRIVATE KEY" in (made.private_key or "")
    assert "PRIVATE KEY" not in repr(made)
    assert {"project": PROJECT, "name": "made"} == desk.sent("POST /v2/ssh-keys")


def test_the_same_key_is_not_added_twice(desk, mithril):
    """A key that is there under its name is returned, whatever its comment; another one under that name is refused."""
    there = body("ssh_keys")[0]["public_key"]
    same = " ".join(there.split()[:2]) + " else@where"

    assert "laptop" == mithril.keys.add("laptop", public_key=same).key.name
    assert [] == desk.asked_for("POST /v2/ssh-keys")
    with pytest.raises(NameTaken):
        mithril.keys.add("laptop", public_key="ssh-ed25519 AAAAother")


def test_a_key_in_use_stays(desk, mithril):
    """A key that can't be deleted while it is there is in use."""
    desk.on("DELETE /v2/ssh-keys/sshkey_Kp3Vd8Wz5Ys0HjRf", Reply({"detail": "active bids"}, 400))

    with pytest.raises(InUse):
        mithril.keys.delete("sshkey_Kp3Vd8Wz5Ys0HjRf")


def keys(*names, required=()):
    """So many keys as Mithril lists them."""
    return [
        {**body("ssh_keys")[0], "fid": f"sshkey_{name}", "name": name,
         "public_key": f"ssh-ed25519 AAAA{name} x", "required": name in required}
        for name in names
    ]  # fmt: skip


@pytest.mark.parametrize(
    "there, chosen, local, carried",
    [
        (keys("a"), (), (), ["a"]),
        (keys("a", "b"), ("b",), (), ["b"]),
        (keys("a", "b"), ("sshkey_b", "a"), (), ["b", "a"]),
        (keys("a", "b"), (), ("ssh-ed25519 AAAAb mine",), ["b"]),
        (keys("a", "b"), ("a",), ("ssh-ed25519 AAAAb mine",), ["a"]),
        (keys("a", "b", required=["b"]), ("a",), (), ["a", "b"]),
        (keys("a", "b", required=["b"]), (), (), ["b"]),
    ],
)
def test_a_bid_carries_a_key_that_opens(desk, there, chosen, local, carried):
    """Keys asked for, else those of this machine, else the only one; required ones always."""
    desk.on(KEYS, there)
    provider = desk.provider(ssh_keys=chosen, local_keys=lambda: local)

    assert tuple(f"sshkey_{name}" for name in carried) == provider.keys.for_bid()


@pytest.mark.parametrize("there, chosen", [([], ()), (keys("a", "b"), ()), (keys("a"), ("typo",))])
def test_a_bid_without_a_sure_key_is_refused(desk, there, chosen):
    """No key, one of several, and a name that isn't there are told before a bid is placed."""
    desk.on(KEYS, there)

    with pytest.raises(InvalidRequest, match="SSH key"):
        desk.provider(ssh_keys=chosen).keys.for_bid()


def test_comments_don_t_tell_keys_apart():
    """A key is its type and its body."""
    assert is_same_key("ssh-rsa AAAA one", "ssh-rsa  AAAA")
    assert not is_same_key("ssh-rsa AAAA", "ssh-rsa AAAB")
    assert not is_same_key("", "")


def test_the_history_of_prices_is_read_whatever_its_form(desk, mithril):
    """Prices with and without a dollar sign count, samples without one don't; points come in order of time."""
    desk.on("GET /v2/pricing/history", body("price_history"))
    points = mithril.catalog.history(TYPE, region=REGION, since=SINCE, until=UNTIL)

    assert [Price.parse("9.50"), Price.parse("10.25")] == [point.price for point in points]
    assert {(TYPE, REGION)} == {(point.type_id, point.region) for point in points}
    assert "2026-03-01T07:00:00Z" == desk.asked[-1].url.params["start_time"]


def test_a_market_that_isn_t_there_has_no_history(desk, mithril):
    """Nothing told of a market that isn't listed means that there is none; of one that is, that it is quiet."""
    desk.on("GET /v2/pricing/history", {"series": [], "complete": True})

    assert [] == mithril.catalog.history(TYPE, region=REGION, since=SINCE, until=UNTIL)
    with pytest.raises(NotFound):
        mithril.catalog.history("it_nobody", region=REGION, since=SINCE, until=UNTIL)
