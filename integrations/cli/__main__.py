"""`python -m skill_plugin.integrations.cli`."""

from skill_plugin.integrations.cli import main

main()
