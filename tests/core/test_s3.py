"""Sources of mounts say all that they ask for, and what is wrong with them before anything is sent."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.s3 import BucketKeys, S3Source, parse_s3
from flow_core.domain.sources import WantedVolume, wanted_volume
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping
from flow_core.domain.task_parts import Mount
from flow_core.domain.volume import Interface
from flow_core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://data", S3Source("data")),
        ("s3://data/", S3Source("data")),
        ("s3://data/a/b/", S3Source("data", "a/b")),
        ("s3://data/a?mode=ro", S3Source("data", "a")),
        ("s3://data/a?mode=rw", S3Source("data", "a", writable=True)),
        ("s3://data?copy", S3Source("data", copied=True)),
        ("s3://my.old_Bucket/x y", S3Source("my.old_Bucket", "x y")),
    ],
)
def test_a_bucket_is_read(source, expected):
    """Bucket, prefix without its outer slashes, read-only unless it says otherwise."""
    assert expected == parse_s3(source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3:///prefix", "'' can't name a bucket"),
        ("s3://-data", "'-data' can't name a bucket"),
        ("s3://data/a//b", "an empty part"),
        ("s3://data/../b", "'..'"),
        ("s3://data?mode=w", "mode is 'w'; write mode=ro or mode=rw"),
        ("s3://data?moed=rw", "'moed' is no option of it; nearest is 'mode'"),
        ("s3://data?copy=yes", "copy is 'yes'; it has no value"),
        ("s3://data?copy&mode=rw", "a copy is never written back"),
        ("s3://data?mode=rw&mode=ro", "mode is said twice"),
        ("s3://data/" + "a" * 1025, "over 1,024 bytes"),
    ],
)
def test_a_wrong_bucket_is_refused(source, reason):
    """In one sentence that names the source."""
    with pytest.raises(InvalidRequest) as wrong:
        parse_s3(source)

    assert wrong.value.problems["mounts"].startswith(f"{source!r}: ")
    assert reason in wrong.value.problems["mounts"]


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    """No source makes the reader fail otherwise."""
    for read, scheme in ((parse_s3, "s3"), (wanted_volume, "volume")):
        with suppress(InvalidRequest):
            read(f"{scheme}://{text}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("volume://x", WantedVolume("x")),
        ("volume://x?size=100gb", WantedVolume("x", 100)),
        ("volume://x?size=100", WantedVolume("x", 100)),
        ("volume://x?size=2TB", WantedVolume("x", 2_000)),
        ("volume://x?size=5gb&interface=block", WantedVolume("x", 5, Interface.BLOCK)),
    ],
)
def test_a_volume_is_read(source, expected):
    """A size asks for a file volume to be made where there is none of that name."""
    assert expected == wanted_volume(source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("volume://x?size=0gb", "size is '0gb'"),
        ("volume://x?size=1.5tb", "write it like 100gb or 2tb"),
        ("volume://x?interface=block", "add size=100gb"),
        ("volume://x?size=5gb&interface=disk", "there are file and block"),
        ("volume://a b?size=5gb", "a b"),
        ("volume://x?create=5gb", "'create' is no option of it; there are size, interface"),
    ],
)
def test_a_wrong_volume_is_refused(source, reason):
    """In one sentence."""
    with pytest.raises(InvalidRequest) as wrong:
        wanted_volume(source)

    assert reason in wrong.value.problems["mounts"]


def test_tasks_report_wrong_sources_together():
    """A task with two wrong mounts is refused once, with both; options are no part of a target."""
    with pytest.raises(InvalidRequest) as wrong:
        TaskSpec(
            command="true",
            mounts=(Mount("/a", "s3://b?x"), Mount("/b", "s3://b?mode=rw", read_only=True)),
        )

    assert "'x' is no option" in wrong.value.problems["mounts"]
    assert "contradict each other" in wrong.value.problems["mounts"]
    assert "b/c" == Mount("/a", "s3://b/c?copy").target


def test_a_mode_written_as_for_volumes_is_no_surprise():
    """`:rw` beside a bucket would otherwise be mounted read-only in silence."""
    with pytest.raises(InvalidRequest, match=r"write 's3://b\?mode=rw:/a'"):
        task_from_mapping({"command": "true", "mounts": ["s3://b:/a:rw"]})
    written = task_from_mapping({"command": "true", "mounts": ["s3://b?mode=rw:/a:rw"]})

    assert (Mount("/a", "s3://b?mode=rw"),) == written.mounts


def test_keys_are_in_no_repr():
    """Only the half that is no secret is shown."""
    shown = repr(BucketKeys(access_key="AKID", secret_key="hush", session_token="hush"))

    assert "AKID" in shown
    assert "hush" not in shown
