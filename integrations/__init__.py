"""The outside world: the command line and, later, middleware, MCP and the web page."""
