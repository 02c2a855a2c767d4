"""Pipfile.lock: entries written by hand, and locks that real pipenv makes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.poetry_hosts import poetry_host
from fakes.projects import quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import Table
from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    StaleLockError,
    UnresolvedPackageError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedVcs
from lambda_build_plugin.lock.pipfile import pipfile_hash
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.selection.packages import Reached

_HASH = "sha256:" + "a" * 64
_SOURCES = [
    {"name": "corp", "url": "https://${WHO}:$SECRET@index.example/simple", "verify_ssl": True},
    {"name": "other", "url": "https://other.example/simple", "verify_ssl": True},
]


def an_entry(version: str = "==1.0", **more: str | list[str]) -> dict[str, object]:
    """Make an entry as pipenv locks what comes from an index."""
    return {"version": version, "hashes": [_HASH], **more}


def a_lock(
    folder: Path,
    default: Mapping[str, object],
    *,
    meta: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    **sections: Mapping[str, object],
) -> Lock:
    """Write a Pipfile.lock and read it."""
    data = {
        "_meta": {"pipfile-spec": 6, "requires": {}, "sources": _SOURCES, **(meta or {})},
        "default": default,
        "develop": {},
        **sections,
    }
    path = folder / "Pipfile.lock"
    path.write_text(json.dumps(data), encoding="utf-8")
    return read_lock(path, read_project(folder), environ or {})


def only(lock: Lock) -> LockedPackage:
    """Get the one package of a lock."""
    (package,) = lock.packages
    return package


def chosen(lock: Lock, *groups: str, main: bool = True, runtime: str = "python3.12") -> Reached:
    """Choose for an x86_64 function."""
    return reached(
        lock,
        Target(runtime=RUNTIMES[runtime], architecture=Architecture.X86_64),
        extras=frozenset(),
        groups=frozenset(map(canonicalize_name, groups)),
        main=main,
    )


# --- entries ---------------------------------------------------------------------------


def test_entry_from_an_index(tmp_path: Path) -> None:
    """A version is known with the digests of its files, and the index that has them."""
    package = only(a_lock(tmp_path, {"Some_Thing": an_entry(index="other")}))

    assert (package.name, package.version) == ("some-thing", Version("1.0"))
    assert package.unnamed == (LockedFile(digest=Digest(_HASH)),)
    assert package.index == "https://other.example/simple"
    assert package.at == "Pipfile.lock: default.Some_Thing"


def test_sources(tmp_path: Path) -> None:
    """The first source is the index, the others help out; variables are filled in."""
    lock = a_lock(tmp_path, {}, environ={"WHO": "me", "SECRET": "x"})

    assert lock.indexes == IndexOptions(
        index_url="https://me:x@index.example/simple",
        supplemental_urls=("https://other.example/simple",),
        named=(
            ("corp", "https://me:x@index.example/simple"),
            ("other", "https://other.example/simple"),
        ),
    )


def test_variable_that_is_not_set(tmp_path: Path) -> None:
    """A variable without a value stays as it is."""
    assert a_lock(tmp_path, {}).indexes.index_url == "https://${WHO}:$SECRET@index.example/simple"


def test_folder(tmp_path: Path) -> None:
    """A folder is found from that of the lock."""
    package = only(a_lock(tmp_path, {"a": {"path": "../lib", "editable": True}}))

    assert package.directory == LockedDirectory(path=tmp_path / "../lib", editable=True)
    assert package.unresolved == ""


def test_commit(tmp_path: Path) -> None:
    """A commit is known with its repository and the folder in it."""
    entry = {"git": "https://git.example/a.git", "ref": "c" * 40, "subdirectory": "b"}

    assert only(a_lock(tmp_path, {"a": entry})).vcs == LockedVcs(
        kind="git", url="https://git.example/a.git", commit="c" * 40, subdirectory="b"
    )


@pytest.mark.parametrize(
    "filename",
    [
        pytest.param("a-1.0.tar.gz", id="archive"),
        pytest.param("a-1.0-py3-none-any.whl", id="wheel"),
    ],
)
def test_file_at_a_url(tmp_path: Path, filename: str) -> None:
    """A file at a URL that has a hash all the same is one of the model."""
    url = f"https://files.example/{filename}"

    package = only(a_lock(tmp_path, {"a": {"file": f"{url}#egg=a", "hashes": [_HASH]}}))

    file = LockedFile(digest=Digest(_HASH), filename=filename, url=url)
    wheels, archive = ((file,), None) if filename.endswith(".whl") else ((), file)
    assert (package.wheels, package.archive) == (wheels, archive)


@pytest.mark.parametrize("key", ["path", "file"])
def test_wheel_by_path(tmp_path: Path, key: str) -> None:
    """A wheel on this machine is one, with or without a hash."""
    package = only(a_lock(tmp_path, {"a": {key: "./a-1.0-py3-none-any.whl"}}))

    assert package.wheels == (
        LockedFile(
            digest=None,
            filename="a-1.0-py3-none-any.whl",
            path=tmp_path / "a-1.0-py3-none-any.whl",
        ),
    )


def test_project_itself(tmp_path: Path) -> None:
    """The project in its own lock ships from its folder, and not twice."""
    assert a_lock(tmp_path, {"demo": {"path": ".", "editable": True}}).packages == ()


# --- what belongs to the target ---------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "main", "expected"),
    [
        pytest.param((), True, ["a", "both"], id="main"),
        pytest.param(("develop",), True, ["a", "b", "both"], id="develop"),
        pytest.param(("my-docs",), True, ["a", "both", "c"], id="category"),
        pytest.param(("develop",), False, ["b", "both"], id="develop alone"),
    ],
)
def test_groups(tmp_path: Path, groups: tuple[str, ...], main: bool, expected: list[str]) -> None:  # noqa: FBT001
    """`default` ships, `develop` and categories when they are named."""
    lock = a_lock(
        tmp_path,
        {"a": an_entry(), "both": an_entry()},
        develop={"b": an_entry(), "both": an_entry()},
        my_docs={"c": an_entry()},
    )

    assert [package.name for package in chosen(lock, *groups, main=main).packages] == expected


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param({"markers": "sys_platform == 'win32'"}, id="markers"),
        pytest.param({"sys_platform": "== 'win32'"}, id="key"),
        pytest.param(
            {"markers": "python_version > '3'", "platform_machine": "== 'arm64'"}, id="both"
        ),
    ],
)
def test_markers(tmp_path: Path, condition: dict[str, str]) -> None:
    """What is for another platform stays out, also without version and hashes."""
    lock = a_lock(tmp_path, {"a": an_entry(**condition), "b": {"version": "*", **condition}})

    assert [package.name for package in chosen(lock).packages] == []
    assert {item.name for item in chosen(lock).left_out} == {"a", "b"}


def test_marker_in_the_pipfile(tmp_path: Path) -> None:
    """Pipenv drops the marker of what it does not resolve; the Pipfile still has it."""
    pipfile = '[packages]\nColorama = {version = "*", sys_platform = "== \'win32\'"}\n'
    (tmp_path / "Pipfile").write_text(pipfile, encoding="utf-8")
    lock = a_lock(tmp_path, {"colorama": {"version": "*"}})

    assert [(item.name, item.reason) for item in chosen(lock).left_out] == [
        ("colorama", "its marker is false: sys_platform == 'win32'")
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param({"version": "*"}, "pipenv did not lock a version for it", id="no version"),
        pytest.param({"version": "==1.*"}, "pipenv did not lock a version for it", id="wildcard"),
        pytest.param({"version": "==1.0"}, "pipenv did not lock a hash for it", id="no hash"),
        pytest.param(
            {"version": "==1.0", "hashes": ["md5:" + "a" * 32]},
            "pipenv did not lock a hash for it",
            id="weak hash",
        ),
        pytest.param(
            {"file": "https://u:p@files.example/a-1.0.tar.gz"},
            "pipenv does not lock hashes for files at URLs",
            id="URL",
        ),
    ],
)
def test_entry_without_files(tmp_path: Path, entry: dict[str, object], reason: str) -> None:
    """What the target needs and the lock does not vouch for is refused by name."""
    lock = a_lock(tmp_path, {"a": entry, "b": an_entry()})

    with pytest.raises(UnresolvedPackageError) as caught:
        chosen(lock)

    shown = "a 1.0" if "==1.0" in str(entry) else "a"
    assert caught.value.why == f"{shown} (Pipfile.lock: default.a): {reason}"


def test_python_of_the_lock(tmp_path: Path) -> None:
    """A lock is for the one Python that the Pipfile requires."""
    short = a_lock(tmp_path, {}, meta={"requires": {"python_version": "3.12"}})
    full = a_lock(tmp_path, {}, meta={"requires": {"python_full_version": "3.12.4"}})

    assert (short.requires_python, full.requires_python) == (
        SpecifierSet("==3.12.*"),
        SpecifierSet("==3.12.4"),
    )


# --- freshness and defects ---------------------------------------------------------------

_PIPFILE = """\
[[source]]
url = "https://index.example/simple"
verify_ssl = true
name = "corp"
[packages]
Some_Thing = "*"
[docs]
b = ">=1"
[requires]
python_version = "3.12"
"""


def of_pipfile(folder: Path, locked: str) -> Lock:
    """Write a Pipfile, and read a lock with a hash."""
    (folder / "Pipfile").write_text(_PIPFILE, encoding="utf-8")
    return a_lock(folder, {"some-thing": an_entry()}, meta={"hash": {"sha256": locked}})


@pytest.mark.parametrize(
    "locked",
    [
        pytest.param(
            "3ba14b0f1882684cf15b009f64d9d821e38599eb449ac926e2fb07a840872927",
            id="names normalized",
        ),
        pytest.param(
            "cfc43aabac5375b89b201c02eb9274fd19fb3dd7dda7c1b3466b9eb9a8782ab0",
            id="names as written",
        ),
    ],
)
def test_fresh(tmp_path: Path, locked: str) -> None:
    """Both ways in which pipenv has counted names are known."""
    assert only(of_pipfile(tmp_path, locked)).name == "some-thing"


def test_stale(tmp_path: Path) -> None:
    """A Pipfile that has changed since makes the lock stale."""
    with pytest.raises(StaleLockError) as caught:
        of_pipfile(tmp_path, "0" * 64)

    assert caught.value.why == (
        "Pipfile and the lock differ:\n- the hash of the Pipfile does not match the one in the lock"
    )
    assert caught.value.hint == "run `pipenv lock` and review the changes"


def test_source_that_is_not_named(tmp_path: Path) -> None:
    """Where the Pipfile names no source, the one in the lock has been counted."""
    bare = Table({"packages": {"a": "*"}}, at="Pipfile")
    named = Table({"packages": {"a": "*"}, "source": _SOURCES}, at="Pipfile")

    assert pipfile_hash(bare, _SOURCES) == pipfile_hash(named, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[]", "Pipfile.lock: must be a JSON object", id="no object"),
        pytest.param("{", "Pipfile.lock: is not JSON: ", id="no JSON"),
        pytest.param('{"_meta": 1}', "Pipfile.lock: _meta: must be a table", id="no table"),
        pytest.param("[" * 100_000, "", id="nested"),
    ],
)
def test_text_that_is_no_lock(tmp_path: Path, text: str, problem: str) -> None:
    """A broken file is named with the place of the mistake."""
    path = tmp_path / "Pipfile.lock"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidLockError) as caught:
        read_lock(path, read_project(tmp_path), {})

    assert caught.value.why.startswith(problem)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        pytest.param(
            an_entry(index="gone"), "index: `gone` is not one of `_meta.sources`", id="index"
        ),
        pytest.param(an_entry(hashes=["sha256:1"]), "hashes: `1` is no sha256 digest", id="hash"),
        pytest.param(an_entry("==x"), "version: `x` is not a version (PEP 440)", id="version"),
        pytest.param(
            an_entry(markers="no marker"),
            'markers: `"default" in dependency_groups and (no marker)` is not a marker (PEP 508)',
            id="marker",
        ),
    ],
)
def test_wrong_entries(tmp_path: Path, entry: dict[str, object], problem: str) -> None:
    """A wrong value is named with its place."""
    with pytest.raises(InvalidLockError) as caught:
        a_lock(tmp_path, {"a": entry})

    assert caught.value.why == f"Pipfile.lock: default.a.{problem}"


def test_other_spec(tmp_path: Path) -> None:
    """A lock of another kind is refused."""
    with pytest.raises(UnsupportedLockError) as caught:
        a_lock(tmp_path, {}, meta={"pipfile-spec": 7})

    assert caught.value.why.startswith("its pipfile-spec is 7,")


# --- real pipenv -------------------------------------------------------------------------


@pytest.mark.index
def test_lock_of_pipenv(tmp_path: Path) -> None:
    """What real pipenv has locked ships, from the index that the Pipfile names."""
    host = poetry_host("pipenv", with_plugin=False)
    files = [
        a_wheel("first", metadata=["Requires-Dist: second"]),
        a_wheel("second", "2.0"),
        a_wheel("for-tests"),
        a_wheel("windowed"),
    ]
    root = tmp_path / "project"
    root.mkdir()
    (root / "lambda_function.py").write_text("def handler(event, context): ...\n")
    version = subprocess.run(
        [host.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with FakeIndex(files) as index:
        (root / "Pipfile").write_text(
            f'[[source]]\nurl = "{index.url}"\nverify_ssl = false\nname = "corp"\n'
            '[packages]\nFirst = "*"\n'
            'windowed = {version = "*", sys_platform = "== \'win32\'"}\n'
            f'[dev-packages]\nfor_tests = "*"\n[requires]\npython_version = "{version}"\n',
            encoding="utf-8",
        )
        environ = quiet_environment(tmp_path, PIPENV_IGNORE_VIRTUALENVS="1", PIPENV_YES="1")
        made = subprocess.run(
            [host.python, "-m", "pipenv", "--python", str(host.python), "lock"],
            cwd=root,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        run = run_lambda_build(
            *("--json", "--runtime", f"python{version}"),
            cwd=root,
            environ=quiet_environment(tmp_path),
        )

    assert run.code == 0, run.errors
    report = json.loads(run.output)
    assert [(each["name"], each["version"]) for each in report["packages"]] == [
        ("first", "1.0"),
        ("project", ""),
        ("second", "2.0"),
    ]
    assert {each["name"] for each in report["left_out"]} == {"for-tests", "windowed"}
    assert report["warnings"] == []

    (root / "Pipfile").write_text(
        (root / "Pipfile").read_text(encoding="utf-8").replace("First", "second"), encoding="utf-8"
    )
    stale = run_lambda_build(cwd=root, environ=quiet_environment(tmp_path))
    assert stale.code == 3
    assert "the lock Pipfile.lock is out of date" in stale.errors
