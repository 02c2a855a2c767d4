"""poetry.lock: hand-written locks, each named for its trait or its defect."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import Table
from lambda_build_plugin.lock.errors import (
    ExcludedTargetError,
    InvalidLockError,
    MissingHashError,
    StaleLockError,
    UnknownGroupError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.find import find_lock
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedVcs
from lambda_build_plugin.lock.poetry_freshness import content_hash
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lambda_build_plugin.lock.model import Lock, LockedPackage

_LOCKS = Path(__file__).parents[2] / "fixtures" / "locks"
_A, _B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)

_GROUPS = """
[tool.poetry.group.dev.dependencies]
in-dev = "*"
[tool.poetry.group.Docs_All]
optional = true
[tool.poetry.group.Docs_All.dependencies]
in-docs = "*"
"""

_POETRY_1 = """
[tool.poetry]
name = "demo"
[tool.poetry.dependencies]
python = "^3.11"
everywhere = "^1"
on-request = {version = "*", optional = true}
never-locked = {version = "*", optional = true}
plain = "*"
split = [{version = "<2", python = "<3.12"}, {version = "^2", python = ">=3.12"}]
wide = {version = "*", platform = "linux || darwin"}
for-windows = {version = "*", platform = "win32"}
[tool.poetry.extras]
fast = ["on-request"]
[tool.poetry.group.dev.dependencies]
in-dev = "*"
plain = {version = "*", extras = ["socks"]}
[tool.poetry.dev-dependencies]
in-old-dev = "*"
"""


def a_lock(folder: Path, trait: str, pyproject: str = _GROUPS) -> Lock:
    """Read a fixture as the lock of a project, which is taken to be fresh."""
    folder.mkdir(exist_ok=True)
    shutil.copy(_LOCKS / f"poetry.{trait}.lock", folder / "poetry.lock")
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    return read_lock(folder / "poetry.lock", read_project(folder), {}, lock_is_fresh=True)


def a_target(
    runtime: str = "python3.13", architecture: Architecture = Architecture.X86_64
) -> Target:
    """Make a target."""
    return Target(runtime=RUNTIMES[runtime], architecture=architecture)


def chosen(
    lock: Lock,
    target: Target | None = None,
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    main: bool = True,
) -> list[str]:
    """List what belongs to a target."""
    found = reached(
        lock,
        target or a_target(),
        extras=frozenset(map(canonicalize_name, extras)),
        groups=frozenset(map(canonicalize_name, groups)),
        main=main,
    )
    return [str(package) for package in found.packages]


def by_name(lock: Lock) -> dict[str, LockedPackage]:
    """Find packages by name."""
    return {package.name: package for package in lock.packages}


# --- which packages -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "architecture", "expected"),
    [
        pytest.param(
            "python3.13", Architecture.X86_64, ["everywhere 1.0", "split 2.0"], id="newer-x86"
        ),
        pytest.param(
            "python3.11",
            Architecture.ARM64,
            ["everywhere 1.0", "for-arm 1.0", "split 1.0"],
            id="older-arm",
        ),
    ],
)
def test_markers_choose_for_the_target(
    tmp_path: Path, runtime: str, architecture: Architecture, expected: list[str]
) -> None:
    """Of a flat lock ships what the markers of the main group admit for the target."""
    lock = a_lock(tmp_path, "v2-1")

    assert chosen(lock, a_target(runtime, architecture)) == expected


@pytest.mark.parametrize(
    ("groups", "main", "expected"),
    [
        pytest.param([], True, {"everywhere", "split"}, id="main"),
        pytest.param(
            ["dev"], True, {"everywhere", "split", "in-both", "in-dev"}, id="with-dev-beside-main"
        ),
        pytest.param(["dev"], False, {"in-both", "in-dev"}, id="only-dev"),
        pytest.param(["main"], False, {"everywhere", "split"}, id="only-main-by-name"),
        pytest.param(["docs-all"], False, set(), id="marker-of-a-group-is-false"),
    ],
)
def test_groups_add_to_main_or_stand_alone(
    tmp_path: Path,
    groups: list[str],
    main: bool,  # noqa: FBT001 - a row
    expected: set[str],
) -> None:
    """Groups ship under their own markers, with the main dependencies or without."""
    lock = a_lock(tmp_path, "v2-1")

    assert {line.split()[0] for line in chosen(lock, groups=groups, main=main)} == expected


def test_name_of_a_group_is_normalized(tmp_path: Path) -> None:
    """A group that is spelled `Docs_All` is asked for as `docs-all`."""
    lock = a_lock(tmp_path, "v2-1")

    assert chosen(lock, a_target("python3.11"), groups=["docs-all"], main=False) == ["in-docs 1.0"]


@pytest.mark.parametrize("trait", ["v2-1", "v2-0"])
def test_extra_ships_when_asked_for(tmp_path: Path, trait: str) -> None:
    """An extra adds its packages, and nothing else does."""
    lock = a_lock(tmp_path, trait, _POETRY_1)

    assert set(chosen(lock, extras=["fast"])) - set(chosen(lock)) == {"on-request 1.0"}


def test_extra_needs_the_main_dependencies(tmp_path: Path) -> None:
    """An extra without the main group adds nothing: it belongs to that group."""
    lock = a_lock(tmp_path, "v2-1")

    assert chosen(lock, extras=["fast"], main=False) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param({"extras": ["fats"]}, "it has: fast", id="extra"),
        pytest.param({"groups": ["dve"]}, "it has: dev, docs-all, main", id="group"),
    ],
)
def test_unknown_names_are_refused(
    tmp_path: Path, names: dict[str, list[str]], message: str
) -> None:
    """A misspelt extra or group is an error that lists those that there are."""
    lock = a_lock(tmp_path, "v2-1")

    with pytest.raises(UnknownGroupError, match=message):
        chosen(lock, extras=names.get("extras", []), groups=names.get("groups", []))


def test_standard_dependency_groups_are_known(tmp_path: Path) -> None:
    """A group of `[dependency-groups]` can be asked for, even if it is empty."""
    lock = a_lock(tmp_path, "v2-1", "[dependency-groups]\nLint_All = []\n")

    assert sorted(lock.groups or ()) == ["lint-all", "main"]


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        pytest.param(
            "python3.11", "deep everywhere plain split-1.0 wide", id="older-side-of-the-split"
        ),
        pytest.param(
            "python3.13", "deep everywhere plain split-2.0 wide", id="newer-side-of-the-split"
        ),
    ],
)
def test_graph_is_walked_from_pyproject(tmp_path: Path, runtime: str, expected: str) -> None:
    """A lock of Poetry 1 ships what a walk from the main dependencies reaches."""
    lock = a_lock(tmp_path, "v2-0", _POETRY_1)

    names = [
        line.replace("split ", "split-").split()[0] for line in chosen(lock, a_target(runtime))
    ]

    assert " ".join(names) == expected


def test_graph_has_groups(tmp_path: Path) -> None:
    """A group of Poetry 1 brings its own requirements, extras of packages included."""
    lock = a_lock(tmp_path, "v2-0", _POETRY_1)

    assert chosen(lock, groups=["dev"], main=False) == [
        "in-dev 1.0",
        "in-old-dev 1.0",
        "plain 1.0",
        "socks 1.0",
    ]


def test_range_takes_the_newest_that_the_target_runs(tmp_path: Path) -> None:
    """Where a range admits two locked versions, each target gets the newest that it runs."""
    lock = a_lock(tmp_path, "v2-0", '[tool.poetry.dependencies]\nsplit = "*"\n')

    by_runtime = [chosen(lock, a_target(name)) for name in ("python3.11", "python3.12")]

    assert by_runtime == [["split 1.0"], ["split 2.0"]]


def test_range_takes_what_another_requirement_demands(tmp_path: Path) -> None:
    """A range leaves the choice to a requirement that admits one version only."""
    lock = a_lock(tmp_path, "v2-0", '[tool.poetry.dependencies]\nsplit = "<2"\nwide = "*"\n')

    assert chosen(lock) == ["split 1.0", "wide 1.0"]


def test_requirement_without_entry_is_an_error(tmp_path: Path) -> None:
    """What the lock does not hold, and the target needs, is named with the remedy."""
    lock = a_lock(tmp_path, "v2-0", '[tool.poetry.dependencies]\neverywhere = "^2"\n')

    with pytest.raises(InvalidLockError, match="the project needs everywhere") as caught:
        chosen(lock)

    assert "`poetry lock`" in str(caught.value)


def test_project_itself_is_no_dependency(tmp_path: Path) -> None:
    """A folder that is the project never ships from the lock."""
    assert chosen(a_lock(tmp_path, "itself")) == ["everywhere 1.0"]


def test_python_of_the_lock_is_a_specifier(tmp_path: Path) -> None:
    """The Python that the lock was made for bounds the targets."""
    lock = a_lock(tmp_path, "v2-0", _POETRY_1)

    assert lock.requires_python == SpecifierSet(">=3.11,<4.0")


def test_python_alternatives_exclude_what_is_between(tmp_path: Path) -> None:
    """A target between two alternatives of Python is not served, those at both ends are."""
    lock = a_lock(tmp_path, "python-alternatives")

    assert chosen(lock, a_target("python3.11")) == chosen(lock, a_target("python3.13"))
    with pytest.raises(ExcludedTargetError, match=r"python_full_version >= \"3.11\""):
        chosen(lock, a_target("python3.12"))


# --- where files come from ------------------------------------------------------------


def test_kinds_of_sources(tmp_path: Path) -> None:
    """Every kind of source is kept: files by name and digest, the others by their place."""
    project = tmp_path / "project"
    found = by_name(a_lock(project, "sources"))

    def a_file(name: str, digest: Digest = _A, **place: object) -> LockedFile:
        return LockedFile(filename=name, digest=digest, **place)  # type: ignore[arg-type]

    assert {
        name: (p.index, p.wheels, p.sdist, p.archive, p.directory, p.vcs)
        for name, p in found.items()
    } == {
        "from-archive": (
            None,
            (),
            None,
            a_file(
                "from-archive-1.0.tar.gz",
                _B,
                url="https://files.example/from-archive-1.0.tar.gz",
            ),
            None,
            None,
        ),
        "from-commit": (
            None,
            (),
            None,
            None,
            None,
            LockedVcs(
                kind="git",
                url="https://git.example/from-commit.git",
                commit="c" * 40,
                subdirectory="python",
            ),
        ),
        "from-default": (
            None,
            (a_file("from_default-1.0-py3-none-any.whl"),),
            a_file("from_default-1.0.tar.gz", _B),
            None,
            None,
            None,
        ),
        "from-file": (
            None,
            (
                a_file(
                    "from_file-1.0-py3-none-any.whl",
                    path=project / "wheels" / "from_file-1.0-py3-none-any.whl",
                ),
            ),
            None,
            None,
            None,
            None,
        ),
        "from-folder": (
            None,
            (),
            None,
            None,
            LockedDirectory(path=project / ".." / "from-folder", editable=True),
            None,
        ),
        "from-private": (
            "https://private.example/simple",
            (a_file("from_private-1.0-py3-none-any.whl"),),
            None,
            None,
            None,
            None,
        ),
        "from-repository-here": (
            None,
            (),
            None,
            None,
            None,
            LockedVcs(kind="git", url="file:///srv/repository", commit="d" * 40),
        ),
        "from-url": (
            None,
            (
                a_file(
                    "from_url-1.0-py3-none-any.whl",
                    url="https://files.example/from_url-1.0-py3-none-any.whl",
                ),
            ),
            None,
            None,
            None,
            None,
        ),
    }


def a_source(name: str, priority: str = "", *, url: bool = True) -> str:
    """Write a source of pyproject.toml."""
    lines = ["[[tool.poetry.source]]", f'name = "{name}"']
    lines += [f'url = "https://{name}.example/simple/"'] if url else []
    lines += [priority if "=" in priority else f'priority = "{priority}"'] if priority else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("trait", "sources", "expected"),
    [
        pytest.param("v2-1", [], IndexOptions(), id="none"),
        pytest.param(
            "v2-1",
            [a_source("one"), a_source("two", "primary")],
            IndexOptions(
                index_url="https://two.example/simple/",
                extra_index_urls=("https://one.example/simple/",),
            ),
            id="primary-ones-in-order-replace-the-default",
        ),
        pytest.param(
            "v2-1",
            [a_source("one"), a_source("PyPI", "primary", url=False)],
            IndexOptions(),
            id="what-came-from-the-default-is-asked-of-no-other",
        ),
        pytest.param(
            "v2-1",
            [a_source("last", "supplemental"), a_source("pinned", "explicit")],
            IndexOptions(),
            id="supplemental-and-explicit-are-for-what-names-them",
        ),
        pytest.param(
            "v2-0",
            [a_source("one", "primary"), a_source("last", "secondary")],
            IndexOptions(),
            id="poetry-1-keeps-the-default-beside-a-primary-one",
        ),
        pytest.param(
            "v2-0",
            [a_source("one", "default = true"), a_source("last", "secondary = true")],
            IndexOptions(
                index_url="https://one.example/simple/",
                supplemental_urls=("https://last.example/simple/",),
            ),
            id="flags-from-before-there-were-priorities",
        ),
    ],
)
def test_sources_are_asked_by_priority(
    tmp_path: Path, trait: str, sources: list[str], expected: IndexOptions
) -> None:
    """The sources of pyproject.toml say which indexes are asked, and in which order."""
    found = a_lock(tmp_path, trait, "".join(sources)).indexes

    assert (found.index_url, found.extra_index_urls, found.supplemental_urls) == (
        expected.index_url,
        expected.extra_index_urls,
        expected.supplemental_urls,
    )


def test_sources_keep_their_names(tmp_path: Path) -> None:
    """Each source with a URL is known by its name, for its credentials."""
    pyproject = a_source("PyPI", url=False) + a_source("one") + a_source("two", "explicit")

    assert a_lock(tmp_path, "v2-1", pyproject).indexes.named == (
        ("one", "https://one.example/simple/"),
        ("two", "https://two.example/simple/"),
    )


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "error", "message"),
    [
        pytest.param("v1-1", UnsupportedLockError, "its lock-version is 1.1", id="too-old"),
        pytest.param("v3-0", UnsupportedLockError, "its lock-version is 3.0", id="too-new"),
        pytest.param(
            "without-metadata",
            UnsupportedLockError,
            "its lock-version is not stated",
            id="without-metadata",
        ),
        pytest.param(
            "without-groups",
            InvalidLockError,
            r"package\[0\]: the required key `groups` is missing",
            id="without-groups",
        ),
        pytest.param(
            "unknown-source",
            InvalidLockError,
            r"package\[0\].source.type: `ftp` is not a known type of source",
            id="unknown-source",
        ),
        pytest.param(
            "without-hash",
            MissingHashError,
            r"package\[0\].files\[0\]: .*\n.*package\[1\]: has no sha256",
            id="without-hash",
        ),
    ],
)
def test_defect_names_its_place_and_poetry_lock(
    tmp_path: Path, trait: str, error: type[Exception], message: str
) -> None:
    """A lock that cannot be used is an error that says where, why and `poetry lock`."""
    with pytest.raises(error, match=message) as caught:
        a_lock(tmp_path, trait)

    assert "`poetry lock`" in str(caught.value)


def test_newer_minor_version_is_read_with_a_warning(tmp_path: Path) -> None:
    """A lock-version 2.x that is not known yet is read, as Poetry does."""
    lock = a_lock(tmp_path, "v2-9")

    assert (chosen(lock), lock.warnings) == (
        ["everywhere 1.0"],
        ("poetry.lock has lock-version 2.9, but this version only knows 2.0 and 2.1",),
    )


def test_poetry_lock_comes_after_uv_lock(tmp_path: Path) -> None:
    """Of several locks poetry.lock is read before requirements and after uv.lock."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'demo'\n", encoding="utf-8")
    for name in ("requirements.txt", "poetry.lock", "uv.lock"):
        (tmp_path / name).touch()

    found = find_lock(read_project(tmp_path), None)

    assert found is not None
    assert (found.path.name, found.others) == ("uv.lock", ("poetry.lock", "requirements.txt"))


# --- freshness ------------------------------------------------------------------------


def a_lock_with_hash(folder: Path, pyproject: str, value: str, *, version: str = "2.5.1") -> Lock:
    """Read an empty lock that claims a content hash, made by a version of Poetry."""
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    lock = folder / "poetry.lock"
    lock.write_text(
        f"# This file is automatically @generated by Poetry {version} and should not be changed.\n"
        'package = []\n[metadata]\nlock-version = "2.1"\npython-versions = "*"\n'
        f'content-hash = "{value}"\n',
        encoding="utf-8",
    )
    return read_lock(lock, read_project(folder), {})


def hash_of(relevant: dict[str, object]) -> str:
    """Hash as Poetry does."""
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize(
    ("pyproject", "relevant"),
    [
        pytest.param(
            {"tool": {"poetry": {"name": "demo", "dependencies": {"a": "*"}}}},
            {"dependencies": {"a": "*"}, "dev-dependencies": None, "extras": None, "source": None},
            id="poetry-alone-at-top-level-with-nulls",
        ),
        pytest.param(
            {"project": {"name": "demo", "dependencies": ["a"]}},
            {"project": {"dependencies": ["a"]}, "tool": {"poetry": {}}},
            id="standard",
        ),
        pytest.param(
            {
                "project": {"requires-python": ">=3.11"},
                "dependency-groups": {"dev": ["b"]},
                "tool": {"poetry": {"group": {"dev": {"optional": True}}, "packages": []}},
            },
            {
                "project": {"requires-python": ">=3.11"},
                "dependency-groups": {"dev": ["b"]},
                "tool": {"poetry": {"group": {"dev": {"optional": True}}}},
            },
            id="both-with-groups",
        ),
        pytest.param(
            {"project": {"name": "demo"}, "dependency-groups": {}},
            {"dependencies": None, "dev-dependencies": None, "extras": None, "source": None},
            id="nothing-relevant",
        ),
    ],
)
def test_content_hash_covers_what_bears_on_resolution(
    pyproject: dict[str, object], relevant: dict[str, object]
) -> None:
    """The content hash is that of the relevant tables, in the form that Poetry gives them."""
    assert content_hash(Table(pyproject, at="pyproject.toml")) == hash_of(relevant)


_WITH_GROUPS = '[project]\nname = "demo"\ndependencies = ["a"]\n[dependency-groups]\ndev = ["b"]\n'
_HASH_WITHOUT_GROUPS = hash_of({"project": {"dependencies": ["a"]}, "tool": {"poetry": {}}})


def test_stale_lock_is_refused(tmp_path: Path) -> None:
    """A lock made for other requirements is an error that names `poetry lock`."""
    with pytest.raises(StaleLockError, match="run `poetry lock`"):
        a_lock_with_hash(tmp_path, _WITH_GROUPS, _HASH_WITHOUT_GROUPS)


def test_hash_of_older_poetry_leaves_groups_out(tmp_path: Path) -> None:
    """A lock of Poetry before 2.3 is fresh though its hash does not know the groups."""
    lock = a_lock_with_hash(tmp_path, _WITH_GROUPS, _HASH_WITHOUT_GROUPS, version="2.2.1")

    assert lock.packages == ()


def test_host_may_vouch_for_freshness(tmp_path: Path) -> None:
    """A lock whose freshness the host has checked is not held against the hash again."""
    with pytest.raises(StaleLockError):
        a_lock_with_hash(tmp_path, _WITH_GROUPS, "0" * 64)

    lock = read_lock(tmp_path / "poetry.lock", read_project(tmp_path), {}, lock_is_fresh=True)

    assert lock.packages == ()


# --- the project ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        pytest.param("^3.11", SpecifierSet(">=3.11,<4.0"), id="caret"),
        pytest.param("~3.11 || ~3.13", SpecifierSet(">=3.11,<3.14,!=3.12.*"), id="alternatives"),
    ],
)
def test_python_of_a_poetry_project(tmp_path: Path, python: str, expected: SpecifierSet) -> None:
    """A project without `requires-python` says in Poetry's table which Python it needs."""
    text = f'[tool.poetry.dependencies]\npython = "{python}"\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    assert read_project(tmp_path).requires_python == expected
