"""Unit files, read as systemd's manual describes them."""

from __future__ import annotations

from flow_providers.mock.boot import units


def test_units_are_read_as_systemd_reads_them():
    """Comments, continued lines, emptied lists, quotes, spans of time and specifiers."""
    text = (
        "[Service]\n# a comment\nExecStart=/bin/old\nExecStart=\n"
        'ExecStart=-/bin/echo "a b" \\\n  c%n\nTimeoutStopSec=1min 30s\nRestartSec=5\n; more\n'
    )
    unit = units.Unit("x.service", text)

    assert [(["/bin/echo", "a b", "cx.service"], True)] == unit.commands("ExecStart")
    assert (90.0, 5.0, 7.0) == (
        unit.seconds("TimeoutStopSec", 0),
        unit.seconds("RestartSec", 0),
        unit.seconds("Missing", 7.0),
    )
    assert ["a", "b", "-c d-", "$X"] == units.expanded(
        ["$W", "-${V}-", "$$X"], {"W": "a b", "V": "c d"}
    )
