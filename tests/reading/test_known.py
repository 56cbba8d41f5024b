"""The index of the pictures that were read."""

import sqlite3

from pipeline.reading.known import Known, Part

ONE = Part("one", pictures=2, lines=2, accepted=1, empty=0, errors=0, again=0)
TWO = Part("two", pictures=1, lines=1, accepted=1, empty=0, errors=0, again=0)


def test_a_picture_is_found_where_it_was_last_read(tmp_path):
    path = tmp_path / "known.sqlite"
    with Known.open(path) as known, Known.readable(path) as reader:
        known.add(ONE, [(b"a", 0), (b"b", 1)])
        assert reader.find([b"a", b"b", b"c"]) == {b"a": ("one", 0), b"b": ("one", 1)}
        known.add(TWO, [(b"a", 0)])
        known.remove("one")
        assert reader.find([b"a", b"b"]) == {b"a": ("two", 0)}
        assert (len(known), reader.parts()) == (1, {"two": TWO})
        # In the place of itself.
        known.add(TWO, [(b"d", 0)])
        assert reader.find([b"a", b"d"]) == {b"d": ("two", 0)}


def test_more_pictures_are_found_than_a_query_takes(tmp_path):
    hashes = [number.to_bytes(16) for number in range(1234)]
    with Known.open(tmp_path / "known.sqlite") as known:
        known.add(ONE, [(hashed, row) for row, hashed in enumerate(hashes)])
        assert known.find(hashes) == {hashed: ("one", row) for row, hashed in enumerate(hashes)}


def test_a_damaged_index_or_one_of_another_format_begins_anew(tmp_path):
    path = tmp_path / "known.sqlite"
    path.write_bytes(b"not a database, or no longer " * 100)
    with Known.open(path) as known:
        known.add(ONE, [(b"a", 0)])
    with Known.open(path) as known:
        assert known.parts() == {"one": ONE}
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with Known.open(path) as known:
        assert (known.parts(), len(known)) == ({}, 0)
