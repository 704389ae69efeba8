"""Answers as `nvidia-smi` on a pretended node, for the GPUs that it pretends to have; every answer says so.

Runs as a program of its own, with the standard library only: `fake_gpu.py COUNT NAME MEMORY_MIB ARGUMENTS...`.
The last are what the user gave `nvidia-smi`: nothing, `-L`, or `--query-gpu=FIELDS --format=csv[,noheader][,nounits]`.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence

_NOTE = "simulated by Flow's mock provider; this node has no GPU"
_DRIVER = "000.00.00"
_UNITS = {"memory.total": " MiB", "memory.used": " MiB", "memory.free": " MiB"} | {
    "utilization.gpu": " %",
    "utilization.memory": " %",
    "power.draw": " W",
    "power.limit": " W",
}


def answer(count: int, name: str, memory_mib: int, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the text of `nvidia-smi ARGUMENTS` on a node with `count` GPUs."""
    if count == 0:
        return 9, f"No devices were found ({_NOTE})\n"
    options = dict(each.partition("=")[::2] for each in arguments)
    if not arguments:
        return 0, _table(count, name, memory_mib)
    if arguments[0] in ("-L", "--list-gpus"):
        rows = [f"GPU {each}: {name} (UUID: {_uuid(each)}) [simulated]" for each in range(count)]
        return 0, "\n".join(rows) + "\n"
    if arguments[0] in ("-h", "--help"):
        return (
            0,
            f"nvidia-smi: {_NOTE}\nIt knows: no arguments, -L, --query-gpu=FIELDS --format=csv[,noheader][,nounits]\n",
        )
    fields = options.get("--query-gpu")
    formats = options.get("--format", "").split(",")
    if fields and "csv" in formats and set(options) == {"--query-gpu", "--format"}:
        return _query(count, name, memory_mib, fields.split(","), formats)
    return 2, f"nvidia-smi: {' '.join(arguments)} is more than this one can answer ({_NOTE})\n"


def _table(count: int, name: str, memory_mib: int) -> str:
    line = "+" + "-" * 77 + "+"
    rows = [line, f"| {'NVIDIA-SMI  ' + _NOTE:<75} |", line]
    rows.append(f"| {'GPU  Name':<40} {'Memory-Usage':>22} {'GPU-Util':>11} |")
    rows.append(line)
    for each in range(count):
        rows.append(f"| {each:>3}  {name:<35} {f'0MiB / {memory_mib}MiB':>22} {'0%':>11} |")
    return "\n".join([*rows, line]) + "\n"


def _query(
    count: int, name: str, memory_mib: int, fields: Sequence[str], formats: Sequence[str]
) -> tuple[int, str]:
    names = [field.strip() for field in fields]
    rows: list[str] = []
    if "noheader" not in formats:
        plain = "nounits" in formats
        rows.append(
            ", ".join(
                f"{each} [{_UNITS[each].strip()}]" if each in _UNITS and not plain else each
                for each in names
            )
        )
    for number in range(count):
        known = {
            "index": str(number),
            "count": str(count),
            "name": name,
            "gpu_name": name,
            "uuid": _uuid(number),
            "gpu_uuid": _uuid(number),
            "pci.bus_id": f"00000000:{number:02X}:00.0",
            "driver_version": _DRIVER,
            "memory.total": str(memory_mib),
            "memory.used": "0",
            "memory.free": str(memory_mib),
            "utilization.gpu": "0",
            "utilization.memory": "0",
            "temperature.gpu": "30",
            "power.draw": "0.00",
            "power.limit": "0.00",
        }
        unknown = [each for each in names if each not in known]
        if unknown:
            return 2, f'Field "{unknown[0]}" is not a valid field to query ({_NOTE})\n'
        rows.append(
            ", ".join(
                known[each] + ("" if "nounits" in formats else _UNITS.get(each, ""))
                for each in names
            )
        )
    return 0, "\n".join(rows) + "\n"


def _uuid(number: int) -> str:
    return f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'flow-mock-{number}')}"


if __name__ == "__main__":
    _code, _text = answer(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    sys.stdout.write(_text)
    sys.exit(_code)
