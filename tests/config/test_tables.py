"""Foreign data at the door: what is right becomes a value, what is not has its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lambda_build_plugin.config.tables import Table, TableError, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_table(**data: Any) -> Table:
    """Make a table that stands at the top of a file."""
    return Table(data, at="demo.lock")


def a_file(folder: Path, content: bytes) -> Path:
    """Write a file."""
    path = folder / "demo.lock"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "start"),
    [
        pytest.param(b"a = ", "demo.lock: is not TOML: ", id="no-toml"),
        pytest.param(b'a = "\xff"', "demo.lock: is not UTF-8 text (", id="no-utf-8"),
        pytest.param(b"a = " + b"[" * 2000, "demo.lock: is not TOML: ", id="nested-too-deeply"),
        pytest.param(b"a = " + b"1" * 9999, "demo.lock: is not TOML: ", id="number-too-long"),
    ],
)
def test_file_that_cannot_be_read_as_toml(tmp_path: Path, content: bytes, start: str) -> None:
    """Whatever is wrong with a file is one error that names it."""
    with pytest.raises(TableError) as caught:
        read_toml(a_file(tmp_path, content))

    assert str(caught.value)[: len(start)] == start


def test_file_becomes_a_table_that_knows_its_name(tmp_path: Path) -> None:
    """Values can be asked for, and their place begins with the file's name."""
    table = read_toml(a_file(tmp_path, b'name = "demo"\r\n'))

    assert (table.text("name"), table.place("name")) == ("demo", "demo.lock: name")


def test_file_is_read_again_after_a_change_that_keeps_size_and_time(tmp_path: Path) -> None:
    """A hook may write a version of the same length, and set the time of the file back."""
    path = a_file(tmp_path, b'version = "1.0"\n')
    before = path.stat()
    assert read_toml(path).text("version") == "1.0"
    a_file(tmp_path, b'version = "1.1"\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert read_toml(path).text("version") == "1.1"


def test_same_file_is_parsed_once(tmp_path: Path) -> None:
    """Members of a workspace get the same table, whether or not the file is new."""
    path = a_file(tmp_path, b'version = "1.0"\n')

    assert read_toml(path) is read_toml(path)


def test_values_of_their_kind() -> None:
    """Each getter gives the value as it stands in the file."""
    table = a_table(text="a", flag=False, number=0, texts=["a", "b"], raw=1.5)

    assert (
        table.text("text"),
        table.required_text("text"),
        table.flag("flag"),
        table.number("number"),
        table.texts("texts"),
        table.raw("raw"),
    ) == ("a", "a", False, 0, ("a", "b"), 1.5)


def test_absent_values_are_none_or_empty() -> None:
    """What is not there is None; a list or table that is not there is empty."""
    table = a_table()

    assert (
        table.text("x"),
        table.flag("x"),
        table.number("x"),
        table.texts("x"),
        list(table.table("x")),
        table.tables("x"),
        table.raw("x"),
    ) == (None, None, None, (), [], (), None)


def test_table_lists_its_keys_in_their_order() -> None:
    """A table can be asked whether it has a key, and for all of them."""
    table = a_table(b=1, a=2)

    assert (list(table), "a" in table, "c" in table) == (["b", "a"], True, False)


def test_place_of_a_deep_value() -> None:
    """The place of a value is a path from the file's name through tables and lists."""
    table = a_table(package=[{}, {"source": {"url": "x"}}])

    place = table.tables("package")[1].table("source").place("url")

    assert place == "demo.lock: package[1].source.url"


@pytest.mark.parametrize(
    ("value", "get", "message"),
    [
        pytest.param(1, Table.text, "demo.lock: key: must be a string", id="text"),
        pytest.param([], Table.required_text, "demo.lock: key: must be a string", id="required"),
        pytest.param("yes", Table.flag, "demo.lock: key: must be true or false", id="flag"),
        pytest.param(1, Table.flag, "demo.lock: key: must be true or false", id="flag-number"),
        pytest.param("1", Table.number, "demo.lock: key: must be a whole number", id="number"),
        pytest.param(1.0, Table.number, "demo.lock: key: must be a whole number", id="fraction"),
        pytest.param(
            True,
            Table.number,
            "demo.lock: key: must be a whole number, not true or false",
            id="number-flag",
        ),
        pytest.param("a", Table.texts, "demo.lock: key: must be a list", id="texts"),
        pytest.param(["a", 1], Table.texts, "demo.lock: key: must be a list of strings", id="item"),
        pytest.param([], Table.table, "demo.lock: key: must be a table", id="table"),
        pytest.param({}, Table.tables, "demo.lock: key: must be a list", id="tables"),
        pytest.param([{}, 1], Table.tables, "demo.lock: key: must be a list of tables", id="row"),
    ],
)
def test_value_of_another_kind(
    value: object, get: Callable[[Table, str], object], message: str
) -> None:
    """A value of the wrong kind is an error that names its place and the right kind."""
    with pytest.raises(TableError) as caught:
        get(a_table(key=value), "key")

    assert str(caught.value) == message


def test_required_value_that_is_missing() -> None:
    """A missing key is an error that names the table it should stand in."""
    with pytest.raises(TableError) as caught:
        a_table(package=[{}]).tables("package")[0].required_text("name")

    assert str(caught.value) == "demo.lock: package[0]: the required key `name` is missing"
