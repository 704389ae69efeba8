"""Shapes are read from every usual spelling and written back in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.shape import MOST_GPUS, InstanceShape, gpu_families, parse_shape
from flow_core.errors import InvalidRequest

families = st.sampled_from(sorted(gpu_families()))
counts = st.integers(1, MOST_GPUS)
memories = st.none() | st.integers(1, 9_999)
shapes = st.builds(InstanceShape, families, counts, memories) | st.just(InstanceShape("cpu", 0))


def problem(text: str) -> str:
    """Return the sentence with which `text` is refused."""
    with pytest.raises(InvalidRequest) as caught:
        parse_shape(text)
    return caught.value.problems["instance_type"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8xh100", InstanceShape("h100", 8)),
        ("8xH100", InstanceShape("h100", 8)),
        ("8×H100", InstanceShape("h100", 8)),
        (" 8 x h100 ", InstanceShape("h100", 8)),
        ("h100:8", InstanceShape("h100", 8)),
        ("h100x8", InstanceShape("h100", 8)),
        ("h100", InstanceShape("h100", 1)),
        ("a100-80gb", InstanceShape("a100", 1, 80)),
        ("a100-80gb:4", InstanceShape("a100", 4, 80)),
        ("8xa100-40gb", InstanceShape("a100", 8, 40)),
        ("8×A100·40G", InstanceShape("a100", 8, 40)),
        ("h100-80gb.sxm.8x", InstanceShape("h100", 8, 80)),
        ("h100.80gb.sxm", InstanceShape("h100", 1, 80)),
        ("h200.8x", InstanceShape("h200", 8)),
        ("b200-192gb.8x", InstanceShape("b200", 8, 192)),
        ("neb-b200.sxm.8x", InstanceShape("b200", 8)),
        ("rtx4090", InstanceShape("rtx4090", 1)),
        ("2xRTX-4090", InstanceShape("rtx4090", 2)),
        ("NVIDIA H100 80GB HBM3", InstanceShape("h100", 1, 80)),
        ("NVIDIA A100-SXM4-40GB", InstanceShape("a100", 1, 40)),
        ("NVIDIA GeForce RTX 4090", InstanceShape("rtx4090", 1)),
        ("NVIDIA RTX A6000", InstanceShape("a6000", 1)),
        ("cpu", InstanceShape("cpu", 0)),
    ],
)
def test_usual_spellings_are_read(text: str, expected: InstanceShape) -> None:
    """Provider names, our own, what nvidia-smi prints and common variations name the same shapes."""
    actual = parse_shape(text)

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8xa10O", "'8xa10O' names no GPU we know; nearest is '8xa100'"),
        ("8xhl00", "'8xhl00' names no GPU we know; nearest is '8xh100'"),
        ("h10:4", "'h10:4' names no GPU we know; nearest is '4xh100'"),
        ("8h100", "'8h100' names no GPU we know; nearest is '8xh100'"),
        ("aa100-40gb", "'aa100-40gb' names no GPU we know; nearest is 'a100-40gb'"),
        ("cpus", "'cpus' names no GPU we know; nearest is 'cpu'"),
        ("banana", "'banana' names no GPU we know; write it like '8xh100'"),
        ("8x", "'8x' names no GPU we know; write it like '8xh100'"),
        ("80gb", "'80gb' names no GPU we know; write it like '8xh100'"),
        ("", "'' names no GPU; write it like '8xh100'"),
    ],
)
def test_unknown_gpu_is_refused_with_the_nearest(text: str, expected: str) -> None:
    """The sentence names the value, what is so, and the nearest right spelling if there is one."""
    actual = problem(text)

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0xh100", "'0xh100' asks for 0 GPUs; nearest is '1xh100'"),
        ("-8xh100", "'-8xh100' asks for -8 GPUs; nearest is '8xh100'"),
        ("h100:-2", "'h100:-2' asks for -2 GPUs; nearest is '2xh100'"),
        ("h100.-4x", "'h100.-4x' asks for -4 GPUs; nearest is '4xh100'"),
        (
            "h100:many",
            "'h100:many' counts its GPUs as 'many', no whole number; write it like '1xh100'",
        ),
        ("h100:", "'h100:' counts its GPUs as '', no whole number; write it like '1xh100'"),
        ("8xh100:4", "'8xh100:4' counts its GPUs twice, as 8 and 4; keep one"),
        ("8xa100-0gb", "'8xa100-0gb' asks for 0 GB of memory; nearest is '8xa100'"),
        ("a100-40gb-80gb", "'a100-40gb-80gb' gives two sizes of memory, 40 and 80 GB; keep one"),
        ("8xcpu", "'8xcpu' gives GPUs to an instance that has none; write 'cpu'"),
        (
            "800xh100",
            "'800xh100' asks for more GPUs than one instance has (72 at most); ask for several instances",
        ),
    ],
)
def test_counts_that_can_not_be_are_refused(text: str, expected: str) -> None:
    """Zero, negative, contradicting and unreadable counts each get their own sentence."""
    actual = problem(text)

    assert expected == actual


def test_refusal_names_the_field_it_came_by() -> None:
    """The problem stands under the name that the caller gave the text."""
    with pytest.raises(InvalidRequest) as caught:
        parse_shape("nope", field="gpu")

    assert ["gpu"] == list(caught.value.problems)
    assert caught.value.hint is not None


@pytest.mark.parametrize("value", [None, 8, ["8xh100"]])
def test_what_is_not_text_is_refused(value: object) -> None:
    """A value that isn't text gets a sentence, not a traceback."""
    actual = problem(value)  # type: ignore[arg-type]

    assert f"{value!r} names no GPU; write it like '8xh100'" == actual


@given(shapes)
def test_written_shape_reads_as_the_same_request(shape: InstanceShape) -> None:
    """Writing and reading loses nothing but a memory size that is its family's only one."""
    actual = parse_shape(str(shape))

    assert str(shape) == str(actual)
    assert shape.matches(actual)
    assert actual.matches(shape)
    if "gb" in str(shape) or shape.memory_gb is None:
        assert shape == actual


@given(st.text(max_size=40) | st.from_regex(r"[0-9x:. -]{0,4}[ahl0-9]{2,4}[x0-9gb. :-]{0,6}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in another way than by its own refusal."""
    try:
        shape = parse_shape(text)
    except InvalidRequest:
        return

    assert shape.gpu in {*gpu_families(), "cpu"}
    assert shape.gpus >= 1 or shape.gpu == "cpu"


@given(st.text("ahbx01l2490s:-.g", max_size=12))
def test_nearest_spelling_is_itself_right(text: str) -> None:
    """Whatever is proposed instead can be typed."""
    try:
        parse_shape(text)
    except InvalidRequest as refused:
        before, found, proposed = refused.problems["instance_type"].rpartition("nearest is ")
        if found:
            assert str(parse_shape(proposed.strip("'"))), before


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (InstanceShape("h100", 8), ("8xh100", "8×H100·80G", "8×H100", "NVIDIA H100-80GB")),
        (InstanceShape("h100", 8, 80), ("8xh100", "8×H100·80G", "8×H100", "NVIDIA H100-80GB")),
        (InstanceShape("h100", 1, 94), ("1xh100-94gb", "1×H100·94G", "1×H100", "NVIDIA H100-94GB")),
        (InstanceShape("a100", 8), ("8xa100", "8×A100", "8×A100", "NVIDIA A100")),
        (InstanceShape("a100", 8, 80), ("8xa100-80gb", "8×A100·80G", "8×A100", "NVIDIA A100-80GB")),
        (InstanceShape("a100", 8, 40), ("8xa100-40gb", "8×A100·40G", "8×A100", "NVIDIA A100-40GB")),
        (InstanceShape("v6e", 4), ("4xv6e", "4×V6E", "4×V6E", "V6E")),
        (InstanceShape("cpu", 0), ("cpu", "CPU", "CPU", "CPU")),
    ],
)
def test_shape_is_shown_without_guessing_its_memory(
    shape: InstanceShape, expected: tuple[str, str, str, str]
) -> None:
    """Memory is shown when it was said or can only be one; of several sizes none is guessed."""
    actual = (str(shape), shape.label, shape.short_label, shape.gpu_label)

    assert expected == actual


@pytest.mark.parametrize(
    ("asked", "offered", "expected"),
    [
        ("8xa100", InstanceShape("a100", 8, 40), True),
        ("8xa100-80gb", InstanceShape("a100", 8, 80), True),
        ("8xa100-80gb", InstanceShape("a100", 8, 40), False),
        ("8xa100-80gb", InstanceShape("a100", 8), False),
        ("8xh100-80gb", InstanceShape("h100", 8), True),
        ("8xh100", InstanceShape("h100", 8, 94), True),
        ("8xh100", InstanceShape("h100", 4, 80), False),
        ("8xh100", InstanceShape("h200", 8, 141), False),
        ("cpu", InstanceShape("cpu", 0), True),
    ],
)
def test_asked_memory_must_be_offered(asked: str, offered: InstanceShape, expected: bool) -> None:
    """Family and count must be equal; memory only where it was asked for, and then surely known."""
    actual = parse_shape(asked).matches(offered)

    assert expected == actual


def test_shape_with_negative_count_can_not_be_made() -> None:
    """The value refuses what no machine has, also when no text was parsed."""
    with pytest.raises(ValueError, match="gpus"):
        InstanceShape("h100", -1)


@pytest.mark.parametrize("text", ["it_XqgKWbhZ5gznAYsG", " it_4TugeYWOov5FllEf "])
def test_provider_s_own_id_asks_for_that_type_and_no_other(text: str) -> None:
    """An id keeps its letters' case, is written as it was read, and matches the type of that id, whatever its shape."""
    shape = parse_shape(text)

    assert text.strip() == shape.type_id == str(shape) == shape.label == shape.gpu_label
    assert shape == parse_shape(str(shape))
    assert shape.matches(InstanceShape("v6e", 8), type_id=text.strip())
    assert not shape.matches(InstanceShape("v6e", 8), type_id=text.strip().lower())
    assert not shape.matches(shape)


@pytest.mark.parametrize(
    "text", ["rtx_4091", "h100_80gb_sxmm", "gpu_", "it_abc", "IT_XqgKWbhZ5gznAYsG"]
)
def test_misspelt_gpu_is_no_id(text: str) -> None:
    """What looks like a GPU's name is told to be none, and not taken for an id of somebody's."""
    with pytest.raises(InvalidRequest):
        parse_shape(text)
