from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import json
import marshal
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.trees import a_tree, paths, record_of, shipped
from fakes.wheels import a_wheel

from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.source_build.context import BuildContext
from lambda_build_plugin.stage.bytecode import BytecodeOversizeError, CompilerError, with_bytecode
from lambda_build_plugin.stage.contents import write_folder
from lambda_build_plugin.stage.tree import Entry
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.system.interpreters import NoInterpreterError, find_interpreter
from lambda_build_plugin.wheel.members import Member

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from lambda_build_plugin.runtime.target import Runtime
    from lambda_build_plugin.stage.tree import StagedTree

_TAG = f"cpython-3{sys.version_info.minor}"
_SOURCE = "import os\nNAMES = {'a', 'b', 'c', 'd'}\ndef f(x): return x in {'p', 'q', 'r', 's'}\n"

if (_NAME := f"python3.{sys.version_info.minor}") not in RUNTIMES:
    pytest.skip(f"Lambda has no {_NAME}", allow_module_level=True)
_RUNTIME = RUNTIMES[_NAME]


class Told(Reporter):
    """Keeps the notes of a build."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def a_host(folder: Path, **environ: str) -> Host:
    """Make a machine that has the programs of this one, and a cache of its own."""
    return Host(
        cwd=folder,
        home=Path.home(),
        cache_dir=folder / "cache",
        today=datetime.date(2026, 11, 21),
        environ={"PATH": os.environ.get("PATH", os.defpath), **environ},
    )


def compiled(
    tree: StagedTree,
    folder: Path,
    *,
    full: StagedTree | None = None,
    only: bool = False,
    runtime: Runtime = _RUNTIME,
    reporter: Reporter | None = None,
    scratch: str = "scratch",
    host: Host | None = None,
) -> StagedTree:
    """Add bytecode, with the cache of a folder."""
    (folder / scratch).mkdir(exist_ok=True)
    host = host or a_host(folder)
    return with_bytecode(
        tree,
        full=full or tree,
        only=only,
        context=BuildContext(
            target=Target(runtime=runtime, architecture=Architecture.X86_64),
            folder=folder / scratch,
            cache=Cache(host.cache_dir),
            home=host.home,
            environ=host.environ,
            offline=False,
            reporter=reporter or Reporter(),
        ),
        find_compiler=lambda: find_interpreter(
            runtime.python, environ=host.environ, home=host.home, need="bytecode"
        ),
    )


def code_of(data: bytes) -> CodeType:
    """Take the code out of a `.pyc`."""
    code: CodeType = marshal.loads(data[16:])  # noqa: S302 - made by the test
    return code


def file_names(code: CodeType) -> Iterator[str]:
    """Yield the place of the source that a piece of code and those in it name."""
    yield code.co_filename
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from file_names(constant)


@pytest.mark.parametrize(
    ("prefix", "root"),
    [
        pytest.param("", "/var/task/", id="function"),
        pytest.param("python/", "/opt/python/", id="layer"),
    ],
)
def test_format(tmp_path: Path, prefix: str, root: str) -> None:
    """Bytecode is unchecked and hash-based (PEP 552), and names the source's place in Lambda."""
    tree = a_tree(tmp_path, a_wheel(files={"demo/a.py": _SOURCE}), prefix=prefix)

    found = shipped(compiled(tree, tmp_path), tmp_path / "a.zip")

    data = found[f"{prefix}demo/__pycache__/a.{_TAG}.pyc"]
    assert data[:16] == (
        importlib.util.MAGIC_NUMBER
        + (1).to_bytes(4, "little")
        + importlib.util.source_hash(_SOURCE.encode())
    )
    place = f"{root}demo/a.py"
    assert code_of(data) == compile(_SOURCE, place, "exec", dont_inherit=True, optimize=0)
    assert set(file_names(code_of(data))) == {place}


def test_places(tmp_path: Path) -> None:
    """Bytecode lies where CPython looks for it; what is no module gets none."""
    files = {"a.py": "", "pkg/__init__.py": "", "pkg/b.c.py": "", "pkg/x.txt": "", "pkg/y.pyi": ""}

    tree = compiled(a_tree(tmp_path, a_wheel(files=files)), tmp_path)

    assert paths(tree) == sorted(
        [
            *files,
            f"__pycache__/a.{_TAG}.pyc",
            f"pkg/__pycache__/__init__.{_TAG}.pyc",
            f"pkg/__pycache__/b.c.{_TAG}.pyc",
        ]
    )


def test_bytecode_only(tmp_path: Path) -> None:
    """Bytecode takes the place of its source."""
    files = {"a.py": "", "pkg/__init__.py": "", "pkg/x.txt": ""}

    tree = compiled(a_tree(tmp_path, a_wheel(files=files)), tmp_path, only=True)

    assert paths(tree) == ["a.pyc", "pkg/__init__.pyc", "pkg/x.txt"]


@pytest.mark.parametrize("only", [False, True], ids=["beside sources", "alone"])
def test_python_takes_it(tmp_path: Path, *, only: bool) -> None:
    """CPython imports the bytecode, and looks at no source."""
    tree = a_tree(tmp_path, a_wheel(files={"demo/__init__.py": "", "demo/a.py": "VALUE = 1\n"}))
    folder = tmp_path / "task"
    write_folder(compiled(tree, tmp_path, only=only), folder)
    for source in folder.rglob("*.py"):
        source.write_text("raise SystemExit('the source is read')\n")

    program = "import demo.a; print(demo.a.VALUE)"
    run = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "1\n"


@pytest.mark.parametrize("only", [False, True], ids=["beside sources", "alone"])
def test_metadata(tmp_path: Path, *, only: bool) -> None:
    """RECORD lists bytecode without digest, as installers do, and every file is found."""
    folder = tmp_path / "task"
    tree = compiled(a_tree(tmp_path, a_wheel()), tmp_path, only=only)

    write_folder(tree, folder)

    (found,) = importlib.metadata.distributions(path=[str(folder)])
    assert all(Path(str(file.locate())).is_file() for file in found.files or ())
    pyc = "demo/__init__.pyc" if only else f"demo/__pycache__/__init__.{_TAG}.pyc"
    rows = record_of(tree, "demo-1.0.dist-info")
    assert [pyc, "", ""] in rows
    assert ("demo/__init__.py" in [row[0] for row in rows]) is not only


@pytest.mark.parametrize("only", [False, True], ids=["beside sources", "alone"])
def test_not_compiling(tmp_path: Path, *, only: bool) -> None:
    """What is no code for this Python ships as it is, and is counted."""
    files = {"a.py": b"", "b.py": b"print 1\n", "c.py": b"\0", "d.py": b"x = '\xff'\n"}
    told = Told()

    tree = compiled(a_tree(tmp_path, a_wheel(files=files)), tmp_path, only=only, reporter=told)

    first = ["a.pyc"] if only else [f"__pycache__/a.{_TAG}.pyc", "a.py"]
    assert paths(tree) == [*first, "b.py", "c.py", "d.py"]
    assert told.notes[-1] == "3 of 4 modules do not compile: they ship as they are"


def test_warnings_of_code_stay_silent(tmp_path: Path) -> None:
    """Code that the compiler warns of is compiled all the same."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": "x = '\\d' is 'y'\n"}))

    assert f"__pycache__/a.{_TAG}.pyc" in paths(compiled(tree, tmp_path))


def test_reproducible(tmp_path: Path) -> None:
    """Folder, cache, hash seed and environment leave no trace."""
    fakes = [a_wheel(name, files={f"{name}/{n}.py": _SOURCE for n in "abc"}) for name in "xyz"]
    written = []
    for name, environ in (
        ("one", {"PYTHONHASHSEED": "1"}),
        ("two", {"PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2", "PYTHONPATH": str(tmp_path)}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        tree = compiled(a_tree(folder, *fakes), folder, host=a_host(folder, **environ))
        shipped(tree, folder / "a.zip")
        written.append((folder / "a.zip").read_bytes())

    assert written[0] == written[1]


def test_cached(tmp_path: Path) -> None:
    """What was compiled once is copied the next time, and the artifact is the same."""
    tree = a_tree(tmp_path, a_wheel("one"), a_wheel("two"))

    first = compiled(tree, tmp_path, scratch="first")
    second = compiled(tree, tmp_path, scratch="second")

    assert first == second
    assert len(list((tmp_path / "first").iterdir())) == 2
    assert list((tmp_path / "second").iterdir()) == []


def test_forged_note(tmp_path: Path) -> None:
    """Bytecode that somebody else has put into the cache does not ship."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": "VALUE = 1\n"}))
    first = compiled(tree, tmp_path, scratch="first")
    other = a_tree(tmp_path / "other", a_wheel(files={"a.py": "VALUE = 2\n"}))
    compiled(other, tmp_path, scratch="other")
    one, two = (tmp_path / "cache" / "bytecode").iterdir()
    # Both lie in the cache, and are what their names say; only the notes tell which is which.
    first_note, second_note = one.read_bytes(), two.read_bytes()
    one.write_bytes(first_note[:32] + second_note[32:])
    two.write_bytes(second_note[:32] + first_note[32:])

    assert compiled(tree, tmp_path, scratch="second") == first


def test_files_of_the_cache_are_named(tmp_path: Path) -> None:
    """The tree knows the hashes of all files that it takes members from."""
    tree = compiled(a_tree(tmp_path, a_wheel("one"), a_wheel("two")), tmp_path)

    used = {entry.data.wheel for entry in tree.entries if isinstance(entry.data, Member)}

    assert {path for path, _, _ in tree.archives} == used
    assert all(check_file(path).sha256 == sha256 for path, sha256, _ in tree.archives)


def test_filters_share_the_cache(tmp_path: Path) -> None:
    """A distribution is compiled whole, so that another filter needs no compiler."""
    full = a_tree(tmp_path, a_wheel(files={"a.py": "", "b.py": ""}))
    part = replace(full, entries=tuple(entry for entry in full.entries if entry.path != "b.py"))

    tree = compiled(part, tmp_path, full=full, scratch="first")
    compiled(full, tmp_path, scratch="second")

    assert paths(tree) == [f"__pycache__/a.{_TAG}.pyc", "a.py"]
    assert list((tmp_path / "second").iterdir()) == []


def test_changed_source(tmp_path: Path) -> None:
    """Another source is compiled anew, whatever its distribution is called."""
    for number in ("1", "2"):
        folder = tmp_path / number
        tree = a_tree(folder, a_wheel(files={"a.py": f"VALUE = {number}\n"}))
        found = shipped(compiled(tree, tmp_path), tmp_path / f"{number}.zip")
        assert int(number) in code_of(found[f"__pycache__/a.{_TAG}.pyc"]).co_consts


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        pytest.param("files", "PK", id="file"),
        pytest.param("bytecode", "{}", id="note of nothing"),
        pytest.param("bytecode", '{"zip": "sha256:../../../a"}', id="note that leads elsewhere"),
    ],
)
def test_damaged_cache(tmp_path: Path, kind: str, content: str) -> None:
    """What is not sound in the cache is compiled again."""
    tree = a_tree(tmp_path, a_wheel())
    first = shipped(compiled(tree, tmp_path), tmp_path / "a.zip")
    (kept,) = [path for path in (tmp_path / "cache" / kind).rglob("*") if path.is_file()]

    kept.write_text(content)

    assert shipped(compiled(tree, tmp_path), tmp_path / "b.zip") == first


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """Without a place to keep bytecode it ships all the same."""
    tree = a_tree(tmp_path, a_wheel())
    expected = shipped(compiled(tree, tmp_path), tmp_path / "a.zip")
    (tmp_path / "file").write_text("")
    host = replace(a_host(tmp_path), cache_dir=tmp_path / "file")

    found = compiled(tree, tmp_path, host=host, scratch="other")

    assert shipped(found, tmp_path / "b.zip") == expected


@pytest.mark.parametrize("only", [False, True], ids=["beside sources", "alone"])
def test_too_large(tmp_path: Path, *, only: bool) -> None:
    """What certainly will not fit is told before an interpreter is looked for."""
    tree = a_tree(tmp_path, a_wheel())
    size = UNZIPPED_LIMIT if only else UNZIPPED_LIMIT // 2
    big = Entry("big.py", tree.entries[0].owner, b"", "sha256=", size)

    with pytest.raises(BytecodeOversizeError) as caught:
        compiled(
            replace(tree, entries=(*tree.entries, big)),
            tmp_path,
            only=only,
            runtime=replace(_RUNTIME, python=(3, 2)),
        )

    assert ("bytecode-only" in caught.value.hint) is not only
    assert not (tmp_path / "cache").exists()


def test_no_modules(tmp_path: Path) -> None:
    """A tree without modules needs no interpreter."""
    tree = a_tree(tmp_path, a_wheel(files={"a.txt": ""}))

    assert compiled(tree, tmp_path, runtime=replace(_RUNTIME, python=(3, 2))) is tree


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_broken_interpreter(tmp_path: Path) -> None:
    """An interpreter that breaks down is named, with what it said last."""
    answer = {
        "path": str(tmp_path / "python3.2"),
        "version": "3.2.0",
        "build": "3.2.0",
        "implementation": "cpython",
        "release_level": "final",
        "abi_flags": "",
        "free_threaded": False,
        "platform": "linux-x86_64",
        "magic": "00",
        "has_ensurepip": True,
    }
    program = tmp_path / "python3.2"
    program.write_text(
        f"#!/bin/sh\nif [ $1 = -I ]; then printf '%s' '{json.dumps(answer)}'; exit; fi\n"
        "echo no >&2\n"
    )
    program.chmod(0o755)

    with pytest.raises(CompilerError) as caught:
        compiled(
            a_tree(tmp_path, a_wheel()),
            tmp_path,
            runtime=replace(_RUNTIME, python=(3, 2)),
            host=a_host(tmp_path, PATH=f"{tmp_path}:{os.defpath}"),
        )

    assert (caught.value.what, caught.value.why) == (
        "cannot compile the bytecode of `demo`",
        f"{program} (3.2.0): no",
    )


@pytest.mark.parametrize("runtime", [r for r in RUNTIMES.values() if r.python >= (3, 10)], ids=str)
def test_every_runtime(tmp_path: Path, runtime: Runtime) -> None:
    """Another Python than the one that runs us compiles what it can load, always the same."""
    host = a_host(tmp_path)
    try:
        python = find_interpreter(
            runtime.python, environ=host.environ, home=host.home, need="the test"
        )
    except NoInterpreterError as error:
        pytest.skip(error.what)
    fakes = [a_wheel(name, files={f"{name}.py": _SOURCE + "OK = 1\n"}) for name in ("x", "y")]
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        tree = compiled(a_tree(folder, *fakes), folder, runtime=runtime, only=True)
        shipped(tree, folder / "a.zip")
        written.append((folder / "a.zip").read_bytes())
        write_folder(tree, folder / "task")

    run = subprocess.run(
        [python.path, "-S", "-c", "import x, y; print(x.OK, y.OK, x.__file__)"],
        env={"PYTHONPATH": str(tmp_path / "one" / "task")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["1", "1", str(tmp_path / "one" / "task" / "x.pyc")]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("flag", "module"),
    [
        pytest.param("--bytecode", f"demo/__pycache__/app.{_TAG}.pyc", id="bytecode"),
        pytest.param("--bytecode-only", "demo/app.pyc", id="bytecode-only"),
    ],
)
def test_command_line(tmp_path: Path, flag: str, module: str) -> None:
    """The flags ship bytecode of the project too, and the handler is found in it."""
    project = a_project(tmp_path / "project")

    run = run_lambda_build(
        *(flag, "-o", "a.zip", "--runtime", _NAME, "--handler", "demo.app.handler"),
        cwd=project,
        environ=quiet_environment(tmp_path / "home"),
    )

    assert run.code == 0, run.errors
    assert "warning" not in run.output
    with zipfile.ZipFile(project / "a.zip") as archive:
        assert module in archive.namelist()
        assert ("demo/app.py" in archive.namelist()) is (flag == "--bytecode")


def test_handler_that_the_source_does_not_define(tmp_path: Path) -> None:
    """A handler is looked for in the source, also where the bytecode alone ships."""
    project = a_project(tmp_path / "project")

    run = run_lambda_build(
        *("--bytecode-only", "--runtime", _NAME, "--handler", "demo.app.nothing"),
        cwd=project,
        environ=quiet_environment(tmp_path / "home"),
    )

    assert (run.code, run.errors.splitlines()[0]) == (
        8,
        "error: the handler `demo.app.nothing` is not defined",
    )
