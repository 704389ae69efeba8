from datetime import timedelta

from flow import FlowError, Mount, Price, TaskSpec


def plan(command: str) -> TaskSpec | None:
    try:
        return TaskSpec(
            command=command,
            num_instances=2,
            env={"SEED": "1"},
            max_run_time=timedelta(hours=8),
        )
    except FlowError as problem:
        print(problem.message, problem.hint)
        return None


spec = plan("python train.py")
if spec is not None:
    limit: Price | None = spec.max_price
    mounts: tuple[Mount, ...] = spec.mounts
    spec.num_instances = 3  # wrong
