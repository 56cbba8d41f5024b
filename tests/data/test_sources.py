"""The pictures of a source come whole and verified, from a mirror, a folder or the stand-in, or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
from file_trees import contents
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.lines import PictureSet
from pipeline.data import sources
from pipeline.records.data import SourceRecord

REAL = os.environ.get("DATASETS_MIRROR", "")


def fetch(mirror, tmp_path, source="mnist", fallback="embedded", origin="public"):
    return sources.fetch(source, origin, fallback=fallback, mirror=str(mirror), cache=tmp_path / "cache")


def serve(host, mirror, prefix=""):
    host.content = {f"{prefix}/{path}": data for path, data in contents(mirror).items()}


def test_a_damaged_mirror_is_an_error_and_never_the_stand_in(mirror, tmp_path):
    file = mirror / "mnist/train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with refuses(DataError, file):
        fetch(mirror, tmp_path, fallback="embedded")


def test_a_mirror_may_be_a_url(host, mirror, tmp_path):
    serve(host, mirror, "/pub")
    sets = fetch(f"{host.url}/pub/", tmp_path)
    assert sources.describe(sets) == sources.describe(fetch(mirror, tmp_path))
    assert contents(tmp_path / "cache") == contents(mirror)
    before = len(host.seen)
    fetch(f"{host.url}/pub/", tmp_path)
    assert len(host.seen) == before == 4


def test_a_wrong_download_is_not_kept(host, mirror, tmp_path):
    serve(host, mirror)
    name = "mnist/t10k-images-idx3-ubyte.gz"
    whole = host.content[f"/{name}"]
    host.content[f"/{name}"] = host.content["/mnist/t10k-labels-idx1-ubyte.gz"]
    with refuses(DataError, tmp_path / "cache" / name, "SHA-256"):
        fetch(host.url, tmp_path)
    assert name not in contents(tmp_path / "cache")
    host.content[f"/{name}"] = whole
    fetch(host.url, tmp_path)
    assert contents(tmp_path / "cache") == contents(mirror)


def test_a_cached_file_that_was_damaged_is_downloaded_again(host, mirror, tmp_path):
    serve(host, mirror)
    fetch(host.url, tmp_path)
    cached = tmp_path / "cache/mnist/train-labels-idx1-ubyte.gz"
    cached.write_bytes(cached.read_bytes()[:-5])
    asked = len(host.seen)
    assert len(fetch(host.url, tmp_path)["pool"]) == 20
    assert [seen[0] for seen in host.seen[asked:]] == ["/mnist/train-labels-idx1-ubyte.gz"]
    assert contents(tmp_path / "cache") == contents(mirror)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("source", ["mnist", "cifar10", "cheques"])
def test_without_a_network_comes_the_stand_in_with_a_warning(tmp_path, capsys, source):
    sets = fetch("", tmp_path, source)
    warning = capsys.readouterr().err
    assert source in warning
    assert warning.count("!" * 40) >= 2
    assert {each.origin for each in sets.values()} == {"embedded"}
    assert not contents(tmp_path)
    with refuses(DataError, source, "DATASETS_MIRROR", "fetch.fallback"):
        fetch("", tmp_path, source, fallback="none")


def test_the_record_is_the_same_for_the_same_pictures_and_reads_back(mirror, tmp_path):
    sets = fetch(mirror, tmp_path)
    record = sources.describe(sets)
    record.write(tmp_path / "source.json")
    assert SourceRecord.read(tmp_path / "source.json") == record
    assert (record.origin, record.class_names) == ("mnist", tuple("0123456789"))
    pool = record.sets["pool"]
    assert (pool.pictures, pool.shape, pool.sha256) == (20, (28, 28, 1), sources.sha256(sets["pool"]))
    assert pool.sha256 != record.sets["test"].sha256


def test_a_source_of_lines_is_one_set_whose_record_reads_back(tmp_path):
    folder = tmp_path / "my_amounts"
    folder.mkdir()
    for name, width in (("a.png", 40), ("b.png", 50)):
        Image.fromarray(np.arange(20 * width, dtype=np.uint8).reshape(20, width)).save(folder / name)
    (folder / "labels.csv").write_text("file,text\na.png,12\nb.png,3\n")
    sets = fetch("", tmp_path, "anything", origin=str(folder))
    record = sources.describe(sets)
    record.write(tmp_path / "source.json")
    assert SourceRecord.read(tmp_path / "source.json") == record
    assert (record.origin, record.class_names) == ("folder:my_amounts", tuple("0123456789"))
    described = record.sets["pictures"]
    assert (described.pictures, described.digits, described.boxes) == (2, 3, False)
    sets["pictures"].save(tmp_path / "pictures.npz")
    assert sources.sha256(PictureSet.load(tmp_path / "pictures.npz")) == described.sha256
    (folder / "labels.csv").write_text("file,text\na.png,12\nb.png,4\n")
    assert sources.sha256(fetch("", tmp_path, "anything", origin=str(folder))["pictures"]) != described.sha256


@pytest.mark.skipif(not REAL and os.environ.get("CI") != "true", reason="DATASETS_MIRROR is not set")
@pytest.mark.parametrize(("source", "sizes"), [("mnist", (60_000, 10_000)), ("cifar10", (50_000, 10_000))])
def test_the_real_data_from_the_mirror(tmp_path, source, sizes):
    assert REAL, "CI needs DATASETS_MIRROR, a folder or a URL that holds the real data"
    sets = fetch(Path(REAL) if "://" not in REAL else REAL, tmp_path, source, fallback="none")
    assert (len(sets["pool"]), len(sets["test"])) == sizes
    assert {each.origin for each in sets.values()} == {source}
    for each in sets.values():
        assert set(np.unique(each.labels)) == set(range(10))
    if source == "cifar10":
        means = sets["pool"].images.mean(axis=(0, 1, 2)) / 255
        np.testing.assert_allclose(means, [0.49139968, 0.48215841, 0.44653091], atol=1e-6)


def test_the_home_of_a_user_that_does_not_exist_is_no_traceback(tmp_path):
    with refuses(ConfigurationError, "~nobody-here/digits: no such folder"):
        fetch("", tmp_path, origin="~nobody-here/digits")
    with refuses(ConfigurationError, "~nobody-here"):
        fetch("~nobody-here", tmp_path)
