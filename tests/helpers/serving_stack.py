"""A stand-in for the image's serving stack: a script that listens on the stack's port and describes what it received.

Words in the package's program make it fail: `FAIL_TO_LOAD` its worker, `FAIL_TO_IMPORT` the import of new code, `FAIL` each answer.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from sagepack.serving import stack

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STACK = """import http.server, json, os, sys, threading, time
print("starting", flush=True)
def say(line): os.write(1, line.encode() + b"\\n")  # in one piece, whatever another thread says
def chatter():
    while True: say("again")
if "HANG" in os.environ: time.sleep(60)
if "EXIT" in os.environ:
    print("what went wrong", file=sys.stderr)
    sys.exit(3)
def watch():
    while os.read(0, 1): pass
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
model = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "reload" in self.headers["Content-Type"]:
            order = json.loads(body)
            print("order", order, flush=True)
            if order in ("keep", "call") and "FAIL_TO_IMPORT" in code():
                return self.fail("cannot import it")
            return self.answer(json.dumps({"call": "called"}.get(order, order)).encode())
        if "FAIL" in code().split(): return self.fail("the handler says no")
        if body == b"slow": time.sleep(30)
        if body == b"chatty": threading.Thread(target=chatter, daemon=True).start()
        if body == b"die": os._exit(1)
        seen = {"pid": os.getpid(), "body": body.decode(), "type": self.headers["Content-Type"],
                "files": os.listdir(model), "environment": dict(os.environ),
                "home": os.path.expanduser("~"), "below": os.listdir(os.path.expanduser("~"))}
        self.answer(json.dumps(seen).encode())
    def answer(self, body, status=200):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def fail(self, message):
        place = os.path.join(model, "code", "inference.py")
        print(f'Traceback (most recent call last):\\n  File "{place}", line 3, in predict_fn\\n    no()\\nValueError: {message}', flush=True)
        self.answer(json.dumps({"code": 400, "type": "x", "message": message}).encode(), 400)
    def log_message(self, *_): pass
def code():
    program = os.path.join(model, "code", "inference.py")
    return open(program).read() if os.path.exists(program) else ""
def load():
    time.sleep(0.1)
    say("Load model failed: model, error: Worker died." if "FAIL_TO_LOAD" in code() else "Model model loaded io_fd=1")
threading.Thread(target=load, daemon=True).start()
http.server.HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `model_server` start the stand-in, with its folders below `folder`."""
    program, script = folder / "stack.py", folder / "python"
    program.write_text(STACK, encoding="utf-8")
    # A path with a space is not possible after `#!`.
    script.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(program))}\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv(stack.PYTHON, str(script))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
