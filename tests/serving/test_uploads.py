"""What a request uploads: files, arrays in three forms, and what is rejected."""

import io
import json

import apps
import numpy as np
import onnx_models
import pytest
from servers import CLASSES, encoded, expect_error

from pipeline.records.answer import Answers

READINGS = [np.roll(CLASSES, shift) for shift in range(70)]
STRIPS = np.stack([onnx_models.draw(classes) for classes in READINGS])
DIGITS = ["".join(str(digit) for digit in classes if digit != 10) for classes in READINGS]
PICTURES = np.stack([onnx_models.draw([index], onnx_models.CIFAR_SHAPE) for index in range(10)])
RAW = {"Content-Type": "application/octet-stream"}
NPY = {"Content-Type": "application/x-npy"}
JSON = {"Content-Type": "application/json"}


def headed(header):
    """A .npy with this header."""
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + STRIPS.tobytes()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def raw(array):
    return array.tobytes(), RAW | {"X-Shape": ",".join(map(str, array.shape))}


def digits(response):
    assert response.status_code == 200, response.text
    Answers.parse(response.text, "the answer")
    return [answer.get("digits", answer.get("class")) for answer in response.json()["answers"]]


@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize("form", ["raw", "npy", "json"])
def test_an_array_is_read_in_order(client, form, channels):
    strips = STRIPS if channels else STRIPS[..., 0]
    if form == "json":
        strips = strips[:8]
    body, headers = {
        "raw": lambda: raw(strips),
        "npy": lambda: (npy(strips), NPY),
        "json": lambda: (json.dumps(strips.tolist()), JSON),
    }[form]()
    assert digits(client.post("/read_many", content=body, headers=headers)) == DIGITS[: len(strips)]


def test_many_pictures_get_the_answers_that_each_would_get(client):
    body, headers = raw(STRIPS[:3])
    many = client.post("/read_many?probabilities=true", content=body, headers=headers).json()
    for strip, answer in zip(STRIPS, many["answers"], strict=False):
        one = client.post("/read", content=encoded(strip)).json()
        assert many["models"] == {"strips": one.pop("model")}
        del one["lines"]
        assert answer == one
    short = client.post("/read_many?probabilities=false", content=body, headers=headers).json()["answers"][0]
    assert [set(slot) for slot in short["slots"]] == 5 * [{"class", "probability", "box"}]
    message = expect_error(client.post("/read_many?probabilities=1", content=body, headers=headers), 422, "bad_query")
    assert "true or false" in message


def test_one_raw_strip_is_read_as_its_picture_is(client):
    body, headers = raw(STRIPS[0, ..., 0])
    assert client.post("/read", content=body, headers=headers).json()["digits"] == DIGITS[0]
    standing = np.ascontiguousarray(np.rot90(STRIPS[0, ..., 0], -1))
    body, headers = raw(standing)
    answer = client.post("/read", content=body, headers=headers).json()
    assert (answer["digits"], answer["notes"]) == (DIGITS[0], ["turned"])


def test_upright_strips_are_turned_and_the_answers_say_so(client):
    body, headers = raw(np.ascontiguousarray(np.rot90(STRIPS, -1, axes=(1, 2))))
    response = client.post("/read_many", content=body, headers=headers)
    assert digits(response) == DIGITS
    assert all(answer["notes"] == ["turned"] for answer in response.json()["answers"])


def test_a_picture_that_cannot_be_read_is_an_error_in_its_place(client):
    files = [encoded(strip) for strip in STRIPS[:4]]
    files[1:3] = [b"no picture", encoded(STRIPS[2][:, :28])]
    response = client.post("/read_many", files=[("pictures", (str(i), file)) for i, file in enumerate(files)])
    assert digits(response) == [DIGITS[0], None, None, DIGITS[3]]
    errors = [answer["error"] for answer in response.json()["answers"][1:3]]
    assert [error["code"] for error in errors] == ["not_a_picture", "wrong_size"]
    assert all(set(error) == {"code", "message"} for error in errors)
    assert 'reader_refusals_total{code="not_a_picture"}' in client.get("/metrics").text


def test_cifar10_pictures_are_classified_in_order(client):
    body, headers = raw(PICTURES)
    response = client.post("/classify_many", content=body, headers=headers)
    assert digits(response) == list(onnx_models.CIFAR_NAMES)
    expect_error(client.post("/read_many", content=body, headers=headers), 422, "wrong_array")


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "empty"),
        ("[]", 400, "empty"),
        ("{", 400, "bad_json"),
        ("[1, 2", 400, "bad_json"),
        (b"\xff\xfe[", 400, "bad_json"),
        (nested(100_000), 400, "bad_json"),
        (nested(20), 422, "wrong_array"),
        ('{"pictures": []}', 422, "wrong_array"),
        ("5", 422, "wrong_array"),
        ("[[[NaN]]]", 422, "wrong_array"),
        ("[[[Infinity]]]", 422, "wrong_array"),
        ("[[[null]]]", 422, "wrong_array"),
        ("[[[1, 2], [3]]]", 422, "wrong_array"),
        ("[[[1], 2]]", 422, "wrong_array"),
        ("[[[300]]]", 422, "wrong_array"),
        ("[[[-1]]]", 422, "wrong_array"),
        ("[[[1.5]]]", 422, "wrong_array"),
        ('[[["7"]]]', 422, "wrong_array"),
        ("[[[true]]]", 422, "wrong_array"),
        (f"[[[{10**40}]]]", 422, "wrong_array"),
        (f"[[[{'9' * 5000}]]]", 400, "bad_json"),
        (json.dumps([0] * 3920), 422, "wrong_array"),
        (json.dumps(STRIPS[:1, ..., 0].transpose(0, 2, 1)[:, :, :20].tolist()), 422, "wrong_array"),
        ('["http://127.0.0.1/strip.png"]', 422, "wrong_array"),
    ],
)
def test_json_that_is_not_an_array_of_pictures_is_rejected(client, body, status, code):
    assert "expected" in expect_error(client.post("/read_many", content=body, headers=JSON), status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"\x93NUMPY", 400, "damaged"),
        (b"no array at all", 400, "damaged"),
        (npy(STRIPS)[:-1], 422, "wrong_array"),
        (npy(STRIPS) + b"x", 422, "wrong_array"),
        (npy(STRIPS.astype(np.float32)), 422, "wrong_array"),
        (npy(STRIPS[0]), 422, "wrong_array"),
        (npy(STRIPS.reshape(-1)), 422, "wrong_array"),
        (npy(np.asfortranarray(STRIPS)), 422, "wrong_array"),
        (npy(STRIPS[:0]), 400, "empty"),
        (npy(np.array([{}], dtype=object)), 422, "wrong_array"),
        (npy(STRIPS).replace(b"(70, 28, 140, 1)", b"(7000000000000,)"), 422, "wrong_array"),
        (npy(STRIPS).replace(b"(70, 28, 140, 1)", b"((((((((((((((("), 400, "damaged"),
        (npy(STRIPS).replace(b"(70, 28, 140, 1)", b"(-70, 28, -140,)"), 422, "wrong_array"),
        # NumPy would print a warning for the first. With a naive expression the others would take for ever.
        (headed(b"{'descr': '\\d', 'fortran_order': False, 'shape': (70, 28, 140, 1)}"), 400, "damaged"),
        (headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + 900 * b"1"), 400, "damaged"),
        (headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + 400 * b"1 " + b"x"), 400, "damaged"),
        (headed(b"{'descr': '|u1', 'fortran_order': False}"), 400, "damaged"),
    ],
)
def test_a_npy_without_pictures_is_rejected(client, body, status, code):
    assert "expected" in expect_error(client.post("/read_many", content=body, headers=NPY), status, code)


@pytest.mark.parametrize(
    ("shape", "status", "code"),
    [
        (None, 400, "bad_request"),
        ("many", 400, "bad_request"),
        ("70,28,140,-1", 400, "bad_request"),
        ("70,28,141", 422, "wrong_array"),
        ("274400", 422, "wrong_array"),
        ("70,140,28,1", 200, None),
        ("140,28,70", 422, "wrong_array"),
        ("999999999,999999999,999999999,999999999", 422, "wrong_array"),
    ],
)
def test_raw_pixels_have_the_shape_that_their_header_gives(client, shape, status, code):
    headers = RAW if shape is None else RAW | {"X-Shape": shape}
    response = client.post("/read_many", content=STRIPS.tobytes(), headers=headers)
    if code is None:
        assert response.status_code == status
    else:
        expect_error(response, status, code)


@pytest.mark.parametrize(
    "kind", ["application/vnd.bentoml+pickle", "application/x-pickle", "text/plain", "image/png", "application/zip"]
)
def test_a_content_type_that_is_not_documented_is_rejected(client, kind):
    response = client.post(
        "/read_many", content=STRIPS.tobytes(), headers={"Content-Type": kind, "X-Shape": "70,28,140"}
    )
    assert kind in expect_error(response, 415, "unsupported_content_type")


def test_more_pictures_than_one_request_may_have_are_rejected(client):
    body, headers = raw(np.repeat(STRIPS, 16, axis=0))
    assert "1,024" in expect_error(client.post("/read_many", content=body, headers=headers), 413, "too_many_pictures")
    files = [("pictures", ("a.png", b"x"))] * 1025
    expect_error(client.post("/read_many", files=files), 413, "too_many_pictures")
    expect_error(client.post("/read_many", files={"pictures": (None, "http://127.0.0.1/a.png")}), 400, "empty")


def test_json_and_other_bodies_have_limits_of_their_own(artifacts):
    with apps.client_of(artifacts, json_pictures=2, json_bytes=50_000, many_body_bytes=60_000) as client:
        expect_error(client.post("/read_many", json=STRIPS[:3].tolist()), 413, "too_many_pictures")
        expect_error(client.post("/read_many", content=bytes(50_001), headers=JSON), 413, "body_too_large")
        expect_error(client.post("/read_many", content=bytes(60_001), headers=NPY), 413, "body_too_large")
        body, headers = raw(STRIPS[:15])
        assert digits(client.post("/read_many", content=body, headers=headers)) == DIGITS[:15]
