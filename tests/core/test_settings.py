"""Settings: the later layer wins, each value knows its origin, and a project's file may do little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.money import Price
from flow_core.domain.settings import (
    SETTINGS,
    Kind,
    Layer,
    Scope,
    find_setting,
    plain,
    read,
    resolve,
)
from flow_core.domain.shape import InstanceShape
from flow_core.errors import InvalidRequest, Misconfigured

PLAIN = sorted(
    name for name, each in SETTINGS.items() if each.kind is Kind.TEXT and not each.secret
)
layers = st.lists(
    st.builds(
        Layer,
        st.sampled_from(["a:1", "b:2", "--flag"]),
        st.dictionaries(st.sampled_from(PLAIN), st.sampled_from(["x", "y", "z"])),
        scope=st.sampled_from([Scope.USER, Scope.ENVIRONMENT, Scope.EXPLICIT]),
    )
)


@given(layers)
def test_the_last_layer_that_sets_it_wins(given_layers):
    """Each value and its origin are those of the last layer that has the name, else the default's."""
    settings = resolve(given_layers)
    for name in PLAIN:
        setters = [each for each in given_layers if name in each.values]
        value, origin = (
            (setters[-1].values[name], setters[-1].origin)
            if setters
            else (SETTINGS[name].default, "default")
        )

        assert (value, origin) == (settings.value(name), settings.origin(name))


def test_every_setting_is_there():
    """Without any layer, each known setting has its default, and each default fits its kind."""
    settings = resolve([])

    assert set(SETTINGS) == set(settings.entries)
    assert {"default"} == {each.origin for each in settings.entries.values()}
    for setting in SETTINGS.values():
        assert setting.default is None or setting.default == read(setting, setting.default)


def test_values_are_of_their_kind():
    """Prices, shapes, numbers and truths come as such, from text or from TOML's own types."""
    given_values = {
        "max_price_per_hour": "$12.29",
        "instance_type": "8xh100",
        "mock.rate": "600",
        "mock.instant": "yes",
        "mock.seed": 7,
        "provider": "mock",
    }
    settings = resolve([Layer("f:1", given_values)])

    assert Price(12_290_000) == settings.price("max_price_per_hour")
    assert InstanceShape("h100", 8) == settings.shape("instance_type")
    assert 600.0 == settings.number("mock.rate")
    assert "mock" == settings.text("provider")
    assert settings.text("region") is None
    assert settings.price("provider") is None
    assert {
        "rate": 600.0,
        "instant": True,
        "seed": 7,
        "mood": "calm",
        "mount_links": False,
        "notice_min_real_s": 10.0,
    } == settings.section("mock")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_price_per_hour", "cheap", "not an amount"),
        ("instance_type", "8xa10O", "nearest is '8xa100'"),
        ("mock.rate", -1, "no number of at least 0"),
        ("mock.rate", "fast", "no number"),
        ("mock.rate", True, "no number"),
        ("mock.seed", 1.5, "no whole number"),
        ("mock.seed", "x", "no whole number"),
        ("mock.instant", 2, "neither true nor false"),
        ("api_url", "host", "no URL"),
        ("api_url", "ftp://host", "no URL"),
        ("provider", "", "no text"),
        ("provider", ["mock"], "no text"),
        ("provder", "mock", "nearest is 'provider'"),
        ("max-price-per-hour", 1, "nearest is 'max_price_per_hour'"),
        ("mock.rat", 1, "nearest is 'mock.rate'"),
        ("mok.rate", 1, "nearest is 'mock.rate'"),
    ],
)  # fmt: skip
def test_what_cant_be_is_told_with_its_origin(name, value, text):
    """A value or name that can't be is told in one sentence, with the place that set it."""
    with pytest.raises(Misconfigured) as caught:
        resolve([Layer("~/x.toml", {name: value}, origins={name: "~/x.toml:3"})])

    assert caught.value.message.startswith(f"~/x.toml:3: {name}: ")
    assert text in caught.value.message


def test_all_problems_of_all_layers_come_together():
    """One raise tells everything there is to mend."""
    with pytest.raises(Misconfigured) as caught:
        resolve([Layer("a", {"x_y": 1, "mock.rate": "z"}), Layer("b", {"api_url": "z"})])

    assert 3 == len(caught.value.message.splitlines())


def test_a_projects_file_sets_defaults_of_tasks_alone():
    """Where credentials go, who pays, what is trusted and how much may go is refused there, with the reason."""
    allowed = {"provider", "instance_type", "region"}
    for name in SETTINGS:
        values = {"instance_type": "a100", "api_url": "https://x"}
        layer = Layer("flow.toml:1", {name: values.get(name, "1")}, scope=Scope.PROJECT)
        if name in allowed:
            resolve([layer])
        else:
            with pytest.raises(Misconfigured, match=r"flow.toml:1: .*(project's file|secret)"):
                resolve([layer])


def test_a_secret_is_never_shown():
    """A secret may come from the environment alone, and shows as being set."""
    with pytest.raises(Misconfigured, match="is a secret"):
        resolve([Layer("config.toml:2", {"api_key": "k"}, scope=Scope.USER)])
    settings = resolve([Layer("environment", {"api_key": "k"}, scope=Scope.ENVIRONMENT)])

    assert "k" == settings.value("api_key")
    assert "(set)" == settings.entries["api_key"].shown
    assert resolve([]).entries["api_key"].shown is None


def test_a_plugins_settings_are_kept_as_they_are():
    """A dotted name that begins with nothing of ours is its provider's business, but not in a project's file."""
    settings = resolve([Layer("f:1", {"acme.zone": [1, 2]}, scope=Scope.USER)])

    assert [1, 2] == settings.value("acme.zone")
    assert {"zone": [1, 2]} == settings.section("acme")
    with pytest.raises(Misconfigured):
        resolve([Layer("f:1", {"acme.zone": 1}, scope=Scope.PROJECT)])


def test_a_setting_names_its_variables():
    """FLOW_<NAME> sets it, with dots as underscores, and an older name where there is one."""
    assert ("FLOW_MOCK_RATE",) == find_setting("mock.rate").environment
    assert ("FLOW_API_URL", "MITHRIL_API_URL") == find_setting("api_url").environment
    with pytest.raises(InvalidRequest):
        find_setting("mock.")


@given(st.integers(0, 10**12))
def test_a_plain_value_is_read_back(micros):
    """What is written to a file means the same when it is read."""
    setting = find_setting("max_price_per_hour")

    assert Price(micros) == read(setting, plain(Price(micros)))
