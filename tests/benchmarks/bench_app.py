"""What a call of a function costs: alone on a warm node, ten thousand by `map`, and a gigabyte that comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flow
from flow_adapters.wiring import connect_in_memory
from flow_providers.mock import PretendCloud
from tests.benchmarks.harness import Effort, Measured, median

CALLS, NODES = 10_000, 8
GIGABYTE = 1_000_000_000
_DRIVER = """
import json, resource, sys, tempfile, time
import flow
app = flow.App("bench", environment="none")
kept = {}

def returned():
    began = time.perf_counter()
    back = array.remote(size)
    return time.perf_counter() - began, back

def filed(back):
    began = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        file.write(back)
        file.seek(0)
        assert len(file.read()) == size
    return time.perf_counter() - began

@app.function(gpu="a100")
def train(x):
    return x + 1

@app.function(gpu="a100")
def array(size):
    import numpy
    if size not in kept:  # making it is no part of its way back
        kept[size] = numpy.ones(size, dtype=numpy.uint8)
    return kept[size]

calls, nodes, size, rounds = map(int, sys.argv[1:])
found = {"one": []}
train.remote(1)
for _ in range(100):
    began = time.perf_counter()
    train.remote(1)
    found["one"].append(time.perf_counter() - began)
list(train.map(range(64 * nodes), concurrency=nodes))
began = time.perf_counter()
assert list(train.map(range(calls), concurrency=nodes))[-1] == calls
found["map"] = time.perf_counter() - began
_, back = returned()
found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
found["array"], found["file"] = [], []
for _ in range(rounds):
    found["file"].append(filed(back))
    del back
    took, back = returned()
    found["array"].append(took)
app.close()
print(json.dumps(found))
"""


def app_in_memory(effort: Effort) -> list[Measured]:
    """Calls on a pretend cloud in memory, as test suites make them."""
    app = flow.App("bench")

    @app.function(gpu="a100")
    def train(x: int) -> int:
        return x + 1

    calls = 1_000 if effort.is_quick else CALLS
    with flow.use(connect_in_memory(PretendCloud())), app:
        train.remote(1)
        alone = []
        for _ in range(100):
            began = time.perf_counter()
            train.remote(1)
            alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert calls == list(train.map(range(calls), concurrency=NODES))[-1]
        took = time.perf_counter() - began
    return [
        Measured(name="app: a call in memory", value=median(alone), limit=0.015),
        Measured(
            name="app: map in memory, a call",
            value=took / calls,
            limit=1 / 1_500,
            note=f"{calls / took:,.0f} calls a second over {NODES} nodes",
        ),
    ]


def app_on_processes(effort: Effort) -> list[Measured]:
    """Calls through real processes of the mock, and a large array that comes back."""
    calls, size = (1_000, GIGABYTE // 10) if effort.is_quick else (CALLS, GIGABYTE)
    rounds = min(effort.runs, 5)
    with tempfile.TemporaryDirectory(prefix="flow-bench-") as folder:
        program = Path(folder, "driver.py")
        program.write_text(_DRIVER, "utf-8")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "FLOW_STATE_DIR": f"{folder}/state",
            "FLOW_CONFIG_DIR": f"{folder}/config",
            "XDG_RUNTIME_DIR": folder,
            "FLOW_PROVIDER": "mock",
            "FLOW_MOCK_INSTANT": "yes",
        }
        done = subprocess.run(
            [sys.executable, program, str(calls), str(NODES), str(size), str(rounds)],
            env=environ,
            check=True,
            capture_output=True,
            text=True,
        )
    found = json.loads(done.stdout)
    return [
        Measured(name="app: a call through a process", value=median(found["one"]), limit=0.015),
        Measured(
            name="app: map through processes, a call",
            value=found["map"] / calls,
            limit=1 / 300,
            note=f"{calls / found['map']:,.0f} calls a second over {NODES} nodes",
        ),
        Measured(
            name=f"app: {size / 1e9:g} GB comes back",
            value=median(found["array"]),
            limit=2 * median(found["file"]),
            peer=median(found["file"]),
            note="peer: the file written and read",
        ),
        Measured(
            name="app: the driver's peak memory",
            value=found["peak"] / 1e9,
            unit="GB",
            limit=1.3 * max(size / GIGABYTE, 0.5),
        ),
    ]
