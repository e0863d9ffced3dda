"""`skill-plugin ui`: the library as a page in the browser."""

import webbrowser
from typing import Annotated

import typer

from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings


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
            opened=webbrowser.open if open_browser else lambda _: None,
        )
