"""Plug-ins: found from real files of installed distributions, and harmless when broken."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from flow_adapters import discovery
from flow_core.errors import Misconfigured


@pytest.fixture
def site(tmp_path):
    """A folder on the path into which distributions can be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def install(site, name: str, entry_points: str, **modules: str) -> None:
    """Put a distribution into a folder, as an installer does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)


def test_a_plugin_is_found_and_loaded(site):
    """A provider that another distribution brings is listed with ours, and connects."""
    install(
        site, "acme_flow", "[console_scripts]\nacme = x:y\n\n[flow.providers]\nacme = acme_flow:Acme.connect\n",
        acme_flow="class Acme:\n    @staticmethod\n    def connect(context):\n        return ('acme', context)\n",
    )  # fmt: skip

    assert ["acme", "mock"] == [
        name for name in discovery.provider_names() if name in ("acme", "mock")
    ]
    assert ("acme", "here") == discovery.load("acme")("here")
    assert "acme_flow-1.0" == discovery.plugins(discovery.PROVIDERS)["acme"].distribution


def test_finding_imports_nothing(site):
    """Listing plug-ins runs none of their code."""
    install(
        site,
        "acme_bomb",
        "[flow.providers]\nbomb = acme_bomb:connect\n",
        acme_bomb="raise SystemExit('boom')",
    )

    assert "bomb" in discovery.provider_names()
    assert "acme_bomb" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import acme_not_there", "ModuleNotFoundError: No module named 'acme_not_there'"),
        ("x = (", "SyntaxError: "),
        ("", "AttributeError: "),
        ("connect = 5", "is a int, which can't be called"),
    ],
)
def test_a_broken_plugin_tells_why(site, source, reason):
    """Whatever its module does, a provider that can't be loaded says so in one line, and the others load."""
    install(
        site, "acme_broken", "[flow.providers]\nbroken = acme_broken:connect\n", acme_broken=source
    )
    with pytest.raises(Misconfigured) as caught:
        discovery.load("broken")

    assert reason in caught.value.message
    assert "acme_broken-1.0" in caught.value.message
    assert 1 == len(caught.value.message.splitlines())
    assert callable(discovery.load("mock"))


def test_an_unknown_provider_names_its_neighbour():
    """A misspelt name leads to the nearest, and the hint lists what is installed."""
    with pytest.raises(Misconfigured, match="nearest is 'mock'") as caught:
        discovery.load("mokc")

    assert "mock" in caught.value.hint


def test_the_first_of_a_name_counts(site, tmp_path):
    """Of two distributions that bring one name, the one further up the path is taken."""
    install(site, "acme_one", "[flow.commands]\nx = acme_one:a\n")
    second = tmp_path / "second"
    second.mkdir()
    install(second, "acme_two", "[flow.commands]\nx = acme_two:a\n")
    found = discovery.plugins(discovery.COMMANDS, path=[str(site), str(second)])

    assert {"x": "acme_one:a"} == {name: each.target for name, each in found.items()}


def test_odd_files_are_passed_by(tmp_path):
    """Comments, extras, lines without a name, other groups, missing folders and files don't mind."""
    install(
        tmp_path, "acme_odd",
        "# flow.commands\n[other]\na = b:c\n[flow.commands]\n; no\n\n = x:y\nnothing\nz=acme.z:go [extra]\n",
    )  # fmt: skip
    (tmp_path / "empty-1.dist-info").mkdir()
    found = discovery.plugins(
        "flow.commands", path=[str(tmp_path), str(tmp_path / "missing"), str(tmp_path)]
    )

    assert {"z": "acme.z:go"} == {name: each.target for name, each in found.items()}


@pytest.mark.parametrize(
    "group", ["console_scripts", "pytest11", "flow.providers", "flow.commands"]
)
def test_the_standard_library_agrees(group):
    """What is found here is what importlib.metadata finds in this environment."""
    theirs = {each.name: each.value for each in importlib.metadata.entry_points(group=group)}

    assert theirs == {name: each.target for name, each in discovery.plugins(group).items()}
