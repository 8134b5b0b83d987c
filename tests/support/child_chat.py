"""A small chat server to be started as a child: `python tests/support/child_chat.py PORT NAME [FAULT ...]`.

Answers every request with its seed. Faults: `mute` never listens, `slow` takes a tenth of a second, `exit`
ends at once, `length` says that answers were cut, `family` has a worker in a session of its own,
`dies:N:FILE` ends without a word with its Nth request unless FILE is there, and makes FILE; `breaks` ends
with every request, and says why before it says something else.
"""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

port, name, *faults = sys.argv[1:]
asked = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send({"data": [{"id": name}]})

    def do_POST(self) -> None:
        global asked
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked += 1
        if "breaks" in faults:
            print("MemoryError: all is used\nWARNING a ValueError can follow\nshutting down", flush=True)
            os._exit(1)
        for fault in faults:
            if fault.startswith("dies:"):
                _, number, file = fault.split(":")
                if asked == int(number) and not Path(file).exists():
                    Path(file).touch()
                    os._exit(9)
        time.sleep(0.1 * ("slow" in faults))
        text = f"seed {body['seed']}" + (" guided" if "response_format" in body else "")
        if body.get("stream"):
            self.stream(text)
        else:
            ended = "length" if "length" in faults else "stop"
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ended}
            self.send({"id": "c", "object": "chat.completion", "choices": [choice]})

    def stream(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in (text[:3], text[3:]):
            choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
            chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def send(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if "exit" in faults:
    sys.exit("no such model")
if "family" in faults:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
if "mute" in faults:
    print("loading", flush=True)
    time.sleep(1000)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
server.serve_forever(0.05)
