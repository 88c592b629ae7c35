"""A headless Chromium spoken to by its DevTools protocol, over the websocket client that viser brings along."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0")


class Tab:
    """One page of the browser; `errors` holds what its scripts threw or logged as an error since it was opened."""

    def __init__(self, socket: Any):
        self.socket, self.asked, self.errors = socket, 0, list[str]()
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers; events that come in between are heard."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.socket.recv(timeout=60))
            if said.get("id") == self.asked:
                assert "error" not in said, said
                return said["result"]
            self._hear(said)

    def _hear(self, said: dict[str, Any]) -> None:
        what = said.get("params", {})
        if said["method"] == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(what["exceptionDetails"]))
        if said["method"] == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self.errors.append(json.dumps(what["args"]))
        if said["method"] == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.errors.append(json.dumps(what["entry"]))

    def open(self, address: str) -> None:
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState == 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; an exception in it is an error of the page."""
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"{condition} did not come true in {seconds} s"
            time.sleep(0.1)

    def picture(self, of: str = "body") -> np.ndarray:
        """RGB [h,w,3] of an element as the browser paints it."""
        box = self.evaluate(f"(() => {{const b = document.querySelector({of!r}).getBoundingClientRect();"
                            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}})()")
        said = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip={**box, "scale": 1})
        image = cv2.imdecode(np.frombuffer(base64.b64decode(said["data"]), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return image[..., ::-1]


@contextmanager
def tab(profile: Path, width: int = 1100, height: int = 720) -> Iterator[Tab]:
    """A browser with one empty page; ended afterwards. `profile` is a folder of its own."""
    from websockets.sync.client import connect

    assert FOUND is not None
    browser = subprocess.Popen([FOUND, *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Tab(socket)
    finally:
        browser.terminate()
        browser.wait(20)


def _port(told: Path) -> int:
    for _ in range(300):
        if told.is_file() and (text := told.read_text()).strip():
            return int(text.split()[0])
        time.sleep(0.1)
    raise AssertionError("the browser did not start in 30 s")
