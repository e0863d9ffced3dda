"""The command line."""

from skill_plugin.integrations.cli.app import app, main

__all__ = ["app", "main"]
