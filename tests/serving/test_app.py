"""The application as a client sees it, in this process: readings, paths, methods, and one form of error."""

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import apps
import numpy as np
import onnx_models
import pytest
from servers import CLASSES, encoded, expect_error
from starlette.websockets import WebSocketDisconnect

from pipeline.records.answer import Answer, ErrorCode, Info, PictureAnswer
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.errors import KINDS
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

LIMIT = Limits().body_bytes
STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)


def test_a_strip_is_read(client, artifacts):
    response = client.post("/read", content=PNG, headers={"Content-Type": "image/png"})
    assert response.status_code == 200
    answer = PictureAnswer.parse(response.text, "/read")
    assert (answer.task, answer.digits) == ("strips", "9754")
    assert [slot.class_ for slot in answer.slots] == ["9", "7", "5", "4", "blank"]
    for slot in answer.slots:
        assert slot.probability == slot.probabilities[slot.class_] > 0.99
        assert sum(slot.probabilities.values()) == pytest.approx(1, abs=1e-5)
        if slot.class_ == "blank":
            assert slot.box is None, "a blank has no box"
        else:
            assert slot.box == pytest.approx([side * slot.probability for side in range(4)])
    assert 0.98 < answer.confidence < 1
    assert (answer.accepted, answer.notes) == (True, ())
    assert response.json()["model"] == {
        "task": "strips",
        "strategy": "bands",
        "sha256": onnx_models.sha256(artifacts / "strips" / "model.onnx"),
        "version": None,
        "origin": "mnist",
    }


def test_a_reading_below_the_threshold_is_not_accepted(client):
    faint = (STRIP * 0.5).astype(np.uint8)
    answer = client.post("/read", content=encoded(faint)).json()
    assert answer["confidence"] < 0.9
    assert answer["accepted"] is False


def test_an_upright_strip_is_turned_and_the_answer_says_so(client):
    answer = client.post("/read", content=encoded(np.rot90(STRIP, -1))).json()
    assert (answer["digits"], answer["notes"]) == ("9754", ["turned"])


@pytest.mark.parametrize("kind", ["image/png", "image/jpg", "application/octet-stream", None])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_the_content_decides_how_a_picture_is_decoded(client, form, kind):
    headers = {"Content-Type": kind} if kind else {}
    assert client.post("/read", content=encoded(STRIP, form), headers=headers).json()["digits"] == "9754"


@pytest.mark.parametrize("field", ["file", "picture"])
def test_a_form_with_one_file_is_read(client, field):
    response = client.post("/read", files={field: ("strip.bin", PNG, "text/plain")}, data={"comment": "mine"})
    assert response.json()["digits"] == "9754"


def test_a_picture_is_classified_and_a_model_of_the_stand_in_says_so(client):
    picture = onnx_models.draw([3], onnx_models.CIFAR_SHAPE)
    response = client.post("/classify", content=encoded(picture))
    answer = Answer.parse(response.text, "/classify")
    assert (answer.class_, answer.digits) == ("cat", None)
    assert [slot.class_ for slot in answer.slots] == ["cat"]
    assert answer.slots[0].box is None
    assert answer.accepted is None
    assert answer.model.origin == "embedded"


def test_info_describes_every_model(client, artifacts):
    assert client.get("/", follow_redirects=False).headers["location"] == "/info"
    models = Info.parse(client.get("/info").text, "/info").models
    assert set(models) == {"strips", "cifar10"}
    assert models["cifar10"].origin == "embedded"
    strips = models["strips"]
    assert strips.sha256 == onnx_models.sha256(artifacts / "strips" / "model.onnx")
    assert strips.bytes == (artifacts / "strips" / "model.onnx").stat().st_size
    assert strips.inputs.as_json() == {"height": 28, "width": 140, "channels": 1, "dtype": "uint8"}
    assert (strips.slots, len(strips.class_names), strips.threshold) == (5, 11, 0.9)
    assert strips.metrics == {"strips": 0.97}


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
def test_a_process_that_takes_requests_says_so(client, path):
    response = client.get(path)
    assert (response.status_code, response.text) == (200, "\n")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"not a picture", 400, "not_a_picture"),
        (b"http://127.0.0.1/strip.png", 400, "not_a_picture"),
        (PNG[:-20], 400, "damaged"),
        (encoded(STRIP, "GIF"), 415, "unsupported_format"),
        (encoded(np.zeros((28, 28), np.uint8)), 422, "wrong_size"),
        (encoded(np.zeros((5000, 5000), np.uint8)), 413, "too_many_pixels"),
        (b"x" * (LIMIT + 1), 413, "body_too_large"),
    ],
    ids=["empty", "text", "a URL", "truncated", "GIF", "another size", "many pixels", "many bytes"],
)
def test_a_body_that_is_not_a_strip_is_rejected(client, body, status, code):
    message = expect_error(client.post("/read", content=body), status, code)
    assert "expected" in message
    if code == "wrong_size":
        assert "140×28" in message


@pytest.mark.parametrize("kind", ["application/json", "text/html", "application/vnd.bentoml+pickle"])
def test_a_content_type_that_does_not_stand_for_a_picture_is_rejected(client, kind):
    response = client.post("/read", content=PNG, headers={"Content-Type": kind})
    assert kind in expect_error(response, 415, "unsupported_content_type")
    assert response.headers["connection"] == "close"


def test_a_form_without_exactly_one_file_is_rejected(client):
    address = {"file": (None, "http://127.0.0.1/strip.png")}
    expect_error(client.post("/read", files=address), 400, "empty")
    two = [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]
    expect_error(client.post("/read", files=two), 400, "bad_request")
    expect_error(client.post("/read", files={"file": ("a.png", b"")}), 400, "empty")
    malformed = {"Content-Type": "multipart/form-data"}
    assert "boundary" in expect_error(client.post("/read", content=PNG, headers=malformed), 400, "bad_request")
    large = {"file": ("a.png", bytes(LIMIT))}
    expect_error(client.post("/read", files=large), 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/docs.json", 404, "not_found"),
        ("POST", "/read/", 404, "not_found"),
        ("GET", "/docs/../pyproject.toml", 404, "not_found"),
        ("GET", "/read", 405, "method_not_allowed"),
        ("DELETE", "/classify", 405, "method_not_allowed"),
        ("POST", "/info", 405, "method_not_allowed"),
        ("POST", "/docs", 405, "method_not_allowed"),
    ],
)
def test_another_path_or_method_gets_the_same_form_of_error(client, method, path, status, code):
    response = client.request(method, path, follow_redirects=False)
    assert response.url.path in expect_error(response, status, code)
    allowed = {"GET, HEAD", "POST"} if status == 405 else {None}
    assert response.headers.get("allow") in allowed


def test_what_is_not_packaged_is_not_found(tmp_path):
    onnx_models.package(tmp_path)
    with apps.client_of(tmp_path) as client:
        message = expect_error(client.post("/classify", content=PNG), 404, "not_packaged")
        assert "cifar10" in message
        assert "strips" in message
        responses = client.get("/openapi.json").json()["paths"]["/classify"]["post"]["responses"]
    assert "not_packaged" in responses["404"]["description"]


def test_answers_to_many_clients_at_once_are_each_ones_own(client):
    readings = [np.random.default_rng(seed).permutation(10)[:5] for seed in range(64)]
    with ThreadPoolExecutor(16) as callers:
        bodies = [encoded(onnx_models.draw(classes)) for classes in readings]
        answers = callers.map(lambda body: client.post("/read", content=body).json()["digits"], bodies)
        assert list(answers) == ["".join(map(str, classes)) for classes in readings]


def test_websockets_are_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/read"):
        pass


def test_a_bug_is_an_internal_error_and_leaves_the_service_working(artifacts, caplog):
    readers = load_readers(artifacts)
    broken = apps.HeldReader(readers["strips"])
    broken.go_on.set()
    with apps.TestClient(create_app({**readers, "strips": broken}, Limits())) as client:
        broken.error = RuntimeError("a bug")
        message = expect_error(client.post("/read", content=PNG), 500, "internal")
        assert "a bug" not in message
        assert "a bug" in caplog.text
        broken.error = None
        assert client.post("/read", content=PNG).json()["digits"] == "9754"
        metrics = client.get("/metrics").text
    assert 'reader_requests_total{path="/read",status="500"} 1.0' in metrics
    assert 'reader_refusals_total{code="internal"} 1.0' in metrics


def test_every_code_has_a_status():
    assert set(get_args(ErrorCode)) == set(KINDS)


def test_a_long_query_is_rejected_unparsed(client):
    response = client.post("/read_many?" + "a=b&" * 2000, json=[])
    expect_error(response, 422, "bad_query")


@pytest.mark.parametrize("exif", [b"", b"MM\0*", b"MM\0*\0\0\0\x08\0\x05", b"II*\0\xff\xff\xff\xff" + bytes(40)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_damaged_exif_neither_warns_nor_damages_the_picture(client, form, exif):
    """A warning is an error in tests; a service would print one for every picture."""
    tags = b"".join(struct.pack(">HHLL", tag, 5, 2**31, 60_000) for tag in (256, 274, 34665))
    for content in (exif, exif + tags):
        response = client.post("/read", content=encoded(STRIP, form, exif=b"Exif\0\0" + content))
        assert response.json()["digits"] == "9754"
