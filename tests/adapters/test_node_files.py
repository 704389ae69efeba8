"""The plain files that the node script is made of, squeezed once and kept."""

from __future__ import annotations

import json
from pathlib import Path

from flow_adapters.node_files import kept_node_files, load_node_files
from flow_core.domain.script import NodeTask, render_script, squeeze

TASK = NodeTask(name="a", token="b", command="true")


def test_a_kept_helper_makes_the_same_script(tmp_path: Path):
    """What was kept is what squeezing makes, the first time and after."""
    files = load_node_files()
    known = kept_node_files(tmp_path / "node.json")
    assert known.squeezed is not None

    assert squeeze(files) == known.squeezed() == known.squeezed()
    assert render_script(TASK, files=files) == render_script(TASK, files=known)


def test_what_was_kept_is_taken(tmp_path: Path):
    """Nobody squeezes again what is there."""
    place = tmp_path / "node.json"
    first = kept_node_files(place).squeezed
    assert first is not None
    first()
    place.write_text(json.dumps({**json.loads(place.read_text()), "boot": "kept"}))
    again = kept_node_files(place).squeezed
    assert again is not None

    assert "kept" == again()[0]


def test_what_was_kept_of_other_files_is_not_taken(tmp_path: Path):
    """Another version's helper, or half a file, is squeezed anew and replaced."""
    place = tmp_path / "node.json"
    for left in ('{"of": "another", "boot": "b", "helper": "h"}', '{"of": "an', "[]"):
        place.write_text(left)
        squeezed = kept_node_files(place).squeezed
        assert squeezed is not None

        assert squeeze(load_node_files()) == squeezed()
        assert "h" != json.loads(place.read_text())["helper"]


def test_a_place_that_can_t_be_written_keeps_nobody_from_squeezing(tmp_path: Path):
    """Without a folder to keep it in, the script is made all the same."""
    (tmp_path / "file").touch()
    squeezed = kept_node_files(tmp_path / "file" / "node.json").squeezed
    assert squeezed is not None

    assert squeeze(load_node_files()) == squeezed()
