"""The parsers, each as a function of bytes: it returns, or raises what no parser may raise.

A parser may refuse an input with an error of ours, and some of them, which others call, with
the `ValueError` that their docstring names. Everything else is a fault.
"""

from __future__ import annotations

import atexit
import datetime
import io
import tempfile
import zipfile
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.projects import a_project

from fuzz.seeds import LOCKS, SEEDS, SHA256
from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.commands.diff import compare
from lambda_build_plugin.commands.inspection import as_text, inspect
from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.patterns import parse_pattern
from lambda_build_plugin.config.poetry_constraint import Constraint, platform_marker
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.config.sources import table_source
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.fetch.index_pages import Page, UnknownPageError
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.pipeline.host import Machine
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.source_build.unpack import unpacked
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.hashes import Digest
from lambda_build_plugin.wheel.elf import UnreadableElfError, identify, read_elf
from lambda_build_plugin.wheel.file import Wheel
from lambda_build_plugin.wheel.integrity import check
from lambda_build_plugin.wheel.metadata import headers, values
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_build_plugin.config.project import Project

__all__ = ["TARGETS"]

_TODAY = datetime.date(2026, 1, 1)

_MOST_BYTES = 1 << 20  # that an sdist may unpack to

_TARGETS = [
    Target(runtime=RUNTIMES["python3.13"], architecture=architecture)
    for architecture in Architecture
]


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def _project() -> Project:
    root = a_project(_folder() / "project", dependencies=("pinned; sys_platform == 'linux'",))
    return read_project(root)


def _read_lock(name: str, content: bytes) -> None:
    """Read a lock and choose from it, as a build would."""
    project = _project()
    path = project.root / name
    path.write_bytes(content)
    with _showing_errors():
        lock = read_lock(path, project, {}, lock_is_fresh=True)
        for target in _TARGETS:
            found = reached(lock, target, extras=frozenset(), groups=frozenset(), main=True)
            select(found.packages, target)


class _showing_errors(suppress):  # noqa: N801 - used like the function that it derives from
    """Accept an error of ours, which can be shown."""

    def __init__(self, *more: type[Exception]) -> None:
        super().__init__(LambdaBuildError, *more)

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        str(error)
        return super().__exit__(kind, error, traceback)  # type: ignore[arg-type]


_DIGEST = Digest(f"sha256:{SHA256}")


def _read_page(content_type: str, content: bytes) -> None:
    try:
        page = Page(content, url="https://index.example/simple/pinned/", content_type=content_type)
    except UnknownPageError:
        return
    assert all(link.url and link.filename for link in page.links())
    found = page.by_digest(_DIGEST)
    assert found is None or _DIGEST in found.digests


def _read_marker(content: bytes) -> None:
    with suppress(ValueError):
        LockMarker.parse(_text(content))


def _read_constraint(content: bytes) -> None:
    text = _text(content)
    with suppress(ValueError):
        constraint = Constraint.parse(text)
        str(constraint.specifier)
        str(constraint.requires_python)
        str(constraint.python_marker)
    with suppress(ValueError):
        platform_marker(text)


def _read_pattern(content: bytes) -> None:
    """Match a path, which follows the pattern on the next line."""
    line, _, path = _text(content).partition("\n")
    with suppress(ValueError):
        assert parse_pattern(line).matches(path or "a" * 50) in {True, False}


def _read_metadata(content: bytes) -> None:
    headers(content)
    values(content, "requires-dist")


def _read_record(content: bytes) -> None:
    with suppress(ValueError):
        for path, digest, size in record_rows(content.decode("utf-8")):
            assert all(isinstance(part, str) for part in (path, digest, size))


def _read_elf(content: bytes) -> None:
    identify(content[:64])
    with suppress(UnreadableElfError):
        read_elf(io.BytesIO(content))


def _read_project(content: bytes) -> None:
    root = _folder() / "other"
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_bytes(content)
    host = Host(cwd=root, home=root, cache_dir=root / "cache", today=_TODAY, environ={})
    with _showing_errors():
        project = read_project(root)
        read_artifacts(project, [table_source(project)], host)


def _unpack(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name, _showing_errors():
        archive = Path(name, "pinned-1.0.tar.gz")
        archive.write_bytes(content)
        root = unpacked(archive, Path(name, "unpacked"), most_bytes=_MOST_BYTES)
        assert root.resolve().is_relative_to(Path(name, "unpacked").resolve())
        assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) >= 0


def _package(content: bytes) -> None:
    """Check a wheel and write a zip of it, which other programs can read."""
    with tempfile.TemporaryDirectory() as name, _showing_errors():
        path = Path(name, "pinned-1.0-py3-none-any.whl")
        path.write_bytes(content)
        wheel = Wheel.of(path, sha256="0" * 64, source="wheel")
        check([wheel], Cache(Path(name, "cache")))
        write_archive(stage([wheel], prefix=""), Path(name, "made.zip"), epoch=None)
        with zipfile.ZipFile(Path(name, "made.zip")) as archive:
            assert archive.testzip() is None


def _inspect(content: bytes) -> None:
    """Inspect a zip, and compare it with a valid one."""
    with tempfile.TemporaryDirectory() as name:
        path, valid = Path(name, "a.zip"), Path(name, "b.zip")
        path.write_bytes(content)
        valid.write_bytes(SEEDS["zip"][0])
        with _showing_errors():
            as_text(
                inspect(
                    path,
                    runtime=None,
                    architecture=None,
                    handler="demo.app.handler",
                    layers=(),
                    machine=Machine(today=_TODAY, environ={}, home=Path(name)),
                )
            )
        with _showing_errors():
            compare(path, valid)


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


TARGETS: dict[str, Callable[[bytes], None]] = {
    **{name: partial(_read_lock, name) for name in LOCKS},
    "html-page": partial(_read_page, "text/html"),
    "json-page": partial(_read_page, "application/vnd.pypi.simple.v1+json"),
    "marker": _read_marker,
    "metadata": _read_metadata,
    "pattern": _read_pattern,
    "poetry-constraint": _read_constraint,
    "pyproject": _read_project,
    "record": _read_record,
    "elf": _read_elf,
    "sdist": _unpack,
    "wheel": _package,
    "zip": _inspect,
}
"""What to do with an input, by the name of the target."""
