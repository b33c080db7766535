"""A SendGrid-compatible server: checks what the v3 API checks, answers what a test scripts, keeps a journal.

Every request that arrived whole is in `journal`, whatever was answered; so the journal, and not the
server under test, says how often a mail was sent.
"""

import http.server
import json
import random
import socket
import struct
import sys
import threading
import time
import uuid


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that is gone before its answer is no news: tests kill it."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class SendGrid:
    def __init__(self, port=0):
        self.script = []  # one action for each request: a status, or "close", "reset", "silence"; then the default
        self.default = 202
        self.headers = {}  # extra header fields of an answer
        self.slow_ms = 0  # an answer takes a random time up to this many milliseconds
        self.journal = []  # dicts: body, authorization, action
        self.lock = threading.Lock()
        self.release = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                outer.handle(self)

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, request):
        size = int(request.headers.get("content-length", 0))
        body = request.rfile.read(size)
        if len(body) < size:
            request.close_connection = True
            return
        with self.lock:
            action = self.script.pop(0) if self.script else self.default
            mail = json.loads(body)
            self.journal.append(
                {
                    "body": mail,
                    "authorization": request.headers.get("authorization"),
                    "path": request.path,
                    "action": action,
                }
            )
        if self.slow_ms:
            time.sleep(random.uniform(0, self.slow_ms) / 1000)
        if action == "silence":
            self.release.wait(60)
            request.close_connection = True
            return
        if action in ("close", "reset"):
            if action == "reset":
                request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            request.connection.close() if action == "reset" else request.connection.shutdown(socket.SHUT_RDWR)
            return
        status = self.verdict(request, mail, action)
        payload = (
            b""
            if status == 202
            else json.dumps({"errors": [{"message": f"scripted {status}", "field": None, "help": None}]}).encode()
        )
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if status == 202:
            request.send_header("X-Message-Id", uuid.uuid4().hex[:22])
        request.send_header("Content-Length", str(len(payload)))
        request.end_headers()
        request.wfile.write(payload)

    @staticmethod
    def verdict(request, mail, action):
        """What the real API refuses by itself; else the scripted status."""
        if request.path != "/v3/mail/send":
            return 404
        if not (request.headers.get("authorization") or "").startswith("Bearer "):
            return 401
        whole = (
            mail.get("from", {}).get("email")
            and mail.get("subject")
            and mail.get("content")
            and mail.get("personalizations")
        )
        if not whole or not all(p["to"][0]["email"] for p in mail["personalizations"]):
            return 400
        return action

    def accepted(self):
        """Mails that this server took responsibility for."""
        return [entry for entry in self.journal if entry["action"] == 202]

    def recipients(self):
        return [entry["body"]["personalizations"][0]["to"][0]["email"] for entry in self.journal]

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
