import time

import pytest

from skill_plugin.sandbox import SandboxLimits, run_python


def test_a_program_runs_and_says_what_it_printed():
    result = run_python("print(1 + 1)")

    assert (result.returncode, result.stdout, result.stderr, result.timed_out) == (0, "2\n", "", False)


def test_a_program_that_fails_says_its_last_line():
    assert run_python("x = 1 / 0").last_error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)"])
def test_a_program_that_hangs_is_ended(program):
    started = time.monotonic()

    assert run_python(program, SandboxLimits(seconds=1)).timed_out
    assert time.monotonic() - started < 30


def test_what_a_program_started_is_ended_with_it(tmp_path):
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(2); open({str(mark)!r}, 'w')"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"

    assert run_python(program, SandboxLimits(seconds=1)).timed_out
    time.sleep(2.5)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("x = bytearray(2**31)", "MemoryError"),
        ("open('big', 'wb').write(bytes(2**22))", "File too large"),
        ("files = [open('f', 'w') for _ in range(200)]", "Too many open files"),
    ],
)
def test_limits_hold(program, says):
    assert says in run_python(program).last_error


def test_endless_output_is_cut():
    result = run_python("while True: print('x' * 1000)", SandboxLimits(seconds=5))

    assert len(result.stdout) <= 1_000_000
    assert result.returncode != 0


def test_the_environment_is_empty_and_the_folder_temporary(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.chdir(tmp_path)
    result = run_python("import os; print(os.environ.get('SECRET'), os.getcwd())")

    assert result.stdout.startswith("None ")
    assert str(tmp_path) not in result.stdout
