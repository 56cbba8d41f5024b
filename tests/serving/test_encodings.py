"""One picture in every encoding gives the same pixels, or is refused by name, in all three ways into the project."""

import io
import json
from collections import Counter

import apps
import numpy as np
import onnx_models
import pytest
from picture_files import ENCODINGS, GREY, SIDE, chunk, png
from PIL import Image

from pipeline.commands import read
from pipeline.core.decoding import FORMATS, Picture, PictureError, decode_any, decode_for
from pipeline.core.errors import DataError
from pipeline.data import folders
from pipeline.runtime import text
from pipeline.runtime.reader import load_manifests


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(folder, "mnist")
    return folder


@pytest.fixture(scope="module")
def client(artifacts):
    with apps.client_of(artifacts) as client:
        yield client


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A folder of digits that lacks a 3."""
    folder = tmp_path_factory.mktemp("my_digits")
    for digit in range(10):
        (folder / str(digit)).mkdir()
        picture = Image.new("L", (SIDE, SIDE))
        picture.putpixel((digit, 9), 255)
        if digit != 3:
            picture.save(folder / f"{digit}/0.png")
    return folder


def named(encodings):
    return [pytest.param(each, id=each.name) for each in encodings]


def by_folder(others, data):
    """The picture as one of a folder."""
    path = others / "3/0.png"
    path.write_bytes(data)
    pool = folders.read(others, digits=True)["pool"]
    return pool.images[pool.labels[:, 0] == 3][0, ..., 0]


def by_command(artifacts, tmp_path, data):
    """The picture as `make read` gives it to a model."""
    path = tmp_path / "picture"
    path.write_bytes(data)
    return text.load_picture(path, load_manifests(artifacts))[1]


@pytest.mark.parametrize("encoding", named([each for each in ENCODINGS if not each.code]))
def test_every_encoding_gives_the_same_pixels_in_all_three_ways(encoding, artifacts, client, others, tmp_path, capsys):
    picture = by_command(artifacts, tmp_path, encoding.data)
    pixels = picture.pixels[..., 0]
    assert np.abs(pixels.astype(int) - encoding.pixels).max() <= encoding.tolerance
    assert picture.notes == encoding.notes
    assert np.array_equal(by_folder(others, encoding.data), pixels)
    response = client.post("/read", content=encoding.data)
    assert response.status_code == 200, response.text
    capsys.readouterr()
    read.main(str(tmp_path / "picture"), artifacts, json=True)
    printed = capsys.readouterr()
    assert response.json() == json.loads(printed.out)
    assert tuple(response.json()["notes"]) == encoding.notes
    assert printed.err == "", "a decoder that warns fills the log"


@pytest.mark.parametrize("encoding", named([each for each in ENCODINGS if each.code]))
def test_what_cannot_be_read_whole_is_refused_by_name_in_all_three_ways(encoding, artifacts, client, others, tmp_path):
    response = client.post("/read", content=encoding.data)
    error = response.json()["error"]
    assert (400 <= response.status_code < 500, error["code"]) == (True, encoding.code)
    with pytest.raises(DataError) as caught:
        by_command(artifacts, tmp_path, encoding.data)
    assert str(caught.value) == f"{tmp_path}/picture: {error['message']}"
    if encoding.refused_by_folders:
        with pytest.raises(DataError) as caught:
            by_folder(others, encoding.data)
        assert str(caught.value).startswith(f"{others}/3/0.png: {error['message'].split(', expected')[0]}")
    else:
        assert np.array_equal(by_folder(others, encoding.data), encoding.pixels)


def test_there_are_many_encodings():
    names = [each.name for each in ENCODINGS]
    assert len(names) == len(set(names)) >= 150


DEEP = np.where(GREY > 0, 4095, 0)
"""Of 12 bits, in 16: of its contrast nothing is left in the high byte."""
BLACK = np.zeros((SIDE, SIDE, 2), np.uint8)
BLACK[..., 1] = GREY
"""Black ink on a transparent ground."""
COLOURED = np.where(GREY[..., None] > 0, np.uint8([255, 0, 0]), np.uint8([0, 130, 0]))
UNSEEN = {
    "black": (png(np.zeros_like(GREY), 8, 0), ()),
    "white": (png(np.full_like(GREY, 255), 8, 0), ()),
    "almost black": (png(GREY // 85 * 10, 8, 0), ()),
    "black on transparent": (png(BLACK, 8, 4), ("alpha_on_black", "grey")),
    "white transparent": (png(GREY // 255 * 255, 8, 0, chunk(b"tRNS", b"\0\xff")), ("alpha_on_black", "grey")),
    "12 bits in 16": (png(DEEP, 16, 0), ("sixteen_bit",)),
    "red on green of the same luma": (png(COLOURED, 8, 2), ("grey",)),
}


@pytest.mark.parametrize(("data", "notes"), UNSEEN.values(), ids=UNSEEN)
def test_a_picture_in_which_nothing_is_left_to_see_is_never_accepted(
    data, notes, artifacts, client, others, tmp_path, capsys
):
    answer = client.post("/read", content=data).json()
    assert answer["notes"] == [*notes, "nothing_to_see"]
    assert answer["accepted"] is False
    (tmp_path / "picture").write_bytes(data)
    read.main(str(tmp_path / "picture"), artifacts, json=True)
    assert json.loads(capsys.readouterr().out) == answer
    read.main(str(tmp_path / "picture"), artifacts)
    printed = capsys.readouterr().out
    assert "not accepted: there is nothing to see" in printed
    assert "note: nothing to see" in printed
    with pytest.raises(DataError, match=r"3/0\.png: nothing to see"):
        by_folder(others, data)


@pytest.mark.parametrize("send", ["png", "raw", "npy", "json"])
def test_an_array_in_which_nothing_is_to_be_seen_is_not_accepted_either(send, client):
    images = np.stack([np.zeros_like(GREY), GREY, 255 - GREY, np.full_like(GREY, 200)])
    if send == "png":
        files = [("file", (f"{index}.png", png(image, 8, 0))) for index, image in enumerate(images)]
        response = client.post("/read_many", files=files)
    elif send == "raw":
        response = client.post("/read_many", content=images.tobytes(), headers={"X-Shape": "4,28,28"})
    elif send == "npy":
        file = io.BytesIO()
        np.save(file, images)
        response = client.post("/read_many", content=file.getvalue(), headers={"Content-Type": "application/x-npy"})
    else:
        response = client.post("/read_many", json=images.tolist())
    answers = response.json()["answers"]
    assert [answer["notes"] for answer in answers] == [["nothing_to_see"], [], ["bright_border"], ["nothing_to_see"]]
    assert [answers[index]["accepted"] for index in (0, 3)] == [False, False]


def test_dark_on_light_gets_the_same_note_from_the_service_as_from_make_read(
    artifacts, client, others, tmp_path, capsys
):
    data = png(255 - GREY, 8, 0)
    answer = client.post("/read", content=data).json()
    assert answer["notes"] == ["bright_border"]
    (tmp_path / "picture").write_bytes(data)
    read.main(str(tmp_path / "picture"), artifacts, json=True)
    assert json.loads(capsys.readouterr().out) == answer
    with pytest.raises(DataError, match=r"3/0\.png: dark ink on a light ground"):
        by_folder(others, data)
    read.main(str(tmp_path / "picture"), artifacts, invert=True, json=True)
    assert json.loads(capsys.readouterr().out)["notes"] == ["inverted"]
    (tmp_path / "picture").write_bytes(png(np.full_like(GREY, 250), 8, 0))
    read.main(str(tmp_path / "picture"), artifacts, invert=True, json=True)
    inverted = json.loads(capsys.readouterr().out)
    assert (inverted["notes"], inverted["accepted"]) == (["inverted", "nothing_to_see"], False)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_mutated_pictures_are_read_or_refused_in_all_three_ways():
    """10,000 files with up to four changes each: bytes changed, left out, put in, repeated, or made a marker."""
    random = np.random.default_rng(7)
    outcomes = Counter()
    for _ in range(10_000):
        data = bytearray(ENCODINGS[random.integers(len(ENCODINGS))].data)
        for _ in range(random.integers(1, 5)):
            mutate(data, random)
        given = bytes(data)
        ways = [outcome(decode_for, given, {"": (SIDE, SIDE, 1)})]
        ways += [outcome(decode_any, given, 1, forms) for forms in (FORMATS, BMP)]
        # A folder has its own size, and reads BMP too.
        assert ways[0] == ways[1] or ways[0] in ("wrong_size", "not_a_picture"), ways[:2]
        assert ways[1] == ways[2] or ways[1] == "unsupported_format" or data[:2] == b"BM", ways[1:]
        outcomes["read" if isinstance(ways[0], tuple) else ways[0]] += 1
    print(dict(outcomes))
    assert outcomes["read"] > 1000
    assert outcomes["damaged"] > 1000
    assert "two lines" not in outcomes
    assert sum(outcomes.values()) == 10_000


BMP = (*FORMATS, "BMP")


def mutate(data, random):
    at, length = (int(random.integers(0, max(1, high))) for high in (len(data), 30))
    kind = random.integers(5)
    if kind == 0:
        data[at : at + 1] = random.bytes(1)
    elif kind == 1:
        del data[at : at + length]
    elif kind == 2:
        data[at:at] = random.bytes(length)
    elif kind == 3:
        data[at:at] = data[at : at + 7 * length]
    else:
        data[at : at + 1] = random.choice(np.frombuffer(b"\0\xff\x7f\xd8\xd9\xda", np.uint8)).tobytes()


def outcome(decode, *arguments):
    """The pixels and notes, or the code of the error."""
    try:
        picture = decode(*arguments)
    except PictureError as error:
        return "two lines" if "\n" in str(error) else error.code
    picture = picture if isinstance(picture, Picture) else picture[1]
    return picture.pixels.tobytes(), picture.notes
