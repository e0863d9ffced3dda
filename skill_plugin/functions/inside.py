"""What runs first in a function's process: puts the skill's files there, lends the name `tools`, calls the function.

Its text is sent into the sandbox, so it imports the standard library alone. It keeps honest code in order and makes its errors
readable; nothing that it says is trusted by the host, because the function can do in this process what it likes.
"""

import builtins
import math
import os
import sys
from typing import Any

MAX_DEPTH = 100


class Tools:
    """The agent's tools, by their names: `tools.list_charges(customer="anna")`."""

    def __init__(self, ask: Any, most: int) -> None:
        self._ask, self._most = ask, most

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(**arguments: Any) -> Any:
            told = self._ask(name, plain(arguments, self._most))
            if told[0] == "gave":
                return told[1]
            kind, text = told[1:]
            known = getattr(builtins, kind, None)
            if isinstance(known, type) and issubclass(known, Exception):
                raise known(text)
            raise RuntimeError(f"{kind}: {text}")

        return call


def run(files: dict[str, bytes], what: tuple[str, str, dict[str, Any]], most: int, ask: Any) -> tuple[Any, ...]:
    """Calls a function (module, name, arguments). Returns ("gave", value), or ("raised", type, text, path, line)."""
    module, name, arguments = what
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes 10 ms to import
    for path, data in files.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)
    sys.dont_write_bytecode = True
    sys.path.append(f"{folder}/scripts")  # last: no file of a skill takes the place of a module of Python
    builtins.tools = Tools(ask, most)  # type: ignore[attr-defined]
    try:
        return ("gave", plain(getattr(__import__(module), name)(**arguments), most))
    except BaseException as exc:  # noqa: BLE001 - whatever it ends with
        return ("raised", type(exc).__name__, _text(exc), *_place(exc, folder))


def plain(value: Any, most: int) -> Any:
    """Returns a value of JSON's types. Raises TypeError or ValueError, in words, for any other."""
    size = [0]
    made = _plain(value, size, most, 0)
    if size[0] > most:
        raise ValueError(f"the value takes more than {most} bytes as JSON; return less")
    return made


def _plain(value: Any, size: list[int], most: int, depth: int) -> Any:
    size[0] += 2
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        size[0] += len(value)
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{float(value)!r} cannot be written in JSON; return a finite number, or None")
        return float(value)
    if depth > MAX_DEPTH or size[0] > most:
        raise ValueError("the value is nested too deep, holds itself, or is too long for JSON; return less")
    if isinstance(value, (list, tuple)):
        return [_plain(one, size, most, depth + 1) for one in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a dict has keys that are not texts, so it cannot be written in JSON; use str(key)")
        return {_plain(key, size, most, depth): _plain(one, size, most, depth + 1) for key, one in value.items()}
    raise TypeError(f"a {type(value).__name__} cannot be written in JSON; return dicts, lists, texts and numbers")


def _text(exc: BaseException) -> str:
    try:
        return str(exc)[:2000]
    except BaseException:  # noqa: BLE001 - a text of somebody else's
        return ""


def _place(exc: BaseException, folder: str) -> tuple[str, int]:
    """Returns the last place in the skill's files that an exception came through."""
    found = ("", 0)
    if isinstance(exc, SyntaxError) and str(exc.filename).startswith(folder):
        return (str(exc.filename)[len(folder) + 1 :], exc.lineno or 0)
    trace = exc.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(folder):
            found = (file[len(folder) + 1 :], trace.tb_lineno)
        trace = trace.tb_next
    return found
