"""What Flow makes of a script: instances, the task, what becomes of each directive, what is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_core.domain.shape import parse_shape
from flow_core.domain.slurm.converting import Conversion, convert, members
from flow_core.domain.slurm.handing import Queue
from flow_core.domain.slurm.options import LONG, PYXIS
from flow_core.domain.slurm.patterns import expanded
from flow_core.domain.slurm.policy import Fate
from flow_core.domain.slurm.reading import read_batch
from flow_core.domain.slurm.waiting import Numbered, namesakes
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping

WRAPPER = "#!/bin/sh\ncat >script <<'@END@'\n@BODY@\n@END@\n@ARGUMENTS@\nexec ./script\n"


def made(*directives: str, body: str = "true\n", words: tuple[str, ...] = (), **more) -> Conversion:
    """Convert a script of these directives."""
    text = "#!/bin/bash\n" + "".join(f"#SBATCH {each}\n" for each in directives) + body
    reading = read_batch(text, name="job.slurm", words=words)
    return convert(reading, text, wrapper=WRAPPER, **more)


def spec_of(found: Conversion) -> TaskSpec:
    """The task, which must be one."""
    assert found.task is not None, found.refusals
    return task_from_mapping(found.task)


@pytest.mark.parametrize(
    ("directives", "count", "shape"),
    [
        (["--gres=gpu:h100:8", "-N 4"], 4, "8xh100"),
        (["--gpus-per-node=a100:4"], 1, "4xa100"),
        (["--gpus=h100:16"], 2, "8xh100"),
        (["--gpus=h100:4"], 1, "4xh100"),
        (["-G h100:8", "-N 2"], 2, "4xh100"),
        (["--gpus=h100:16", "--gpus-per-node=h100:8"], 2, "8xh100"),
        (["-n 16", "--gpus-per-task=h100:1"], 2, "8xh100"),
        (["-N 2", "--ntasks-per-node=4", "--gpus-per-task=h100:2"], 2, "8xh100"),
        (["--gpus-per-socket=h100:2", "--sockets-per-node=2"], 1, "4xh100"),
        (["-n 16", "--ntasks-per-node=8", "--gres=gpu:h100:8"], 2, "8xh100"),
        (["-N 2-4", "--gres=gpu:H100:8"], 2, "8xh100"),
        (["-N 3"], 3, None),
    ],
)
def test_gpus_become_instances(directives: list[str], count: int, shape: str | None):
    """Nodes become instances and their GPUs the type; eight to an instance where only a total is said."""
    spec = spec_of(made(*directives))

    assert count == spec.num_instances
    assert (parse_shape(shape) if shape else None) == spec.instance_type


@pytest.mark.parametrize(
    ("directives", "told"),
    [
        (["--gres=gpu:8"], "-i 8xTYPE"),
        (["--gpus=h100:4,a100:4"], "one type"),
        (["--gres=gpu:3g.20gb:1"], "names no GPU"),
        (["-a 0-20000"], "10,000 of one group"),
        (["-d afterok:12"], "--after TASK"),
        (["--hold"], "holds nothing"),
        (["--begin=16:00"], "submit it then"),
        (["--export=HOME"], "--env HOME=VALUE"),
        (["--container-mounts=/data:/data"], "--mount"),
        (["-N 1", "hetjob"], "heterogeneous"),
    ],
)
def test_what_would_change_the_result_is_refused(directives: list[str], told: str):
    """Where ignoring a directive would give another result, the script is refused with what to do."""
    found = made(*directives)

    assert found.task is None
    assert told in " ".join(found.refusals)


def test_the_users_own_shape_counts_first():
    """With an instance type from the command line, GPUs need no type, and fewer of them are noted."""
    found = made("--gres=gpu:8", shape=parse_shape("4xa100"), words=("-N", "3"))

    assert parse_shape("4xa100") == spec_of(found).instance_type
    assert 3 == spec_of(found).num_instances
    assert "fewer GPUs" in " ".join(found.notes)


def test_the_time_limit_leaves_time_to_boot():
    """The script's limit is its own; the task may hold its nodes twenty minutes longer."""
    found = made("-t 2:00:00", "--signal=B:USR1@90")
    env = spec_of(found).env

    assert "2h20m" == (found.task or {})["max_run_time"]
    assert ("7200", "USR1@90") == (env["FLOW_SLURM_TIME_S"], env["FLOW_SLURM_SIGNAL"])


def test_variables_are_set_only_where_slurm_sets_them():
    """SLURM_NTASKS needs --ntasks or tasks per node; GPUs are repeated as written."""
    bare = spec_of(made("-c 4", "-N 2")).env
    full = spec_of(made("-N 2", "--ntasks-per-node=4", "--gpus-per-node=h100:8", "-c 4")).env

    assert "SLURM_NTASKS" not in bare
    assert "1(x2)" == bare["SLURM_TASKS_PER_NODE"]
    assert ("8", "4", "4(x2)") == (
        full["SLURM_NTASKS"], full["SLURM_NTASKS_PER_NODE"], full["SLURM_TASKS_PER_NODE"],
    )  # fmt: skip
    assert ("h100:8", "4") == (full["SLURM_GPUS_PER_NODE"], full["SLURM_CPUS_PER_TASK"])


def test_uneven_tasks_are_spread_as_slurm_writes_it():
    """The first nodes have one task more."""
    assert "3,2" == spec_of(made("-N 2", "-n 5")).env["SLURM_TASKS_PER_NODE"]
    assert "3(x2),2" == spec_of(made("-N 3", "-n 8")).env["SLURM_TASKS_PER_NODE"]


def test_an_array_is_a_task_for_each_index():
    """Each has its own number and index beside what is the whole array's; the last has the array's number."""
    found = made("-a 1-7:3%2", number=42)
    each = list(members(found))

    assert [1, 4, 7] == [member.index for member in each]
    assert ["43", "44", "42"] == [member.env["SLURM_JOB_ID"] for member in each]
    assert {
        "SLURM_ARRAY_JOB_ID": "42",
        "SLURM_ARRAY_TASK_COUNT": "3",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": "7",
        "SLURM_ARRAY_TASK_STEP": "3",
        "SLURM_JOB_ID": "43",
        "SLURM_ARRAY_TASK_ID": "1",
    } == dict(each[0].env)
    assert [] == list(members(made("-N 1")))


KNOWN = {"12": Numbered(name="prep"), "40": Numbered(name="fold", is_group=True)}


@pytest.mark.parametrize(
    ("dependency", "after"),
    [
        ("afterok:12", ["afterok:prep"]),
        ("afterany:12:40,after:12", ["afterany:prep", "afterany:fold", "after:prep"]),
        ("afternotok:40_3", ["afternotok:fold_3"]),
        ("afterok:40_*", ["afterok:fold"]),
        ("aftercorr:40", ["afterok:fold"]),
        ("12", ["afterany:prep"]),
        ("singleton", None),
    ],
)
def test_numbers_that_are_waited_for_become_names(dependency: str, after: list[str] | None):
    """Every way of waiting has one of Flow's; a number with an index is one task of an array."""
    found = made("-J x", f"-d {dependency}", known=KNOWN)

    assert after == (found.task or {}).get("after")
    assert ("singleton" in dependency) == found.waits.is_singleton


def test_an_array_may_wait_for_another_index_by_index():
    """With aftercorr each task waits for the one with its own index."""
    found = made("-a 0-1", "-d aftercorr:40", known=KNOWN)

    assert [("afterok:fold_0",), ("afterok:fold_1",)] == [each.after for each in members(found)]


@pytest.mark.parametrize(
    ("dependency", "told"),
    [
        ("afterok:99", "--after TASK"),
        ("afterok:12?afterok:40", "all of them"),
        ("after:12+5", "no time is waited"),
        ("afterburstbuffer:12", "burst buffer"),
    ],
)
def test_what_can_not_be_waited_for_is_refused(dependency: str, told: str):
    """A number that no task has, alternatives and delays are refused with a sentence."""
    found = made(f"-d {dependency}", known=KNOWN)

    assert told in " ".join(found.refusals)


def test_namesakes_are_a_name_and_its_numbers():
    """singleton waits for tasks of its name, whichever number their own singleton gave them."""
    live = ["train", "train-2", "train-x", "trainer", "train_3", "train-2"]

    assert ["train", "train-2"] == namesakes("train", live)


def test_every_option_has_a_fate():
    """There is no option of sbatch's or pyxis's about which Flow has nothing to say."""
    unknown = []
    for option in [*LONG, *PYXIS]:
        for form in (f"--{option}", f"--{option}=1", f"--{option}=now", f"--{option}=none"):
            treated = made(form).treated
            unknown += [each.option for each in treated if "knows nothing" in each.why]

    assert {"container-entrypoint", "container-entrypoint-log", "no-container-entrypoint"} >= {
        each for each in unknown if each in PYXIS and "entrypoint" in each
    }
    assert [] == [each for each in unknown if each in LONG]


def test_what_matters_to_a_queue_only_is_ignored_with_a_note():
    """Partition, account and mail are ignored, and --strict has something to refuse on."""
    found = made("-p gpu", "-A physics", "--mail-type=END")

    assert {Fate.IGNORED} == {each.fate for each in found.treated}
    assert len(found.remarks) >= 3


QUEUE = Queue("hpc", ("partition", "account", "qos", "constraint", "cpus", "memory", "sbatch"))


@pytest.mark.parametrize(
    ("directives", "options"),
    [
        (["-p gpu,big -A lab -q high"], {"partition": "gpu,big", "account": "lab", "qos": "high"}),
        (["-C 'ib&ssd'"], {"constraint": "ib&ssd"}),
        (["--nice=10 --reservation=x", "--contiguous"], {"sbatch": "--nice=10 --reservation=x --contiguous"}),
        (["--mem=8G -c 4"], {"memory": "8192m", "cpus": "4"}),
        (["-N 2 -n 16 --mem-per-cpu=1G"], {"memory": "8192m", "cpus": "8"}),
        (["--gres=gpu:h100:2 --mem-per-gpu=3G"], {"memory": "6144m"}),
        (["--mem=0"], {"sbatch": "--mem=0"}),
    ],
)  # fmt: skip
def test_a_cluster_is_told_what_its_queue_understands(directives: list[str], options: dict):
    """Where the provider is a cluster, what a script says to the queue and of its share goes on to its sbatch."""
    found = made(*directives, queue=QUEUE)

    assert {f"hpc.{name}": value for name, value in options.items()} == spec_of(found).options
    assert not [each for each in found.treated if each.fate is Fate.IGNORED]
    assert {} == spec_of(made(*directives)).options


def test_the_last_of_two_is_the_one_that_counts():
    """Of an option given twice only the last is listed."""
    found = made("-N 2", "-N 4")

    assert [("nodes", "4", "line 3")] == [
        (each.option, each.value, each.where) for each in found.treated
    ]


@pytest.mark.parametrize(
    ("directives", "body", "told"),
    [
        (["-N 1"], "set -e\n#SBATCH -N 4\n", "line 4"),
        (["-o $HOME/x.log"], "true\n", "nothing is expanded"),
        (["-D ~/x"], "true\n", "nothing is expanded"),
        (["-t 10:00"], "true\n", "10 minutes"),
        (["-N 4 -n 2"], "true\n", "2 nodes"),
    ],
)
def test_traps_are_warned_of(directives: list[str], body: str, told: str):
    """What sbatch takes without a word, and what its author most likely did not mean, is said."""
    assert told in " ".join(made(*directives, body=body).warnings)


def test_a_plain_script_is_not_warned_of():
    """Where there is nothing to say, nothing is said."""
    found = made("-N 2", "-t 1:00:00", "--gres=gpu:h100:8")

    assert () == found.remarks


def test_the_body_is_carried_as_it_is():
    """Quotes, dollars, here-documents and the wrapper's own words in a script survive; arguments are quoted."""
    body = "echo '$x' \"it's\" `a` \\\ncat <<'END_OF_SCRIPT'\nx\nEND_OF_SCRIPT\n# @BODY@ @END@\n"
    found = made("-N 1", body=body, arguments=("a b", "it's"))
    command = str((found.task or {})["command"])

    assert body in command
    assert "<<'END_OF_SCRIPT_'\n" in command
    assert "set -- 'a b' 'it'\\''s'\n" in command


def test_names_are_made_to_fit():
    """A name that a task can't have is changed with a note; without --job-name one is made up."""
    odd = made('-J "my job é"')

    assert "my-job" == spec_of(odd).name
    assert "my job" in " ".join(odd.notes)
    assert spec_of(made("-N 1")).name is None


def test_an_image_of_pyxis_is_an_image():
    """`#` after the registry becomes `/`."""
    spec = spec_of(made("--container-image=nvcr.io\\#nvidia/pytorch:24.05-py3"))

    assert "nvcr.io/nvidia/pytorch:24.05-py3" == spec.image


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("%x-%j.out", "a-324.out"),
        ("%5j.log", "00324.log"),
        ("%%j", "%j"),
        ("%q", "%q"),
        ("a\\%j", "a%j"),
    ],
)
def test_patterns_of_file_names(pattern: str, path: str):
    """Numbers are padded, %% is a percent sign, and a backslash turns patterns off."""
    assert path == expanded(pattern, {"j": "324", "x": "a"})


def test_every_script_of_the_corpus_converts_or_says_why():
    """A script either makes a task that is well formed or is refused with a reason."""
    for path in sorted((Path(__file__).parent / "corpus").glob("*.slurm")):
        text = path.read_bytes().decode("utf-8", "replace")
        found = convert(read_batch(text, name=path.name), text, wrapper=WRAPPER)

        assert (found.task is None) == bool(found.refusals), path.name
        if found.task is not None:
            task_from_mapping(found.task)
