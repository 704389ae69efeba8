"""What a person and an editor do with a notebook server; run by the Python of `make notebook-venv`, not by the tests'.

cell LINK PROFILE    open the notebook at LINK in Chromium, run its first cell, print its output
ask SERVER CODE      have a new kernel run CODE, print what it prints: REST, then a web socket, as editors do
run PATH CELL...     run cells one after the other in a kernel that finds packages at PATH too, print what they print
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Real seconds that anything may take on a busy machine.
PATIENCE_S = 40.0
_CHROMIUM = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,800",
)  # fmt: skip


def cell(link: str, profile: str, picture: str = "") -> str:
    """Return the output of the first cell, run by a person's keys in a browser."""
    from selenium import webdriver
    from selenium.common.exceptions import (
        ElementNotInteractableException,
        StaleElementReferenceException,
        TimeoutException,
    )
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for each in (*_CHROMIUM, f"--user-data-dir={profile}"):
        options.add_argument(each)
    page = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        wait = WebDriverWait(page, PATIENCE_S)

        def found(style: str) -> Any:
            return wait.until(lambda page: page.find_elements("css selector", style))[0]

        page.get(link)
        found(".jp-Notebook-ExecutionIndicator[data-status=idle]")

        def press(page: Any) -> Any:
            """Run the cell until something shows: a key may come before the page listens, or something lie over it."""
            with suppress(ElementNotInteractableException, StaleElementReferenceException):
                found(".jp-Cell .cm-content").click()
                page.switch_to.active_element.send_keys(Keys.SHIFT, Keys.ENTER)
            with suppress(TimeoutException):
                return WebDriverWait(page, 5.0).until(
                    lambda page: page.find_elements("css selector", ".jp-OutputArea-output pre")
                )

        shown = WebDriverWait(page, 2 * PATIENCE_S).until(press)
        text = str(shown[0].text)
        if picture:
            page.save_screenshot(picture)
        return text
    finally:
        page.quit()


def ask(server: str, code: str) -> str:
    """Return what a new kernel prints for `code`."""
    from websocket import create_connection

    parts = urlsplit(server)
    [token] = parse_qs(parts.query)["token"]
    headers = {"Authorization": f"token {token}"}
    made = urllib.request.Request(
        f"http://{parts.netloc}/api/kernels", b"{}", headers, method="POST"
    )
    with urllib.request.urlopen(made, timeout=PATIENCE_S) as answer:
        kernel = json.load(answer)["id"]
    where = f"ws://{parts.netloc}/api/kernels/{kernel}/channels"
    socket = create_connection(where, timeout=PATIENCE_S, header=headers)
    ours, said = uuid.uuid4().hex, ""
    socket.send(json.dumps(_request(ours, code)))
    for message in iter(lambda: json.loads(socket.recv()), None):
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != ours:
            continue
        if kind == "stream":
            said += content["text"]
        elif kind == "status" and content["execution_state"] == "idle":
            break
    socket.close()
    return said


def run(path: str, *cells: str) -> str:
    """Return what the cells print; the first that fails ends it."""
    from jupyter_client.manager import start_new_kernel

    said: list[str] = []
    manager, client = start_new_kernel(env={**os.environ, "PYTHONPATH": path})
    try:
        for each in cells:
            reply = client.execute_interactive(
                each,
                timeout=120,
                output_hook=lambda message: said.append(message["content"].get("text", "")),
            )
            assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(said)


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


if __name__ == "__main__":
    sys.stdout.write({"cell": cell, "ask": ask, "run": run}[sys.argv[1]](*sys.argv[2:]))
