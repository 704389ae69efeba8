import flow

task = flow.run(
    command="torchrun --nproc_per_node=8 train.py",
    instance_type="8xa100",
    num_instances=4,
    env={"NCCL_DEBUG": "INFO"},
)
state: flow.TaskState = task.wait()
code: int = task.result()
cost: flow.Spend = task.cost
stopped: bool = task.cancel()

for line in task.logs(follow=True):
    print(line.upper())

analysis = flow.run(
    "python analyze.py",
    gpu="a100",
    mounts={"/models": "volume://pretrained-models"},
)
again: flow.Task = flow.task(analysis.name)
