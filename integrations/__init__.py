"""The outside world: the command line, the middleware and, later, MCP and the web page."""
