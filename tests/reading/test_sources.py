"""Shards: every picture is in one, and a key says which."""

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.reading import sources
from pipeline.reading.sources import shards_of


def names(shards):
    return [item.name for shard in shards for block in shard.blocks() for item in block]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    for number in range(300):
        path = made / f"{number % 3}/{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    return made


def test_a_new_file_changes_one_shard(folder, monkeypatch):
    monkeypatch.setattr(sources, "FILES", (16, 64))
    before = list(shards_of(str(folder)))
    assert sum(shard.pictures for shard in before) == 300
    assert len(set(names(before))) == 300
    assert 5 < len(before) < 60
    (folder / "1/new.png").write_bytes(b"")
    (folder / "2/002.png").write_bytes(b"another size")
    after = list(shards_of(str(folder)))
    assert 1 <= len({shard.key for shard in before} - {shard.key for shard in after}) <= 2


def test_blocks_are_bounded_in_bytes(folder, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 10)
    blocks = [block for shard in shards_of(str(folder)) for block in shard.blocks()]
    assert sum(map(len, blocks)) == 300
    assert max(sum(len(item.data) for item in block) for block in blocks) <= 10 + 3


def test_an_address_is_listed_and_read_as_a_folder_is(folder, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bucket/pictures", recursive=True)
    memory.pipe("/bucket/pictures/.hidden.png", b"")
    try:
        found = list(shards_of("memory://bucket/pictures"))
        assert sorted(names(found)) == sorted(names(shards_of(str(folder))))
        data = [item.data for shard in found for block in shard.blocks() for item in block]
        assert sorted(data) == sorted(b"%d" % number for number in range(300))
        memory.rm("/bucket/pictures/0/003.png")
        lost = [item for shard in found for block in shard.blocks() for item in block if item.error[0]]
        assert [(item.name, item.error[0]) for item in lost] == [("0/003.png", "missing")]
        monkeypatch.setattr(sources, "MAX_BYTES", 2)
        large = [item for shard in found for block in shard.blocks() for item in block if item.error[0] == "not_a_file"]
        assert len(large) == 200
        assert not any(item.data for item in large)
    finally:
        memory.rm("/bucket", recursive=True)


def test_large_objects_are_not_fetched_and_blocks_are_bounded_in_bytes(monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    contents = {"a": 5, "b[1]": 30, "c": 6, "d": 0, "e": 7, "f": 1, "g": 9}
    for name, size in contents.items():
        memory.pipe(f"/large/{name}.png", bytes(size))
    fetched = []
    cat = type(memory).cat_file

    def cat_file(fs, path, start=None, end=None, **options):
        fetched.append(cat(fs, path, start, end, **options))
        return fetched[-1]

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 10)
    try:
        (shard,) = shards_of("memory://large")
        memory.pipe("/large/g.png", bytes(1000))
        blocks = list(shard.blocks())
    finally:
        memory.rm("/large", recursive=True)
    items = {item.name: item for block in blocks for item in block}
    assert list(items) == [f"{name}.png" for name in contents]
    assert [item.name for item in items.values() if item.error[0] == "not_a_file"] == ["b[1].png", "g.png"]
    assert [len(data) for data in fetched] == [5, 6, 7, 1, 11], "of one that has grown, a byte more than may be"
    assert [len(block) for block in blocks] == [3, 4]
    assert items["b[1].png"].status[0] == 30


def test_row_groups_are_joined_up_to_a_size_and_never_divided(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ROWS", 25)
    path = tmp_path / "a.parquet"
    columns = {"path": [f"{number}" for number in range(95)], "bytes": pyarrow.array([b"x"] * 95, pyarrow.binary())}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=10)
    shards = list(shards_of(str(path)))
    assert [shard.pictures for shard in shards] == [20, 20, 20, 20, 15]
    assert names(shards) == columns["path"]
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=60)
    assert [shard.pictures for shard in shards_of(str(path))] == [60, 35]


def test_a_column_with_name_and_bytes_is_read_as_hugging_face_writes_it(tmp_path):
    images = [{"bytes": b"one", "path": "a.png"}, {"bytes": b"two", "path": None}, None]
    pyarrow.parquet.write_table(
        pyarrow.table({"image": pyarrow.array(images), "label": [1, 2, 3]}), tmp_path / "a.parquet"
    )
    (items,) = next(shards_of(str(tmp_path))).blocks()
    assert [(item.name, item.data, item.error[0]) for item in items] == [
        ("a.png", b"one", ""),
        ("a.parquet#1", b"two", ""),
        ("a.parquet#2", b"", "missing"),
    ]


def test_other_columns_and_mixed_folders_are_one_line(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"name": ["a"], "bytes": ["text"]}), tmp_path / "a.parquet")
    with refuses(ConfigurationError, "a.parquet: columns name (string), bytes (string) found, expected bytes (binary)"):
        list(shards_of(str(tmp_path)))
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    with refuses(ConfigurationError, "pictures and Parquet files found"):
        list(shards_of(str(tmp_path)))
    (tmp_path / "b.png").rename(tmp_path / "0.png")
    with refuses(ConfigurationError, "pictures and Parquet files found"):
        list(shards_of(str(tmp_path)))
    with refuses(ConfigurationError, "0.png is a file, expected a folder"):
        list(shards_of(str(tmp_path / "0.png")))
    (tmp_path / "empty").mkdir()
    with refuses(DataError, "no pictures found"):
        list(shards_of(str(tmp_path / "empty")))
