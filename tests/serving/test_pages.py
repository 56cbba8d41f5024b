"""`/read` with pictures of any size: lines, boxes in the picture's pixels, what is never accepted, and the limits."""

import asyncio
import io
import json
import warnings

import apps
import numpy as np
import onnx_models
import pytest
from barred_lines import HEIGHT, LEFT, PITCH, ROW, TOP, write
from picture_files import exif, jpeg, segment
from PIL import Image
from servers import CLASSES, encoded, expect_error

from pipeline.commands import read
from pipeline.records.answer import Info, PictureAnswer
from pipeline.runtime.pages import LINES
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

NUMBERS = ("9071", "352", "0123456", "8", "64", "55")
PAGE = encoded(write(*NUMBERS))
STRIP = onnx_models.draw(CLASSES)


def answer_of(response) -> PictureAnswer:
    assert response.status_code == 200, response.text
    return PictureAnswer.parse(response.text, "/read")


def expect_places(answer, numbers, *, scale=1.0):
    """The digits of each line lie where `barred_lines.write` drew them, in pixels of the picture."""
    assert [line.digits for line in answer.lines] == list(numbers)
    for row, line in enumerate(answer.lines):
        top = (TOP + ROW * row) * scale
        x0, y0, x1, y1 = line.box
        assert (y0 < top) & (top + HEIGHT * scale < y1), "the line holds its ink"
        assert (x0 < LEFT * scale) & (x1 - x0 < (len(line.digits) + 1) * PITCH * scale)
        for place, slot in enumerate(line.slots):
            assert slot.box[0] == pytest.approx((LEFT + PITCH * place) * scale, abs=10 * scale)
            assert (slot.box[1], slot.box[3]) == pytest.approx((y0, y1), abs=1)


def test_a_page_is_read_line_by_line(reader_of_lines, with_lines):
    answer = answer_of(reader_of_lines.post("/read", content=PAGE))
    assert (answer.task, answer.digits, answer.accepted) == ("lines", "\n".join(NUMBERS), True)
    expect_places(answer, NUMBERS)
    assert answer.confidence == min(line.confidence for line in answer.lines)
    assert "slots" not in answer.model_fields_set
    assert answer.model.sha256 == onnx_models.sha256(with_lines / "lines" / "model.onnx")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(("paper", "ink"), [(235, 30), (20, 220)])
def test_a_large_picture_of_either_polarity_has_boxes_in_its_own_pixels(reader_of_lines, form, paper, ink):
    picture = write("9071", "352", scale=4, paper=paper, ink=ink)
    answer = answer_of(reader_of_lines.post("/read", content=encoded(picture, form)))
    expect_places(answer, ("9071", "352"), scale=4)
    assert ("light_on_dark" in answer.notes) == (ink > paper)


def test_boxes_are_those_of_the_picture_as_it_is_displayed(reader_of_lines):
    turned = jpeg(Image.fromarray(np.rot90(write("9071", "352"), -1).copy()))
    turned = turned[:2] + segment(0xE1, b"Exif\0\0" + exif(8)) + turned[2:]
    answer = answer_of(reader_of_lines.post("/read", content=turned))
    expect_places(answer, ("9071", "352"))
    assert "exif_orientation" in answer.notes


@pytest.mark.parametrize("way", ["body", "form", "raw"])
def test_every_way_to_send_a_picture_gives_the_same_answer(reader_of_lines, way):
    pixels = write(*NUMBERS)
    sent = {
        "body": {"content": PAGE},
        "form": {"files": {"picture": ("page.png", PAGE)}},
        "raw": {
            "content": pixels.tobytes(),
            "headers": {"Content-Type": "application/octet-stream", "X-Shape": ",".join(map(str, pixels.shape))},
        },
    }[way]
    assert answer_of(reader_of_lines.post("/read", **sent)).digits == "\n".join(NUMBERS)


def test_make_read_gives_the_same_answer(reader_of_lines, with_lines, tmp_path, capsys):
    for name, content in {"page": PAGE, "empty": encoded(write()), "strip": encoded(STRIP)}.items():
        (tmp_path / name).write_bytes(content)
        capsys.readouterr()
        read.main(str(tmp_path / name), with_lines, json=True)
        assert json.loads(capsys.readouterr().out) == reader_of_lines.post("/read", content=content).json(), name


@pytest.mark.parametrize(
    ("picture", "note"),
    [
        (write(), "no_contrast"),
        (write("9071", ink=252), "no_contrast"),
        (np.full((3, 5), 255, np.uint8), None),
        (write("907")[::9, ::9], None),
        (np.zeros((1, 4000), np.uint8), None),
    ],
    ids=["empty", "faint", "tiny", "small", "thin"],
)
def test_a_picture_without_writing_has_no_lines_and_is_never_accepted(reader_of_lines, picture, note):
    answer = answer_of(reader_of_lines.post("/read", content=encoded(np.ascontiguousarray(picture))))
    assert (answer.digits, answer.lines, answer.confidence, answer.accepted) == ("", (), None, False)
    assert answer.notes[-1] in ("no_contrast", "no_writing", "too_small")
    assert note is None or answer.notes[-1] == note


def test_a_line_that_is_much_too_long_is_read_and_not_accepted(reader_of_lines):
    answer = answer_of(reader_of_lines.post("/read", content=encoded(write("1" * 24, "907", width=1000))))
    long, short = answer.lines
    assert (long.notes, long.accepted) == (("squeezed_much",), False)
    assert (short.notes, short.accepted, short.digits) == ((), True, "907")
    assert answer.accepted is False
    assert "squeezed" in answer.notes


def test_a_line_without_a_digit_is_not_accepted(reader_of_lines):
    picture = write()
    picture[40:80, 50:53] = picture[40:80, 90:93] = 0
    line = answer_of(reader_of_lines.post("/read", content=encoded(picture))).lines[0]
    assert (line.digits, line.slots, line.notes, line.accepted) == ("", (), ("no_digits",), False)
    assert line.confidence > 0.9, "the model is sure that there is none"


def test_pictures_of_a_models_size_keep_their_model(reader_of_lines):
    answer = answer_of(reader_of_lines.post("/read", content=encoded(STRIP)))
    assert (answer.task, answer.digits, len(answer.slots)) == ("strips", "9754", 5)
    [line] = answer.lines
    assert (line.digits, line.box, len(line.slots)) == ("9754", (0, 0, 140, 28), 4)
    assert (line.confidence, line.accepted) == (answer.confidence, answer.accepted)
    ship = encoded(onnx_models.draw([8], onnx_models.CIFAR_SHAPE))
    answer = answer_of(reader_of_lines.post("/read", content=ship))
    assert (answer.task, answer.class_, answer.lines[0].class_) == ("cifar10", "ship", "ship")


def test_the_query_forces_a_task(reader_of_lines):
    answer = answer_of(reader_of_lines.post("/read?task=lines", content=encoded(STRIP)))
    assert answer.task == "lines"
    answer = answer_of(reader_of_lines.post("/read?task=strips", content=encoded(STRIP)))
    assert (answer.task, answer.digits) == ("strips", "9754")
    message = expect_error(reader_of_lines.post("/read?task=strips", content=PAGE), 422, "wrong_size")
    assert "140×28" in message
    message = expect_error(reader_of_lines.post("/read?task=scenes", content=PAGE), 404, "not_packaged")
    assert "packaged are: cifar10, lines, strips" in message
    for query in ("task=", "task=lines&task=strips"):
        assert "expected" in expect_error(reader_of_lines.post(f"/read?{query}", content=PAGE), 422, "bad_query")


def test_without_a_model_of_lines_other_sizes_are_rejected(client):
    expect_error(client.post("/read?task=lines", content=PAGE), 404, "not_packaged")
    assert "140×28" in expect_error(client.post("/read", content=PAGE), 422, "wrong_size")
    expect_error(client.post("/read", content=bytes(Limits().body_bytes + 1)), 413, "body_too_large")


def test_without_a_threshold_only_what_is_never_accepted_is_decided(tmp_path):
    scores = {name: {"share": None, "accuracy": None} for name in ("valid", "gate", "test")}
    coverage = {"target": 0.995, "threshold": None, **scores}
    onnx_models.package(tmp_path, "lines", coverage=coverage)
    with apps.client_of(tmp_path) as client:
        answer = answer_of(client.post("/read", content=PAGE))
        assert (answer.accepted, answer.lines[0].accepted, answer.lines[0].slots[0].box) == (None, None, None)
        assert answer_of(client.post("/read", content=encoded(write()))).accepted is False


def test_the_model_of_lines_is_described(reader_of_lines):
    models = Info.parse(reader_of_lines.get("/info").text, "/info").models
    assert models["lines"].inputs.as_json() == {"height": 32, "width": 224, "channels": 1, "dtype": "uint8"}
    document = reader_of_lines.get("/openapi.json").json()["paths"]["/read"]["post"]
    assert document["parameters"][0]["schema"]["enum"] == ["cifar10", "lines", "strips"]
    assert "16,777,216 bytes" in document["requestBody"]["description"]
    arrays = reader_of_lines.get("/openapi.json").json()["paths"]["/read_many"]["post"]["requestBody"]["content"]
    assert "224" not in json.dumps(arrays), "arrays of ingested lines are not taken"


def test_a_photo_may_be_larger_than_the_body_of_other_requests(reader_of_lines):
    noise = np.random.default_rng(0).integers(200, 256, (1200, 1200), np.uint8)
    body = encoded(noise)
    assert len(body) > Limits().body_bytes
    assert answer_of(reader_of_lines.post("/read", content=body)).task == "lines"
    expect_error(reader_of_lines.post("/read?task=strips", content=body), 413, "body_too_large")
    expect_error(reader_of_lines.post("/read", content=bytes(Limits().picture_bytes + 1)), 413, "body_too_large")
    message = expect_error(
        reader_of_lines.post("/read", content=encoded(np.zeros((4097, 4096), np.uint8), compress_level=1)),
        413,
        "too_many_pixels",
    )
    assert "16,777,216" in message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"no picture", "not_a_picture"),
        (PAGE[:-40], "damaged"),
        (encoded(write("1"), "GIF"), "unsupported_format"),
    ],
    ids=["empty", "text", "cut", "GIF"],
)
def test_what_is_not_a_whole_picture_is_rejected_as_it_is_elsewhere(reader_of_lines, body, code):
    response = reader_of_lines.post("/read", content=body)
    assert "expected" in expect_error(response, response.status_code, code)
    assert 400 <= response.status_code < 500


def test_lines_are_counted(with_lines):
    with apps.client_of(with_lines) as client:
        for body in (PAGE, encoded(write())):
            client.post("/read", content=body)
        metrics = client.get("/metrics").text
    assert 'reader_picture_lines_bucket{le="0.0"} 1.0' in metrics
    assert f"reader_picture_lines_sum {len(NUMBERS)}.0" in metrics
    assert 'reader_run_pictures_sum{task="lines"}' in metrics
    assert 'reader_requests_total{path="/read",status="200"} 2.0' in metrics


def test_the_lines_of_a_page_are_one_batch_and_more_pages_than_may_be_read_are_rejected(with_lines):
    readers = load_readers(with_lines)
    held = apps.HeldReader(readers[LINES])
    app = create_app({**readers, LINES: held}, Limits(pages=1, inline_seconds=0))

    async def check():
        async with app.router.lifespan_context(app):
            first, second = apps.Exchange(app), apps.Exchange(app)
            strip = apps.Exchange(app)
            waiting = asyncio.create_task(first.run(apps.body(PAGE)))
            await apps.until(lambda: bool(held.runs))
            await second.run(apps.body(PAGE))
            assert (second.status, second.code, second.answer_headers["retry-after"]) == (503, "overloaded", "1")
            large = apps.Exchange(app, headers=[("Content-Length", str(2**22))])
            await large.run(apps.body(b"", end=False))
            assert (large.code, large.answer_headers["connection"]) == ("overloaded", "close"), "before its body"
            await strip.run(apps.body(encoded(STRIP)))
            assert json.loads(strip.answer)["digits"] == "9754", "a picture of a model's size is read meanwhile"
            held.go_on.set()
            await waiting
        assert json.loads(first.answer)["digits"] == "\n".join(NUMBERS)
        assert held.runs == [len(NUMBERS)]

    asyncio.run(check())


def test_a_page_gives_up_when_its_time_is_over(with_lines):
    readers = load_readers(with_lines)
    held = apps.HeldReader(readers[LINES])
    app = create_app({**readers, LINES: held}, Limits(answer_seconds=0.3, inline_seconds=0))

    async def check():
        async with app.router.lifespan_context(app):
            exchange = apps.Exchange(app)
            await exchange.run(apps.body(PAGE))
            assert (exchange.status, exchange.code) == (503, "timed_out")
            held.go_on.set()
            after = apps.Exchange(app)
            async with asyncio.timeout(30):
                # On a busy machine the time is up again and again.
                while after.status != 200:
                    after = apps.Exchange(app)
                    await after.run(apps.body(PAGE))
            assert json.loads(after.answer)["digits"] == "\n".join(NUMBERS)

    asyncio.run(check())


def test_a_picture_that_warns_in_a_decoder_does_not_warn_in_the_service(reader_of_lines):
    file = io.BytesIO()
    Image.fromarray(write("9071")).save(file, "PNG", transparency=255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer_of(reader_of_lines.post("/read", content=file.getvalue())).digits == "9071"
