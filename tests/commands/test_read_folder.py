"""`make read IMAGES=folder`: a row for every picture, whatever it is, and nothing is read twice."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import barred_lines
import numpy as np
import onnx_models
import pytest
from PIL import Image
from refusals import refuses

from pipeline.commands import read
from pipeline.core import files
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.reading import folder
from pipeline.reading import table as readings
from pipeline.reading.table import COLUMNS, Journal, Row

ROOT = Path(__file__).parents[2]
NUMBERS = ("123", "4567890", "007", "31", "8", "90210", "4242", "555", "60", "1984")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    made = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(made, "lines", boxes=True)
    onnx_models.package(made)
    onnx_models.package(made, "cifar10")
    return made


@pytest.fixture
def pictures(tmp_path):
    """Pages with one number, two and none, a strip, a thumbnail, damaged files, links, a FIFO; and other files."""
    made = tmp_path / "pictures"
    (made / "b").mkdir(parents=True)
    (made / ".hidden").mkdir()
    for index, number in enumerate(NUMBERS):
        Image.fromarray(barred_lines.write(number)).save(made / f"b/{index}.PNG")
    Image.fromarray(barred_lines.write("12", "345", paper=20, ink=230)).save(made / "two, lines.jpg", quality=95)
    Image.fromarray(barred_lines.write()).save(made / "empty.webp", lossless=True)
    Image.fromarray(onnx_models.draw([9, 7, 5, 4, 10]).squeeze()).save(made / "strip.png")
    Image.fromarray(onnx_models.draw([3], onnx_models.CIFAR_SHAPE)).save(made / "a cat.png")
    (made / "half.png").write_bytes((made / "b/0.PNG").read_bytes()[:200])
    (made / "line\nbreak.png").write_bytes(b"")
    (made / "link.png").symlink_to(made / "b/0.PNG")
    (made / "lost.png").symlink_to(made / "nowhere")
    os.mkfifo(made / "fifo.png")
    shutil.copy(made / "b/0.PNG", made / ".hidden/0.png")
    (made / ".0.png").write_text("")
    (made / "loop").symlink_to(made)
    (made / "list.txt").write_text("")
    return made


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["picture"]: row for row in csv.DictReader(file)}


def run(pictures, artifacts, out, **options):
    return read.main(images=str(pictures), out=str(out), artifacts=artifacts, **options)


def test_every_picture_is_a_row(pictures, artifacts, tmp_path, capsys):
    told = run(pictures, artifacts, tmp_path / "out/readings.csv")
    rows = table(tmp_path / "out/readings.csv")
    assert list(rows) == [
        "a cat.png",
        *(f"b/{index}.PNG" for index in range(10)),
        *("empty.webp", "fifo.png", "half.png", r"line\nbreak.png", "link.png", "lost.png", "strip.png"),
        "two, lines.jpg",
    ]
    assert [rows[f"b/{index}.PNG"]["text"] for index in range(10)] == list(NUMBERS)
    assert {row["accepted"] for name, row in rows.items() if name.startswith("b/")} == {"true"}
    assert (rows["a cat.png"]["text"], rows["a cat.png"]["task"]) == ("cat", "cifar10")
    assert rows["a cat.png"]["accepted"] == "", "the model has no threshold"
    assert (rows["strip.png"]["text"], rows["strip.png"]["task"], rows["strip.png"]["lines"]) == ("9754", "strips", "1")
    two = rows["two, lines.jpg"]
    assert (two["text"], two["lines"], two["task"], two["notes"]) == ("12 345", "2", "lines", "light_on_dark")
    lines = json.loads(two["readings"])
    assert [line["digits"] for line in lines] == ["12", "345"]
    assert float(two["confidence"]) == min(line["confidence"] for line in lines)
    assert lines[1]["slots"][0]["box"][1] >= lines[1]["box"][1] > lines[0]["box"][3] - 10
    assert (rows["empty.webp"]["text"], rows["empty.webp"]["accepted"], rows["empty.webp"]["notes"]) == (
        "",
        "false",
        "grey no_contrast",
    )
    assert {name: row["error"] for name, row in rows.items() if row["error"]} == {
        "fifo.png": "not_a_file",
        "half.png": "damaged",
        r"line\nbreak.png": "empty",
        "lost.png": "missing",
    }
    assert rows["half.png"]["message"].startswith("the picture is truncated")
    assert told.startswith(f"{tmp_path}/out/readings.csv: 19 pictures, 15 lines, 13 accepted, 1 without writing, 4 err")
    assert "5 left out" not in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["readings.csv"]


def test_files_that_are_left_out_are_counted(pictures, artifacts, tmp_path, capsys):
    assert len(folder.find(pictures)) == 19
    assert capsys.readouterr().err == (
        f"{pictures}: 3 left out, expected .png, .jpg, .jpeg or .webp: 1 links to folders, 1 .txt, 1 hidden\n"
    )


def test_one_picture_of_any_size_and_json(pictures, artifacts, capsys):
    read.main(str(pictures / "two, lines.jpg"), artifacts)
    text = capsys.readouterr().out
    assert "two, lines.jpg: 12, 345\nconfidence 0." in text
    assert "note: the ink is lighter than the paper" in text
    assert text.count(", accepted  box ") == 2
    read.main(str(pictures / "two, lines.jpg"), artifacts, json=True)
    assert json.loads(capsys.readouterr().out)["digits"] == "12\n345"
    read.main(str(pictures / "empty.webp"), artifacts)
    text = capsys.readouterr().out
    assert "empty.webp: nothing\n\n" in text
    assert "note: no ink to see" in text
    with refuses(ConfigurationError, "--invert", "is found out"):
        read.main(str(pictures / "two, lines.jpg"), artifacts, invert=True)


def test_task_forces_a_model(pictures, artifacts, tmp_path, capsys):
    run(pictures, artifacts, tmp_path / "lines.csv", task="lines")
    assert {row["task"] for row in table(tmp_path / "lines.csv").values()} == {"lines", ""}
    run(pictures, artifacts, tmp_path / "strips.csv", task="strips")
    rows = table(tmp_path / "strips.csv")
    assert rows["strip.png"]["text"] == "9754"
    assert rows["b/0.PNG"]["error"] == "wrong_size"
    with refuses(ConfigurationError, "TASK: scenes found", "cifar10, lines, strips"):
        run(pictures, artifacts, tmp_path / "scenes.csv", task="scenes")


def test_what_was_read_is_not_read_again(pictures, artifacts, tmp_path, monkeypatch):
    out = tmp_path / "readings.csv"
    run(pictures, artifacts, out)
    first = out.read_bytes()
    opened = []
    monkeypatch.setattr(folder, "read_file", lambda path: opened.append(path.name) or files.read_file(path))
    assert ", 18 read before;" in run(pictures, artifacts, out), "what was missing may be there now"
    assert (opened, out.read_bytes()) == ([], first)
    Image.fromarray(barred_lines.write("77")).save(pictures / "b/3.PNG")
    Image.fromarray(barred_lines.write("66")).save(pictures / "a.png")
    (pictures / "b/5.PNG").unlink()
    opened.clear()
    run(pictures, artifacts, out)
    assert sorted(opened) == ["3.PNG", "a.png"]
    rows = table(out)
    assert list(rows) == sorted(rows)
    assert (rows["a.png"]["text"], rows["b/3.PNG"]["text"], "b/5.PNG" in rows) == ("66", "77", False)
    opened.clear()
    run(pictures, artifacts, out, again=True)
    assert len(opened) == 18


def test_other_models_or_settings_are_refused_until_all_is_read_again(pictures, artifacts, tmp_path):
    out = tmp_path / "readings.csv"
    run(pictures, artifacts, out)
    before = out.read_bytes()
    with refuses(ConfigurationError, f"{out}: read with other settings", "AGAIN=1"):
        run(pictures, artifacts, out, invert=True)
    other = tmp_path / "artifacts"
    onnx_models.package(other, "lines", boxes=False)
    with refuses(ConfigurationError, f"{out}: read with the model ", "for cifar10", "AGAIN=1"):
        run(pictures, other, out)
    assert out.read_bytes() == before
    run(pictures, other, out, again=True)
    assert table(out)["strip.png"]["task"] == "lines"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"image": "a.png"}, "IMAGE and IMAGES found"),
        ({"out": ""}, "OUT: no file named"),
        ({"out": "readings.xlsx"}, "OUT: readings.xlsx found, expected a name that ends in .csv or .parquet"),
        ({"json": True}, "JSON: for one picture alone"),
        ({"images": "nowhere"}, "IMAGES: nowhere: no such folder"),
        ({"draw": "{pictures}/drawn"}, "DRAW: {pictures}/drawn is in {pictures}"),
        ({"images": "", "image": "a.png"}, "OUT: for a folder alone"),
        ({"images": "", "out": "", "image": "a.png", "on": "ray"}, "ON: for a dataset alone"),
        ({"images": "", "out": "", "image": "a.png", "workers": 2}, "WORKERS: for a dataset alone"),
    ],
)
def test_arguments_that_mean_nothing_are_one_line(pictures, artifacts, tmp_path, options, line):
    given = {"images": str(pictures), "out": str(tmp_path / "readings.csv"), "artifacts": artifacts} | options
    given["draw"] = given.get("draw", "").format(pictures=pictures)
    with refuses(ConfigurationError, line.format(pictures=pictures)):
        read.main(**given)


def test_a_file_that_is_no_table_is_not_replaced(pictures, artifacts, tmp_path):
    out = tmp_path / "letters.csv"
    for content in ("name,address\nA,B\n", ",".join(COLUMNS) + "\na.png,1,many\n", ""):
        out.write_text(content)
        for again in (False, True):
            with refuses(DataError, f"{out}: not a table of `make read`"):
                run(pictures, artifacts, out, again=again)
        assert out.read_text() == content
    out.unlink()
    out.with_name("letters.csv.part").write_text("a page of a novel")
    with refuses(ConfigurationError, "letters.csv.part: not what an unfinished `make read` left"):
        run(pictures, artifacts, out)


def test_another_parquet_file_is_not_replaced(pictures, artifacts, tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="an optional package")
    out = tmp_path / "readings.parquet"
    # Of a sensor: a column of the same name, with numbers.
    readings.pyarrow().parquet.write_table(arrow.table({"time": [1], "readings": [20]}), out)
    before = out.read_bytes()
    for again in (False, True):
        with refuses(DataError, f"{out}: not a table of `make read` (columns time (int64), readings (int64) found"):
            run(pictures, artifacts, out, again=again)
    assert out.read_bytes() == before


def test_a_folder_without_pictures_is_one_line(artifacts):
    with refuses(DataError, f"{artifacts}: no pictures found, expected files that end in .png"):
        folder.find(artifacts)


def test_parquet_needs_a_package_and_says_so(pictures, artifacts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refuses(ConfigurationError, "OUT: a Parquet file needs", "which is not installed", "pip install pyarrow"):
        run(pictures, artifacts, tmp_path / "readings.parquet")
    with refuses(ConfigurationError, "IMAGES: a Parquet file needs the package pyarrow"):
        readings.pyarrow("IMAGES")


def test_parquet_has_the_rows_of_csv(pictures, artifacts, tmp_path):
    pytest.importorskip("pyarrow", reason="an optional package")
    for name in ("readings.csv", "readings.parquet", "readings.parquet"):
        run(pictures, artifacts, tmp_path / name)
    rows = [list(readings.read(tmp_path / name)) for name in ("readings.csv", "readings.parquet")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 19


def row(picture="a.png", **changes):
    values = dict.fromkeys(COLUMNS, "") | {"lines": 1, "bytes": 10, "modified": 5, "readings": ()}
    return Row(**values | {"picture": picture, "confidence": 0.5, "accepted": None} | changes)


def test_a_table_holds_what_was_put_into_it(tmp_path):
    rows = [
        row(),
        row('b, "c".png', text="007", accepted=True, readings=({"digits": "007", "box": [1.5, 0, 2, 3]},)),
        row("d.png", accepted=False, confidence=None, error="damaged", message='found "x", expected y'),
    ]
    readings.write(tmp_path / "table.csv", rows)
    assert list(readings.read(tmp_path / "table.csv")) == rows


def test_a_journal_drops_a_row_that_is_not_whole(tmp_path):
    out = tmp_path / "readings.csv"
    with Journal(out) as journal:
        journal.append([row(f"{index}.png") for index in range(3)])
    whole = journal.path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in (0, 1, ends[0] - 1, ends[0], ends[1] + 7, ends[2] - 1, ends[2]):
        journal.path.write_bytes(whole[:length])
        with Journal(out) as cut:
            kept = sum(end <= length for end in ends)
            assert [each.picture for each in cut] == [f"{index}.png" for index in range(kept)]
            assert cut.dropped == length - (ends[kept - 1] if kept else 0)
            cut.append([row("new.png")])
        with Journal(out) as cut:
            assert (len(cut), cut["new.png"], cut.dropped) == (kept + 1, row("new.png"), 0)
    # JSON, and no row.
    journal.path.write_bytes(whole + b"20\n")
    with Journal(out) as cut:
        assert (len(cut), cut.dropped) == (3, 3)


def test_two_runs_do_not_write_one_table(pictures, artifacts, tmp_path):
    out = tmp_path / "readings.csv"
    with Journal(out), refuses(ConfigurationError, f"{out}.part: in use by another `make read`"):
        run(pictures, artifacts, out)


def test_pictures_are_drawn_with_their_boxes_also_of_rows_that_were_read_before(pictures, artifacts, tmp_path):
    out, drawn = tmp_path / "readings.csv", tmp_path / "drawn"
    run(pictures, artifacts, out, draw=str(drawn))
    files = {str(path.relative_to(drawn)): path.read_bytes() for path in drawn.rglob("*.png")}
    assert len(files) == 15, "all but the four errors"
    with Image.open(drawn / "two, lines.jpg.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert folder.marking.ACCEPTED in colours
    (drawn / "strip.png.png").unlink()
    run(pictures, artifacts, out, draw=str(drawn))
    assert {str(path.relative_to(drawn)): path.read_bytes() for path in drawn.rglob("*.png")} == files


def test_a_killed_run_goes_on_where_it_ended(artifacts, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    page = np.pad(barred_lines.write("2468", "13579"), ((0, 400), (0, 400)), constant_values=255)
    for index in range(150):
        # In the corner, so that files differ.
        page[-1, index] = 0
        Image.fromarray(page).save(pages / f"{index:03}.png", compress_level=1)
    whole, out = tmp_path / "whole.csv", tmp_path / "readings.csv"
    arguments = ["--images", pages, "--artifacts", artifacts]
    command = [sys.executable, "-m", "pipeline.commands.read", *map(str, arguments)]
    subprocess.run([*command, "--out", str(whole)], cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen([*command, "--out", str(out)], cwd=ROOT, stderr=subprocess.DEVNULL)
    part = out.with_name("readings.csv.part")
    until = time.monotonic() + 60
    while time.monotonic() < until and (not part.exists() or part.read_bytes().count(b"\n") < 60):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    with part.open("ab") as file:
        file.write(b'{"picture": "half a ro')
    ended = subprocess.run([*command, "--out", str(out)], cwd=ROOT, check=True, capture_output=True, text=True)
    before = int(ended.stdout.partition(" read before")[0].rpartition(" ")[2])
    assert 60 <= before < 150
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "readings.csv", "whole.csv"]
