"""What tests of notebooks share: `flow jupyter` as a process, a client of Jupyter's protocol, and a browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from attrs import define, field

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

#: Real seconds that anything may take on a busy machine.
PATIENCE_S = 180.0
_CHROMIUM = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,800",
)  # fmt: skip


def refuse(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@define
class Held:
    """A `flow port` or `flow jupyter` that runs, and the documents that it has written."""

    process: subprocess.Popen[bytes]
    documents: list[dict[str, object]] = field(factory=list)

    def until(self, kind: str) -> dict[str, object]:
        """Return the next document of this kind; fail where the command ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            document = json.loads(line)
            self.documents.append(document)
            if document["kind"] == kind:
                return document  # type: ignore[no-any-return]
        assert self.process.stderr is not None
        pytest.fail(f"it ended with {self.process.wait()}: {self.process.stderr.read().decode()}")

    def leave(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def held(begin: Callable[..., subprocess.Popen[bytes]], *words: str) -> Iterator[Held]:
    """Hold a command that tells what happens as JSON; it has ended when this is left."""
    process = begin(*words, "--json")
    try:
        yield Held(process)
    finally:
        process.kill()
        process.communicate()


def output_of(server: str, code: str) -> str:
    """Return what a new kernel of the server prints for `code`, asked as an editor does: REST, then a web socket."""
    from websocket import create_connection

    parts = urlsplit(server)
    [token] = parse_qs(parts.query)["token"]
    base = f"http://{parts.netloc}/api/kernels"
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
        kernel = client.post(base, json={}).raise_for_status().json()["id"]
        where = f"ws://{parts.netloc}/api/kernels/{kernel}/channels"
        socket = create_connection(where, timeout=PATIENCE_S, header=headers)
        try:
            ours = uuid.uuid4().hex
            socket.send(json.dumps(_request(ours, code)))
            said = ""
            for message in iter(lambda: json.loads(socket.recv()), None):
                if message["parent_header"].get("msg_id") != ours:
                    continue
                if message["msg_type"] == "stream":
                    said += message["content"]["text"]
                elif message["msg_type"] == "execute_reply":
                    assert "ok" == message["content"]["status"], message["content"]
                elif (
                    message["msg_type"] == "status"
                    and message["content"]["execution_state"] == "idle"
                ):
                    return said
        finally:
            socket.close()
            client.delete(f"{base}/{kernel}")
    raise AssertionError("the kernel never came to rest")


@contextmanager
def browser(folder: Path) -> Iterator[Chrome]:
    """A headless Chromium of Debian's, with nothing but an empty profile."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or program is None:
        refuse("needs chromium and chromedriver, of Debian's chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for each in (*_CHROMIUM, f"--user-data-dir={folder}"):
        options.add_argument(each)
    found = webdriver.Chrome(options=options, service=Service(str(driver)))
    try:
        yield found
    finally:
        found.quit()


def _request(message_id: str, code: str) -> dict[str, object]:
    """Source: Jupyter's messaging protocol 5.3, execute_request."""
    return {
        "header": {
            "msg_id": message_id, "username": "", "session": message_id, "date": "",
            "msg_type": "execute_request", "version": "5.3",
        },
        "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
        "content": {
            "code": code, "silent": False, "store_history": False, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        },
    }  # fmt: skip
