"""Tables by key: written whole, in order, and damaged ones are named."""

import pytest

from pipeline.core.errors import DataError
from pipeline.labelling.tables import Table


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path / "table.csv", ("name", "value"), ("name",))


def test_rows_are_sorted_by_key_and_replaced(table):
    assert table.rows() == {}
    for name, value in (("b", "1"), ("a", 'two\nlines, and "quotes"'), ("b", "3")):
        table.put({"name": name, "value": value})
    assert [(row["name"], row["value"]) for row in table.rows().values()] == [
        ("a", "two\nlines, and \"quotes\""), ("b", "3"),
    ]  # fmt: skip
    assert table.get(("a",))["value"].startswith("two")
    assert table.remove(("a",))
    assert not table.remove(("a",))
    assert table.path.read_text() == "name,value\nb,3\n"


def test_an_unordered_table_keeps_the_order_of_its_file(tmp_path):
    table = Table(tmp_path / "table.csv", ("name", "value"), ("name",), ordered=False)
    for name in ("b", "a"):
        table.put({"name": name, "value": ""})
    assert [name for (name,) in table.rows()] == ["b", "a"]


@pytest.mark.parametrize(
    "content",
    [b"", b"name\n", b"name,value\na\n", b"name,value\na,1\na,2\n", b'name,value\n"a,1\n', b"name,value\n\xff,1\n"],
)
def test_what_is_no_such_table_is_named(table, content):
    table.path.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv"):
        table.rows()
