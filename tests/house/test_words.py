"""What no file of ours says."""

from __future__ import annotations

import re

from tests.house import tree

# Written in pieces, so that this file keeps its own rules.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb" + ".debian.org",
    "security" + ".debian.org",
    "archive" + ".ubuntu.com",
    "crates" + ".io",
    "conda" + ".anaconda.org",
    "proxy" + ".golang.org",
    "registry-1" + ".docker.io",
    "auth" + ".docker.io",
]
MACHINE_PATHS = re.compile(r"(?<![\w.~$}*-])/(?:" + "work|" + "root" + r")/")
PATCHES = re.compile(r"mock\.patch|MagicMock|monkeypatch\.setattr|\btime\.sleep\(")


def lines_that_match(pattern: re.Pattern[str], paths: list) -> list[str]:
    """`file:line: text` for each line in which the pattern is found; bytes that aren't text are passed by."""
    return [
        f"{tree.relative(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8", "ignore").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_a_registry_host():
    """Where packages come from is the business of the machine that installs them."""
    pattern = re.compile("|".join(re.escape(host) for host in REGISTRIES))

    assert [] == lines_that_match(pattern, list(tree.files()))


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    """A checkout works wherever it is put."""
    assert [] == lines_that_match(MACHINE_PATHS, list(tree.files()))


def test_tests_neither_patch_nor_sleep():
    """Tests use fakes that implement a port, and move time instead of letting it pass."""
    tests = [
        path
        for path in tree.python_files("tests")
        if tree.HOUSE not in path.parents and "benchmarks" not in path.parts
    ]

    assert [] == lines_that_match(PATCHES, tests)
