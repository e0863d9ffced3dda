"""A vLLM server that is put to sleep is woken, whatever happens; a stub speaks vLLM's protocol, because its CPU build cannot sleep."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from skill_plugin.errors import ConfigurationError, ModelError
from skill_plugin.generators.vllm_server import VllmServer, asleep
from stub_llm import HANG, RESET, Reply, fails, stub_llm

ROOT = Path(__file__).parents[2]
DONE = Reply(b"")
ABSENT = Reply({"detail": "Not Found"}, 404)


def server_at(stub, **options):
    return VllmServer(stub.url, **{"patience": 0, **options})


def test_sleeping_waking_and_asking_are_calls_at_the_servers_root():
    with stub_llm(DONE, Reply({"is_sleeping": True}), DONE, Reply({"is_sleeping": False})) as stub:
        server = server_at(stub)
        server.sleep()
        assert server.is_sleeping() is True
        server.wake_up()
        assert server.is_sleeping() is False
        server.sleep(level=2)

    assert stub.paths == ["/sleep?level=1", "/is_sleeping", "/wake_up", "/is_sleeping", "/sleep?level=2"]


@pytest.mark.parametrize("reply", [ABSENT, fails(500, "Sleep mode is not enabled in the model config")])
@pytest.mark.parametrize("call", ["sleep", "wake_up", "is_sleeping"])
def test_a_server_that_cannot_sleep_says_how_to_start_one_that_can(reply, call):
    with stub_llm(reply) as stub, pytest.raises(ModelError) as caught:
        getattr(server_at(stub), call)()

    assert str(caught.value).endswith("; start it with VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --enable-sleep-mode")
    assert "\n" not in str(caught.value)


def test_a_wrong_key_is_told_as_such_and_a_strange_reply_is_one_line():
    with stub_llm(fails(401)) as stub, pytest.raises(ModelError, match="set VLLM_API_KEY"):
        server_at(stub).sleep()
    for reply in (Reply([]), Reply(b"yes"), Reply({})):
        with stub_llm(reply) as stub, pytest.raises(ModelError, match="cannot be read"):
            server_at(stub).is_sleeping()
    with pytest.raises(ConfigurationError, match="level of sleep is 1 or 2, got 3"):
        VllmServer("http://localhost:1/v1").sleep(3)


def test_what_a_server_serves():
    listed = {"data": [{"id": "base", "root": "base"}, {"id": "a", "root": "/adapters/a", "parent": "base"}]}
    with stub_llm(Reply(listed)) as stub:
        assert server_at(stub).served() == {"base": "base", "a": "/adapters/a"}


def _work(server, error):
    with asleep(server):
        if error:
            raise error


class TestAsleep:
    def test_it_is_woken_at_the_end(self):
        with stub_llm(DONE) as stub, asleep(server_at(stub)):
            assert stub.paths == ["/sleep?level=1"]
        assert stub.paths == ["/sleep?level=1", "/wake_up"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_it_is_woken_after_any_error_which_goes_on(self, error):
        with stub_llm(DONE) as stub, pytest.raises(error), asleep(server_at(stub)):
            raise error

        assert stub.paths == ["/sleep?level=1", "/wake_up"]

    def test_one_that_is_away_for_a_moment_when_it_is_woken_is_waited_for(self):
        with stub_llm(DONE, RESET, fails(503), DONE) as stub, asleep(server_at(stub, patience=20)):
            pass

        assert stub.paths == ["/sleep?level=1", *["/wake_up"] * 3]

    def test_one_that_cannot_sleep_is_an_error_before_anything_is_done(self):
        with stub_llm(ABSENT) as stub, pytest.raises(ModelError, match="did not sleep"), asleep(server_at(stub)):
            pytest.fail("it is awake")

    def test_one_that_fell_asleep_without_a_reply_is_woken(self):
        with (
            stub_llm(HANG, DONE) as stub,
            pytest.raises(ModelError, match="ReadTimeout"),
            asleep(server_at(stub, timeout=0.2)),
        ):
            pytest.fail("it may be awake")

        assert stub.paths == ["/sleep?level=1", "/wake_up"]

    @pytest.mark.parametrize("error", [None, ValueError("out of memory")])
    def test_one_that_does_not_wake_is_told_with_how_to_wake_it(self, error):
        with stub_llm(DONE, fails(500, "engine died")) as stub:
            with pytest.raises(ModelError, match="did not wake up") as caught:
                _work(server_at(stub), error)
            root = stub.url.removesuffix("/v1")

        assert f"curl -X POST {root}/wake_up, or restart it" in str(caught.value)
        assert "engine died" in str(caught.value)
        assert caught.value.__cause__.__context__ is error

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
    def test_a_signal_wakes_it_before_the_process_ends(self, number, status):
        code = """if True:
            import sys, time
            from skill_plugin.generators.vllm_server import VllmServer, asleep
            with asleep(VllmServer(sys.argv[1])):
                print("asleep", flush=True)
                time.sleep(60)
        """
        with stub_llm(DONE) as stub:
            process = subprocess.Popen(
                [sys.executable, "-c", code, stub.url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            with process:
                assert process.stdout.readline() == b"asleep\n"
                process.send_signal(number)
                assert process.wait(120) == status

        assert stub.paths == ["/sleep?level=1", "/wake_up"]

    def test_a_handler_that_is_there_and_other_threads_are_left_alone(self):
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            with stub_llm(DONE) as stub, asleep(server_at(stub)):
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGTERM, before)
        seen = []

        def in_a_thread():
            with stub_llm(DONE) as stub:
                with asleep(server_at(stub)):
                    time.sleep(0.01)
                seen.extend(stub.paths)

        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join(20)
        assert seen == ["/sleep?level=1", "/wake_up"]
        assert signal.getsignal(signal.SIGTERM) is before
