"""The journal's file: who may read it, where it may lie, and what is said when it can't be used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat

import pytest

from flow_adapters.journal import SqliteJournal
from flow_adapters.journal_file import MIGRATIONS
from flow_core.errors import Misconfigured, NoRoom
from tests.records import DONE, record


@pytest.fixture
def path(tmp_path):
    """Where a journal may be made."""
    return tmp_path / "journal.sqlite"


def test_a_journal_is_its_owners_alone(path):
    """The file can be read by nobody else, since variables may be private."""
    with contextlib.closing(SqliteJournal(path.parent / "new" / "j")) as journal:
        journal.add(record())

    assert 0o700 == stat.S_IMODE((path.parent / "new").stat().st_mode)
    assert 0o600 == stat.S_IMODE((path.parent / "new" / "j").stat().st_mode)


def test_nothing_is_made_before_it_is_used(path):
    """Constructing a journal touches no file."""
    SqliteJournal(path)

    assert not path.exists()


def test_a_write_is_flushed_to_the_disk(path):
    """The file logs ahead and waits for the disk at each commit."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.add(record())
        with journal._file.reading() as database:
            found = [
                database.execute(f"PRAGMA {what}").fetchone()[0]
                for what in ("journal_mode", "synchronous")
            ]

    assert ["wal", 2] == found  # 2 is FULL. Source: sqlite's PRAGMA synchronous


def test_a_network_file_system_gets_a_rollback_journal(path, tmp_path):
    """There the file keeps no shared memory, and this is told when the file is made, and never again."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"22 1 0:20 / / rw - ext4 /dev/x rw\n23 22 0:21 / {path.parent} rw shared:1 - nfs4 srv:/home rw\n"
    )
    told: list[str] = []
    for _ in range(2):
        with contextlib.closing(SqliteJournal(path, tell=told.append, mounts=mounts)) as journal:
            journal.add(record(**DONE))
            with journal._file.reading() as database:
                mode = database.execute("PRAGMA journal_mode").fetchone()[0]

    assert "delete" == mode
    assert 1 == len(told)
    assert "nfs4" in told[0]


def test_a_damaged_file_is_named(path):
    """A file that is no journal is a setting to mend, and the message says which file."""
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(Misconfigured, match="is damaged") as caught:
        SqliteJournal(path).live()

    assert str(path) in caught.value.message
    assert "move it away" in caught.value.hint


def test_a_folder_that_cant_be_made_is_named(tmp_path):
    """Where a file stands in the way of the folder, the message names the journal."""
    (tmp_path / "state").write_text("")
    with pytest.raises(Misconfigured, match="can't be used"):
        SqliteJournal(tmp_path / "state" / "journal").live()


@pytest.mark.skipif(
    os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere"
)
def test_a_folder_without_permission_is_named(tmp_path):
    """Without the right to write, the message names the journal and the hint what to do."""
    tmp_path.chmod(0o500)
    with pytest.raises(Misconfigured, match="can't be used"):
        SqliteJournal(tmp_path / "journal").live()


def test_a_full_disk_is_told(path):
    """When the file can't grow, NoRoom is raised, what was begun is undone, and reading goes on."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.add(kept := record())
        with journal._file.reading() as database:
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(NoRoom, match="disk is full"):
            journal.add(record(name="big", reason="x" * 100_000))

        assert [kept] == journal.live()


def test_a_file_of_a_newer_flow_is_left_alone(path):
    """A form that this Flow doesn't know is refused and not touched."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.add(record())
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO migrations VALUES (?)", (len(MIGRATIONS) + 1,))
        database.commit()

    with pytest.raises(Misconfigured, match="newer Flow"):
        SqliteJournal(path).live()


def test_a_record_that_cant_be_read_names_itself(path):
    """A row that something else wrote is told with the file and the token."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.add(first := record())
        with journal._file.writing() as database:
            database.execute('UPDATE records SET stamp = 0, rest = \'{"step": "dancing"}\'')
        with pytest.raises(Misconfigured, match=first.token):
            journal.live()
