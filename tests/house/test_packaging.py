"""What pyproject.toml promises is in the tree, and what the tree needs is promised."""

from __future__ import annotations

import sys

import pytest

from tests.house import tree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
POINTS = {
    f"{group}: {name}": target
    for group, entries in {"scripts": PROJECT["scripts"], **PROJECT["entry-points"]}.items()
    for name, target in entries.items()
}


@pytest.mark.parametrize("target", POINTS.values(), ids=POINTS.keys())
def test_an_entry_point_leads_to_a_file(target):
    """The module that an entry point names is in the tree."""
    module = target.split(":")[0].replace(".", "/")

    assert [f"{module}.py", f"{module}/__init__.py"] != [
        name
        for name in (f"{module}.py", f"{module}/__init__.py")
        if not (tree.ROOT / name).exists()
    ]


def test_a_pytest_plugin_in_the_tree_is_announced():
    """Each `pytest_plugin.py` of a provider is an entry point, so that installing Flow is enough."""
    there = {
        tree.module_name(path)
        for path in tree.python_files("flow_providers")
        if path.name == "pytest_plugin.py"
    }

    assert there == set(PROJECT["entry-points"].get("pytest11", {}).values())


def test_every_package_says_it_is_typed():
    """Each package that users' code may name carries `py.typed`: without it a type checker sees Any."""
    public = [name for name in tree.PACKAGES if name != "flow_cli"]

    assert [] == [name for name in public if not (tree.ROOT / name / "py.typed").exists()]


def test_folders_with_python_are_packages():
    """Each folder of a package has an `__init__.py`, or the import rules would pass it by; node/ is data."""
    folders = {path.parent for path in tree.python_files(*tree.PACKAGES)}

    assert [] == sorted(
        tree.relative(folder)
        for folder in folders
        if not (folder / "__init__.py").exists()
        and not tree.relative(folder).startswith("flow_core/node")
    )


def test_few_dependencies_and_each_with_a_lower_bound():
    """Every runtime dependency says from which version on it works, and none is pinned from above."""
    bounds = {text.split(";")[0].strip() for text in PROJECT["dependencies"]}

    assert set() == {text for text in bounds if ">=" not in text or "<" in text or "==" in text}
