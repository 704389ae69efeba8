"""Ignore files: git is the judge."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.ignoring import IgnoreRules
from flow_adapters.walking import walk

NAMES = ["a", "b", "ab", "x.c", "x y", "é", "[a]", "a!", "#a"]
pieces = st.sampled_from(
    [
        *("a", "b", "ab", "é", "x y", "a ", "a!", "#a", "x\\", "\\", "\\ ", "\\*", "\\#a", "\\!"),
        *("*", "?", "**", "***", "a*", "*.c", "a**", "**b"),
        *("[ab]", "[!a]", "[^a-c]", "[a-", "[!x", "[]a]", "[a:]", "[é]", "[a\\-c]"),
        *("[[:alpha:]b]", "[[:x:]]", "[[:a]"),
    ]
)
patterns = st.builds(
    lambda mark, start, parts, end: mark + start + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(pieces, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", " ", "\r", "//"]),
)
ignore_files = st.lists(patterns | st.sampled_from(["", "# note", "/", "!"]), max_size=5).map(
    "\n".join
)
folders = st.deferred(
    lambda: st.tuples(
        st.none() | ignore_files,
        st.dictionaries(st.sampled_from(NAMES), st.none() | folders, max_size=4),
    )
)
git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def build(place: Path, tree: tuple) -> None:
    """Make a tree of empty files and ignore files."""
    rules, entries = tree
    if rules is not None:
        (place / ".gitignore").write_bytes(rules.encode())
    for name, inner in entries.items():
        if inner is None:
            (place / name).write_bytes(b"")
        else:
            (place / name).mkdir()
            build(place / name, inner)


@git
@pytest.mark.slow
@settings(max_examples=40)
@given(
    tree=st.tuples(
        ignore_files, st.dictionaries(st.sampled_from(NAMES), st.none() | folders, max_size=4)
    )
)
def test_git_says_the_same(tmp_path_factory, tree):
    """Whatever the patterns, the files that are left are those that git would add."""
    place = tmp_path_factory.mktemp("repo")
    environ = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(place),
    }
    subprocess.run(["git", "init", "-q", "--template=", place], check=True, env=environ)
    build(place, tree)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=place,
        env=environ,
        check=True,
        capture_output=True,
    ).stdout
    ours = {each.path for each in walk(place) if not stat.S_ISDIR(each.mode)}
    shutil.rmtree(place)

    assert set(listed.split(b"\0")) - {b""} == ours


@pytest.mark.parametrize(
    ("pattern", "path", "is_folder", "verdict"),
    [
        (b"*.log", b"a/b.log", False, True),
        (b"/a", b"b/a", False, None),
        (b"build/", b"build", False, None),
        (b"build/", b"build", True, True),
        (b"!a", b"a", False, False),
        (b"a/**/b", b"a/b", False, True),
        (b"a/**/b", b"a/x/y/b", False, True),
        (b"**/b", b"a/b", False, True),
        (b"a/*", b"a/b/c", False, None),
        (b"caf\xe9", b"caf\xe9", False, True),
        (b"\xef\xbb\xbfa", b"a", False, True),
        (b"a\nb\n!a", b"a", False, False),
    ],
)
def test_single_rules(pattern, path, is_folder, verdict):
    """Patterns decide as gitignore's own page says."""
    assert verdict is IgnoreRules(pattern).verdict(
        path, path.rpartition(b"/")[2], is_folder=is_folder
    )
