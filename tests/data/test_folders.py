"""Pictures of the user's own: read from class folders or from a table, or refused by file and line."""

import numpy as np
import pytest
from file_trees import contents
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.data import folders


def draw(path, side=28, value=0, mode="L", size=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, size or (side, side), value)
    picture.putpixel((5, 6), 255 if mode == "L" else (255, 128, 0, 255)[: len(mode)])
    picture.save(path, **options)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "my_digits"
    for digit in range(10):
        for index in range(2):
            draw(folder / f"{digit}/{index}.png")
    return folder


@pytest.fixture
def listed(tmp_path):
    folder = tmp_path / "my_pictures"
    for index in range(3):
        draw(folder / f"{index}.png", side=20, value=(10 * index, 0, 0), mode="RGB")
    (folder / "labels.csv").write_text("file,label\n0.png,cat\n1.png,dog\n2.png,cat\n")
    return folder


def test_a_folder_of_digits(digits):
    pool = folders.read(digits, digits=True)["pool"]
    assert (pool.images.shape, pool.origin) == ((20, 28, 28, 1), "folder:my_digits")
    assert pool.labels[:, 0].tolist() == [digit for digit in range(10) for _ in range(2)]
    assert (pool.images[:, 6, 5] == 255).all()


def test_a_folder_with_a_table(listed):
    pool = folders.read(listed, digits=False)["pool"]
    assert pool.class_names == ("cat", "dog")
    assert pool.labels[:, 0].tolist() == [0, 1, 0]
    assert pool.images[2, 0, 0].tolist() == [20, 0, 0]
    assert pool.images[2, 6, 5].tolist() == [255, 128, 0]


def test_pictures_that_are_links_into_a_cache_are_read(digits, listed, tmp_path):
    """DVC keeps pictures so where `cache.type` is symlink."""
    for index, path in enumerate([digits / "3/1.png", listed / "2.png"]):
        path.rename(tmp_path / f"cached{index}")
        path.symlink_to(tmp_path / f"cached{index}")
    assert len(folders.read(digits, digits=True)["pool"]) == 20
    assert len(folders.read(listed, digits=False)["pool"]) == 3


def test_conversions_are_those_of_the_docs(tmp_path):
    folder = tmp_path / "my_pictures"
    draw(folder / "a/alpha.png", value=(200, 200, 200, 0), mode="RGBA")
    draw(folder / "a/grey.png", value=7)
    deep = np.full((28, 28), 0x12FF, np.uint16)
    Image.fromarray(deep).save(folder / "a/sixteen.png")
    turned = Image.Exif()
    turned[0x0112] = 3
    draw(folder / "b/turned.png", exif=turned)
    images = folders.read(folder, digits=False)["pool"].images
    assert images[:3, 0, 0].tolist() == [[0, 0, 0], [7, 7, 7], [0x12] * 3]
    assert images[0, 6, 5].tolist() == [255, 128, 0]
    assert images[3, 27 - 6, 27 - 5].tolist() == [255] * 3


def truncate(folder):
    (folder / "4/0.png").write_bytes((folder / "4/0.png").read_bytes()[:50])


def invert(folder):
    for path in folder.rglob("*.png"):
        draw(path, value=250)


def remove_class(digit):
    def change(folder):
        for path in (folder / digit).iterdir():
            path.unlink()
        (folder / digit).rmdir()

    return change


def bomb(folder):
    draw(folder / "7/1.png", mode="1", value=0, size=(13_000, 13_000))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (truncate, ["4/0.png"]),
        (lambda folder: (folder / "4/0.png").write_text("<svg/>"), ["4/0.png"]),
        (lambda folder: draw(folder / "5/1.png", side=32), ["5/1.png", "32×32", "28×28"]),
        (lambda folder: draw(folder / "5/1.png", size=(5000, 4000)), ["5/1.png", "5000×4000", "16,777,216"]),
        (lambda folder: (folder / "2a").mkdir(), ["my_digits/2a", "empty"]),
        (lambda folder: draw(folder / "eleven/0.png"), ["my_digits", "class 'eleven'"]),
        (remove_class("8"), ["my_digits", "class 8"]),
        (invert, ["my_digits", "dark ink"]),
        (lambda folder: draw(folder / "stray.png"), ["stray.png", "labels.csv"]),
        (lambda folder: draw(folder / "1/more/0.png"), ["1/more/0.png", "labels.csv"]),
        (bomb, ["7/1.png"]),
    ],
    ids=[
        *("truncated", "no-picture", "wrong-size", "too-large", "empty-class", "wrong-class", "missing-class"),
        *("dark-on-light", "outside-a-class", "below-a-class", "bomb"),
    ],
)
def test_a_bad_folder_of_digits_is_refused_and_stays(digits, tmp_path, change, named):
    change(digits)
    before = contents(tmp_path)
    with refuses(DataError, digits, *named):
        folders.read(digits, digits=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("file,label\n0.png,cat\n1.png,dog\n", ["labels.csv", "2.png"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,cat\n", ["labels.csv:5", "'3.png'"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,\n", ["labels.csv:4", "2.png"]),
        ("file,label\n0.png\n1.png,dog\n2.png,cat\n", ["labels.csv:2", "0.png"]),
        ("file,label\n0.png,cat\n./0.png,dog\n", ["labels.csv:3", "0.png"]),
        ("file,label\n../outside.png,cat\n", ["labels.csv:2", "'../outside.png'"]),
        ("file,label\nx/../../outside.png,cat\n", ["labels.csv:2", "'x/../../outside.png'"]),
        ("file,label\n/etc/passwd,cat\n", ["labels.csv:2", "'/etc/passwd'"]),
        ("file,label\n0.png\0,cat\n", ["labels.csv:2", "'0.png\\x00'"]),
        ("file;label\n0.png;cat\n", ["labels.csv", "file;label"]),
        ("", ["labels.csv", "file and label"]),
        ("file,label\n", ["labels.csv", "no rows"]),
        ("file,label\n0.png,cat\n1.png,cat\n2.png,cat\n", ["1 classes", "2 to 255"]),
        (b"file,label\n\xff.png,cat\n", ["labels.csv", "UTF-8"]),
        ('file,label\n"' + "x" * 200_000, ["labels.csv", "CSV"]),
    ],
    ids=[
        *("unlisted", "no-file", "no-label", "short-row", "duplicate", "parent", "inner-parent", "absolute", "nul"),
        *("semicolons", "empty", "no-rows", "one-class", "no-utf-8", "endless-field"),
    ],
)
def test_a_bad_table_is_refused(listed, tmp_path, table, named):
    draw(tmp_path / "outside.png", side=20)
    (listed / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with refuses(DataError, listed, *named):
        folders.read(listed, digits=False)


def test_pictures_of_mixed_sizes_are_refused(listed):
    draw(listed / "1.png", size=(20, 24), mode="RGB", value=(0, 0, 0))
    with refuses(DataError, listed / "1.png", "20×24", "20×20", "0.png"):
        folders.read(listed, digits=False)


def test_a_folder_that_does_not_exist_or_is_empty_is_refused(tmp_path):
    with refuses(ConfigurationError, tmp_path / "my_digits"):
        folders.read(tmp_path / "my_digits", digits=True)
    with refuses(DataError, tmp_path, "labels.csv"):
        folders.read(tmp_path, digits=True)
