"""`make read` into a dataset: a row for every picture, once, whatever ends the run, and no picture is read twice."""

import errno
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import barred_lines
import onnx_models
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from PIL import Image
from refusals import refuses

from pipeline.commands import read
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.reading import sources, table
from pipeline.reading.dataset import Dataset
from pipeline.reading.packaged import PackagedModels
from pipeline.reading.table import COLUMNS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    made = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(made, "lines", boxes=True)
    onnx_models.package(made)
    onnx_models.package(made, "mnist")
    return made


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


def strip(number):
    """A picture for each number below 10,000, each different."""
    return png(onnx_models.draw([int(digit) for digit in f"{number:04}"] + [10]))


def digit(number):
    return png(onnx_models.draw([number], onnx_models.DIGIT_SHAPE))


def write(path, pictures, rows=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"name": list(pictures), "bytes": pyarrow.array(pictures.values(), pyarrow.binary())}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=rows)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Sixty strips in two files of three row groups, each a shard, with two damaged ones, a page, and two copies."""
    monkeypatch.setattr(sources, "ROWS", 10)
    found = {f"{number}.png": strip(number) for number in range(60)}
    found["7.png"] = found["7.png"][:60]
    found["8.png"] = None
    found["9.png"] = png(barred_lines.write("12", "345"))
    found["59.png"] = found["50.png"] = found["3.png"]
    names = list(found)
    write(tmp_path / "pictures/a.parquet", {name: found[name] for name in names[:30]})
    write(tmp_path / "pictures/below/b.parquet", {name: found[name] for name in names[30:]})
    (tmp_path / "pictures/_SUCCESS").touch()
    return tmp_path / "pictures"


@pytest.fixture
def runs(monkeypatch):
    """How many pictures the models have read."""
    counted = []
    answer_many = PackagedModels.answer_many

    def count(self, found, **options):
        counted.extend(found)
        return answer_many(self, found, **options)

    monkeypatch.setattr(PackagedModels, "answer_many", count)
    return counted


def run(images, artifacts, out, workers=1, **options):
    return read.main(images=str(images), out=str(out), artifacts=str(artifacts), workers=workers, **options)


def rows(out):
    found = pyarrow.dataset.dataset(out, format="parquet").to_table().to_pylist()
    assert len({row["picture"] for row in found}) == len(found)
    return {row["picture"]: row for row in found}


def test_every_picture_is_a_row_and_equal_bytes_are_read_once(pictures, artifacts, tmp_path, runs):
    summary = run(pictures, artifacts, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert found.keys() == {f"{number}.png" for number in range(60)}
    assert found["12.png"]["text"] == "0012"
    assert found["9.png"]["text"] == "12 345"
    assert (found["7.png"]["error"], found["8.png"]["error"]) == ("damaged", "missing")
    copied = [found[name] for name in ("3.png", "50.png", "59.png")]
    assert len({(row["text"], row["sha256"], row["readings"]) for row in copied}) == 1
    assert len(runs) == 60 - 1 - 2
    assert "60 pictures, 59 lines" in summary
    assert "2 errors" in summary
    assert "2 copies" in summary
    manifest = json.loads((tmp_path / "out/_manifest.json").read_text())
    assert manifest["pictures"] == 60
    assert {part["file"] for part in manifest["parts"]} == {path.name for path in (tmp_path / "out").glob("part-*")}


def test_the_rows_are_those_of_the_table_of_a_folder(artifacts, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(strip(number))
    (folder / "digit.png").write_bytes(digit(7))
    (folder / "page.png").write_bytes(png(barred_lines.write("12", "345")))
    (folder / "half.png").write_bytes(strip(1)[:50])
    (folder / "lost.png").symlink_to(folder / "nowhere")
    read.main(images=str(folder), out=str(tmp_path / "readings.parquet"), artifacts=str(artifacts))
    run(folder, artifacts, tmp_path / "out")
    expected = {row.picture: row for row in table.read(tmp_path / "readings.parquet")}
    found = rows(tmp_path / "out")
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        values = found[name] | {"readings": tuple(json.loads(found[name]["readings"]))}
        assert {column: values[column] for column in COLUMNS} == vars(row), name


def test_what_was_read_is_not_read_again(pictures, artifacts, tmp_path, runs):
    run(pictures, artifacts, tmp_path / "out")
    before = rows(tmp_path / "out")
    runs.clear()
    # A part with an error that may be gone is written again, from the readings that are known.
    summary = run(pictures, artifacts, tmp_path / "out")
    assert "50 read before" in summary
    assert runs == []
    lost = sorted((tmp_path / "out").glob("part-*"))[:3]
    for part in lost:
        part.unlink()
    (tmp_path / "out/_known.sqlite").write_bytes(b"damaged")
    (tmp_path / "out/.part-1.9.partial.parquet").write_bytes(b"of a killed run")
    run(pictures, artifacts, tmp_path / "out")
    assert rows(tmp_path / "out") == before
    assert 20 <= len(runs) <= 30
    assert not (tmp_path / "out/.part-1.9.partial.parquet").exists()


def test_a_changed_source_changes_its_rows_alone(pictures, artifacts, tmp_path, runs):
    run(pictures, artifacts, tmp_path / "out")
    runs.clear()
    changed = {f"new-{number}.png": strip(number) for number in range(40, 70)}
    write(pictures / "below/b.parquet", changed)
    run(pictures, artifacts, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert found.keys() == {f"{number}.png" for number in range(30)} | changed.keys()
    # 50 and 59 were copies of another picture.
    assert len(runs) == 12
    assert found["new-45.png"]["text"] == "0045"
    runs.clear()
    write(pictures / "c.parquet", {"again.png": strip(45), "other.png": strip(71)})
    run(pictures, artifacts, tmp_path / "out")
    assert len(runs) == 1
    assert len(rows(tmp_path / "out")) == 62


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(pictures, artifacts, tmp_path):
    # Processes have the standard size of a shard, and the keys of these.
    run(pictures, artifacts, tmp_path / "one")
    run(pictures, artifacts, tmp_path / "two", workers=2)
    assert rows(tmp_path / "one") == rows(tmp_path / "two")


def test_other_models_are_refused_until_again(pictures, artifacts, tmp_path):
    run(pictures, artifacts, tmp_path / "out")
    with refuses(ConfigurationError, "read with other models, thresholds or settings"):
        run(pictures, artifacts, tmp_path / "out", invert=True)
    run(pictures, artifacts, tmp_path / "out", invert=True, again=True)
    assert rows(tmp_path / "out")["12.png"]["text"] != "0012"


def test_again_removes_nothing_that_another_run_holds(pictures, artifacts, tmp_path):
    run(pictures, artifacts, tmp_path / "out")
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    with (tmp_path / "out/_lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with refuses(ConfigurationError, "in use by another `make read`"):
            run(pictures, artifacts, tmp_path / "out", again=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == there


def test_a_store_that_fails_is_named_by_the_option_it_was_given_with(monkeypatch):
    dataset = Dataset("memory://bucket/readings")

    def fail(*_, **__):
        raise OSError(errno.EIO, "gone")

    for name in ("open", "rm_file", "exists"):
        monkeypatch.setattr(dataset._fs, name, fail)
    for call in (lambda: dataset.rows("key", [0]), lambda: dataset.remove("key"), dataset.unfinish):
        with refuses(DataError, "OUT: memory://bucket/readings: "):
            call()
    with refuses(DataError, "OUT: memory://bucket/readings: "), dataset.held("setup"):
        pass


def test_a_folder_of_something_else_is_not_touched(pictures, artifacts, tmp_path):
    out = tmp_path / "letters"
    out.mkdir()
    (out / "part-letter.parquet").write_text("Dear A")
    for again in (False, True):
        with refuses(ConfigurationError, "not a dataset of `make read`"):
            run(pictures, artifacts, out, again=again)
    assert [path.name for path in out.iterdir()] == ["part-letter.parquet"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"out": "{root}/readings.csv"}, "OUT: {root}/readings.csv found, but {root}/pictures needs the folder"),
        ({"on": "spark"}, "ON: spark found, expected ray"),
        ({"workers": -1}, "WORKERS: -1 found"),
        ({"draw": "drawn"}, "DRAW: for the pictures of a folder"),
        ({"out": "{root}/pictures/readings"}, "OUT: {root}/pictures/readings is in {root}/pictures"),
        ({"images": "{root}/nowhere.parquet"}, "IMAGES: {root}/nowhere.parquet: no such folder or file"),
        ({"images": "nothing://bucket/pictures"}, "IMAGES: nothing://bucket/pictures: Protocol not known"),
    ],
)
def test_arguments_that_mean_nothing_are_one_line(pictures, artifacts, tmp_path, options, line):
    given = {"images": "{root}/pictures", "out": "{root}/readings/", "artifacts": str(artifacts)} | options
    given = {key: value.format(root=tmp_path) if isinstance(value, str) else value for key, value in given.items()}
    with refuses(ConfigurationError, line.format(root=tmp_path)):
        read.main(**given)


def test_a_file_that_is_not_whole_is_one_line(pictures, artifacts, tmp_path):
    whole = (pictures / "a.parquet").read_bytes()
    (pictures / "a.parquet").write_bytes(whole[:-9])
    with refuses(DataError, "a.parquet: not a whole Parquet file"):
        run(pictures, artifacts, tmp_path / "out")
    # Sound at its end, where the list of its row groups is.
    (pictures / "a.parquet").write_bytes(whole[:4] + bytes(3000) + whole[3004:])
    with refuses(DataError, "a.parquet: not a whole Parquet file"):
        run(pictures, artifacts, tmp_path / "out")
    (pictures / "a.parquet").write_bytes(whole)
    run(pictures, artifacts, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 60


def test_a_damaged_part_is_one_line(pictures, artifacts, tmp_path):
    run(pictures, artifacts, tmp_path / "out")
    part = next((tmp_path / "out").glob("part-*"))
    part.write_bytes(b"PAR1")
    (tmp_path / "out/_known.sqlite").unlink()
    with refuses(DataError, f"{part}: not a part of a dataset"):
        run(pictures, artifacts, tmp_path / "out")
    part.unlink()
    run(pictures, artifacts, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 60


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker_and_is_resumed(artifacts, tmp_path):
    for file in range(40):
        write(
            tmp_path / f"pictures/{file:02}.parquet",
            {f"{n}.png": strip(n) for n in range(200 * file, 200 * file + 200)},
        )
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "pipeline.commands.read",
        "--images",
        str(tmp_path / "pictures"),
        "--out",
        str(out),
    ]
    command += ["--artifacts", str(artifacts), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(list(out.glob("part-*"))) < 5:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and alive(process.pid):
        time.sleep(0.1)
    assert not alive(process.pid)
    kept = len(list(out.glob("part-*")))
    assert 5 <= kept < 40
    assert not (out / "_manifest.json").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{200 * kept:,} read before" in done.stdout
    assert {row["text"] for row in rows(out).values()} == {f"{number:04}" for number in range(8000)}


def alive(session):
    """Whether a process of a session is left."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_actors_of_ray_give_the_rows_of_one_process(pictures, artifacts, tmp_path):
    run(pictures, artifacts, tmp_path / "one")
    # In a process of its own: Ray leaves threads and handlers behind.
    command = [
        sys.executable,
        "-m",
        "pipeline.commands.read",
        "--images",
        str(pictures),
        "--out",
        str(tmp_path / "ray"),
    ]
    command += ["--artifacts", str(artifacts), "--workers", "2", "--on", "ray"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "60 pictures" in done.stdout
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")
    shutil.rmtree(tmp_path / "ray")
    (pictures / "a.parquet").write_bytes((pictures / "a.parquet").read_bytes()[:4] + bytes(3000))
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == DataError.exit_code
    assert failed.stderr.strip().splitlines()[-1].startswith("data: ")
