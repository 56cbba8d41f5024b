"""`/compare`, `/features` and `/read?fit=true`: answers, errors, and that they never delay `/read`."""

import asyncio
import base64
import json
import threading

import apps
import galleries
import numpy as np
import onnx_models
import pytest
from barred_lines import write
from servers import encoded, expect_error

from pipeline.records.answer import Comparison, Features, PictureAnswer
from pipeline.runtime.gallery import Gallery
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

STRIP = onnx_models.draw([9, 7, 5, 4, 10])
PNG = encoded(STRIP)
DIGIT = encoded(onnx_models.draw([3], onnx_models.DIGIT_SHAPE))
LARGE = encoded(np.repeat(np.repeat(STRIP, 8, axis=0), 8, axis=1))
"""The strip, eight times as large."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return galleries.make(tmp_path_factory.mktemp("gallery"))


def app_of(artifacts, readers=None, **limits):
    readers = readers or load_readers(artifacts)
    made = Limits(**limits)
    return create_app(readers, made, (), Gallery.of(readers, artifacts, made.gallery_bytes))


@pytest.fixture(scope="module")
def client(gallery):
    with apps.TestClient(app_of(gallery)) as client:
        yield client


def comparison_of(response):
    assert response.status_code == 200, response.text
    return Comparison.parse(response.text, "/compare")


def test_every_strategy_reads_the_same_picture(client, gallery):
    found = comparison_of(client.post("/compare?task=strips", content=PNG))
    assert [(each.strategy, each.served) for each in found.readings] == [
        ("nameless", False),
        ("slice", False),
        ("sliding", True),
    ]
    for each in found.readings:
        assert each.answer.digits == "9754"
        assert each.milliseconds > 0
        assert each.answer.model.strategy == each.strategy
        assert each.bytes == (gallery / "strips" / "model.onnx").stat().st_size or not each.served
    assert found.readings[2].answer.slots[0].box is not None
    assert found.readings[1].answer.slots[0].box is None
    (picture,) = found.inputs
    pixels = np.frombuffer(base64.b64decode(picture.data), np.uint8)
    np.testing.assert_array_equal(pixels.reshape(picture.height, picture.width, picture.channels), STRIP)


@pytest.mark.parametrize("task", ["strips", "mnist", "cifar10"])
def test_the_served_strategy_answers_as_read_does(client, task):
    shape, slots, names = onnx_models.SHAPES[task]
    rng = np.random.default_rng(0)
    for picture in [onnx_models.draw(rng.integers(0, len(names), slots), shape) for _ in range(8)]:
        for body in (encoded(picture), encoded(np.kron(picture, np.ones((5, 5, 1), np.uint8)))):
            read = client.post(f"/read?task={task}&fit=true", content=body).json()
            found = client.post(f"/compare?task={task}", content=body).json()
            (served,) = [each["answer"] for each in found["readings"] if each["served"]]
            assert served == read
            PictureAnswer.parse(json.dumps(read), "/read")


def test_the_lines_of_a_page_are_compared(client):
    page = encoded(write("9071", "352"))
    found = comparison_of(client.post("/compare?task=lines", content=page))
    assert [each.answer.digits for each in found.readings] == ["9071\n352"]
    assert len(found.inputs) == 2
    assert found.readings[0].answer.as_json() == client.post("/read?task=lines", content=page).json()
    empty = comparison_of(client.post("/compare?task=lines", content=encoded(write())))
    assert (empty.inputs, empty.readings[0].answer.lines, empty.readings[0].answer.accepted) == ((), (), False)


def test_fit_brings_any_picture_to_the_task_and_boxes_back(client):
    expect_error(client.post("/read?task=strips", content=LARGE), 422, "wrong_size")
    answer = PictureAnswer.parse(client.post("/read?task=strips&fit=true", content=LARGE).text, "/read")
    assert "fitted" in answer.notes
    assert answer.lines[0].box == (0, 0, 8 * 140, 8 * 28)
    small = client.post("/read?task=strips", content=PNG).json()
    for slot, other in zip(answer.slots, small["slots"], strict=True):
        if slot.box is not None:
            assert slot.box[2] - slot.box[0] == pytest.approx(8 * (other["box"][2] - other["box"][0]), rel=0.2)


def test_fit_changes_nothing_for_a_picture_of_the_model_s_size_or_for_lines(client):
    for path, body in (("/read?task=strips", PNG), ("/read?task=lines", encoded(write("352")))):
        assert client.post(f"{path}&fit=true", content=body).json() == client.post(path, content=body).json()


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("/read?task=strips&fit=yes", 422, "bad_query"),
        ("/compare", 422, "bad_query"),
        ("/compare?task=", 422, "bad_query"),
        ("/compare?task=scenes", 404, "not_packaged"),
        ("/compare?task=../strips", 404, "not_packaged"),
    ],
)
def test_queries_that_mean_nothing_are_rejected(client, query, status, code):
    expect_error(client.post(query, content=PNG), status, code)


def test_fit_without_a_task_has_no_effect(tmp_path):
    onnx_models.package(tmp_path)
    with apps.client_of(tmp_path) as client:
        expect_error(client.post("/read?fit=true", content=LARGE), 422, "wrong_size")
        assert client.post("/read?task=strips&fit=true", content=LARGE).status_code == 200
        expect_error(client.post("/features", content=DIGIT), 404, "not_packaged")
        assert len(comparison_of(client.post("/compare?task=strips", content=PNG)).readings) == 1


@pytest.mark.parametrize(
    "path", ["/compare?task=strips", "/compare?task=lines", "/features", "/read?task=strips&fit=true"]
)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"no picture", "not_a_picture"),
        (LARGE[:-40], "damaged"),
        (encoded(STRIP, "GIF"), "unsupported_format"),
    ],
    ids=["empty", "text", "cut", "GIF"],
)
def test_what_is_not_a_picture_gets_the_error_of_read(client, path, body, code):
    response = client.post(path, content=body)
    expect_error(response, response.status_code, code)
    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("path", ["/compare?task=strips", "/features"])
def test_bodies_have_the_limits_of_read(client, gallery, path):
    expect_error(client.post(path, content=bytes(Limits().picture_bytes + 1)), 413, "body_too_large")
    expect_error(client.post(path, content=PNG, headers={"Content-Type": "text/html"}), 415, "unsupported_content_type")
    huge = encoded(np.zeros((4097, 4096), np.uint8), compress_level=1)
    expect_error(client.post(path, content=huge), 413, "too_many_pixels")
    for way in ({"files": {"picture": ("a.png", PNG)}}, {"content": PNG}):
        assert client.post(path, **way).status_code == 200


def test_features_show_the_layers_of_the_net(client):
    response = client.post("/features", content=DIGIT)
    assert response.status_code == 200, response.text
    found = Features.parse(response.text, "/features")
    assert found.answer.digits == "3"
    assert [(layer.kind, layer.channels, layer.width) for layer in found.layers] == [
        ("convolution", galleries.CONVOLUTIONS, 26),
        ("max_pooling", galleries.CONVOLUTIONS, 13),
    ]
    for layer in found.layers:
        assert {len(base64.b64decode(each)) for each in layer.maps} == {layer.height * layer.width}


def test_a_strategy_that_cannot_be_loaded_is_an_error_in_its_place(tmp_path, caplog):
    artifacts = galleries.make(tmp_path)
    with apps.TestClient(app_of(artifacts)) as client:
        model = artifacts / "strips" / "strategies" / "slice" / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1])
        nameless, cut, sliding = comparison_of(client.post("/compare?task=strips", content=PNG)).readings
    assert (nameless.answer.digits, sliding.answer.digits) == ("9754", "9754")
    assert (cut.answer, cut.milliseconds, cut.error.code) == (None, None, "internal")
    assert str(tmp_path) not in cut.error.message, "a path is for the log"
    assert "SHA-256" in caplog.text


def test_comparisons_never_delay_read_and_more_than_may_wait_are_rejected(gallery):
    readers = load_readers(gallery)

    class Slow:
        """Waits where a comparison calls it; `/read` has the reader behind it."""

        def __init__(self):
            self.manifest = readers["strips"].manifest
            self.go_on, self.began = threading.Event(), threading.Event()

        def read(self, images, run=None):
            if threading.current_thread().name.startswith("compare"):
                self.began.set()
                assert self.go_on.wait(30)
            return readers["strips"].read(images, run=run)

    slow = Slow()
    app = app_of(gallery, {**readers, "strips": slow}, comparisons=2)

    async def post(path, content=PNG):
        exchange = apps.Exchange(app, path=path.partition("?")[0], query=path.partition("?")[2])
        await exchange.run(apps.body(content))
        return exchange

    async def check():
        async with app.router.lifespan_context(app):
            waiting = [asyncio.create_task(post("/compare?task=strips")) for _ in range(2)]
            await apps.until(slow.began.is_set)
            refused = await post("/compare?task=strips")
            assert (refused.status, refused.code, refused.answer_headers["retry-after"]) == (503, "overloaded", "1")
            for _ in range(5):
                read = await post("/read?task=strips")
                assert json.loads(read.answer)["digits"] == "9754"
            slow.go_on.set()
            assert [each.status for each in await asyncio.gather(*waiting)] == [200, 200]
            assert (await post("/compare?task=strips")).status == 200

    asyncio.run(check())
