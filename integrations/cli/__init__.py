"""The command line."""

import gc

# A command makes a million objects while it starts and none is garbage: looking for some is a tenth of its time.
gc.set_threshold(50_000)

from skill_plugin.integrations.cli.app import app, main  # noqa: E402 - the imports are what it is for

__all__ = ["app", "main"]
