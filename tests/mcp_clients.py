"""The official client of whichever MCP SDK is installed: in memory, over standard input and output, over HTTP."""

import os
from contextlib import asynccontextmanager

from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Request, RequestParams, Result

from skill_plugin.integrations.mcp.sdk import HAS_EXTENSIONS

if HAS_EXTENSIONS:
    import httpx2 as http
    from mcp import Client
else:
    import httpx as http
    from mcp.shared.memory import create_connected_server_and_client_session
    from pydantic import AnyUrl

SERVE = ["-m", "skill_plugin.integrations.cli", "serve", "--embedder", "hashing"]
"""Arguments for the Python that runs the tests."""


def environment(**more):
    return {**os.environ, "PYTHONUNBUFFERED": "1", **more}


@asynccontextmanager
async def in_memory(server):
    async with Client(server) if HAS_EXTENSIONS else create_connected_server_and_client_session(server) as client:
        yield Peer(client)


@asynccontextmanager
async def over_stdio(command, arguments, env):
    transport = stdio_client(StdioServerParameters(command=command, args=arguments, env=env))
    async with _session(transport) as peer:
        yield peer


@asynccontextmanager
async def over_http(url, token=None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        http.AsyncClient(headers=headers) as client,
        _session(streamable_http_client(url, http_client=client)) as peer,
    ):
        yield peer


@asynccontextmanager
async def _session(transport):
    if HAS_EXTENSIONS:
        async with Client(transport) as client:
            yield Peer(client)
        return
    async with transport as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        yield Peer(session)


def plain(result):
    """A result by the names of the protocol, whatever their Python names."""
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


class Peer:
    """What the tests ask of a server."""

    def __init__(self, client):
        self.client = client

    async def tools(self):
        return {tool["name"]: tool for tool in plain(await self.client.list_tools())["tools"]}

    async def call(self, name, /, **arguments):
        """The structured result; a failed call's text as an AssertionError."""
        result = plain(await self.client.call_tool(name, arguments))
        if result.get("isError"):
            raise AssertionError(result["content"][0]["text"])
        return result["structuredContent"]

    async def resources(self):
        return {item["uri"]: item for item in plain(await self.client.list_resources())["resources"]}

    async def prompts(self):
        return {item["name"]: item for item in plain(await self.client.list_prompts())["prompts"]}

    async def prompt(self, name, **arguments):
        """The text of a prompt."""
        [message] = plain(await self.client.get_prompt(name, arguments))["messages"]
        return message["content"]["text"]

    async def templates(self):
        return plain(await self.client.list_resource_templates())["resourceTemplates"]

    async def read(self, uri):
        result = await self.client.read_resource(uri if HAS_EXTENSIONS else AnyUrl(uri))
        return plain(result)["contents"][0]

    async def request(self, method, /, **params):
        """Any request, also one that only an extension knows (release 2)."""

        class AnyParams(RequestParams, extra="allow"):
            pass

        class AnyResult(Result, extra="allow"):
            pass

        return plain(
            await self.client.session.send_request(Request(method=method, params=AnyParams(**params)), AnyResult)
        )

    def extensions(self):
        if HAS_EXTENSIONS:
            return self.client.server_capabilities.extensions or {}
        return getattr(self.client.get_server_capabilities(), "extensions", None) or {}
