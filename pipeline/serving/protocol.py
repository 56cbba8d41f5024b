"""HTTP/1.1 within limits: the protocol of one connection, on top of Uvicorn's.

Uvicorn has two implementations. This one extends the one of httptools, whose parser is llhttp, in C: h11 is written in
Python, and would take longer than the models of single digits. Neither bounds the number of headers, the time in which
a head arrives, the requests sent ahead, or the connections; httptools does not bound the bytes of a head either.
"""

import asyncio
import functools
import logging
import os
import re
import resource
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.config import HTTP_PROTOCOLS, Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from pipeline.scheduling.admission import Gate
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits

_log = logging.getLogger("bentoml.reader")
ERROR_KEY = "reader.error"
"""In the scope of a request whose head is wrong: the `ApiError` that is its answer."""
_HEAD_SLICE, _BODY_SLICE = 2048, 16_384
"""Bytes that the parser takes at once. Of requests without bodies the first are less than a hundred."""
_TURN_SECONDS = 0.005
"""How long one connection may parse before others have their turn."""
_CHUNKS, _CHUNK_BYTES = 4096, 256
"""A body of more chunks than this, which hold fewer bytes each on average, only keeps the parser busy."""
_LINGER_SECONDS = 2.0
"""How long what a client still sends is dropped after the last answer. Closed at once, a socket that has received more
than was read resets the connection, and the client may lose its answer."""
_RESERVED_FILES = 128
"""File descriptors that a process needs beside its connections."""
_GATHER_SECONDS = 0.003
"""While requests are rejected, what arrives in so long is handled at once. To wake up for each of them takes more time
than the rejections, and takes it from the models."""
_LOG_SECONDS = 10.0
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")


def install() -> None:
    """Have the Uvicorn of this process, which BentoML starts without saying how, use this protocol."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:from_environment"


def from_environment(
    config: Config,
    server_state: ServerState,
    app_state: dict[str, Any],
    _loop: asyncio.AbstractEventLoop | None = None,
) -> "HttpProtocol":
    """The protocol of a new connection, with the limits that the environment sets."""
    limits, connections = _of_process()
    return HttpProtocol(config, server_state, app_state, _loop, limits=limits, connections=connections)


def use_gate(gate: Gate) -> None:
    """Have the connections of this process ask a gate before they begin a request."""
    _of_process()[1].gate = gate


@functools.cache
def _of_process() -> tuple[Limits, "Connections"]:
    limits = Limits.of(os.environ)
    return limits, Connections(min(limits.connections, allowed_connections()))


def allowed_connections() -> int:
    """How many connections the file descriptors of this process are enough for, after the soft limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 2**31
    return max(hard - _RESERVED_FILES, hard // 2, 1)


class Connections:
    """The connections of one process that wait for a request, and the limit of all.

    At the limit the connection that has waited longest is closed in favour of a new one, as nginx does: silent clients
    then take no place from others.

    Attributes:
        limit: of open connections.
        gate: what rejects requests before they begin; None where nothing does.
        accepted: whether there are new connections since `gather` last waited.
    """

    def __init__(self, limit: int) -> None:
        """Define.

        Args:
            limit: of open connections.
        """
        self.limit = limit
        self.gate: Gate | None = None
        self.accepted = False
        self._waiting: dict[HttpProtocol, None] = {}
        self._closed = 0
        self._logged: float | None = None
        self._gathering = False
        self._gathered = 0.0
        self._beginning: tuple[int, list[tuple[bytes, bytes]], bytes] = (0, [], b"")

    def wait(self, protocol: "HttpProtocol") -> None:
        """Note that a connection waits for a request from now on."""
        self._waiting.pop(protocol, None)
        self._waiting[protocol] = None

    def work(self, protocol: "HttpProtocol") -> None:
        """Note that it does not."""
        self._waiting.pop(protocol, None)

    def gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the event loop wait for more to arrive before it looks again, as network cards do under load.

        It does not wait where it has been busy for as long anyway, nor after it has accepted a connection: of these it
        takes one at a time.
        """
        if not self._gathering:
            self._gathering = True
            loop.call_soon(self._gather)

    def _gather(self) -> None:
        self._gathering = False
        accepted, self.accepted = self.accepted, False
        left = self._gathered + _GATHER_SECONDS - time.monotonic()
        if left > 0 and not accepted:
            time.sleep(left)
        self._gathered = time.monotonic()

    def beginning(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The beginning of an answer: the status line, and headers that change once a second."""
        of_status, of_headers, text = self._beginning
        if of_status != status or of_headers is not headers:
            text = STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers)
            self._beginning = (status, headers, text)
        return text

    def admit(self, protocol: "HttpProtocol", count: int, now: float) -> bool:
        """Make room for a new connection.

        Args:
            protocol: of the new connection.
            count: of open connections, the new one among them.
            now: in seconds, of any clock.

        Returns:
            Whether it may stay.
        """
        if count <= self.limit:
            return True
        longest = next(iter(self._waiting), None)
        self._closed += 1
        if self._logged is None or now - self._logged >= _LOG_SECONDS:
            _log.warning(
                "%d connections are open, the most that this process takes; closed to make room: %d",
                self.limit,
                self._closed,
            )
            self._logged, self._closed = now, 0
        if longest is None:
            return False
        self.work(longest)
        longest.transport.abort()
        return True


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    - A head (request line, headers, and trailers after a body) has a limit of bytes, of headers, and of time.
    - What is not HTTP/1.1 is answered in the form of every other error, in its turn, and ends the connection.
    - Requests sent ahead wait unparsed.
    - A client that has sent its last byte gets its answers.
    - There are no upgrades: a request for one is answered as if it did not ask.
    """

    transport: Any
    cycle: "_Cycle | None"  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        connections: Connections,
    ) -> None:
        """Define, with what Uvicorn gives and these limits; `connections` are those of this process."""
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._waiting = connections
        self._unparsed = memoryview(b"")
        self._head_timer: asyncio.TimerHandle | None = None
        self._parse_later: asyncio.Handle | None = None
        self._in_head = False
        self._in_body = False
        # Bytes and headers of a head, as the parser names them; it names a token once it is complete.
        self._head_bytes = 0
        self._headers = 0
        # Bytes since it named one; they bound a token that is never complete, and what is skipped.
        self._unnamed = 0
        self._chunks = 0
        self._body_bytes = 0
        self._dropped = 0
        self._refused = False
        self._held = False
        self._eof = False
        # When this connection last had an answer that left the timer of an idle one as it was.
        self._answered = 0.0
        # The gate that let a request in which arrived just now.
        self._let_in: Gate | None = None

    # Of the connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or another's place."""
        # As Uvicorn's does, but without a socket object for each address, which takes longer than all the rest.
        self.connections.add(self)
        self._waiting.accepted = True
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if is_ssl(transport) else "http"  # type: ignore[arg-type]
        self.transport = _Transport(transport, self, self._limits.many_body_bytes)
        self.flow = _Flow(self.transport, self)
        if not self._waiting.admit(self, len(self.connections), self.loop.time()):
            self.transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what the connection held."""
        self._waiting.work(self)
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._parse_later is not None:
            self._parse_later.cancel()
        self._unparsed = memoryview(b"")
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; it may still receive. TLS has no such state."""
        self._eof = True
        if self.transport.lingers or self.scheme == "https":
            return False
        if self._in_head or self._in_body:
            self._refuse(_malformed("the request ended before it was complete"))
        return self._busy

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self.transport.lingers:
            self.transport.drop(len(data))
        elif not (self._refused or self._reject_whole(data)):
            self._unset_keepalive_if_required()
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self.parse()
            if self._let_in is not None and not self._in_body:
                self._let_in.begin(self.loop)
            self._let_in = None

    def _reject_whole(self, data: bytes) -> bool:
        """Answer what arrived at once, if it is a whole request that its head alone rejects.

        The parser is not asked again about a head that it has seen: clients repeat theirs.

        Returns:
            Whether it was answered; otherwise nothing has happened.
        """
        gate = self._gate
        if gate is None or self._unparsed or self._in_head or self._in_body or data[:5] != b"POST ":
            return False
        reason = gate.why_closed()
        end = data.find(b"\r\n\r\n", 0, _HEAD_SLICE) + 4
        if not reason or end < 4:
            return False
        head = _plain_head(data[:end])
        if head is None or len(data) != end + head.length:
            return False
        path = self.root_path + head.path
        if not gate.covers("POST", path, head.headers):
            return False
        state = self.server_state
        state.total_requests += 1
        self.transport.write(self._waiting.beginning(503, state.default_headers) + gate.refusal(path, reason))
        self._waiting.wait(self)
        self._waiting.gather(self.loop)
        self._stop_timer()
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has not been used for a while; a rejection at once leaves the timer as it is."""
        left = self._answered + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def parse(self) -> None:
        """Parse what arrived and was not parsed yet, until that has to wait or others have their turn."""
        self._parse_later = None
        end = 0.0
        while self._unparsed and not self._refused and not self.flow.read_paused and not self.transport.is_closing():
            size = _BODY_SLICE if self._in_body else _HEAD_SLICE
            part, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            self._feed(part)
            if self._unparsed:
                now = self.loop.time()
                end = end or now + _TURN_SECONDS
                if now > end:
                    self._parse_later = self.loop.call_soon(self.parse)
                    break
        if self.transport.is_closing():
            return
        if self._unparsed:
            self._held = True
            self.transport.pause_reading()
        elif self._held and not self.flow.read_paused:
            self._held = False
            self.transport.resume_reading()
        if not self._busy and self._head_timer is None:
            self._start_timer()

    @property
    def unparsed(self) -> bool:
        """Whether something arrived that was not parsed."""
        return bool(self._unparsed)

    @property
    def sending(self) -> bool:
        """Whether the client may be sending something that nobody reads any more."""
        return not self._eof and (self._refused or self._in_head or self._in_body or bool(self._unparsed))

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _gate(self) -> Gate | None:
        """What may reject the next request at once; what clients do not receive must not pile up here."""
        return None if self._busy or self.pipeline or self.flow.write_paused else self._waiting.gate

    def _feed(self, part: memoryview) -> None:
        self._unnamed += len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            # The parser stopped after a request that asks for another protocol; this service goes on as before.
            self._unparsed = memoryview(bytes(part[upgrade.args[0] :]) + bytes(self._unparsed))
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, ApiError):
                self._refuse(cause)
            elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
                raise cause from None
            else:
                preface = "PRI" in str(error)
                self._refuse(_malformed("HTTP/2 found, expected HTTP/1.1" if preface else str(error)[:80]))
        else:
            if self._unnamed > self._limits.head_bytes:
                self._refuse(self._too_large())

    def _refuse(self, error: ApiError) -> None:
        """Answer what was being received with an error, after the answers to what came before; parse nothing more."""
        if self._refused:
            return
        self._refused = True
        self._unparsed = memoryview(b"")
        self._stop_timer()
        if self._in_body and self.cycle is not None:
            if self.cycle.response_complete:
                self.transport.close()
            else:
                self.cycle.fail(error)
            return
        scope: Scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": "GET",
            "root_path": self.root_path,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": [],
            "state": self.app_state.copy(),
            ERROR_KEY: error,
        }
        self._begin(scope, keep_alive=False)
        assert self.cycle is not None
        self.cycle.more_body = False

    # Of the parser.

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._headers = self._unnamed = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._count(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or drop a trailer."""
        self._headers += 1
        if self._headers > self._limits.headers:
            raise ApiError(
                "head_too_large", f"more than {self._limits.headers} headers found, expected at most that", CLOSE
            )
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._in_head = False
        self._unnamed = 0
        version = self.parser.get_http_version()
        method = self.parser.get_method().decode("ascii")
        headers = self.headers
        expect_valid(version, method, headers, upgrade=self.parser.should_upgrade())
        target, query = split_target(method, self.url, headers)
        self.scope["method"] = method
        self.scope["http_version"] = version
        path = target.decode("ascii")
        self.scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + target
        self.scope["query_string"] = query
        self._in_body = True
        self._chunks = self._body_bytes = self._dropped = 0
        self._stop_timer()
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        gate = self._gate
        if gate is not None and gate.covers(method, self.scope["path"], headers):
            if reason := gate.why_closed():
                self._answer_at_once(503, gate.refusal(self.scope["path"], reason), keep_alive=keep_alive)
                return
            self._let_in = gate
        self._begin(self.scope, keep_alive=keep_alive)

    def on_chunk_header(self) -> None:
        """Count a chunk of a body. After the last one come trailers, which have the limits of a head."""
        self._chunks += 1
        self._head_bytes = self._headers = 0
        if self._chunks > _CHUNKS and self._body_bytes < self._chunks * _CHUNK_BYTES:
            raise _malformed(f"a body of more than {_CHUNKS:,} chunks of a few bytes")

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, or drop it if its request has its answer."""
        self._unnamed = 0
        self._body_bytes += len(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._dropped += len(body)
            if self._dropped > self._limits.many_body_bytes:
                raise _malformed("the rest of a body whose request was answered is too long")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        self._unnamed = 0
        super().on_message_complete()

    # Of requests and their answers.

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self.pipeline or self._busy or self.transport.is_closing():
            return
        if self._eof:
            self.transport.close()
            return
        self._waiting.wait(self)
        if self._in_head or self._in_body:
            # Not idle: what is still to come has the time of a head.
            self._unset_keepalive_if_required()
            self._stop_timer()
            self._start_timer()

    def _answer_at_once(self, status: int, rest: bytes, *, keep_alive: bool) -> None:
        """Answer a request without the application; its body is dropped as it arrives."""
        self.cycle = self._cycle(self.scope, keep_alive=keep_alive)
        self.cycle.response_started = self.cycle.response_complete = True
        self._waiting.gather(self.loop)
        beginning = self._waiting.beginning(status, self.server_state.default_headers)
        self.transport.write(b"".join([beginning, b"" if keep_alive else b"connection: close\r\n", rest]))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _begin(self, scope: Any, *, keep_alive: bool) -> None:
        previous = self.cycle
        self._waiting.work(self)
        self.cycle = self._cycle(scope, keep_alive=keep_alive)
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle(self, scope: Any, *, keep_alive: bool) -> "_Cycle":
        return _Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and ERROR_KEY not in scope,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def _should_upgrade(self) -> bool:
        return False

    # Limits.

    def _count(self, size: int) -> None:
        self._unnamed = 0
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            raise self._too_large()

    def _too_large(self) -> ApiError:
        return ApiError(
            "head_too_large",
            f"more than {self._limits.head_bytes:,} bytes of target and headers found, expected at most that",
            CLOSE,
        )

    def _wait(self) -> None:
        self._waiting.wait(self)
        self._start_timer()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _time_is_up(self) -> None:
        self._head_timer = None
        if self._busy or self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(
                ApiError(
                    "too_slow",
                    f"the head did not arrive within {self._limits.head_seconds:g} seconds, expected all of it",
                    CLOSE,
                )
            )
        else:
            self.transport.close()


@dataclass(frozen=True)
class _Head:
    """The head of a request that is complete with so many bytes more, and after which the connection goes on."""

    path: str
    headers: list[tuple[bytes, bytes]]
    length: int


class _HeadParser:
    """What the parser says of a head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


@functools.lru_cache(maxsize=512)
def _plain_head(content: bytes) -> _Head | None:
    """A head, read as every other; None where there is anything about it but a path, headers and a length."""
    found = _HeadParser()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(content)
        version, upgrade = parser.get_http_version(), parser.should_upgrade()
        method = parser.get_method().decode("ascii")
        expect_valid(version, method, found.headers, upgrade=upgrade)
        path, _ = split_target(method, found.url, found.headers)
    except (ApiError, httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    headers = dict(found.headers)
    length = headers.get(b"content-length", b"")
    odd = upgrade or version != "1.1" or b"transfer-encoding" in headers or b"expect" in headers
    if not length.isdigit() or len(length) > 9:
        return None
    if odd or not found.complete or not parser.should_keep_alive() or not found.url.startswith(b"/") or b"%" in path:
        return None
    return _Head(path.decode("ascii"), found.headers, int(length))


def expect_valid(version: str, method: str, headers: list[tuple[bytes, bytes]], *, upgrade: bool) -> None:
    """Reject a head that the parser takes, but whose meaning is not clear.

    Args:
        version: of HTTP.
        method: of the request.
        headers: names in lower case, and values.
        upgrade: whether the request asks for another protocol.

    Raises:
        ApiError: `bad_http`, or `bad_host`.
    """
    if version not in ("1.0", "1.1"):
        raise _malformed(f"HTTP/{version} found, expected HTTP/1.1")
    if method == "CONNECT":
        raise _malformed("CONNECT found; this is not a proxy")
    hosts, codings, lengths = [], [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise ApiError("bad_host", f"{len(hosts) or 'no'} Host headers found, expected one", CLOSE)
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise ApiError("bad_host", f"Host {hosts[0][:60].decode('latin-1')!r} found, expected a name and a port", CLOSE)
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise _malformed("a Transfer-Encoding other than chunked found")
    if len(lengths) + len(codings) > 1:
        raise _malformed("more than one length of the body found (Content-Length, Transfer-Encoding)")
    if upgrade and (codings or any(value.strip(b"0 ") for value in lengths)):
        # The parser takes what follows for the other protocol, and the body for the next request.
        raise _malformed("Upgrade with a body found")


def split_target(method: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The path and the query of a request's target. The host of a whole URL replaces that of `headers`.

    Raises:
        ApiError: `bad_http` or `bad_host`, it is neither a path nor a URL.
    """
    if url.startswith(b"/"):
        pass
    elif found := _ABSOLUTE.fullmatch(url.partition(b"#")[0]):
        host, url = found.groups()
        if not host or not _HOST.fullmatch(host):
            raise ApiError("bad_host", f"{host[:60].decode('latin-1')!r} found as the host of the URL", CLOSE)
        headers[:] = [(name, value) for name, value in headers if name != b"host"] + [(b"host", host)]
        url = url if url.startswith(b"/") else b"/" + url
    elif not (url == b"*" and method == "OPTIONS"):
        raise _malformed("a target that is neither a path nor a URL")
    if not url.isascii():
        raise _malformed("a target with bytes that are not ASCII")
    path, _, query = url.partition(b"#")[0].partition(b"?")
    return path, query


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple | list) else None


def _malformed(reason: str) -> ApiError:
    return ApiError("bad_http", f"a malformed request: {reason}", CLOSE)


class _Cycle(RequestResponseCycle):
    """One request and its answer. It may fail while its body arrives."""

    error: ApiError | None = None

    def fail(self, error: ApiError) -> None:
        """Have the application get an error in place of the rest of the body."""
        self.error = error
        self.keep_alive = False
        self.message_event.set()

    async def receive(self) -> Any:
        """The next part of the body.

        Raises:
            ApiError: it is malformed.
        """
        if self.error is None:
            message: Mapping[str, Any] = await super().receive()
        if self.error is not None and not self.disconnected and not self.response_complete:
            raise self.error
        return {"type": "http.disconnect"} if self.error is not None else message


class _Flow(FlowControl):
    """Reads on once nothing that was read waits."""

    def __init__(self, transport: Any, protocol: HttpProtocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        protocol = self._protocol
        if self.read_paused and not protocol.pipeline:
            self.read_paused = False
            if protocol.unparsed:
                protocol.loop.call_soon(protocol.parse)
            else:
                self._transport.resume_reading()


class _Transport:
    """A transport that is closed once the client has received what it was sent.

    Attributes:
        lingers: whether it only waits for that.
    """

    def __init__(self, transport: Any, protocol: HttpProtocol, dropped: int) -> None:
        self.lingers = False
        self.write = transport.write
        self._transport = transport
        self._protocol = protocol
        self._left = dropped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.lingers:
            return
        if self._transport.is_closing() or not self._protocol.sending or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def drop(self, size: int) -> None:
        """Drop what the client still sends."""
        self._left -= size
        if self._left < 0:
            self._transport.abort()
