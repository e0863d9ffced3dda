"""`skill-plugin serve | ui`: the library for MCP clients, and as a page in the browser."""

import os
import webbrowser
from typing import Annotated

import typer

from skill_plugin.budget import Prices
from skill_plugin.integrations.cli.terminal.console import err
from skill_plugin.integrations.cli.terminal.options import Tools
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings


def serve(
    settings: Settings,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP instead of standard input.")] = False,
    host: Annotated[
        str, typer.Option(help="The address to listen on; one that other machines reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is any that is free.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            help="The token that HTTP callers must send; SKILL_PLUGIN_TOKEN keeps it out of the process list."
        ),
    ] = None,
    allow_write: Annotated[
        bool,
        typer.Option(
            "--allow-write", help="Let clients propose skills, which are staged, and count the runs that they report."
        ),
    ] = False,
    allow_functions: Annotated[
        bool,
        typer.Option(
            "--allow-functions",
            help="Let clients call functions of skills that you allowed: those that need no tool, or of --tools.",
        ),
    ] = False,
    tools: Tools = None,
    connections: Annotated[int, typer.Option(min=1, help="HTTP connections of one address, at most.")] = 200,
    requests: Annotated[int, typer.Option(min=1, help="Requests of one address that are answered at once.")] = 16,
    writes: Annotated[
        int, typer.Option(min=1, help="Runs begun, outcomes and proposals of one address a minute.")
    ] = 600,
) -> None:
    """Serve the library to MCP clients, on standard input and output or over HTTP."""
    from skill_plugin.integrations import wiring  # noqa: PLC0415 - the store and the SDK take a second
    from skill_plugin.integrations.mcp import server  # noqa: PLC0415 - the SDK

    settings = settings.override(token=token)
    served = wiring.served_functions(settings, tools) if allow_functions else None
    with wiring.open_store(settings, create=True) as store:
        if http:
            from skill_plugin.integrations.mcp.clients import HttpLimits  # noqa: PLC0415 - the web server
            from skill_plugin.integrations.mcp.http import serve_http  # noqa: PLC0415

            secret = None if settings.token is None else settings.token.get_secret_value()
            limits = HttpLimits(connections=connections, requests=requests, writes_a_minute=writes)
            serve_http(
                store,
                host=host,
                port=port,
                token=secret,
                allow_write=allow_write,
                functions=served,
                limits=limits,
                home=settings.home,
            )
            return
        if os.isatty(0):
            err.print("speaking MCP on standard input and output; end with Ctrl-C")
        closed = server.serve_stdio(server.create_server(store, allow_write=allow_write, functions=served))
    if not closed:
        os._exit(0)  # a thread still reads standard input, and Python would wait for it, or fall over it


def ui(
    settings: Settings,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; for one that other machines reach a link with a token is printed."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is any that is free.")] = 8766,
    allow_write: Annotated[
        bool,
        typer.Option(
            "--allow-write", help="Let people decide on the page: approve, reject, pin, retire, restore, roll back."
        ),
    ] = False,
    url: Annotated[
        str, typer.Option(help="Where browsers see it, if a proxy stands before it: https://skills.example.com.")
    ] = "",
    prices: Annotated[
        str | None,
        typer.Option(help="Show money: the task LLM's dollars per million tokens, INPUT/OUTPUT, such as 0.25/2."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in the browser of this machine.")
    ] = False,
) -> None:
    """Show the library in a browser: which skills exist, which help, what changed last night, what waits for you."""
    from skill_plugin.integrations.page.server import serve_page  # noqa: PLC0415 - the web server, an extra

    # Without Chroma: exact search finds the same, and the index stays with whoever writes.
    with open_store(settings, create=False, index=False) as store:
        serve_page(
            store,
            settings.home,
            host=host,
            port=port,
            allow_write=allow_write,
            url=url,
            prices=None if prices is None else Prices.parse(prices),
            opened=webbrowser.open if open_browser else lambda _: None,
        )
