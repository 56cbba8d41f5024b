"""Lines of the user's own: pictures with a table of texts or in COCO's format, or every fault by its row."""

import json
import os

import numpy as np
import pytest
from file_trees import contents
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.data import folders

TEXTS = {"a.png": "0123456789", "b.jpg": "7", "page/c.webp": "42"}


def draw(path, seed, size=(60, 20), **options):
    """Noise, of each seed another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)).save(path, **options)


@pytest.fixture
def listed(tmp_path):
    folder = tmp_path / "my_amounts"
    for seed, name in enumerate(TEXTS):
        draw(folder / name, seed, size=(60 + seed, 20))
    (folder / "labels.csv").write_text("file,text\n" + "".join(f"{name},{text}\n" for name, text in TEXTS.items()))
    return folder


def document(files, width=60, height=20):
    return {
        "images": [
            {"id": index, "file_name": file, "width": width, "height": height} for index, file in enumerate(files)
        ],
        "annotations": [{"image_id": index, "category_id": 1, "bbox": [5, 2, 10, 15]} for index, _ in enumerate(files)],
        "categories": [{"id": 1, "name": "4"}],
    }


def write(path, files, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(files, **size)))


@pytest.fixture
def annotated(tmp_path):
    folder = tmp_path / "my_forms"
    for seed, name in enumerate(["images/a.png", "images/b.png"]):
        draw(folder / name, seed)
    write(folder / "annotations/instances_default.json", ["a.png", "b.png"])
    return folder


def test_a_folder_with_a_table_of_texts(listed):
    pictures = folders.read_lines(listed)
    assert pictures.origin == "folder:my_amounts"
    assert {each.name: "".join(map(str, each.digits)) for each in pictures} == TEXTS
    assert [each.pixels.shape for each in pictures] == [(20, 60), (20, 61), (20, 62)]
    assert {each.boxes for each in pictures} == {None}
    assert np.array_equal(pictures.pictures[0].pixels, np.asarray(Image.open(listed / "a.png")))


def test_white_space_and_further_columns_do_not_matter_but_leading_zeros_do(listed):
    (listed / "labels.csv").write_text("\ufeffwriter,text,file\nx, 007 ,a.png\ny,7,b.jpg\nz,42,page/c.webp\n")
    assert folders.read_lines(listed).pictures[0].digits.tolist() == [0, 0, 7]


def test_a_folder_in_the_format_of_coco(annotated):
    pictures = folders.read_lines(annotated)
    assert [(each.name, each.digits.tolist()) for each in pictures] == [("images/a.png", [4]), ("images/b.png", [4])]
    assert pictures.pictures[0].boxes.tolist() == [[5, 2, 15, 17]]


@pytest.mark.parametrize(
    ("path", "file", "labels"),
    [
        ("a.png", "a.png", "instances.json"),
        ("images/a.png", "images/a.png", "annotations/instances.json"),
        ("train2017/a.png", "a.png", "annotations/instances_train2017.json"),
        ("images/train2017/a.png", "a.png", "annotations/instances_train2017.json"),
    ],
)
def test_pictures_are_where_tools_put_them(tmp_path, path, file, labels):
    draw(tmp_path / path, 0)
    write(tmp_path / labels, [file])
    assert [each.name for each in folders.read_lines(tmp_path)] == [path]


def test_several_documents_are_read_together(annotated):
    draw(annotated / "images/c.png", 3)
    write(annotated / "annotations/instances_more.json", ["c.png"])
    assert len(folders.read_lines(annotated)) == 3


def test_pictures_that_are_links_into_a_cache_are_read_and_counted(listed, tmp_path, capsys):
    (listed / "a.png").rename(tmp_path / "cached")
    (listed / "a.png").symlink_to(tmp_path / "cached")
    (listed / "notes.txt").write_text("")
    assert len(folders.read_lines(listed)) == 3
    assert capsys.readouterr().err.splitlines()[0] == (
        f"{listed}: 1 left out, expected .png, .jpg, .jpeg or .webp: 1 .txt (notes.txt); "
        "1 picture read through links out of it (a.png)"
    )


def test_all_wrong_rows_are_named_together(listed):
    rows = ["a.png,12a", "b.jpg,", "nothing.png,1", "../x.png,1", "/etc/passwd,1", "page,1", "page/c.webp,01234567890"]
    (listed / "labels.csv").write_text("file,text\n" + "\n".join(rows))
    with refuses(
        DataError,
        listed,
        "7 to correct",
        "labels.csv:2: a.png: text '12a' found, expected 1 to 10 digits",
        "labels.csv:3: b.jpg: no text",
        "labels.csv:4: no file 'nothing.png'",
        "labels.csv:5: '../x.png' leads out",
        "labels.csv:6: '/etc/passwd' leads out",
        "labels.csv:7: no file 'page'",
        "labels.csv:8: page/c.webp: text '01234567890'",
    ):
        folders.read_lines(listed)


def test_a_message_has_an_end(listed):
    (listed / "labels.csv").write_text("file,text\n" + "".join(f"{row}.png,1\n" for row in range(99)))
    with refuses(DataError, "99 to correct", "'0.png'", "'9.png'", "and 89 more"):
        folders.read_lines(listed)


def test_all_wrong_pictures_are_named_together(listed):
    (listed / "a.png").write_bytes((listed / "a.png").read_bytes()[:60])
    Image.new("L", (60, 20), 200).save(listed / "b.jpg")
    (listed / "page/c.webp").write_text("<svg/>")
    with refuses(
        DataError,
        listed,
        "3 to correct",
        "labels.csv:2: a.png: the picture is truncated or damaged",
        "labels.csv:3: b.jpg: nothing to see",
        "labels.csv:4: page/c.webp: SVG",
    ):
        folders.read_lines(listed)


def twice(folder):
    with (folder / "labels.csv").open("a") as table:
        table.write("./a.png,5\n")


def fifo(folder):
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")


def dangling(folder):
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to("nothing")


def bomb(folder):
    (folder / "a.png").unlink()
    Image.new("1", (5_000, 4_000)).save(folder / "a.png")


def copy(folder):
    (folder / "d.png").write_bytes((folder / "a.png").read_bytes())
    with (folder / "labels.csv").open("a") as table:
        table.write("d.png,5\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (twice, ["labels.csv:5", "duplicate", "a.png"]),
        (fifo, ["labels.csv:2", "a.png: a FIFO"]),
        (dangling, ["labels.csv:2", "a.png: a link to nothing"]),
        (bomb, ["labels.csv:2", "a.png", "5000×4000", "16,777,216"]),
        (copy, ["d.png", "the same picture", "a.png", "'5' and '0123456789'"]),
        (lambda folder: draw(folder / "d.png", 9), ["d.png: no label"]),
        (lambda folder: (folder / "labels.csv").write_text("file,label\na.png,1\n"), ["file, label", "file and text"]),
        (lambda folder: (folder / "labels.csv").write_text("file,text\n"), ["labels.csv", "no rows"]),
        (lambda folder: (folder / "labels.csv").unlink(), ["neither labels.csv nor annotations/*.json"]),
        (lambda folder: write(folder / "annotations/x.json", ["a.png"]), ["both labels.csv and annotations/x.json"]),
    ],
    ids=[
        *("twice", "fifo", "dangling", "bomb", "copy", "unlisted", "column", "no-rows", "no-labels", "two-kinds"),
    ],
)
def test_a_bad_folder_with_a_table_is_refused_and_stays(listed, tmp_path, change, named):
    change(listed)
    before = contents(tmp_path)
    with refuses(DataError, listed, *named):
        folders.read_lines(listed)
    assert contents(tmp_path) == before


LABELS = "annotations/instances_default.json"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: write(folder / LABELS, ["a.png", "../b.png"]), [LABELS, "'../b.png' leads out"]),
        (lambda folder: write(folder / LABELS, ["a.png", "/etc/passwd"]), [LABELS, "'/etc/passwd' leads out"]),
        (lambda folder: write(folder / LABELS, ["a.png", "b\0.png"]), [LABELS, r"'b\x00.png'"]),
        (lambda folder: write(folder / LABELS, ["a.png", "c.png"]), [LABELS, "no file 'c.png'", "images/default/"]),
        (lambda folder: draw(folder / "a.png", 5), [LABELS, "2 files 'a.png'"]),
        (lambda folder: write(folder / "annotations/more.json", ["a.png"]), ["duplicate file images/a.png"]),
        (lambda folder: write(folder / LABELS, ["a.png"]), ["images/b.png: no label"]),
        (lambda folder: draw(folder / "images/b.png", 5, size=(61, 20)), [LABELS, "images/b.png: 61×20", "60×20"]),
        (lambda folder: (folder / LABELS).write_text("{}"), [LABELS, "images: Field required"]),
        (lambda folder: os.mkfifo(folder / "annotations/a.json"), ["annotations/a.json", "a FIFO"]),
        (lambda folder: (folder / "annotations/a.json").symlink_to("x"), ["annotations/a.json", "a link to nothing"]),
    ],
    ids=[
        *("parent", "absolute", "nul", "no-file", "two-files", "two-documents", "unlisted", "size", "empty", "fifo"),
        "dangling",
    ],
)
def test_a_bad_folder_in_the_format_of_coco_is_refused_and_stays(annotated, tmp_path, change, named):
    change(annotated)
    before = contents(tmp_path)
    with refuses(DataError, annotated, *named):
        folders.read_lines(annotated)
    assert contents(tmp_path) == before


def test_all_pictures_together_have_a_largest_size(listed, monkeypatch):
    monkeypatch.setattr(folders, "MAX_PIXELS", 2_500)
    with refuses(DataError, listed, "2,500 pixels", "3 of 3"):
        folders.read_lines(listed)
    monkeypatch.setattr(folders, "MAX_PIXELS", 3_660)
    assert len(folders.read_lines(listed)) == 3


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with refuses(ConfigurationError, tmp_path / "nowhere", "labels.csv", "COCO"):
        folders.read_lines(tmp_path / "nowhere")
