"""Clients in a closed loop: each sends its next request as soon as the answer is there. They take little CPU time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """The result of a load.

    Attributes:
        rate: answers per second.
        p50: median time of an answer, in milliseconds.
        p99: its 99th percentile.
        errors: answers other than 200.
    """

    rate: float
    p50: float
    p99: float
    errors: int


def request(path: str, body: bytes, **headers: str) -> bytes:
    """A complete HTTP/1.1 request; `Content_Type` is the header `Content-Type`."""
    named = {"Host": "benchmark", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
    return head.encode() + body


def run(port: int, requests: Sequence[bytes], callers: int, seconds: float, warm: float = 1.0) -> Load:
    """Send requests in turn from `callers` connections for `seconds`, after `warm` seconds that are not counted."""
    return asyncio.run(_run(port, requests, callers, seconds, warm))


async def _run(port: int, requests: Sequence[bytes], callers: int, seconds: float, warm: float) -> Load:
    times: list[float] = []
    errors: list[bytes] = []
    begin = time.perf_counter() + warm
    end = begin + seconds
    await asyncio.gather(
        *(_call(port, requests[i % len(requests) :], begin, end, times, errors) for i in range(callers))
    )
    taken = time.perf_counter() - begin
    times.sort()
    if not times:
        return Load(0.0, float("nan"), float("nan"), len(errors))
    at = [1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99)]
    return Load(len(times) / taken, at[0], at[1], len(errors))


async def _call(
    port: int, requests: Sequence[bytes], begin: float, end: float, times: list[float], errors: list[bytes]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = 0
    while (started := time.perf_counter()) < end:
        writer.write(requests[turn % len(requests)])
        turn += 1
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if _LENGTH in head:
            await reader.readexactly(int(head.split(_LENGTH)[1].split(b"\r\n")[0]))
        else:
            while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                await reader.readexactly(size + 2)
        if begin <= started:
            times.append(time.perf_counter() - started)
            if not head.startswith(b"http/1.1 200"):
                errors.append(head)
    writer.close()
