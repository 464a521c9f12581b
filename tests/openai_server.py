"""A server with the part of OpenAI's API that is used, for tests."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: status, body (JSON or a page), headers, and when."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def refusal(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI's API says it."""
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


LATE = Fate(seconds=1.5)
BROKEN = Fate(500, {"error": {"message": "out of order"}})
PAGE = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Hello</body></html>"


class Server(ThreadingHTTPServer):
    """Answers with the last word asked, with `reply`, or with what `answer` says."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []  # of the requests
        self.plan: list[Fate] = []  # what becomes of the next requests
        self.refuses: dict[str, dict[str, Any]] = {}  # parameters, and the error for each
        self.reply = ""
        self.answer: Callable[[list[dict[str, str]]], str] | None = None
        self.delay = 0.0
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def completion(body: Mapping[str, Any], **message: Any) -> dict[str, Any]:
    """Return an answer with one choice."""
    answer = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
    said = {"role": "assistant", **message}
    return {**answer, "choices": [{"index": 0, "finish_reason": "stop", "message": said}]}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(body)
            server.times.append(time.monotonic())
            fate = server.plan.pop(0) if server.plan else Fate()
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        refused = next((error for name, error in server.refuses.items() if name in body), None)
        if refused is not None:
            fate = Fate(400, refused)
        time.sleep(fate.seconds or server.delay)
        if server.answer is not None:
            said = server.answer(body["messages"])
        else:
            said = server.reply or body["messages"][-1]["content"].split()[-1]
        answer = completion(body, content=said) if fate.body is None else fate.body
        page = isinstance(answer, str)
        data = (answer if page else json.dumps(answer)).encode()
        with server.lock:
            server.open -= 1
        try:
            self.send_response(fate.status)
            self.send_header("Content-Type", "text/html" if page else "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in fate.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            pass

    def log_message(self, *arguments: Any) -> None:
        pass
