"""A real vLLM server on this machine's processor."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

FLAGS = [
    "--dtype",
    "float32",
    "--enforce-eager",
    "--enable-lora",
    "--max-loras",
    "2",
    "--max-lora-rank",
    "8",
    "--max-model-len",
    "2048",
]
OFFLINE = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
TOLERANCE = 1e-3
"""In nats, float32: both sides round sums over 64 to 2048 numbers in another order."""


@contextmanager
def served(folder, *flags):
    """Starts a server of a folder's `model`, waits for it, and ends it."""
    server = Server(folder, *flags)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


class Server:
    """`vllm serve`, started as its module (the CPU build's command fails on its own version), on one port for its life."""

    def __init__(self, folder, *flags):
        self.folder, self.flags, self.process = folder, flags, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log = folder / f"server-{self.port}.log"

    def start(self):
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", self.folder / "model"]
        command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", self.port, *FLAGS, *self.flags]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                list(map(str, command)), stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **OFFLINE},
            )  # fmt: skip

    def wait(self):
        deadline = time.monotonic() + 600
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/models", timeout=1).close()
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-5000:]
                assert time.monotonic() < deadline, self.log.read_text()[-5000:]
                time.sleep(0.2)
            else:
                return

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # its engine is a process of its own
        self.process.wait()
