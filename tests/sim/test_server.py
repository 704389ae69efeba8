"""The simulator behind a port: what a socket adds."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest

from flow_adapters.clocks import SystemClock
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.http.troubles import add


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A server in a thread, and where it is."""
    service = on_disk(tmp_path_factory.mktemp("sim"), SystemClock(), rate=600, seed=1)
    server = Server(service, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield service, server.url
    server.stop()
    thread.join()


def client(served: tuple[Service, str]) -> httpx.Client:
    """A client of its own."""
    service, url = served
    return httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {service.api_key}"}, trust_env=False
    )


def test_one_connection_serves_many_requests(served):
    """Lists, creates, deletes and refusals go over one connection, with the simulated date."""
    service, _ = served
    with client(served) as http:
        made = http.post("/v2/ssh-keys", json={"project": service.project, "name": "k"})
        gone = http.delete(f"/v2/ssh-keys/{made.json()['fid']}")
        lost = http.get("/v2/nope")
        listed = http.get("/v2/ssh-keys", params={"project": service.project})

    assert [201, 204, 404, 200] == [each.status_code for each in (made, gone, lost, listed)]
    assert (b"", []) == (gone.content, listed.json())
    assert 1 == len(listed.headers.get_list("date"))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", ""]
)
def test_foreign_host_is_turned_away(served, host):
    """A page that reaches loopback by a name of its own is answered 400, key or not."""
    with client(served) as http:
        reply = http.get("/v2/me", headers={"host": host})

    assert 400 == reply.status_code


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8080"])
def test_loopback_by_any_name_is_let_in(served, host):
    """The names of loopback are served, with any port."""
    with client(served) as http:
        assert 200 == http.get("/v2/me", headers={"host": host}).status_code


def test_connection_is_really_cut(served):
    """A dropped request gets no byte of an answer, and the next one is served."""
    service, _ = served
    service.engine.change(None, lambda world, _: add(world, kind="drop", path="/v2/me"))
    with client(served) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            http.get("/v2/me")
        assert 200 == http.get("/v2/me").status_code


def test_body_that_never_ends_is_refused(served):
    """More than four megabytes are not kept."""
    with client(served) as http:
        reply = http.post("/v2/spot/bids", content=b" " * 4_000_001)

    assert 413 == reply.status_code


@pytest.mark.slow
def test_command_prints_what_a_client_needs(tmp_path):
    """`flow mock serve --json` says where it is and the key that opens it; --control adds a token."""
    process = subprocess.Popen(
        [
            sys.executable, "-c", "import sys; from flow_cli.app import main; sys.exit(main())",
            "mock", "serve", "--port", "0", "--state-dir", str(tmp_path), "--control", "--json",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        replies = [
            httpx.get(
                f"{said['url']}{path}", headers={"authorization": f"Bearer {said[word]}"}, trust_env=False
            ).status_code
            for path, word in (("/v2/me", "api_key"), ("/_sim/status", "control_token"))
        ]  # fmt: skip
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()

    assert [200, 200] == replies
    assert said["project"].startswith("proj_")
