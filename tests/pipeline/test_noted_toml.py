"""A note of what is in a large lock is the same as the lock, and never anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config import tables
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.pipeline.noted_toml import NotedToml
from lambda_build_plugin.system.cache import Cache

if TYPE_CHECKING:
    from pathlib import Path

FILLING = "".join(f'key-{number} = "{"x" * 30}"\n' for number in range(1000))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the files that are parsed, by name."""
    found: list[str] = []
    parse = tables.parse_toml

    def listed(text: str, *, at: str) -> tables.Table:
        found.append(at)
        return parse(text, at=at)

    monkeypatch.setattr(tables, "parse_toml", listed)
    return found


def a_lock(folder: Path, text: str) -> Path:
    """Write a large lock; each one is another file."""
    path = folder / f"{len(list(folder.iterdir()))}.lock"
    path.write_text(text + FILLING)
    return path


def a_cache(folder: Path, key: bytes = b"key") -> Cache:
    """Open a cache."""
    return Cache(folder / "cache", key=key)


def test_second_reading(tmp_path: Path, parsed: list[str]) -> None:
    """The same text is parsed once, whatever file it is in, and says the same."""
    text = 'a = [1, 2.5, true, "é\\u0000"]\n[[b]]\nc = { d = "e" }\n'
    first, second = a_lock(tmp_path, text), a_lock(tmp_path, text)

    found = [NotedToml(cache=a_cache(tmp_path / "c"))(path) for path in (first, second)]

    assert parsed == [first.name]
    assert [table.whole() for table in found] == [read_toml(first).whole()] * 2
    assert found[1].at == second.name


def test_changed_lock(tmp_path: Path) -> None:
    """Another text is another note."""
    reader = NotedToml(cache=a_cache(tmp_path / "c"))
    path = a_lock(tmp_path, "a = 1\n")
    assert reader(path).number("a") == 1

    path.write_text("a = 2\n" + FILLING)

    assert reader(path).number("a") == 2


def test_note_of_somebody_else(tmp_path: Path, parsed: list[str]) -> None:
    """A note that this user has not signed is not believed."""
    first, second = a_lock(tmp_path, "a = 1\n"), a_lock(tmp_path, "a = 1\n")
    NotedToml(cache=a_cache(tmp_path / "c", b"theirs"))(first)

    NotedToml(cache=a_cache(tmp_path / "c", b"ours"))(second)

    assert parsed == [first.name, second.name]


def test_dates_are_not_noted(tmp_path: Path) -> None:
    """JSON has no dates, so a file with one is parsed each time."""
    reader = NotedToml(cache=a_cache(tmp_path / "c"))
    path = a_lock(tmp_path, "a = 2026-01-01\n")

    assert reader(path).whole() == reader(path).whole() == read_toml(path).whole()
    assert not (tmp_path / "c" / "cache" / "tables").exists()


@pytest.mark.parametrize("text", ["a = \n", 'a = "\x00"\n'])
def test_errors_of_a_lock(tmp_path: Path, text: str) -> None:
    """A file that is not TOML is told as ever, and nothing is noted."""
    reader = NotedToml(cache=a_cache(tmp_path / "c"))

    with pytest.raises(TableError):
        reader(a_lock(tmp_path, text))

    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(".".join(["a"] * 5000) + " = 1\n", id="deep"),
        pytest.param(f"a = 0x{'f' * 5000}\n", id="giant"),
    ],
)
def test_lock_that_cannot_be_noted(tmp_path: Path, text: str) -> None:
    """What TOML can say and JSON cannot is read each time."""
    reader = NotedToml(cache=a_cache(tmp_path / "c"))

    assert next(iter(reader(a_lock(tmp_path, text)).whole())) == "a"
    assert next(iter(reader(a_lock(tmp_path, text)).whole())) == "a"
