"""Settings in files: found, read with their lines, refused with their lines, and changed with care."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters import places
from flow_adapters.config_files import (
    environment_layer,
    file_layer,
    load_settings,
    project_file,
    set_setting,
)
from flow_adapters.files import write_whole
from flow_core.domain.settings import Layer, Scope
from flow_core.errors import InvalidRequest, Misconfigured, NoRoom


@pytest.fixture
def home(tmp_path):
    """A user's home."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def environ(home):
    """The environment of a user whose settings lie in their home."""
    return {"HOME": str(home), "FLOW_CONFIG_DIR": str(home / "conf")}


def written(path: Path, text: str) -> Path:
    """The path of a file that now holds `text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_every_place_has_its_turn(home, environ):
    """The command outranks the environment, that the project's file, that the user's file, that the defaults."""
    cwd = home / "code" / "deep"
    written(
        home / "conf" / "config.toml",
        '# mine\nprovider = "a"\nregion = "a"\n\n[mock]\nseed = 5\nrate = 9\n',
    )
    written(
        home / "code" / "flow.toml", '\nregion = "b"\nprovider = "b"\ninstance_type = "8xh100"\n'
    )
    cwd.mkdir()
    settings = load_settings(
        {**environ, "FLOW_PROVIDER": "c", "FLOW_REGION": "c", "FLOW_MOCK_SEED": ""},
        cwd=cwd,
        explicit=[Layer("--provider", {"provider": "d"})],
    )
    found = {
        name: (settings.value(name), settings.origin(name))
        for name in ("provider", "region", "mock.seed", "mock.rate", "mock.instant")
    }

    assert found == {
        "provider": ("d", "--provider"),
        "region": ("c", "environment FLOW_REGION"),
        "mock.seed": (5, "~/conf/config.toml:6"),
        "mock.rate": (9.0, "~/conf/config.toml:7"),
        "mock.instant": (False, "default"),
    }
    assert "~/code/flow.toml:4" == settings.origin("instance_type")


def test_nothing_set_is_no_trouble(home, environ):
    """Without files and variables there are the defaults."""
    assert {"default"} == {
        each.origin for each in load_settings(environ, cwd=home).entries.values()
    }


def test_the_search_ends_at_the_repository(home, environ):
    """A project's file counts up to the folder with .git, not above, and the nearest is taken."""
    outer = written(home / "flow.toml", "")
    inner = home / "repo" / "sub"
    inner.mkdir(parents=True)

    assert outer == project_file(inner, environ)
    (home / "repo" / ".git").mkdir()
    assert project_file(inner, environ) is None
    nearest = written(home / "repo" / "flow.toml", "")
    assert nearest == project_file(inner, environ)
    assert outer == project_file(home, environ)


def test_the_search_ends_at_home(tmp_path, home, environ):
    """What lies above the user's home is nobody's project."""
    written(tmp_path / "flow.toml", "")

    assert project_file(home, environ) is None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
def test_a_strangers_file_above_counts_for_nothing(tmp_path, environ):
    """A file of another user in a shared folder above sets nothing; one goes into its folder knowingly."""
    inner = tmp_path / "shared" / "mine"
    inner.mkdir(parents=True)
    planted = written(tmp_path / "shared" / "flow.toml", 'provider = "evil"')
    os.chown(planted, 4242, 4242)

    assert project_file(inner, environ) is None
    assert planted == project_file(tmp_path / "shared", environ)


@pytest.mark.parametrize(
    "name", ["api_url", "ssh_key", "api_key", "project", "max_price_per_hour", "mock.rate"]
)
def test_a_projects_file_is_refused_with_its_line(home, environ, name):
    """What a clone must not decide is refused, naming file and line."""
    written(home / "flow.toml", f'region = "x"\n\n{name} = "https://evil"\n')
    with pytest.raises(Misconfigured, match=r"~/flow.toml:3: "):
        load_settings(environ, cwd=home)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('provider = "a"\nregion = x\n', "config.toml:2:10: invalid value"),
        ('provider = "a\n', "config.toml:1:"),
        ("[mock\n", "config.toml:1:"),
        ("a = 1\na = 2\n", "config.toml:2:"),
        ('x = """\n', "config.toml:2:1: "),
    ],
)
def test_a_broken_file_tells_line_and_column(home, environ, text, place):
    """What isn't TOML is told with its place, and nothing is guessed."""
    written(home / "conf" / "config.toml", text)
    with pytest.raises(Misconfigured) as caught:
        load_settings(environ, cwd=home)

    assert f"~/conf/{place}" in caught.value.message


def test_bytes_that_are_no_text_tell_their_line(home, environ):
    """A file in another encoding is refused with the line that shows it; a byte order mark is not minded."""
    path = home / "conf" / "config.toml"
    path.parent.mkdir()
    path.write_bytes(b"\n\nregion = 'caf\xe9'\n")
    with pytest.raises(Misconfigured, match=r"config.toml:3: .*UTF-8"):
        load_settings(environ, cwd=home)
    path.write_bytes(b"\xef\xbb\xbfregion = 'x'\n")

    assert "~/conf/config.toml:1" == load_settings(environ, cwd=home).origin("region")


def test_a_folder_is_no_file(home, environ):
    """A file of settings that can't be read is named."""
    (home / "conf" / "config.toml").mkdir(parents=True)
    with pytest.raises(Misconfigured, match=r"~/conf/config.toml can't be read"):
        load_settings(environ, cwd=home)


@pytest.mark.parametrize(
    "text",
    [
        "\nmock.rate = 5",
        "[mock]\nrate = 5",
        "\n'mock' . \"rate\" = 5",
        "# [other]\n mock  .rate=5 # five",
        "region = 'x'\nmock = {rate = 5}",
    ],
)
def test_lines_are_found_in_any_spelling(home, environ, text):
    """Tables, dots, quotes and spaces lead to the same name, and to the line where one can be told."""
    layer = file_layer(written(home / "f.toml", text), Scope.USER, environ)

    assert 5 == layer.values["mock.rate"]
    assert layer.origin_of("mock.rate") in ("~/f.toml:2", "~/f.toml")


def test_the_first_variable_counts_most():
    """Flow's own variable outranks the provider's; an empty one sets nothing."""
    both = {"MITHRIL_PROJECT": "m", "FLOW_PROJECT": "f"}

    assert "f" == environment_layer(both).values["project"]
    assert "environment MITHRIL_PROJECT" == environment_layer(
        {**both, "FLOW_PROJECT": ""}
    ).origin_of("project")


def test_comments_stay(home):
    """Setting one thing changes that thing alone."""
    path = written(
        home / "c.toml", '# mine\nprovider = "a"  # why not\n\n[mock]\n# slow\nrate = 5\n'
    )
    path.chmod(0o640)
    set_setting(path, "mock.rate", "600")
    set_setting(path, "region", "east")
    set_setting(path, "max_price_per_hour", "$12.29")

    text = path.read_text()
    assert all(part in text for part in ("# mine\n", '"a"  # why not', "# slow\n"))
    assert {
        "provider": "a",
        "region": "east",
        "max_price_per_hour": 12.29,
        "mock.rate": 600.0,
    } == dict(file_layer(path, Scope.USER, {}).values)
    assert 0o640 == stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners_alone(home):
    """The first setting makes folder and file, readable by nobody else."""
    path = home / "new" / "config.toml"
    set_setting(path, "provider", "mock")

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    assert ["config.toml"] == [each.name for each in path.parent.iterdir()]


def test_a_setting_can_be_taken_out(home):
    """None removes a setting, and removing what isn't there changes nothing."""
    path = written(home / "c.toml", 'region = "x"\nprovider = "a"\n')
    set_setting(path, "region", None)
    set_setting(path, "mock.rate", None)
    set_setting(path, "region", None)

    assert {"provider": "a"} == dict(file_layer(path, Scope.USER, {}).values)


def test_a_link_stays_a_link(home):
    """A file of settings that is kept elsewhere is changed there."""
    target = written(home / "dotfiles" / "flow.toml", "")
    link = home / "config.toml"
    link.symlink_to(target)
    set_setting(link, "provider", "mock")

    assert link.is_symlink()
    assert 'provider = "mock"\n' == target.read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [("provder", "x"), ("mock.rate", "x"), ("api_key", "k"), ("instance_type", "8xq")],
)
def test_what_cant_be_set_is_not_written(home, name, value):
    """An unknown name, a value that can't be and a secret leave no file."""
    with pytest.raises(InvalidRequest):
        set_setting(home / "c.toml", name, value)

    assert [] == list(home.iterdir())


def test_a_broken_file_is_not_overwritten(home):
    """A file that isn't TOML, or has a value where a table is needed, stays as it is."""
    for text in ("a = \n", "mock = 3\n"):
        path = written(home / "c.toml", text)
        with pytest.raises(Misconfigured):
            set_setting(path, "mock.rate", 5)

        assert text == path.read_text()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["provider", "region", "mock.rate", "mock.seed", "acme.zone"]),
            st.none() | st.integers(0, 99),
        ),
        max_size=5,
    )
)
def test_a_file_holds_what_was_set_last(tmp_path_factory, changes):
    """After any changes the file holds each name's last value."""
    path = written(tmp_path_factory.mktemp("c") / "c.toml", "# top\n[acme]\nother = 1 # kept\n")
    expected: dict[str, object] = {"acme.other": 1}
    for name, value in changes:
        set_setting(path, name, value)
        meant = str(value) if name in ("provider", "region") and value is not None else value
        expected = {**expected, name: meant}
    expected = {name: value for name, value in expected.items() if value is not None}
    kept = dict(file_layer(path, Scope.USER, {}).values)

    assert expected == kept
    assert "1 # kept" in path.read_text()


def test_a_full_disk_leaves_the_old_file():
    """Where nothing more can be written, the old text stays and no other file does."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises((NoRoom, Misconfigured)):
        write_whole(full / "x", b"y")


def test_places_follow_their_variables(tmp_path):
    """Named folders are taken as they are; the others are the platform's."""
    environ = {
        "FLOW_CONFIG_DIR": str(tmp_path / "c"),
        "FLOW_STATE_DIR": str(tmp_path / "s"),
        "HOME": str(tmp_path),
    }

    assert tmp_path / "c" / "config.toml" == places.user_settings(environ)
    assert tmp_path / "s" == places.state_dir(environ)
    assert tmp_path / "s" / "cache" == places.cache_dir(environ)
    assert {"flow"} == {
        places.config_dir({}).name,
        places.state_dir({}).name,
        places.cache_dir({}).name,
    }
    assert 0o700 == stat.S_IMODE(places.made(tmp_path / "a" / "b").stat().st_mode)
    written(tmp_path / "file", "")
    with pytest.raises(Misconfigured):
        places.made(tmp_path / "file" / "b")
    assert "~/a" == places.shown(tmp_path / "a", environ)
    assert "/elsewhere" == places.shown(Path("/elsewhere"), environ)
