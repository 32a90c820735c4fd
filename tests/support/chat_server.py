"""A server that speaks as OpenAI's does, on this machine, for tests of judges."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modalink.scoring import judge_model as judges


class ChatServer:
    """An OpenAI-compatible server that answers from a list, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                outer.headers.append({"path": self.path, **self.headers})
                answer = outer.answers.pop(0)
                self.send_response(answer if isinstance(answer, int) else 200)
                self.end_headers()
                body = {"model": "judge-0613", "choices": [{"message": {"content": answer}}]}
                self.wfile.write(b"broken" if isinstance(answer, int) else json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(judges.time, "sleep", lambda seconds: None)
    found = ChatServer()
    thread = threading.Thread(target=found.http.serve_forever)
    thread.start()
    yield found
    found.http.shutdown()
    thread.join()
    found.http.server_close()
