"""The report as a web server: the same page, which asks for what has changed."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from lmrl.errors import DataError, Terminated, UsageError
from lmrl.report.live import Live
from lmrl.report.page import policy, render, style_and_script

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]", "::1"]
"""Names under which a browser on the same machine reaches the server."""


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from the same machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def application(live: Live, loopback: bool = True) -> "FastAPI":
    """Return the web application.

    Args:
        live: runs to show.
        loopback: whether requests under other names than those of this machine are refused, so
            that no page of another site can read the runs through a name that it controls.
    """
    from fastapi import FastAPI, Header, Query, Request
    from fastapi.middleware.gzip import GZipMiddleware
    from fastapi.middleware.trustedhost import TrustedHostMiddleware
    from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

    app = FastAPI(title="LMRL report", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=2000)
    if loopback:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
    keys_of = Annotated[list[str], Query(alias="run", max_length=200)]

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Any]) -> Any:
        answer = await call(request)
        answer.headers["Content-Security-Policy"] = policy(*style_and_script(), live=True)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.exception_handler(DataError)
    async def missing(request: Request, error: DataError) -> Response:
        return JSONResponse({"detail": str(error)}, status_code=404)

    @app.get("/")
    def home() -> Response:
        keys = list(live.folders())
        if len(keys) == 1:
            return RedirectResponse(f"report?run={keys[0]}")
        return HTMLResponse(render("Runs · LMRL report", {}, []))

    @app.get("/report")
    def report(run: keys_of) -> Response:
        runs = live.runs(run)
        title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
        keys = [found.key for found in runs]
        return HTMLResponse(render(f"{title} · LMRL report", {}, keys, home="./"))

    @app.get("/api/runs")
    def runs() -> Response:
        return JSONResponse(live.every())

    @app.get("/api/overview")
    def shown(run: keys_of, if_none_match: Annotated[str, Header()] = "") -> Response:
        tag = f'"{live.tag(run)}"'
        if if_none_match == tag:
            return Response(status_code=304)
        found = live.overview(run)
        return JSONResponse(found.content, headers={"ETag": f'"{found.tag}"'})

    @app.get("/api/index")
    def index(run: keys_of) -> Response:
        return JSONResponse(live.index(run))

    @app.get("/api/search")
    def search(run: keys_of, text: str) -> Response:
        return JSONResponse(live.search(run, text))

    @app.get("/api/episode")
    def episode(run: keys_of, number: int, kind: str, file: str, row: int) -> Response:
        return JSONResponse(live.episode(run, number, kind, file, row))

    return app


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Args:
        host: name or address of this machine.
        port: port; 0 takes a free one.

    Raises:
        UsageError: if the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(64)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the server cannot listen at {host}, port {port} ({error}); choose another with "
            "--host or --port, or leave --port out for a free one"
        ) from error
    return opened


def serve(live: Live, opened: socket.socket, loopback: bool) -> None:
    """Serve the page until Ctrl-C.

    Args:
        live: runs to show.
        opened: socket from `listening`.
        loopback: whether the socket is reached from this machine only.
    """
    run_server(application(live, loopback), opened)


def run_server(served: "FastAPI", opened: socket.socket) -> None:
    """Serve a web application until Ctrl-C.

    Args:
        served: web application.
        opened: socket from `listening`.

    Raises:
        Terminated: after SIGTERM.
    """
    import uvicorn

    config = uvicorn.Config(
        served,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    try:
        uvicorn.Server(config).run(sockets=[opened])
    except KeyboardInterrupt as error:  # the way to end it
        if isinstance(error, Terminated):
            raise


def addresses(opened: socket.socket, host: str) -> str:
    """Return the address of the page for a reader."""
    port = opened.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/"


def checked(names: Sequence[str]) -> None:
    """Check that the packages of the server are installed.

    Raises:
        UsageError: if one is not, with the command that installs it.
    """
    from importlib.util import find_spec

    for name in names:
        if find_spec(name) is None:
            raise UsageError(f"'lmrl serve' needs {name}: pip install 'lmrl[serve]'")
