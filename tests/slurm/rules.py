"""Small scripts that each try one rule of sbatch's: a table of what stands after `#SBATCH`, one script a line.

`|` begins another line of directives. The full scripts are in corpus/.
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

_RULES = r"""
-N 1
-N 1-1
-N 2-4
-N 4-2
-N 2k
-N -3
-N 1-
-N=2
-N x
-N 4 -n 2
-N 2-4 -n 3
-N 2 -n 16
-N 2 --ntasks-per-node=8
-N 2 -n 4 --ntasks-per-node=8
-N 2-4 --ntasks-per-node=4
-n 16 --ntasks-per-node=8
-n 17 --ntasks-per-node=8
-n 3 -c 8
-n 0
-n 4x
-n +3
-c 0
-c 1.5
--ntasks-per-node=0
--tasks-per-node=2
-w p[1-3]
-w p[1-3] -N 2
-w p[1-3] -N 2-5
-w p1,p2 -n 8
-B 2:4:1
-B 2:4 -N 2
--sockets-per-node=2 --cores-per-socket=4 -N 2
--hint=nomultithread --cores-per-socket=4 -N 1
--hint=what
--spread-job -n 4
--use-min-nodes -N 2
--threads-per-core=1
--overcommit -n 4
-t 0
-t -1
-t 10
-t 90:30
-t 10:00
-t 1:00:00
-t 1-00:00:01
-t 00:00:30
-t 00:90:00
-t 2-3
-t 2-3:4
-t 1d12h
-t 1h
-t 1.5:00
-t infinite
-t UNLIMITED
-t 5:
-t :5
-t 1:2:3:4
-t 50000-0
--time-min=5 -t 10
--mem=64G
--mem=64GB
--mem=1500
--mem=1k
--mem=2048K
--mem=1.5T
--mem=64GiB
--mem=0
--mem=-1
--mem=1T
--mem-per-cpu=4gb -c 2
--mem-per-gpu=40G
--mem-per-gpu=40G --gpus=2
--mem=1G | --mem=2G
--mem-per-cpu=1G | --mem-per-gpu=1G --gpus=1
--gres=gpu:8
--gres=gpu:h100
--gres=gpu:0
--gres=none
--gres=gres:gpu:1
--gres=gres/gpu:1
--gres=gpu:
--gres=gpu::2
--gres=gpu:2:h100
--gres=gpu:1,
--gres=gpu:h100:2,gpu:h100:1
--gres=gpu:2 | --gres=gpu:h100:4
--gres=gpu:2 --gpus-per-node=4
--gres=gpu:h100:2 --gpus-per-node=4
--gres=foo:1
--gpus=8 -N 2
--gpus=2 -N 3
--gpus=h100:4,a100:4
--gpus=lots
--gpus=h100:
--gpus=8 --gpus-per-node=4
--gpus=8 --gpus-per-node=4 -N 4
--gpus=12 --gpus-per-node=8
--gpus=4 --gpus-per-node=8
--gpus-per-task=1
--gpus-per-task=1 -n 8
--gpus-per-task=1 -N 2
--gpus-per-task=2 -N 2 --ntasks-per-node=4
--gpus-per-task=2 --gpus=8
--gpus-per-task=3 --gpus=8
--gpus-per-task=1 --gpus-per-node=8 -n 16
--gpus-per-task=1 --gpus-per-node=8 -n 16 --ntasks-per-node=4
--gpus-per-task=2 --cpus-per-gpu=4 -n 2
--cpus-per-gpu=4 -c 2 --gpus=1
--gpus-per-socket=2
--gpus-per-socket=2 --sockets-per-node=2
--gpus-per-socket=2 --sockets-per-node=2 --gpus-per-node=8
--ntasks-per-gpu=2
--ntasks-per-gpu=2 -N 2
--ntasks-per-gpu=2 -n 7
--ntasks-per-gpu=2 -n 8
--ntasks-per-gpu=2 --gpus=4
--ntasks-per-gpu=2 --gpus-per-node=4 -N 2
--ntasks-per-gpu=1 --ntasks-per-node=4 --gpus=4
--ntasks-per-gpu=1 --gpus-per-task=1
-a 0
-a 0-15%4
-a 1-9:2
-a [1-3]
-a 5-1
-a 0-9%
-a 0-9%0
-a 1-3%2,7
-a 1-3,2-5
-a 007
-a a
-a 1:2
-a 4000001
-a %2
-a ,
-d singleton
-d afterok:1001:1002
-d afterok:1001,afterany:1002
-d afterok:1001?afterany:1002
-d after:1001+5
-d 1001
-d afterok:
-d afterwhat:1001
-d afterok:x
-d AFTEROK:1001
-d SINGLETON
-d afterok:1001,
-o %x-%j.out
-o /tmp/%A_%a.txt
-o %%.log
-o a\\%j
-o ~/x
-o $HOME/x
-e e.log
-D sub
-D /tmp -o x.log
--open-mode=append
--open-mode=x
--signal=USR1
--signal=B:USR1@90
--signal=R:TERM@10
--signal=FOO
--signal=10@60
--signal=USR1@70000
--requeue
--no-requeue
--requeue | --no-requeue
--exclusive=user
--exclusive=x
--exclusive user
-J "a b"
-J 'a b'
-J a\ b
-J a"b c"d
-J a#b
-J "a#b"
-J =x
-J "a\"b"
-J 'it\'s'
-J "open
-J ""
-J my name
-J a | -J b
-J a -J b
-JN2 -N2
-HN 2
-HN2O -n4
-n 2 -- -N 2
-n 2 -- x
:
-n 2 : -n 3
-n 2 hetjob -n 3
-n 2 packjob#x
-Jx \
--nodes | 2
--nodes = 2
--nodes=
--ntasks 4 --time=5:00 # a remark
--ntasks=4# a remark
--contiguous=yes
--nice --propagate
--propagate=what
--propagate=what --propagate=ALL
--nice=5 -k --no-kill=off
--nice 5
--get-user-env=10
--mail-type=NEVER
--distribution=plane=4
--distribution=what
--begin=never
--begin=tomorrow
--deadline=what
--priority=-5
--licenses=matlab:2
--switches=2@10:00
--wait-all-nodes=2
--core-spec=1
--mincpus=4
--tmp=5G
--export=A=1,ALL
--constraint=h100|a100
--job-n=x
--n=2
--=2
-Z
-l
--label
--immediate
--tres-per-task=gres/gpu:1
--wrap=true
--uid=nobody
"""

#: Other whole scripts, whose point is their form.
_FORMS = [
    b"#!/bin/bash\n#SBATCH\n#SBATCH   \n#SBATCH -n 2\n",
    b"#!/bin/bash\n#SBATCH-n 2\n#SBATCH\t-N\t2\n",
    b"#!/bin/bash\n#SLURM -n 2\n",
    b"#!/bin/bash\n\n\n   \n\t\n#SBATCH -n 2\n",
    b"#!/bin/bash\n\t# indented remark\n#SBATCH -n 2\n",
    b"#!/bin/bash\n: <<X\n#SBATCH -n 2\nX\n",
    b"#!/bin/bash\nA=1\n#SBATCH -n 2\n",
    b"#! /bin/bash\n#SBATCH -n 2\n",
    b"#!/bin/bash -x\n#SBATCH -n 2\n",
    b"#!/bin/bash\n#SBATCH -n 2\nprintf 'a\r\nb'\n",
    b"#!/bin/bash\n#SBATCH -n 2\nprintf '\r'\n",
    b"#!/bin/bash\n#SBATCH -n 2\nprintf '\0'\n",
    b"#!/bin/bash\n#SBATCH -J caf\xe9\n",
    b"#!",
    b"   \n",
    b"echo hello\n",
    b"#!/bin/bash\n#SBATCH -n 2 \\\n#SBATCH -N 2\n",
    b"#!/bin/bash\n#SBATCH -J 'a\n#SBATCH b'\n",
    b"#!/bin/bash\n#SBATCHx -n 2\n",
    b"#!/bin/bash\n#SBATCH: -n 2\n",
    b"#!/bin/bash\n#SBATCH -n 2\x0b-N 2\n",
]


def corpus() -> dict[str, bytes]:
    """Return every script by a name for people."""
    found = {path.stem: path.read_bytes() for path in sorted(CORPUS.glob("*.slurm"))}
    for rule in _RULES.strip("\n").splitlines():
        lines = "".join(f"#SBATCH {line.strip()}\n" for line in rule.split(" | "))
        found[rule] = f"#!/bin/bash\n{lines}true\n".encode()
    found.update({repr(form): form for form in _FORMS})
    return found
