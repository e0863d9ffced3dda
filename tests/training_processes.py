"""Training in processes of their own that cost no imports: a server that has imported everything forks one for each.

with Trainers() as trainers:
    code, output = trainers.run(folder, "--way", "plain", processes=2, kill=17)
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate"}
TIMEOUT_S = 240
KILLED = -int(signal.SIGKILL)


class Trainers:
    """A context manager."""

    def __enter__(self):
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait(TIMEOUT_S)
        self._server.stdout.close()

    def run(self, *words, processes=1, kill=None, env=None):
        """`python -m skill_plugin.training WORDS`; the first process's exit code, and what all of them printed.

        Args:
            words: Of the command line.
            processes: How many, as `torchrun` starts them.
            kill: An int kills the first process when it changes the disk for that time, a float after so many seconds, a text
                when it prints that. The others go with it.
            env: More variables.
        """
        job = {"words": list(map(str, words)), "processes": processes, "kill": kill, "env": env or {}}
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        told = json.loads(self._server.stdout.readline())
        self.changes, self.seconds = told["changes"], told["seconds"]
        return told["code"], told["output"]


def serve():
    sys.modules["matplotlib"] = sys.modules["tensorboard"] = None  # as where they are not installed
    import torch  # noqa: PLC0415

    from skill_plugin.training.__main__ import main  # noqa: PLC0415

    torch.set_num_threads(1)
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        os.write(answers, json.dumps(start(main, **json.loads(line))).encode() + b"\n")


def start(main, *, words, processes, kill, env):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        output, changes = Path(place, "output"), Path(place, "changes")
        children = []
        for rank in range(processes):
            if (child := os.fork()) == 0:
                os.environ.update(env)
                if processes > 1:
                    spread = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
                    os.environ.update({name: str(value) for name, value in spread.items()}, MASTER_ADDR="localhost")
                one(main, words, output, changes, kill if rank == 0 and isinstance(kill, int) else None)
            children.append(child)
        if isinstance(kill, (float, str)):
            await_(kill, output)
            os.kill(children[0], signal.SIGKILL)
        codes = {}
        while len(codes) < processes:
            child, status = os.wait()
            codes[child] = os.waitstatus_to_exitcode(status)
            if codes[child] != 0:  # as torchrun does
                for other in set(children) - codes.keys():
                    os.kill(other, signal.SIGKILL)
        return {
            "code": next((code for code in codes.values() if code), 0),
            "output": output.read_text(encoding="utf-8") if output.exists() else "",
            "changes": int(changes.read_text()) if changes.exists() else None,
            "seconds": time.monotonic() - began,
        }


def await_(moment, output):
    began = time.monotonic()
    if isinstance(moment, float):
        time.sleep(moment)
        return
    while not (output.exists() and moment in output.read_text(encoding="utf-8")):
        assert time.monotonic() - began < TIMEOUT_S, output.read_text(encoding="utf-8")
        time.sleep(0.01)


def one(main, words, output, changes, kill):
    """In the child."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    folder, seen, code = words[0], [], 99

    def audit(event, args):
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in CHANGES or writes) and str(args[0]).startswith(folder):
            seen.append(event)
            if len(seen) == kill:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    try:
        if os.environ.get("ACCELERATE_USE_FSDP"):
            pretend_gpus()
        code = main(words)
    except BaseException:  # noqa: BLE001 - a child never returns
        traceback.print_exc()
    finally:
        changes.write_text(str(len(seen)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def pretend_gpus():
    """accelerate shards over GPUs only, though gloo can: it is told that these are some."""
    from accelerate import DistributedType, PartialState  # noqa: PLC0415

    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU


if __name__ == "__main__":
    serve()
