#!/bin/sh
# Runs a batch script on the first node as Slurm's batch step would: its variables, its time limit, its own file.
#   FLOW_SLURM_TIME_S   seconds after which it is told to end (TERM), and later made to (KILL); none without
#   FLOW_SLURM_KILL_WAIT_S   seconds between the two, as Slurm's KillWait (30)
#   FLOW_SLURM_SIGNAL   NAME@SECONDS: a signal for the script that long before its time is up; @SECONDS@steps for its steps
#   FLOW_SLURM_REQUEUE  no: a script that lost its nodes is not started again
#   FLOW_SLURM_INPUT    the file that is its standard input
# All else that it knows is Flow's own: FLOW_NODES, FLOW_NUM_NODES, FLOW_GPUS, FLOW_RESTART_COUNT.
if [ "${FLOW_RESTART_COUNT:-0}" -gt 0 ]; then
  if [ "${FLOW_SLURM_REQUEUE:-}" = no ]; then
    echo "flow: its nodes were lost, and --no-requeue says not to start it again" >&2
    exit 143
  fi
  export SLURM_RESTART_COUNT="$FLOW_RESTART_COUNT"
fi
: "${FLOW_SLURM_PORT:=${MASTER_PORT:-29400}}"
export FLOW_SLURM_PORT
# Slurm has no idea of torch; a script that starts one process must not look like one of many.
for each in RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NNODES NODE_RANK MASTER_ADDR MASTER_PORT; do
  unset "$each" "PET_$each"
done
home=${FLOW_HOME:-/nowhere}/slurm
rm -rf "$home/steps"
mkdir -p "$home/tmp" 2>/dev/null || { home=$(mktemp -d) && mkdir "$home/tmp"; } || exit 125
cpus=$(nproc 2>/dev/null || echo 1)
count=${FLOW_NUM_NODES:-1}
each=
[ "$count" -gt 1 ] && each="(x$count)"
user=$(id -un 2>/dev/null || id -u)
host=${FLOW_NODES:-127.0.0.1}
host=${host%% *}
gpus=
number=0
while [ "$number" -lt "${FLOW_GPUS:-0}" ]; do
  gpus=$gpus${gpus:+,}$number
  number=$((number + 1))
done
: "${SLURM_JOB_ID:=1}"
export SLURM_JOB_ID SLURM_JOBID="$SLURM_JOB_ID" SLURM_JOB_USER="$user"
SLURM_JOB_UID=$(id -u) SLURM_JOB_GID=$(id -g) SLURM_SUBMIT_HOST=$(uname -n)
SLURM_JOB_NODELIST=$(echo "${FLOW_NODES:-127.0.0.1}" | tr ' ' ',')
export SLURM_JOB_UID SLURM_JOB_GID SLURM_SUBMIT_HOST SLURM_JOB_NODELIST
export SLURM_NODELIST="$SLURM_JOB_NODELIST" SLURM_JOB_NUM_NODES="$count" SLURM_NNODES="$count"
export SLURM_CPUS_ON_NODE="$cpus" SLURM_JOB_CPUS_PER_NODE="$cpus$each" SLURMD_NODENAME="$host"
export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_GTIDS=0 SLURM_TASK_PID=$$
export SLURM_SUBMIT_DIR="$PWD" SLURM_TMPDIR="$home/tmp"
if [ -n "$gpus" ]; then
  export SLURM_JOB_GPUS="$gpus" SLURM_GPUS_ON_NODE="$FLOW_GPUS"
fi
# The commands that scripts call, where the kit that has them was delivered.
kit=${FLOW_HOME:-/nowhere}/kit.zip
run=
if [ "$count" -eq 1 ] && [ -z "${FLOW_SLURM_KEY:-}" ]; then
  FLOW_SLURM_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export FLOW_SLURM_KEY
fi
if [ -f "$kit" ] && [ -n "${FLOW_SLURM_KEY:-}" ] && py=$(command -v python3); then
  export FLOW_SLURM_BIN="$home/bin"
  mkdir -p "$FLOW_SLURM_BIN"
  main="import sys; sys.path.insert(0, '$kit'); from flow_core.node.slurm.commands import main; main()"
  for name in batch agent srun scontrol sbatch squeue scancel sacct sinfo module ml; do
    printf '#!/bin/sh\nexec "%s" -c "%s" %s "$@"\n' "$py" "$main" "$name" >"$FLOW_SLURM_BIN/$name"
    chmod 700 "$FLOW_SLURM_BIN/$name"
  done
  if [ "${FLOW_NODE_RANK:-0}" -gt 0 ]; then
    exec "$FLOW_SLURM_BIN/agent" "$FLOW_NODE_RANK"
  fi
  mv "$FLOW_SLURM_BIN/batch" "$home/batch"
  run=$home/batch
  export PATH="$FLOW_SLURM_BIN:$PATH"
elif [ "${FLOW_NODE_RANK:-0}" -gt 0 ]; then
  exit 0
fi
if [ -n "${FLOW_SLURM_TIME_S:-}" ]; then
  # It must not hold the log's pipes open, so what it has to say goes through the script's own.
  (
    trap '' TERM
    end=$(($(date +%s) + FLOW_SLURM_TIME_S))
    name=${FLOW_SLURM_SIGNAL%%@*}
    early=${FLOW_SLURM_SIGNAL#*@}
    whom=${early#"${early%%@*}"}
    early=${early%%@*}
    while kill -0 $$ 2>/dev/null; do
      left=$((end - $(date +%s)))
      if [ -n "$name" ] && [ "$left" -le "$early" ]; then
        if [ -z "$whom" ]; then
          kill -s "$name" $$
        else
          for each in "$home"/steps/*; do
            kill -s "$name" "${each##*/}"
          done
        fi
        name=
      fi
      if [ "$left" -le 0 ]; then
        echo "flow: its time limit of ${FLOW_SLURM_TIME_S} s is over; it is told to end" >"/proc/$$/fd/2"
        kill -TERM -$$ 2>/dev/null
        left=${FLOW_SLURM_KILL_WAIT_S:-30}
        while [ "$left" -gt 0 ] && kill -0 $$ 2>/dev/null; do
          left=$((left - 1))
          sleep 1
        done
        kill -KILL -$$
      fi
      [ "$left" -gt 5 ] && left=5
      sleep "$left"
    done
  ) </dev/null >/dev/null 2>&1 &
fi
cat >"$home/slurm_script" <<'@END@'
@BODY@
@END@
chmod 700 "$home/slurm_script"
@ARGUMENTS@
exec ${run:+"$run"} "$home/slurm_script" "$@" <"${FLOW_SLURM_INPUT:-/dev/null}"
