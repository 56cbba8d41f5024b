"""Requests that are slow, too many, or given up: the application is called directly, without a server."""

import asyncio
import logging

import apps
import onnx_models
import pytest
from apps import Exchange, HeldReader, body, until
from servers import CLASSES, encoded

from pipeline.core.errors import ConfigurationError
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app
from pipeline.serving.middleware import hosts_of

PNG = encoded(onnx_models.draw(CLASSES))
SHORT = 0.01


@pytest.fixture
def readers(artifacts):
    return load_readers(artifacts)


def metrics_of(app):
    """The exposition of an application whose lifespan has not ended."""
    exchange = Exchange(app, "/metrics", "GET")
    asyncio.run(exchange.run(body(b"")))
    return exchange.answer.decode()


def run(app, scenario):
    """Run a coroutine within an application's lifespan."""

    async def within():
        async with app.router.lifespan_context(app):
            await scenario

    asyncio.run(within())


def test_a_body_in_parts_is_one_body(readers):
    app = create_app(readers, Limits())
    exchange = Exchange(app)
    run(app, exchange.run(body(*(PNG[i : i + 1] for i in range(len(PNG))))))
    assert exchange.status == 200


def test_a_body_that_does_not_arrive_is_too_slow_and_others_are_answered(readers):
    app = create_app(readers, Limits(body_seconds=SHORT))
    slow, quick = Exchange(app), Exchange(app)

    async def scenario():
        await asyncio.gather(slow.run(body(PNG[:10], end=False)), quick.run(body(PNG)))

    run(app, scenario())
    assert (slow.status, slow.code) == (408, "too_slow")
    assert slow.answer_headers["connection"] == "close"
    assert b"10 bytes" in slow.answer
    assert quick.status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_of_a_body_that_is_too_large_no_more_than_the_limit_is_received(readers, declared):
    app = create_app(readers, Limits(body_bytes=1000))
    received = 0

    async def endless():
        nonlocal received
        received += 100
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    exchange = Exchange(app, headers=[("Content-Length", "1001")] if declared else [])
    run(app, exchange.run(endless))
    assert (exchange.status, exchange.code) == (413, "body_too_large")
    assert exchange.answer_headers["connection"] == "close"
    assert received == (0 if declared else 1100)


def test_more_bytes_of_bodies_than_are_held_are_rejected_and_let_go(readers):
    app = create_app(readers, Limits(buffered_bytes=len(PNG) + 10))

    async def scenario():
        holding = Exchange(app)
        task = asyncio.create_task(holding.run(body(PNG[:20], end=False)))
        await asyncio.sleep(0)
        more = Exchange(app)
        await more.run(body(PNG))
        assert (more.status, more.code) == (503, "overloaded")
        assert more.answer_headers["retry-after"] == "1"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        again = Exchange(app)
        await again.run(body(PNG))
        assert again.status == 200

    run(app, scenario())


def test_more_requests_than_may_be_in_progress_are_rejected_and_health_checks_are_not(readers):
    app = create_app(readers, Limits(requests=2))

    async def scenario():
        waiting = [asyncio.create_task(Exchange(app).run(body(b"", end=False))) for _ in range(2)]
        await until(lambda: app.state.shutdown.in_progress == 2)
        refused, live, unknown = Exchange(app), Exchange(app, "/livez", "GET"), Exchange(app, "/nothing")
        for exchange in (refused, live, unknown):
            await exchange.run(body(PNG))
        assert (refused.status, refused.code) == (503, "overloaded")
        assert (refused.answer_headers["retry-after"], refused.answer_headers["connection"]) == ("1", "close")
        assert live.status == 200
        assert (unknown.status, unknown.code) == (404, "not_found")
        assert "connection" not in unknown.answer_headers
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        again = Exchange(app)
        await again.run(body(PNG))
        assert again.status == 200

    run(app, scenario())


def test_requests_for_many_pictures_have_a_limit_of_their_own(readers):
    held = HeldReader(readers["strips"])
    app = create_app({"strips": held}, Limits(many_requests=1, inline_seconds=0))
    pixels = onnx_models.draw(CLASSES).tobytes()
    headers = [("Content-Type", "application/octet-stream"), ("X-Shape", "1,28,140")]

    async def scenario():
        first, second = Exchange(app, "/read_many", headers=headers), Exchange(app, "/read_many", headers=headers)
        task = asyncio.create_task(first.run(body(pixels)))
        await until(lambda: held.runs == [1])
        await second.run(body(pixels))
        assert (second.status, second.code) == (503, "overloaded")
        held.go_on.set()
        await task
        assert first.status == 200

    run(app, scenario())


def test_an_answer_that_is_not_found_in_time_is_timed_out(readers):
    held = HeldReader(readers["strips"])
    app = create_app({"strips": held}, Limits(answer_seconds=SHORT, inline_seconds=0))
    exchange = Exchange(app)
    run(app, exchange.run(body(PNG)))
    held.go_on.set()
    assert (exchange.status, exchange.code) == (503, "timed_out")


def test_a_client_that_does_not_receive_its_answer_loses_its_connection(readers, caplog):
    app = create_app(readers, Limits(answer_seconds=SHORT))

    class Connection:
        """What Uvicorn's request is to the application."""

        disconnected = False
        aborted = False

        @property
        def transport(self):
            return self

        def abort(self):
            self.aborted = True

        async def receive(self):
            return {"type": "http.request", "body": PNG, "more_body": False}

    async def never(message):
        await asyncio.Event().wait()

    connection = Connection()
    with caplog.at_level(logging.WARNING, "bentoml.reader"):
        run(app, Exchange(app).run(connection.receive, never))
    assert (connection.aborted, connection.disconnected) == (True, True)
    assert "did not receive the answer" in caplog.text
    assert app.state.shutdown.in_progress == 0
    assert 'reader_requests_total{path="/read",status="499"} 1.0' in metrics_of(app)


@pytest.mark.parametrize("when", ["its body arrives", "its answer is sent"])
def test_a_client_that_goes_away_leaves_nothing_behind(readers, when):
    app = create_app(readers, Limits())

    async def gone():
        return {"type": "http.disconnect"}

    async def broken(message):
        raise OSError

    scenario = Exchange(app).run(gone) if when == "its body arrives" else Exchange(app).run(body(PNG), broken)
    run(app, scenario)
    assert app.state.shutdown.in_progress == 0
    text = metrics_of(app)
    assert 'reader_requests_total{path="/read",status="499"} 1.0' in text
    assert "reader_requests_in_progress 1.0" in text, "that of /metrics itself"


def test_a_process_that_shuts_down_takes_no_requests_and_finishes_those_it_has(readers):
    held = HeldReader(readers["strips"])
    app = create_app({"strips": held}, Limits(inline_seconds=0))

    async def scenario():
        running = Exchange(app)
        task = asyncio.create_task(running.run(body(PNG)))
        await until(lambda: held.runs == [1])
        app.state.shutdown.requested = True
        late, ready, live = Exchange(app), Exchange(app, "/readyz", "GET"), Exchange(app, "/livez", "GET")
        for exchange in (late, ready, live):
            await exchange.run(body(PNG))
        assert (late.status, late.code) == (503, "stopping")
        assert (ready.status, ready.code) == (503, "stopping")
        assert live.status == 200
        held.go_on.set()
        await task
        assert running.status == 200
        assert all(each.answer_headers["connection"] == "close" for each in (running, late, ready, live))

    run(app, scenario())


def test_unknown_paths_and_methods_are_counted_as_one(artifacts):
    with apps.client_of(artifacts) as client:
        for index in range(30):
            assert client.get(f"/nothing/{index}").status_code == 404
            client.request("PROPFIND", f"/{index}")
        client.get("/docs/swagger-ui.css")
        text = client.get("/metrics").text
    assert 'reader_requests_total{path="other",status="404"} 60.0' in text
    assert "/nothing" not in text
    paths = {line.split('path="')[1].split('"')[0] for line in text.splitlines() if 'path="' in line}
    assert paths == {"other", "/docs"}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("a.example", True),
        ("A.Example:3000", True),
        ("x.b.example", True),
        ("[::1]:80", True),
        ("b.example", False),
        ("a.example.evil", False),
        ("evila.example", False),
        ("", False),
    ],
)
def test_only_hosts_that_are_listed_are_answered_but_health_checks_always(readers, host, allowed):
    hosts = hosts_of({"READER_HOSTS": "a.example, *.b.example,[::1]"})
    app = create_app(readers, Limits(), hosts)
    info, live = (Exchange(app, path, "GET", headers=[("Host", host)]) for path in ("/info", "/livez"))

    async def scenario():
        await info.run(body(b""))
        await live.run(body(b""))

    run(app, scenario())
    assert live.status == 200
    assert info.status == (200 if allowed else 400)
    if not allowed:
        assert (info.code, info.answer_headers["connection"]) == ("bad_host", "close")


def test_without_a_list_every_host_is_allowed():
    assert hosts_of({}) == ()


@pytest.mark.parametrize("value", ["", "a b", "a.example:80", "a,,b", "http://a", "*"])
def test_a_malformed_list_of_hosts_is_rejected(value):
    with pytest.raises(ConfigurationError, match="READER_HOSTS"):
        hosts_of({"READER_HOSTS": value})
