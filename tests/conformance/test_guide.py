"""The guide for authors of providers shows the very files that are tested."""

from __future__ import annotations

import re

from flow_core import errors
from flow_providers.conformance import Controls, Rig
from tests.house import tree

GUIDE = tree.ROOT / "docs" / "guides" / "write-a-provider.md"
PROJECT = tree.ROOT / "tests" / "conformance" / "tiny"
#: A file's name in backquotes and a colon, then its content.
SHOWN = re.compile(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown() -> dict[str, str]:
    """The files of the guide, by name."""
    return dict(SHOWN.findall(GUIDE.read_text("utf-8")))


def test_the_guide_shows_every_file_of_its_project():
    """Each file of the tiny provider is in the guide, and the guide shows no other."""
    files = {
        path.relative_to(PROJECT).as_posix()
        for path in PROJECT.rglob("*")
        if path.suffix in (".py", ".toml") and "__pycache__" not in path.parts
    }

    assert files == set(shown())


def test_the_guide_shows_files_as_they_are_tested():
    """Each file in the guide is, to the letter, the one that the kit is run on."""
    for name, content in shown().items():
        assert (PROJECT / name).read_text("utf-8") == content, f"{name} differs from the guide's"


def test_the_guide_knows_every_setting_of_a_rig():
    """Each attribute of a rig and each control is in the guide's tables."""
    text = GUIDE.read_text("utf-8")
    names = {name for name in vars(Rig) if not name.startswith("_")} - {"provider", "advance"}
    names |= {attribute.name for attribute in Controls.__attrs_attrs__}

    assert [] == sorted(name for name in names if not re.search(rf"`{name}\b", text))


def test_the_guide_names_kinds_of_errors_that_exist():
    """Each kind of error in the guide's table is one of the core's."""
    section = GUIDE.read_text("utf-8").partition("## Errors")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", section))
    kinds = {kind.__name__ for kind in errors.kinds().values()}

    assert named
    assert set() == named - kinds
