"""The only file that knows which major release of the MCP SDK is installed: 1.x has `FastMCP`, 2.x `MCPServer`.

Models are made with `model_validate` from the protocol's own names (`mimeType`), because their Python names changed.
"""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

from skill_plugin import __version__
from skill_plugin.errors import MissingExtraError

try:
    from mcp.types import GetPromptResult, Prompt, Resource, ToolAnnotations
except ImportError as exc:
    raise MissingExtraError("the MCP server", "mcp") from exc

__all__ = [
    "HAS_EXTENSIONS",
    "SKILLS_EXTENSION",
    "GetPromptResult",
    "Prompt",
    "Resource",
    "ResourceNotFoundError",
    "Server",
    "ToolAnnotations",
    "ToolError",
    "http_app",
    "server_options",
    "wrong_params",
]

SKILLS_EXTENSION = "io.modelcontextprotocol/skills"
INVALID_PARAMS = -32602

HAS_EXTENSIONS = int(version("mcp").split(".")[0]) >= 2
"""True if a server can declare extensions and answer their methods."""

_PACKAGE = "mcp.server.mcpserver" if HAS_EXTENSIONS else "mcp.server.fastmcp"
_ERRORS = importlib.import_module(f"{_PACKAGE}.exceptions")

Server: Any = (
    importlib.import_module(_PACKAGE).MCPServer if HAS_EXTENSIONS else importlib.import_module(_PACKAGE).FastMCP
)
"""The high-level server's class."""

ToolError: Any = _ERRORS.ToolError
"""The error that a tool raises to tell the model what was wrong; anything else counts as a crash."""

ResourceNotFoundError: Any = _ERRORS.ResourceNotFoundError if HAS_EXTENSIONS else _ERRORS.ResourceError

Entries = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""From a request's `params` to its result; a LookupError or a ValueError says that the parameters are wrong."""


def server_options(methods: Mapping[str, Entries]) -> dict[str, Any]:
    """Returns the server class's arguments that only one release takes; `methods` are those of the skills extension.

    Release 1 cannot answer methods that it does not know, so there the extension is not declared.
    """
    if not HAS_EXTENSIONS:
        return {}
    return {"version": __version__, "extensions": [_skills_extension(methods)]}


def wrong_params(message: str) -> Exception:
    """Returns the error of a request whose parameters are wrong; release 1 tells any error of a prompt as it is."""
    if not HAS_EXTENSIONS:
        return ValueError(message)
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - release 2 only

    return MCPError(INVALID_PARAMS, message)


def http_app(server: Any) -> Any:
    """Makes the server a Starlette application with MCP at `/mcp`, one request at a time, without sessions.

    Host and Origin are not checked here; `skill_plugin.integrations.mcp.http` does that for every path.
    """
    from mcp.server.transport_security import TransportSecuritySettings  # noqa: PLC0415 - brings Starlette

    options = {
        "stateless_http": True,
        "json_response": True,
        "transport_security": TransportSecuritySettings(enable_dns_rebinding_protection=False),
    }
    if HAS_EXTENSIONS:
        return server.streamable_http_app(**options)
    for name, value in options.items():
        setattr(server.settings, name, value)
    return server.streamable_http_app()


def _skills_extension(methods: Mapping[str, Entries]) -> Any:
    from mcp.server.extension import Extension, MethodBinding  # noqa: PLC0415 - release 2 only
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415
    from mcp.types import PaginatedRequestParams  # noqa: PLC0415

    class Params(PaginatedRequestParams):
        uri: str | None = None

    def handler(entries: Entries) -> Any:
        async def answer(_: Any, params: Params) -> dict[str, Any]:
            try:
                return await entries({"uri": params.uri, "cursor": params.cursor})
            except (LookupError, ValueError) as exc:
                raise MCPError(INVALID_PARAMS, str(exc)) from exc

        return answer

    class Skills(Extension):
        identifier = SKILLS_EXTENSION

        def methods(self) -> list[MethodBinding]:
            return [MethodBinding(name, Params, handler(entries)) for name, entries in methods.items()]

    return Skills()
