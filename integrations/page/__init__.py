"""The web page: what the agent has learned, whether it helps, what waits for a person. `skill-plugin ui` opens it."""
