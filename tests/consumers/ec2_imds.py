"""An instance metadata service over a rendered tree, on loopback; for tests alone.

A token is handed out for a PUT, as version 2 does. A guest that keeps its UUID asks for none, so that requests without
one are answered too, unless the service is told to insist; a wrong token is always refused.
"""

import http.server
import os
import secrets
import threading

TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class Service(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tree, insists=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tree, self.insists, self.tokens, self.asked = tree, insists, set(), []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def find(self, path):
        """The file for a path; whatever the version, for there is one tree."""
        parts = [part for part in path.split("/") if part]
        if not parts or any(part in ("..", "_index") for part in parts):
            return None
        at = os.path.join(self.tree, "latest", *parts[1:])
        if os.path.isdir(at):
            at = os.path.join(at, "_index")
        return at if os.path.isfile(at) else None


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        ttl = self.headers.get(TTL, "")
        if self.path != "/latest/api/token":
            return self.answer(404)
        if not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            return self.answer(400)
        token = secrets.token_urlsafe(16)
        self.server.tokens.add(token)
        self.answer(200, token.encode())

    def do_GET(self):
        self.server.asked.append(self.path)
        token = self.headers.get(TOKEN)
        if token is None and self.server.insists or token is not None and token not in self.server.tokens:
            return self.answer(401)
        found = self.server.find(self.path)
        if found is None:
            return self.answer(404)
        with open(found, "rb") as file:
            self.answer(200, file.read())

    def log_message(self, *_):
        pass
