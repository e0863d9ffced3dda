"""Named places between two effects, where a test can end the process as if the power had gone.

Off, a crash point is one dictionary look-up. `SKILL_PLUGIN_CRASH_AT=name` ends the process there with SIGKILL;
`SKILL_PLUGIN_CRASH_AT=name:3` the third time it comes by.
"""

import os
import signal

VARIABLE = "SKILL_PLUGIN_CRASH_AT"

_seen: dict[str, int] = {}


def crashpoint(name: str) -> None:
    """Ends the process here if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    point, _, count = wanted.partition(":")
    if point == name:
        _seen[name] = _seen.get(name, 0) + 1
        if _seen[name] == int(count or 1):
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
