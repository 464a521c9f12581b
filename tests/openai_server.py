"""A server with the part of OpenAI's API that is used, for tests."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Answers with the last word asked, with `reply`, or with what `answer` says."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.plan: list[str] = []  # what becomes of the next requests: "late", "500"
        self.reply = ""
        self.answer: Callable[[list[dict[str, str]]], str] | None = None
        self.delay = 0.0
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(body)
            fate = server.plan.pop(0) if server.plan else "answer"
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        time.sleep(1.5 if fate == "late" else server.delay)
        if server.answer is not None:
            said = server.answer(body["messages"])
        else:
            said = server.reply or body["messages"][-1]["content"].split()[-1]
        message = {"role": "assistant", "content": said}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        answer["choices"] = [{"index": 0, "finish_reason": "stop", "message": message}]
        data = json.dumps(answer).encode()
        with server.lock:
            server.open -= 1
        try:
            self.send_response(500 if fate == "500" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            pass

    def log_message(self, *arguments: Any) -> None:
        pass
