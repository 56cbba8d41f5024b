"""Pictures of the user's own: read from class folders or from a table, or refused by file and line."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from file_trees import contents
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.data import folders

ROOT = Path(__file__).parents[2]


def draw(path, side=28, value=0, mode="L", size=None, mark=0, ink=255, **options):
    """A picture with a dot; of each `mark` another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, size or (side, side), value)
    for place in {(5, 6), (mark % 10 + 5, mark // 10 + 6)}:
        picture.putpixel(place, ink if mode == "L" else (255, 128, 0, 255)[: len(mode)])
    picture.save(path, **options)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "my_digits"
    for digit in range(10):
        for index in range(2):
            draw(folder / f"{digit}/{index}.png", mark=2 * digit + index)
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
    deep[6, 5] = 0xFFFF
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
    for mark, path in enumerate(sorted(folder.rglob("*.png"))):
        draw(path, value=250, mark=mark, ink=0)


def invert_one(folder):
    draw(folder / "6/1.png", value=250, ink=0)


def light_inside(folder):
    """Dark on light but for a black frame, which scanners make."""
    for mark, path in enumerate(sorted(folder.rglob("*.png"))):
        picture = Image.new("L", (28, 28))
        picture.paste(250, (1, 1, 27, 27))
        picture.putpixel((5 + mark, 6), 0)
        picture.save(path)


def remove_class(digit):
    def change(folder):
        for path in (folder / digit).iterdir():
            path.unlink()
        (folder / digit).rmdir()

    return change


def save_faint(path):
    """Of 12 bits, in a file of 16: nothing is left in the high byte."""
    deep = np.zeros((28, 28), np.uint16)
    deep[5:20, 6] = 4095
    Image.fromarray(deep).save(path)


def listen(path):
    # The name of a socket may have 108 bytes.
    name = Path(os.path.relpath(path))
    with socket.socket(socket.AF_UNIX) as server:
        if len(str(name)) > 100:
            os.mknod(path, 0o140600)
        else:
            server.bind(str(name))


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
        (invert, ["0/0.png", "dark ink", "in 19 more"]),
        (invert_one, ["6/1.png", "dark ink"]),
        (light_inside, ["my_digits", "more light than dark"]),
        (lambda folder: draw(folder / "6/1.png", ink=20), ["6/1.png", "nothing to see"]),
        (lambda folder: save_faint(folder / "6/1.png"), ["6/1.png", "nothing to see"]),
        (lambda folder: draw(folder / "0/2.png"), ["0/2.png", "0/0.png", "1 copy"]),
        (lambda folder: draw(folder / "4/2.png"), ["4/2.png", "0/0.png", "'4'", "'0'"]),
        (lambda folder: os.mkfifo(folder / "3/2.png"), ["3/2.png", "a FIFO"]),
        (lambda folder: listen(folder / "3/2.png"), ["3/2.png", "a socket"]),
        (lambda folder: (folder / "3/2.png").symlink_to("/dev/zero"), ["3/2.png", "a device"]),
        (lambda folder: (folder / "3/2.png").symlink_to("nothing"), ["3/2.png", "a link to nothing"]),
        (lambda folder: os.mkfifo(folder / "labels.csv"), ["labels.csv", "a FIFO"]),
        (lambda folder: (folder / "labels.csv").symlink_to("nothing"), ["labels.csv", "a link to nothing"]),
        (lambda folder: (folder / "labels.csv").mkdir(), ["labels.csv", "a folder"]),
        (lambda folder: draw(folder / "１/0.png"), ["look alike", r"'\uff11'", "'1'"]),
        (lambda folder: (folder / "1").rename(folder / "１"), [r"'\uff11'", "expected 0 to 9"]),
        (lambda folder: draw(folder / "1\x1b/0.png"), ["'1\\x1b'", "control characters"]),
        (lambda folder: draw(folder / os.fsdecode(b"1\xff") / "0.png"), [r"1\udcff", "not UTF-8"]),
        (lambda folder: draw(folder / "1/a\nb\x1b.png", side=32), [r"1/a\nb\x1b.png", "32×32"]),
        (lambda folder: draw(folder / "stray.png"), ["stray.png", "labels.csv"]),
        (lambda folder: draw(folder / "1/more/0.png"), ["1/more/0.png", "labels.csv"]),
        (bomb, ["7/1.png"]),
    ],
    ids=[
        *("truncated", "no-picture", "wrong-size", "too-large", "empty-class", "wrong-class", "missing-class"),
        *("dark-on-light", "one-dark-on-light", "dark-on-light-in-a-frame", "faint", "faint-16-bits", "copy"),
        *("two-labels", "fifo", "socket", "device", "dangling", "fifo-as-table", "dangling-table", "folder-as-table"),
        *("alike", "full-width", "control", "class-not-utf-8", "file-with-newline"),
        *("outside-a-class", "below-a-class", "bomb"),
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
        ("file,label\n0.png,cat\n1.png,dog\n2.png,cat\0\n", ["labels.csv:4", r"'cat\x00'", "control"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,Cat\n", ["'Cat' and 'cat'", "look alike"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,ｃat\n", [r"'cat' and '\uff43at'", "look alike"]),
        ("file,label\n0.png,a cat\n1.png,dog\n2.png,a  cat\n", ["'a  cat' and 'a cat'", "look alike"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png, \n", ["labels.csv:4", "no label"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,a\u202ecat\n", ["labels.csv:4", "control"]),
        (b"file,label\n\xff.png,cat\n", ["labels.csv", "UTF-8"]),
        ('file,label\n"' + "x" * 200_000, ["labels.csv", "CSV"]),
    ],
    ids=[
        *("unlisted", "no-file", "no-label", "short-row", "duplicate", "parent", "inner-parent", "absolute", "nul"),
        *("semicolons", "empty", "no-rows", "one-class", "nul-in-label", "case", "full-width", "blanks"),
        *("blank-label", "direction", "no-utf-8", "endless-field"),
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


def test_labels_of_one_spelling_are_one_class(listed):
    """White space around it, and composed and decomposed characters, are spelling."""
    (listed / "labels.csv").write_text("file,label\n0.png,\u00e9tang\n1.png,dog\n2.png, e\u0301tang \n")
    pool = folders.read(listed, digits=False)["pool"]
    assert pool.class_names == ("dog", "\u00e9tang")
    assert pool.labels[:, 0].tolist() == [1, 0, 1]


def test_names_of_files_need_not_be_utf_8(digits):
    draw(digits / "3" / os.fsdecode(b"\xff.png"), mark=50)
    assert len(folders.read(digits, digits=True)["pool"]) == 21


def test_a_folder_whose_name_is_not_utf_8_is_refused(digits, tmp_path):
    """It would become the origin of every result."""
    digits.rename(tmp_path / os.fsdecode(b"my\xff"))
    (tmp_path / "link").symlink_to(os.fsdecode(b"my\xff"))
    with refuses(DataError, "link", "not UTF-8"):
        folders.read(tmp_path / "link", digits=True)


def test_what_is_left_out_is_counted_and_named(digits, tmp_path, capsys):
    for name in ("1/a.tif", "1/b.tif", "2/c.jfif", ".DS_Store", "3/.d.png", "README"):
        (digits / name).write_bytes(b"")
    (digits / "4/notes").mkdir()
    (digits / "4/notes/e.txt").write_text("")
    os.mkfifo(digits / "5/f.pipe")
    (digits / ".git").mkdir()
    (digits / "4/more").symlink_to(tmp_path)
    (digits / "7/1.png").rename(tmp_path / "cached.png")
    (digits / "7/1.png").symlink_to(tmp_path / "cached.png")
    assert len(folders.read(digits, digits=True)["pool"]) == 20
    line = capsys.readouterr().err.splitlines()[0]
    assert line == folders.left_out(digits)
    assert line == (
        f"{digits}: 10 left out, expected .png, .jpg, .jpeg or .bmp: 3 hidden (.DS_Store, .git, 3/.d.png), "
        "2 .tif (1/a.tif, 1/b.tif), 1 .jfif (2/c.jfif), 1 .pipe (5/f.pipe), 1 .txt (4/notes/e.txt), "
        "1 links to folders (4/more), 1 without a suffix (README); "
        "1 picture read through links out of it (7/1.png)"
    )


def test_nothing_is_said_of_a_folder_that_is_read_whole(digits, listed, capsys):
    folders.read(digits, digits=True)
    folders.read(listed, digits=False)
    assert "left out" not in capsys.readouterr().err
    assert folders.left_out(digits) == folders.left_out(listed) == ""


def test_a_class_may_be_a_link_to_a_folder_which_is_not_searched_further(digits, tmp_path):
    (digits / "7").rename(tmp_path / "sevens")
    (digits / "7").symlink_to(tmp_path / "sevens")
    (tmp_path / "sevens/all").symlink_to("/")
    assert len(folders.read(digits, digits=True)["pool"]) == 20
    assert "1 links to folders (7/all); 2 pictures read through links" in folders.left_out(digits)


def test_a_fifo_does_not_hang_the_stage(tmp_path):
    """As it is run: a reader that waits for a writer would never end."""
    os.mkfifo(tmp_path / "labels.csv")
    code = (
        "import pathlib, sys; from pipeline.data import folders; folders.read(pathlib.Path(sys.argv[1]), digits=True)"
    )
    command = [sys.executable, "-c", code, tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert re.search(r"labels\.csv: a FIFO found, expected a regular file", result.stderr)
