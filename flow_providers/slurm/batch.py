"""The batch script: what makes every node of an allocation a node of a task.

Nothing in it is anybody's command: the node script carries that, packed, in a here-document whose end is drawn from
its own bytes; and what sbatch is told is a list of words, which no shell of ours reads unquoted.

Why it is as it is. Slurm tells the batch script and its steps to end at one moment, and kills what is left when the
batch script has ended: so it, and each node's shell, hear of the signal and wait for what they started, which saves its
state. A command that has ended leaves its node standing for a while, so that logs, files and terminals can be had
until the bid is withdrawn; when nobody does that, because the machine that would sleeps, the allocation is given back.
"""

from __future__ import annotations

import hashlib
import shlex

from flow_providers.slurm.desk_bids import BEGINS

#: Seconds that a node waits to be given back once its command has ended, unless the task keeps its nodes.
LINGER_S = 600
#: What the batch script ends with where a node doesn't see the shared folder.
UNSEEN = 97
#: What a node ends with where a volume can't be at its path.
UNMOUNTED = 98

_BATCH = """#!/bin/sh
# Flow's: each node of this allocation becomes a node of a task. Its command travels below, packed.
trap : TERM
echo @BEGINS@
folder=@FOLDER@
FLOW_BID=$folder FLOW_LINGER=@LINGER@ FLOW_PYTHON=@PYTHON@ FLOW_IMAGES=@IMAGES@
export FLOW_BID FLOW_LINGER FLOW_PYTHON FLOW_IMAGES
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --wait=0 sh -s <<'@END@' &
{
trap 'told=1' TERM
umask 077
if ! [ -d "$FLOW_BID" ]; then
echo "flow: node ${SLURMD_NODENAME:-?} does not see $FLOW_BID" >&2
exit @UNSEEN@
fi
FLOW_FOREGROUND=1 FLOW_HOME=$FLOW_BID/node-$SLURM_NODEID FLOW_WORKSPACE=$FLOW_BID/work-$SLURM_NODEID
export FLOW_FOREGROUND FLOW_HOME FLOW_WORKSPACE
mkdir -p "$FLOW_HOME" "$FLOW_WORKSPACE"
if [ -s "$FLOW_BID/mounts" ]; then
FLOW_VOLUMES=$("$FLOW_PYTHON" "$FLOW_BID/mounts.py" "$FLOW_BID") || exit @UNMOUNTED@
export FLOW_VOLUMES
fi
(
unset FLOW_BID FLOW_LINGER
@NODE@
)
code=$?
if [ -z "$told" ] && [ "$code" = 0 ]; then sleep "$FLOW_LINGER" & wait $!; kill $! 2>/dev/null; fi
exit "$code"
}
@END@
step=$!
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do wait "$step"; code=$?; done
exit "$code"
"""


def batch_script(
    node_script: str, *, python: str, images: str = "", linger_s: int = LINGER_S
) -> str:
    """Return what runs `node_script` on every node; where `@FOLDER@` stands in it goes the path of the bid's folder.

    `images` is what runs images on the nodes.
    """
    end = f"FLOW-{hashlib.sha256(node_script.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}"
    told = {
        "@LINGER@": str(linger_s),
        "@PYTHON@": shlex.quote(python),
        "@IMAGES@": images,
        "@BEGINS@": BEGINS,
        "@UNSEEN@": str(UNSEEN),
        "@UNMOUNTED@": str(UNMOUNTED),
        "@END@": end,
        # Last: nothing in it is looked for.
        "@NODE@": node_script.rstrip("\n"),
    }
    text = _BATCH
    for mark, value in told.items():
        text = text.replace(mark, value)
    return text
