from __future__ import annotations

import stat
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.awslambda import Invocation, invoke, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE_PACKAGES = f"python/lib/{_RUNTIME}/site-packages"
_WHERE = "from where import place\n\ndef handler(event, context):\n    return place\n"


@pytest.fixture
def call(runtime_interface_client: Path) -> partial[Invocation]:
    """Give `invoke` for this interpreter."""
    return partial(
        invoke, python=Path(sys.executable), runtime=_RUNTIME, ric=runtime_interface_client
    )


def a_tree(folder: Path, files: Mapping[str, str]) -> Path:
    """Write each text under its name."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def a_zip(file: Path, modes: Mapping[str, int]) -> Path:
    """Write a zip of entries with these modes; each file holds its own name."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, mode in modes.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = mode << 16
            archive.writestr(entry, "" if name.endswith("/") else name)
    return file


@pytest.mark.index
def test_top_level_handler(call: partial[Invocation], tmp_path: Path) -> None:
    """A module at the root answers the event."""
    source = "def handler(event, context):\n    return {'got': event}\n"
    a_tree(tmp_path, {"app.py": source})

    assert call("app.handler", {"a": "ü"}, task=tmp_path) == Invocation(
        result={"got": {"a": "ü"}}, error=None, logs=""
    )


@pytest.mark.index
def test_package_handler(call: partial[Invocation], tmp_path: Path) -> None:
    """A module inside a package may be named by its path."""
    a_tree(tmp_path, {"pkg/app.py": "def handler(event, context):\n    return __name__\n"})

    assert call("pkg/app.handler", None, task=tmp_path).result == "pkg.app"


@pytest.mark.index
def test_large_answer(call: partial[Invocation], tmp_path: Path) -> None:
    """An answer near Lambda's limit of 6 MB arrives whole."""
    a_tree(tmp_path, {"app.py": "def handler(event, context):\n    return 'x' * event\n"})

    assert call("app.handler", 6_000_000, task=tmp_path).result == "x" * 6_000_000


@pytest.mark.index
def test_bytes_answer(call: partial[Invocation], tmp_path: Path) -> None:
    """An answer that is not JSON is handed on as bytes."""
    a_tree(tmp_path, {"app.py": "def handler(event, context):\n    return b'raw'\n"})

    assert call("app.handler", None, task=tmp_path).result == b"raw"


@pytest.mark.index
def test_missing_dependency(call: partial[Invocation], tmp_path: Path) -> None:
    """A dependency that was left out fails the import, in Lambda's words."""
    a_tree(tmp_path, {"app.py": "import left_out\n"})

    error = call("app.handler", None, task=tmp_path).error

    assert error is not None
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "'left_out'" in str(error["errorMessage"])


@pytest.mark.index
@pytest.mark.parametrize("name", ["pytest", "pip", "fakes"])
def test_isolation(call: partial[Invocation], tmp_path: Path, name: str) -> None:
    """Nothing that this test can import is there for the function."""
    a_tree(tmp_path, {"app.py": f"import {name}\n"})

    error = call("app.handler", None, task=tmp_path).error

    assert error is not None
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert f"'{name}'" in str(error["errorMessage"])


@pytest.mark.index
def test_environment_is_lambdas(
    call: partial[Invocation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of this machine reaches the function, and it runs in its own folder."""
    monkeypatch.setenv("STRAY", "1")
    source = """\
import os

def handler(event, context):
    return "STRAY" in os.environ, os.environ["LAMBDA_TASK_ROOT"], os.getcwd()
"""
    a_tree(tmp_path, {"app.py": source})
    task = str(tmp_path.resolve())

    assert call("app.handler", None, task=tmp_path).result == [False, task, task]


@pytest.mark.index
@pytest.mark.parametrize(
    ("places", "first"),
    [
        pytest.param(["python"], "python", id="layer"),
        pytest.param([_SITE_PACKAGES], _SITE_PACKAGES, id="versioned layer"),
        pytest.param(["python", _SITE_PACKAGES], _SITE_PACKAGES, id="versioned before plain"),
        pytest.param(["python", _SITE_PACKAGES, "task"], "task", id="task before layers"),
    ],
)
def test_layers(call: partial[Invocation], tmp_path: Path, places: list[str], first: str) -> None:
    """A layer's modules are found, behind those of the function."""
    opt = a_tree(tmp_path / "opt", {f"{place}/where.py": f"place = {place!r}" for place in places})
    task = a_tree(opt / "task", {"app.py": _WHERE})

    assert call("app.handler", None, task=task, opt=opt).result == first


@pytest.mark.index
@pytest.mark.parametrize("place", ["task", "python", _SITE_PACKAGES])
def test_pth_files(call: partial[Invocation], tmp_path: Path, place: str) -> None:
    """A `.pth` file is obeyed at each root."""
    a_tree(tmp_path, {f"{place}/more.pth": "more\n", f"{place}/more/where.py": "place = 'more'"})
    task = a_tree(tmp_path / "task", {"app.py": _WHERE})

    assert call("app.handler", None, task=task, opt=tmp_path).result == "more"


@pytest.mark.index
def test_handler_before_stdlib(call: partial[Invocation], tmp_path: Path) -> None:
    """A stray module hides the standard library's, as it does on Lambda."""
    source = "import wave\n\ndef handler(event, context):\n    return wave.mine\n"
    a_tree(tmp_path, {"app.py": source, "wave.py": "mine = True\n"})

    assert call("app.handler", None, task=tmp_path).result is True


@pytest.mark.index
def test_raising_handler(call: partial[Invocation], tmp_path: Path) -> None:
    """An exception becomes the error, and what was printed the logs."""
    source = "def handler(event, context):\n    print('before')\n    raise LookupError('no row')\n"
    a_tree(tmp_path, {"app.py": source})

    invocation = call("app.handler", None, task=tmp_path)

    assert invocation.result is None
    assert invocation.error is not None
    assert invocation.error["errorType"] == "LookupError"
    assert invocation.error["errorMessage"] == "no row"
    assert invocation.logs.startswith("before\n[ERROR] LookupError: no row")


@pytest.mark.index
def test_early_exit(call: partial[Invocation], tmp_path: Path) -> None:
    """A function that ends without an answer tells its exit status."""
    a_tree(tmp_path, {"app.py": "import os\n\nos._exit(3)\n"})

    assert call("app.handler", None, task=tmp_path) == Invocation(
        result=None,
        error={
            "errorType": "Runtime.ExitError",
            "errorMessage": "Runtime exited with exit status 3",
        },
        logs="",
    )


@pytest.mark.index
def test_timeout(call: partial[Invocation], tmp_path: Path) -> None:
    """A function that does not answer in time is ended."""
    source = "import time\n\ndef handler(event, context):\n    time.sleep(60)\n"
    a_tree(tmp_path, {"app.py": source})

    assert call("app.handler", None, task=tmp_path, timeout=0.5).error == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "Task timed out after 0.50 seconds",
    }


def test_unpack_keeps_modes(tmp_path: Path) -> None:
    """Files and folders have the modes of their entries."""
    modes = {"locked/": stat.S_IFDIR | 0o555, "locked/run": stat.S_IFREG | 0o755, "data": 0o640}

    folder = unpack(a_zip(tmp_path / "a.zip", modes), tmp_path / "task")

    assert {
        name: (stat.S_IMODE((folder / name).stat().st_mode), (folder / name).is_dir())
        for name in modes
    } == {"locked/": (0o555, True), "locked/run": (0o755, False), "data": (0o640, False)}


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../up", "./here", "a//b", "C:/up", "a\\b", "/"],
)
def test_unpack_refuses_odd_names(tmp_path: Path, name: str) -> None:
    """A name that is no plain relative path is refused, with nothing written."""
    artifact = a_zip(tmp_path / "a.zip", {name: 0o644})

    with pytest.raises(ValueError, match="not a plain relative path"):
        unpack(artifact, tmp_path / "task")

    assert list((tmp_path / "task").iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR])
def test_unpack_refuses_other_kinds(tmp_path: Path, kind: int) -> None:
    """An entry that is a file by name must be one by mode."""
    artifact = a_zip(tmp_path / "a.zip", {"link": kind | 0o777})

    with pytest.raises(ValueError, match="another kind of file"):
        unpack(artifact, tmp_path / "task")


def test_unpack_refuses_a_second_entry(tmp_path: Path) -> None:
    """Two entries of one name are refused, although a zip may hold them."""
    artifact = tmp_path / "a.zip"
    with zipfile.ZipFile(artifact, "w") as archive:
        archive.writestr("same", "1")
        with pytest.warns(UserWarning, match="'same'"):
            archive.writestr("same", "2")

    with pytest.raises(FileExistsError):
        unpack(artifact, tmp_path / "task")
