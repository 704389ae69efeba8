"""The small `systemctl` of booting nodes, over units that tests put there."""

from __future__ import annotations

import pytest

from tests.sim_nodes.kit import AT, ID, Cloud

pytestmark = pytest.mark.slow
PUT = "sudo tee /etc/systemd/system/{name}.service >/dev/null"


@pytest.fixture
def node(cloud) -> Cloud:
    """A cloud with one node up."""
    cloud.boot()
    return cloud


def put(node: Cloud, name: str, service: str) -> None:
    """Give the node a unit and have it read."""
    text = (
        f"[Unit]\nDescription=A test\n[Service]\n{service}\n[Install]\nWantedBy=multi-user.target\n"
    )
    node.ssh(PUT.format(name=name), input=text)
    node.ssh("sudo systemctl daemon-reload")


def test_an_enabled_service_starts_at_each_boot(node):
    """`enable --now` starts a service and links it; after a stop and a boot it runs again, a disabled one doesn't."""
    for name in ("one", "two"):
        put(node, name, f"ExecStart=/bin/sh -c 'echo {name} >>/opt/ran; exec sleep 1000'")
        node.ssh(f"sudo systemctl enable --now {name}")
    node.ssh("sudo systemctl disable two")
    node.nodes.stop(ID, at=AT)
    node.until_down()
    node.boot()
    waited = (
        "until [ $(wc -l </opt/ran) = 3 ]; do :; done; sort /opt/ran; systemctl is-active one two"
    )

    assert "one\none\ntwo\nactive\ninactive\n" == node.ssh(waited).stdout


def test_a_service_s_life_is_told(node):
    """is-active, status and show follow a service from start to stop, with systemd's exit codes."""
    put(node, "one", "ExecStart=/bin/sleep 1000")
    before = node.ssh("systemctl is-active one; echo $?").stdout
    node.ssh("sudo systemctl start one")
    pid = node.ssh("systemctl show -p MainPID --value one").stdout.strip()

    assert "inactive\n3\n" == before
    assert "sleep\n" == node.ssh(f"cat /proc/{pid}/comm").stdout
    assert "active" == node.ssh("systemctl is-active one").stdout.strip()
    assert "active (running)" in node.ssh("systemctl status one").stdout
    node.ssh("sudo systemctl stop one")

    assert (
        "MainPID=0\n3\n"
        == node.ssh("systemctl show -p MainPID one; systemctl -q is-active one; echo $?").stdout
    )
    assert 4 == node.ssh("systemctl status nothing").returncode
    assert 5 == node.ssh("sudo systemctl start nothing").returncode
    assert 4 == node.ssh("systemctl start one").returncode or node.ssh("id -u").stdout == "0\n"


def test_a_service_has_its_settings(node):
    """Variables, their file, the folder, the user and what comes before are as the unit says."""
    node.ssh("sudo tee /etc/settings >/dev/null", input='# settings\nB="two words"\nA=file\n')
    put(
        node,
        "one",
        'Environment="A=one" C=three\nEnvironmentFile=/etc/settings\nEnvironmentFile=-/etc/missing\n'
        "WorkingDirectory=/opt\nUser=ubuntu\nUMask=0077\nExecStartPre=/bin/mkdir -p /tmp/made\n"
        "ExecStart=/bin/sh -c 'echo $$A/$$B/$C $(pwd) $(whoami) $(umask) >/tmp/made/said; exec sleep 1000'",
    )
    node.ssh("sudo systemctl start one")
    said = node.ssh(
        "until [ -s /tmp/made/said ]; do :; done; cat /tmp/made/said; whoami"
    ).stdout.split()

    assert ["file/two", "words/three", "/opt", said[-1], "0077"] == said[:5]


def test_a_failed_service_comes_back_if_its_unit_says_so(node):
    """Restart=on-failure brings back what failed, not what ended well; a limit ends the trying."""
    put(
        node,
        "often",
        "Restart=on-failure\nRestartSec=10ms\nExecStart=/bin/sh -c 'echo x >>/opt/often; exit 1'",
    )
    put(node, "once", "Restart=on-failure\nExecStart=/bin/sh -c 'echo x >>/opt/once'")
    node.ssh("sudo systemctl start often once")
    waited = "until [ $(systemctl is-active often) = failed ]; do :; done; wc -l </opt/often; wc -l </opt/once"

    assert ["5", "1"] == node.ssh(waited).stdout.split()


def test_a_killed_service_comes_back(node):
    """Restart=always starts a service anew whose process was killed."""
    put(node, "one", "Restart=always\nExecStart=/bin/sleep 1000")
    waited = (
        "sudo systemctl start one; old=$(systemctl show -p MainPID --value one); sudo kill -9 $old;"
        "until new=$(systemctl show -p MainPID --value one); [ $new != 0 ] && [ $new != $old ]; do :; done;"
        "systemctl show -p NRestarts one"
    )

    assert "NRestarts=1\n" == node.ssh(waited).stdout


def test_a_stop_ends_all_that_came_of_a_service(node):
    """Children of a service, those in a session of their own included, end with it; TERM first, then KILL."""
    put(
        node,
        "one",
        "TimeoutStopSec=200ms\n"
        "ExecStart=/bin/sh -c 'setsid sleep 2001 & trap \"echo told >/opt/told\" TERM; while :; do sleep 0.02; done'",
    )
    node.ssh("sudo systemctl start one; until pgrep -f 'sleep 2001' >/dev/null; do :; done")
    said = node.ssh(
        "sudo systemctl stop one; cat /opt/told; pgrep -f '^sleep 2001'; systemctl is-active one"
    )

    assert "told\ninactive\n" == said.stdout


def test_a_oneshot_is_waited_for(node):
    """Starting a oneshot returns when it has ended, with its failure."""
    put(
        node,
        "good",
        "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo 1 >>/opt/said'\n"
        "ExecStart=/bin/sh -c 'echo 2 >>/opt/said'",
    )
    put(node, "bad", "Type=oneshot\nExecStart=/bin/false")
    said = node.ssh(
        "sudo systemctl start good; cat /opt/said; systemctl is-active good; sudo systemctl start bad; echo $?"
    )

    assert "1\n2\nactive\n1\n" == said.stdout
