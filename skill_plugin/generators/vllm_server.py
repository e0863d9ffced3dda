"""A vLLM server over HTTP: calls that outlast its absence, its adapters, and putting it to sleep."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError
from skill_plugin.settings import MODEL_TIMEOUT_S

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 120.0
"""Seconds to wait for a server that has gone away: about the time that a vLLM server takes to start."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0
_AWAY = (502, 503)
_BUSY = 429
_CAN_SLEEP = "start it with VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --enable-sleep-mode"


class VllmServer:
    """Calls a vLLM server: waits while it is away, starting or busy; if it refuses, the error says why, in one line.

    The key comes from VLLM_API_KEY or OPENAI_API_KEY, and is in no error.

    Args:
        base_url: The server's URL, with the `/v1`.
        patience: Seconds to wait for a server that cannot be reached, is starting (502, 503) or is busy (429).
        timeout: Seconds that the server may be silent before a call has failed.

    Raises:
        ConfigurationError: the URL is malformed.
        MissingExtraError: the `vllm` extra is not installed.
    """

    def __init__(self, base_url: str, *, patience: float = PATIENCE_S, timeout: float = MODEL_TIMEOUT_S) -> None:
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError as exc:
            raise MissingExtraError("a vLLM server", "vllm") from exc
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{base_url!r} is not a server; give its URL, such as http://localhost:8000/v1")
        self._httpx = httpx
        self.base_url = base_url.rstrip("/")
        self.root_url = self.base_url.removesuffix("/v1")
        self.patience, self.timeout = patience, timeout

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Makes the server serve a LoRA adapter under a name. Loading again does nothing.

        Raises:
            ModelError: the server cannot load it, or the name belongs to another folder there.
        """
        reply = self.send("POST", "/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        if reply.is_success:
            return
        if reply.status_code == 400 and (served := self.served()).get(name) is not None:
            if served[name] == str(path):
                return
            raise ModelError(
                f"the server at {self.base_url} serves {served[name]!r} as {name!r} already, not {str(path)!r}; "
                "name each adapter differently, or unload that one"
            )
        raise self.refused(reply, f"load the adapter {name!r}")

    def unload_adapter(self, name: str) -> None:
        """Makes the server forget a LoRA adapter. Unloading a name that is not loaded does nothing.

        Raises:
            ModelError: the server refuses.
        """
        reply = self.send("POST", "/unload_lora_adapter", {"lora_name": name})
        if not reply.is_success and not (reply.status_code == 404 and name in _message(reply)):
            raise self.refused(reply, f"unload the adapter {name!r}")

    def served(self) -> dict[str, str | None]:
        """Returns the names that the server answers to, and the folder of each."""
        listed = self.json(self.send("GET", "/models"))
        try:
            return {card["id"]: card.get("root") for card in listed["data"]}
        except (LookupError, TypeError, AttributeError) as exc:
            raise self.unreadable(f"{type(exc).__name__}: {exc}") from exc

    def sleep(self, level: int = 1) -> None:
        """Frees the GPU's memory: the cache is dropped, the weights go to main memory.

        At level 2 they are dropped too, and whoever wakes the server has to make it load them again. Returns when they are
        gone. Raises `ModelError` where the server was not started so that it can sleep, and says how to.
        """
        if level not in (1, 2):
            raise ConfigurationError(f"the level of sleep is 1 or 2, got {level!r}")
        self._rest("POST", f"/sleep?level={level}", "sleep")

    def wake_up(self) -> None:
        """Wakes the server; one that is awake stays awake. Raises as `sleep` does."""
        self._rest("POST", "/wake_up", "wake up")

    def is_sleeping(self) -> bool:
        """Returns whether the server sleeps. Raises as `sleep` does."""
        said = self.json(self._rest("GET", "/is_sleeping", "say whether it sleeps"))
        try:
            return bool(said["is_sleeping"])
        except (LookupError, TypeError) as exc:
            raise self.unreadable(f"{type(exc).__name__}: {exc}") from exc

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, root: bool = False
    ) -> "httpx.Response":
        """Sends a request and returns the server's reply, whatever it is, once the server answers.

        Args:
            method: The HTTP method.
            path: The path, which is added to the base URL.
            body: The body, sent as JSON.
            root: Add the path to the server's own URL instead, without the `/v1`.

        Raises:
            ModelError: the server stayed away or busy for as long as there is patience, or fell silent.
        """
        headers = {"authorization": f"Bearer {key}"} if (key := _api_key()) else {}
        deadline, wait = time.monotonic() + self.patience, _FIRST_WAIT_S
        url = f"{self.root_url if root else self.base_url}{path}"
        while True:
            asked: float | None = None
            try:
                reply = self._httpx.request(method, url, json=body, headers=headers, timeout=self.timeout)
            except (self._httpx.NetworkError, self._httpx.RemoteProtocolError, self._httpx.ConnectTimeout) as exc:
                said = f"{type(exc).__name__}: {exc}"
            except (self._httpx.HTTPError, self._httpx.InvalidURL) as exc:
                raise ModelError(
                    f"the server at {self.base_url} failed a call ({type(exc).__name__}: {exc}); it may be silent for "
                    f"{self.timeout:g} s"
                ) from exc
            else:
                if reply.status_code not in {*_AWAY, _BUSY}:
                    return reply
                said = f"{reply.status_code}: {_message(reply)}"
                asked = _seconds(reply.headers.get("retry-after"))
            pause = wait if asked is None else asked
            if time.monotonic() + pause > deadline:
                raise ModelError(
                    f"the server at {self.base_url} is away or busy, waited for {self.patience:g} s ({said}); start it, "
                    "or be more patient"
                )
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def json(self, reply: "httpx.Response") -> Any:
        """Returns the JSON in a reply; raises `ModelError` if it holds none."""
        try:
            return reply.json()
        except ValueError as exc:
            raise self.unreadable(str(exc)) from exc

    def unreadable(self, why: str) -> ModelError:
        return ModelError(
            f"the reply of the server at {self.base_url} cannot be read ({why}); it must be vLLM's, of 0.11 or newer"
        )

    def refused(self, reply: "httpx.Response", what: str, advice: str | None = None) -> ModelError:
        usual = {
            401: "set VLLM_API_KEY or OPENAI_API_KEY to the server's key",
            404: "the base URL ends in /v1; adapters need --enable-lora, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True to be loaded",
        }.get(reply.status_code, "look in the server's log")
        return ModelError(
            f"the server at {self.base_url} did not {what} ({reply.status_code}: {_message(reply)}); {advice or usual}"
        )

    def _rest(self, method: str, path: str, what: str) -> "httpx.Response":
        reply = self.send(method, path, root=True)
        if not reply.is_success:
            raise self.refused(reply, what, None if reply.status_code == 401 else _CAN_SLEEP)
        return reply


@contextmanager
def asleep(server: VllmServer) -> Iterator[VllmServer]:
    """Puts a server to sleep, and wakes it at the end, however that comes: an error, Ctrl-C, or a SIGTERM.

    A SIGTERM ends the process as Ctrl-C does (status 143), unless the process has a handler for it. A SIGKILL wakes
    nothing; the next job finds out with `is_sleeping`.

    Raises:
        ModelError: the server cannot sleep, or did not wake up; the latter says how to wake it.
    """
    with _ending_on_sigterm():
        asleep = False
        try:
            server.sleep()
            asleep = True
            yield server
        finally:
            if asleep:
                _wake(server)
            else:
                with suppress(ModelError):  # it may have fallen asleep though its answer did not come
                    server.wake_up()


def _wake(server: VllmServer) -> None:
    try:
        server.wake_up()
    except ModelError as exc:
        raise ModelError(
            f"the server at {server.base_url} was put to sleep and did not wake up ({exc}); wake it with: "
            f"curl -X POST {server.root_url}/wake_up, or restart it"
        ) from exc


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Makes a SIGTERM run each `finally`, which it skips by default: a nightly job is usually stopped by one."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _api_key() -> str | None:
    return os.environ.get("VLLM_API_KEY") or os.environ.get("OPENAI_API_KEY")


def _message(reply: "httpx.Response") -> str:
    """Returns a refusal's message in vLLM's or FastAPI's form, or its bare text."""
    try:
        body = reply.json()
        said = body["error"]["message"] if "error" in body else body["detail"]
    except (ValueError, LookupError, TypeError):
        said = reply.text
    return str(said)[:300]


def _seconds(retry_after: str | None) -> float | None:
    """Returns the seconds in a Retry-After header; None for a date, so that the usual wait is used."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
