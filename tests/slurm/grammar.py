"""Scripts that hypothesis makes up: directives in every form that sbatch has a rule for, right and wrong."""

from __future__ import annotations

from hypothesis import strategies as st

#: long name -> its letter, and values of which many are right and some are not.
_VALUES: dict[str, tuple[str, list[str]]] = {
    "job-name": ("J", ["a", "train", '"my job"', "'x y'", "a\\ b", "a#b", '"a#b"', "=x", "x\\#y", "ü", '""']),
    "nodes": ("N", ["1", "2", "2-4", "4-2", "1-", "-3", "2k", "1-1", "x", "+2", " 2", "1.5", "2,3", "010"]),
    "ntasks": ("n", ["1", "4", "16", "0", "-1", "x", "4x", "+3", "2147483648"]),
    "ntasks-per-node": ("", ["1", "4", "8", "0", "x"]),
    "tasks-per-node": ("", ["2", "x"]),
    "cpus-per-task": ("c", ["1", "2", "4", "0", "-2", "1.5"]),
    "time": ("t", ["10", "0", "-1", "90:30", "1:00:00", "1-0", "1-12:30", "2-3:4:5", "0:0:30", "00:90:00", "infinite",
                   "UNLIMITED", "1h", "1d12h", "1.5:00", "1-00:00:01", "a", "-5", "1-", "1:2:3:4", "1-2:3:4:5", ":5",
                   "5:", "1-:30", "99999", "50000-0", "1:-5", "+5", "2:60", "1-24:00:00"]),
    "mem": ("", ["64G", "1500", "16g", "64GB", "1T", "2048K", "1k", "1.5T", "64GiB", "0", "-1", "x", "1P", "G", "8MB"]),
    "mem-per-cpu": ("", ["2G", "512", "4gb", "x"]),
    "gres": ("", ["gpu:2", "gpu", "gpu:h100:4", "gpu:h100", "gpu:0", "none", "gres:gpu:1", "gpu:h100:2,gpu:a100:1",
                  "gpu=2", "gpu:", "gpu::2", "gpu:2:h100", "foo:1", "gpu:1,", "gpu:h100:x", "gpu:2k", "GPU:1"]),
    "gpus-per-node": ("", ["1", "8", "h100:8", "a100:4", "h100", "0", "h100:", ":4", "x:y", "1x", "-1"]),
    "gpus": ("G", ["1", "8", "16", "h100:8", "lots", "0", "a100:2,h100:2", "4,", "=4"]),
    "gpus-per-task": ("", ["1", "2", "h100:1"]),
    "array": ("a", ["0", "0-9", "1-9:2", "1,3,5", "0-15%4", "[1-3]", "5-1", "0-9%", "1-3%2,7", "a", "0-4:0", "1,,2",
              "%2", "1-3,2-5", "007", "0-9%0", "1:2", "4000000", "4000001", "-1", "0-9%a", "1-3:2%1,9"]),
    "dependency": ("d", ["singleton", "afterok:1001", "afterany:1001:1002", "afterok:1001,afternotok:1002",
                         "afterok:1001?afterany:1002", "after:1001+5", "1001", "afterok:", "afterwhat:1", "afterok:x",
                         "afterok:1001,", "aftercorr:1001", "SINGLETON", "afterok:1001_1", "1001:1002", "1001,1002",
                         "afterany:0", "afterok:1001_*", "after:1001:1002+3", "AFTEROK:1001", "''"]),
    "output": ("o", ["out.log", "%x-%j.out", "/tmp/o-%A_%a.txt", "logs/%5j.log", "a b", '"a b.log"', "%%.x", "a\\\\%j",
                     "%u.log", "~/x.log", "$HOME/x.log", "%10j", "%"]),
    "error": ("e", ["err.log", "%x-%j.err", "/dev/null"]),
    "signal": ("", ["USR1", "B:USR1@90", "R:TERM@10", "10@60", "SIGUSR2@5", "B:@5", "FOO", "USR1@", "RB:INT",
               "USR1@70000", "B:TERM", "usr1@10", "0", "64", "65"]),
    "chdir": ("D", ["/tmp", "sub"]),
    "open-mode": ("", ["append", "truncate", "a", "x"]),
    "exclusive": ("", ["user", "mcs", "x"]),
    "begin": ("b", ["now", "now+1hour", "16:00", "2027-01-31T10:00", "tomorrow", "never", "now+5", "noon", "25:00"]),
    "partition": ("p", ["gpu", "debug", "gpu,long"]),
    "account": ("A", ["physics"]),
    "constraint": ("C", ["h100", "a100|h100", "ib"]),
    "mail-type": ("", ["ALL", "END,FAIL", "none", "NEVER"]),
    "nice": ("", ["10", "-5"]),
    "distribution": ("m", ["block", "cyclic:block", "plane=4", "what"]),
    "hint": ("", ["nomultithread", "what"]),
    "export": ("", ["ALL", "NONE", "A=1,ALL"]),
    "licenses": ("L", ["matlab:2"]),
    "propagate": ("", ["ALL", "STACK", "what"]),
    "ntasks-per-gpu": ("", ["1", "2"]),
    "cpus-per-gpu": ("", ["4", "0"]),
    "mem-per-gpu": ("", ["40G"]),
    "kill-on-invalid-dep": ("", ["yes", "no", "what"]),
    "wait-all-nodes": ("", ["0", "1", "2"]),
    "switches": ("", ["1", "2@10:00", "x"]),
    "deadline": ("", ["now+2days", "2030-01-01", "what"]),
    "comment": ("", ['"a comment"', "x"]),
    "core-spec": ("S", ["1", "0"]),
    "qos": ("q", ["high"]),
    "gpu-bind": ("", ["closest", "single:1", "what"]),
    "mem-bind": ("", ["local", "what"]),
    "acctg-freq": ("", ["30", "what"]),
    "extra-node-info": ("B", ["2:4:1", "2", "*:2", "x"]),
    "priority": ("", ["5", "-5", "TOP"]),
    "time-min": ("", ["5", "x"]),
    "tmp": ("", ["5G", "x"]),
    "nodelist": ("w", ["p1", "p[1-3]"]),
    "exclude": ("x", ["p9"]),
}  # fmt: skip
#: Options that name what only a cluster knows.
_NAMES = "pCLwx"
_BARE = ["requeue", "no-requeue", "overcommit", "oversubscribe", "hold", "contiguous", "exclusive",
         "spread-job", "parsable",
         "quiet", "verbose", "O", "s", "H", "Q", "nice", "propagate", "no-kill", "reboot", "use-min-nodes",
         "mpi", "l", "label", "share", "get-user-env", "k"]  # fmt: skip
_ODD = ["yes", "--", "-", "hetjob", "packjob", ":", "'", '"open', "\\", "# a comment", "", "--node=2", "--gpu=2",
        "--job_name=x", "–N 2", "--unknown=5", "-Z", "--=3", "x #y", "''", "--nodes", "-N",
        "---nodes=2", "--nodes = 2"]  # fmt: skip
_PREFIXES = ["#SBATCH "] * 30 + ["#SBATCH\t", "#SBATCH", "##SBATCH ", "# SBATCH ", " #SBATCH ", "#sbatch ", "#SLURM ",
                                     "#SBATCHx "]  # fmt: skip
_BETWEEN = [""] * 14 + [
    "\n",
    "# a remark\n",
    "   \n",
    "echo early\n",
    "\t# indented\n",
    "set -e\n",
    ": <<X\n",
    "X=1\n",
]
_HEADS = ["#!/bin/bash\n"] * 25 + ["#!/bin/sh\n", "#! /usr/bin/env python3\n", "#!/bin/bash -l\n", "#!/bin/bash\r\n",
          "", "\n#!/bin/bash\n",           "#/bin/sh\n", "\ufeff#!/bin/bash\n", "# hi\n"]  # fmt: skip


@st.composite
def options(draw: st.DrawFn) -> str:
    """One option with its value in one of the forms that getopt takes."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.sampled_from(_ODD))
    if kind <= 2:
        bare = draw(st.sampled_from(_BARE))
        return f"-{bare}" if len(bare) == 1 else f"--{bare}"
    name = draw(st.sampled_from(sorted(_VALUES)))
    letter, values = _VALUES[name]
    value = draw(st.sampled_from(values))
    forms = [f"--{name}={value}"] * 4 + [f"--{name} {value}"] * 2 + [f"--{name[:-1]}={value}"]
    if letter:
        forms += [f"-{letter} {value}"] * 3 + [f"-{letter}{value}"]
        forms += [] if letter in _NAMES else [f"-{letter}={value}"]
    return draw(st.sampled_from(forms))


@st.composite
def scripts(draw: st.DrawFn) -> bytes:
    """A script of a few directives, one or several to a line, and a body."""
    text = draw(st.sampled_from(_HEADS))
    for _ in range(draw(st.integers(1, 4))):
        text += draw(st.sampled_from(_BETWEEN)) + draw(st.sampled_from(_PREFIXES))
        text += " ".join(draw(st.lists(options(), min_size=1, max_size=2)))
        text += draw(st.sampled_from(["\n"] * 12 + [" # why\n", " \n", "\r\n", "#no\n"]))
    return (text + draw(st.sampled_from(["srun hostname\n", "", "true"]))).encode()
