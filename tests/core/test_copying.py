"""What `flow cp` is asked, before anything is."""

from __future__ import annotations

import pytest

from flow_core.domain.copying import Copy, parse_copy
from flow_core.errors import InvalidRequest


@pytest.mark.parametrize(
    "words, task, is_upload, sources, target, lands_in",
    [
        (["a", "t:b"], "t", True, ("a",), "b", False),
        (["a", "b c", "t:"], "t", True, ("a", "b c"), "", True),
        (["t:a/", "."], "t", False, ("a/",), ".", False),
        (["t:a", "t:b", "here"], "t", False, ("a", "b"), "here", True),
        (["./a:b", "t:c:d/"], "t", True, ("./a:b",), "c:d/", True),
        (["/x:y", ":z", "t:"], "t", True, ("/x:y", ":z"), "", True),
    ],
)
def test_which_end_is_where(words, task, is_upload, sources, target, lands_in):
    """What stands before a first colon, with no slash in it, is a task; the rest are paths."""
    copy = parse_copy(words)

    assert lands_in == copy.lands_in
    assert Copy(task=task, is_upload=is_upload, sources=sources, target=target) == copy


@pytest.mark.parametrize(
    "words", [["a"], ["a", "b"], ["t:a", "t:b"], ["t:a", "b", "c"], ["t:a", "u:b", "c"], []]
)
def test_what_is_no_copy(words):
    """Both ends here, both there, two tasks, or one end alone are refused."""
    with pytest.raises(InvalidRequest):
        parse_copy(words)


def test_drives_are_here():
    """Where there are drives, one letter before a colon is one of them."""
    assert "train" == parse_copy(["C:\\a", "train:b"], has_drives=True).task
    with pytest.raises(InvalidRequest):
        parse_copy(["C:\\a", "train:b"])
