"""Graceful shutdown: what a signal begins, in which order."""

import asyncio
import os
import signal

import pytest
from apps import until

from pipeline.scheduling.shutdown import SIGNALS, Shutdown


@pytest.fixture
def heard():
    """The signals that the server gets, in order: its handlers are in place of this process's."""
    signals: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: signals.append(number))
    yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_server_hears_of_the_signal_when_nothing_is_in_progress(heard):
    shutdown = Shutdown(30, close_seconds=30)

    async def scenario():
        shutdown.listen()
        shutdown.begin_request()
        shutdown.begin_request()
        assert not shutdown.requested
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: shutdown.requested)
        shutdown.end_request()
        await asyncio.sleep(0)
        assert heard == []
        # A service manager signals every process, and the supervisor signals its own again.
        os.kill(os.getpid(), signal.SIGTERM)
        shutdown.end_request()
        await until(lambda: heard == [signal.SIGTERM])

    asyncio.run(scenario())
    assert heard == [signal.SIGTERM]


def test_requests_that_do_not_end_are_left_and_so_are_their_connections(heard):
    shutdown = Shutdown(0.01, close_seconds=0.01)

    async def scenario():
        shutdown.listen()
        shutdown.begin_request()
        os.kill(os.getpid(), signal.SIGTERM)
        # Uvicorn no longer waits for connections after a second signal.
        await until(lambda: heard == [signal.SIGTERM, signal.SIGINT])

    asyncio.run(scenario())


def test_a_second_interrupt_does_not_wait(heard):
    shutdown = Shutdown(30, close_seconds=30)

    async def scenario():
        shutdown.listen()
        shutdown.begin_request()
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: shutdown.requested)
        assert heard == []
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: heard == [signal.SIGINT])

    asyncio.run(scenario())


def test_outside_the_main_thread_nothing_is_changed(heard):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    asyncio.run(asyncio.to_thread(Shutdown(1, close_seconds=1).listen))
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
