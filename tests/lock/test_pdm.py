"""pdm.lock: locks written by the test, each with one trait or one defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.projects import quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.lock.errors import (
    ExcludedTargetError,
    InvalidLockError,
    MissingHashError,
    StaleLockError,
    UnknownGroupError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedVcs
from lambda_build_plugin.lock.pdm_freshness import content_hash
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.model import Lock, LockedPackage

_A = "sha256:" + "a" * 64
_PROJECT = '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.10"\n'
_PACKAGE = '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
_EXTRAS = _PROJECT + "[project.optional-dependencies]\nFast_X = []\n"


def metadata(
    *,
    version: str = "4.5.1",
    strategy: str = '"inherit_metadata"',
    targets: str = "",
    more: str = "",
) -> str:
    """Write the head of a lock."""
    return (
        f'[metadata]\ngroups = ["default", "dev", "fast-x"]\nstrategy = [{strategy}]\n'
        f'lock_version = "{version}"\n{more}\n{targets}\n'
    )


def entry(name: str, *lines: str, version: str = "1.0", groups: str = '"default"') -> str:
    """Write an entry; further lines of TOML take their place in it."""
    rest = "\n".join(lines)
    files = "" if "files = " in rest else f'files = [{{file = "{name}.whl", hash = "{_A}"}}]'
    of = f"groups = [{groups}]\n" if groups else ""
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\n{of}{rest}\n{files}\n'


def needs(*requirements: str) -> str:
    """Write what an entry needs."""
    return f"dependencies = {[*requirements]}"


def a_lock(
    folder: Path, *entries: str, head: str = "", pyproject: str = _EXTRAS, fresh: bool = True
) -> Lock:
    """Read a lock of these entries; a host has found it fresh, unless said otherwise."""
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    (folder / "pdm.lock").write_text((head or metadata()) + "".join(entries), encoding="utf-8")
    return read_lock(folder / "pdm.lock", read_project(folder), {}, lock_is_fresh=fresh)


def a_graph(folder: Path, *entries: str, pyproject: str) -> Lock:
    """Read a lock whose packages do not tell their groups."""
    return a_lock(folder, *entries, head=metadata(strategy=""), pyproject=pyproject)


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


def only(lock: Lock) -> LockedPackage:
    """Get the one package of a lock."""
    (package,) = lock.packages
    return package


# --- workspaces -----------------------------------------------------------------------


def a_member(name: str, *lines: str) -> str:
    """Write the entry of a member."""
    return entry(name, "editable = true", f'path = "./{name}"', "files = []", *lines)


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        pytest.param('"common"', ["common 1.0", "util 1.0"], id="chain"),
        pytest.param('"lib>=1"', ["lib 1.0"], id="index"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_member_of_a_workspace(tmp_path: Path, dependencies: str, expected: list[str]) -> None:
    """To the group of a workspace belong all its members; what one of them needs ships."""
    for name in ("app", "common", "util"):
        (tmp_path / name).mkdir()
        text = f'[project]\nname = "{name}"\nversion = "1"\ndependencies = [{dependencies}]\n'
        system = '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
        (tmp_path / name / "pyproject.toml").write_text(text + system, encoding="utf-8")
    members = (a_member("app"), a_member("common", needs("util")), a_member("util"))
    a_lock(
        tmp_path,
        *(*members, entry("lib")),
        pyproject='[tool.pdm.workspace]\nmembers = ["app", "common", "util"]\n',
    )

    lock = read_lock(tmp_path / "pdm.lock", read_project(tmp_path / "app"), {}, lock_is_fresh=True)

    assert chosen(lock) == expected


def test_members_share_what_is_parsed(tmp_path: Path) -> None:
    """A lock is parsed once for all members, and again after another program has written it."""
    parsed: list[Path] = []

    def noted(path: Path) -> Table:
        parsed.append(path)
        return read_toml(path)

    root = '[tool.pdm.workspace]\nmembers = ["app", "other"]\n'
    for name in ("app", "other"):
        (tmp_path / name).mkdir()
        text = f'[project]\nname = "{name}"\nversion = "1"\ndependencies = ["lib"]\n'
        (tmp_path / name / "pyproject.toml").write_text(text, encoding="utf-8")
    members, found = (a_member("app"), a_member("other")), []
    for version in ("1.0", "2.0.1"):
        a_lock(tmp_path, *members, entry("lib", version=version), pyproject=root)
        for name in ("app", "other"):
            project = read_project(tmp_path / name)
            lock = read_lock(
                tmp_path / "pdm.lock", project, {}, lock_is_fresh=True, read_toml=noted
            )
            found += chosen(lock)

    assert found == ["lib 1.0", "lib 1.0", "lib 2.0.1", "lib 2.0.1"]
    assert parsed == [tmp_path / "pdm.lock"] * 2


# --- which packages of a flat lock ----------------------------------------------------


@pytest.mark.parametrize(
    ("extras", "groups", "main", "expected"),
    [
        pytest.param([], [], True, ["always 1.0", "both 1.0", "main 1.0"], id="default"),
        pytest.param([], ["dev"], False, ["always 1.0", "both 1.0", "in-dev 1.0"], id="only-dev"),
        pytest.param(["fast-x"], [], False, ["always 1.0", "in-fast 1.0"], id="only-extra"),
        pytest.param([], ["default"], False, ["always 1.0", "both 1.0", "main 1.0"], id="by-name"),
    ],
)
def test_groups_and_extras_choose(
    tmp_path: Path,
    extras: list[str],
    groups: list[str],
    main: bool,  # noqa: FBT001 - a row
    expected: list[str],
) -> None:
    """Main dependencies, dependency groups and extras stand beside each other, as in PDM."""
    lock = a_lock(
        tmp_path,
        entry("main"),
        entry("both", groups='"default", "dev"'),
        entry("in-dev", groups='"dev"'),
        entry("in-fast", groups='"fast-x"'),
        entry("always", groups=""),
    )

    assert chosen(lock, extras=extras, groups=groups, main=main) == expected


def test_markers_choose(tmp_path: Path) -> None:
    """A package ships where its marker holds, and one that is empty never does."""
    lock = a_lock(
        tmp_path,
        entry("arm", "marker = \"platform_machine == 'aarch64'\""),
        entry("old", "marker = \"python_version < '3.12' or sys_platform == 'win32'\""),
        entry("never", 'marker = "<empty>"'),
    )

    assert chosen(lock, a_target("python3.11", Architecture.ARM64)) == ["arm 1.0", "old 1.0"]
    assert chosen(lock) == []


def test_marker_is_shown_as_the_lock_has_it(tmp_path: Path) -> None:
    """The reason for leaving a package out does not name our gates."""
    lock = a_lock(tmp_path, entry("old", "marker = \"python_version < '3.12'\""))
    found = reached(lock, a_target(), extras=frozenset(), groups=frozenset())

    assert [left.reason for left in found.left_out] == [
        "its marker is false: python_version < '3.12'"
    ]


def test_versions_of_one_package_exclude_each_other(tmp_path: Path) -> None:
    """Of two versions, that ships whose marker holds."""
    lock = a_lock(
        tmp_path,
        entry("split", "marker = \"python_version < '3.12'\""),
        entry("split", "marker = \"python_version >= '3.12'\"", version="2.0"),
    )

    assert (chosen(lock), chosen(lock, a_target("python3.11"))) == (["split 2.0"], ["split 1.0"])


def test_entry_with_extras_is_the_same_package(tmp_path: Path) -> None:
    """`lib[web]` repeats `lib`; it ships once."""
    lock = a_lock(tmp_path, entry("lib"), entry("lib", 'extras = ["web"]'))

    assert chosen(lock) == ["lib 1.0"]


def test_entry_with_extras_alone_is_the_package(tmp_path: Path) -> None:
    """Where nothing is repeated, nothing is dropped."""
    lock = a_lock(tmp_path, entry("lib", 'extras = ["web"]'))

    assert chosen(lock) == ["lib 1.0"]


def test_package_that_does_not_run_on_the_target(tmp_path: Path) -> None:
    """A range of Pythons in the lock is heeded, also one of the old kind."""
    lock = a_lock(tmp_path, entry("lib", 'requires_python = ">=2.7,<=3.12.*,!=3.3.*"'))

    assert chosen(lock, a_target("python3.11")) == ["lib 1.0"]
    with pytest.raises(ExcludedTargetError, match=r"requires Python `!=3\.3\.\*,<3\.12,>=2\.7`"):
        chosen(lock)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param({"extras": ["slow"]}, "it has: fast-x", id="extra"),
        pytest.param({"groups": ["docs"]}, "it has: default, dev", id="group"),
    ],
)
def test_group_that_is_not_locked(
    tmp_path: Path, names: dict[str, list[str]], message: str
) -> None:
    """The error names what there is, and the command that locks all groups."""
    with pytest.raises(UnknownGroupError, match=message) as caught:
        chosen(a_lock(tmp_path), **names)  # type: ignore[arg-type] # one of the lists

    assert (caught.value.hint or "").endswith("is new: `pdm lock -G :all`")


def test_lock_that_lists_no_groups_has_those_of_the_project(tmp_path: Path) -> None:
    """PDM takes it so, too."""
    pyproject = _EXTRAS + "[dependency-groups]\nDev = []\n[tool.pdm.dev-dependencies]\nold = []\n"
    lock = a_lock(tmp_path, head='[metadata]\nlock_version = "4.4"\n', pyproject=pyproject)

    assert sorted(lock.groups or ()) == ["default", "dev", "old"]
    assert sorted(lock.extras or ()) == ["fast-x"]


# --- which packages of a graph --------------------------------------------------------

_GRAPH = f"""
{_PROJECT}
dependencies = ["lib[web,x]>=1", "only-arm; platform_machine == 'aarch64'", "python>=3.6"]
[project.optional-dependencies]
fast-x = ["quick", "demo[more]"]
more = ["deep"]
[dependency-groups]
dev = ["tester", {{include-group = "Docs"}}]
docs = ["split<2"]
[tool.pdm.resolution]
excludes = ["python"]
overrides = {{ old = "1.0" }}
{_PACKAGE}
"""
_GRAPH_ENTRIES = (
    entry("lib", groups=""),
    entry("lib", 'extras = ["web", "x"]', needs("web", "lib==1.0"), groups=""),
    entry("lib", 'extras = ["web"]', needs("wrong"), groups=""),
    entry("web", needs("deep; python_version < '3.12'"), groups=""),
    entry("deep", groups=""),
    entry("only-arm", groups=""),
    entry("quick", needs("old>5"), groups=""),
    entry("old", groups=""),
    entry("tester", needs("Demo[fast-x]"), groups=""),
    entry("split", groups=""),
    entry("split", 'requires_python = ">=3.12"', version="2.0", groups=""),
    entry("wrong", groups=""),
)


@pytest.mark.parametrize(
    ("extras", "groups", "main", "expected"),
    [
        pytest.param([], [], True, "lib web", id="default"),
        pytest.param([], ["default"], False, "lib web", id="default-by-name"),
        pytest.param(["fast-x"], [], False, "deep old quick", id="extra-with-another"),
        pytest.param([], ["docs"], False, "split", id="group"),
        pytest.param(
            [], ["dev"], False, "deep lib old quick split tester web", id="group-needs-the-project"
        ),
    ],
)
def test_graph_is_walked(
    tmp_path: Path,
    extras: list[str],
    groups: list[str],
    main: bool,  # noqa: FBT001 - a row
    expected: str,
) -> None:
    """Requirements of pyproject.toml are the roots; markers, extras and ranges choose."""
    head = metadata(strategy="").replace('"fast-x"', '"fast-x", "docs"')
    lock = a_lock(tmp_path, *_GRAPH_ENTRIES, head=head, pyproject=_GRAPH)

    found = chosen(lock, extras=extras, groups=groups, main=main)

    assert [line.split()[0] for line in found] == expected.split()


def test_graph_prefers_the_newest_that_runs(tmp_path: Path) -> None:
    """Of two versions without markers, each target gets the newest that its Python admits."""
    pyproject = _PROJECT + 'dependencies = ["split"]\n'
    lock = a_graph(tmp_path, *_GRAPH_ENTRIES, pyproject=pyproject)

    assert (chosen(lock), chosen(lock, a_target("python3.11"))) == (["split 2.0"], ["split 1.0"])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("one @ file:///${PROJECT_ROOT}/../one", id="named"),
        pytest.param("./../one", id="path"),
        pytest.param("-e file:///${PROJECT_ROOT}/../one#egg=one", id="editable"),
        pytest.param("-e ../one ; python_version > '3.0'", id="editable-with-marker"),
    ],
)
def test_graph_knows_a_place_in_every_spelling(tmp_path: Path, line: str) -> None:
    """A requirement on a folder is answered by the entry that lies there."""
    lock = a_graph(
        tmp_path,
        entry("one", 'path = "../one"', "files = []", groups=""),
        entry("other", 'path = "../other"', "files = []", groups=""),
        pyproject=_PROJECT + f'[tool.pdm.dev-dependencies]\ndev = ["{line}"]\n',
    )

    assert chosen(lock, groups=["dev"]) == ["one 1.0"]


def test_graph_tells_two_places_of_one_name_apart(tmp_path: Path) -> None:
    """Where a package is locked from two places, the place decides, without the commit."""
    lock = a_graph(
        tmp_path,
        entry("one", 'git = "https://git.example/a/one"', 'revision = "c1"', groups=""),
        entry(
            *("one", 'git = "https://git.example/b/one"', 'revision = "c2"'),
            version="2.0",
            groups="",
        ),
        pyproject=_PROJECT + 'dependencies = ["one @ git+https://git.example/b/one@main"]\n',
    )

    assert chosen(lock) == ["one 2.0"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        pytest.param(
            '[tool.pdm.dev-dependencies]\ndev = ["not there"]',
            "is not a requirement",
            id="no-requirement",
        ),
        pytest.param(
            '[tool.pdm.dev-dependencies]\ndev = ["../gone"]',
            "no package in the lock comes from",
            id="no-place",
        ),
        pytest.param(
            '[tool.pdm.dev-dependencies]\ndev = ["a; x == 1"]', "is not a marker", id="no-marker"
        ),
        pytest.param(
            '[dependency-groups]\na = [{include-group = "b"}]\nb = [{include-group = "a"}]',
            "the group `a` includes itself",
            id="circle",
        ),
        pytest.param(
            '[dependency-groups]\na = [{include-group = "b"}]',
            "the group `a` includes `b`, which does not exist",
            id="no-group",
        ),
        pytest.param(
            "[dependency-groups]\na = [1]",
            "contains an item that is not a requirement",
            id="number",
        ),
        pytest.param("[dependency-groups]\na = 1", "must be a list", id="no-list"),
        pytest.param(
            "[dependency-groups]\na-a = []\nA_A = []", "`a-a` is defined twice", id="twice"
        ),
    ],
)
def test_requirements_that_cannot_be_read(tmp_path: Path, tables: str, message: str) -> None:
    """What is wrong with the groups of pyproject.toml is said with its place."""
    with pytest.raises(InvalidLockError, match=message):
        a_graph(tmp_path, pyproject=_PROJECT + tables)


def test_missing_entry_is_a_broken_lock(tmp_path: Path) -> None:
    """A requirement that nothing answers is an error, not something left out."""
    lock = a_graph(tmp_path, pyproject=_PROJECT + 'dependencies = ["gone"]\n')

    with pytest.raises(InvalidLockError, match="the project needs gone, but 0 of its 0 entries"):
        chosen(lock)


def test_graph_of_another_tools_tables(tmp_path: Path) -> None:
    """The groups of a project in Poetry's tables are known to PDM alone."""
    with pytest.raises(UnsupportedLockError, match="inherit_metadata"):
        a_graph(tmp_path, pyproject='[tool.poetry]\nname = "demo"\nversion = "1"\n')


# --- lock targets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "serves"),
    [
        pytest.param('requires_python = ">=3.10"', True, id="any-platform"),
        pytest.param('requires_python = "==3.13.*"\nplatform = "linux"', True, id="alias"),
        pytest.param('requires_python = ""\nplatform = "manylinux_2_17_x86_64"', True, id="glibc"),
        pytest.param('requires_python = ""\nplatform = "manylinux_2_40_amd64"', True, id="newer"),
        pytest.param('requires_python = ""\nplatform = "manylinux_2_34_arm64"', False, id="arm"),
        pytest.param('requires_python = ""\nplatform = "musllinux_1_2_x86_64"', False, id="musl"),
        pytest.param('requires_python = ""\nplatform = "windows_amd64"', False, id="windows"),
        pytest.param('requires_python = ""\nimplementation = "cpython"', True, id="cpython"),
        pytest.param('requires_python = ""\nimplementation = "pypy"', False, id="pypy"),
        pytest.param(
            'requires_python = ""\nimplementation = "cpython"\ngil_disabled = true',
            False,
            id="free-threaded",
        ),
        pytest.param('requires_python = "<3.12||>=3.13"', True, id="union"),
        pytest.param('requires_python = "<3.11||>=3.14"', False, id="union-without"),
        pytest.param('requires_python = ">=3.10,!=3.13.*"', False, id="hole"),
    ],
)
def test_lock_target_decides(
    tmp_path: Path,
    lines: str,
    serves: bool,  # noqa: FBT001 - a row
) -> None:
    """A lock serves Lambda's glibc, architecture and CPython only if a target of its own does."""
    lock = a_lock(tmp_path, head=metadata(targets=f"[[metadata.targets]]\n{lines}"))

    if serves:
        assert chosen(lock) == []
    else:
        with pytest.raises(ExcludedTargetError):
            chosen(lock)


def test_excluded_target_names_the_command(tmp_path: Path) -> None:
    """The error lists the targets of the lock and the command that adds the missing one."""
    targets = "".join(
        f'[[metadata.targets]]\nrequires_python = "==3.11.*"\nplatform = "{platform}"\n'
        for platform in ("macos_14_0_arm64", "windows_amd64")
    )
    lock = a_lock(tmp_path, head=metadata(targets=targets))

    with pytest.raises(ExcludedTargetError) as caught:
        chosen(lock, a_target("python3.11", Architecture.ARM64))

    assert (
        str(caught.value)
        == """\
error: the lock pdm.lock does not cover python3.11 arm64
  why: it was locked only for these environments:
       - requires_python = ==3.11.*, platform = macos_14_0_arm64
       - requires_python = ==3.11.*, platform = windows_amd64

hint: add the target to the lock: `pdm lock --platform manylinux_2_26_aarch64 --python "==3.11.*" \
--append`, or choose another runtime or architecture"""
    )


def test_python_that_the_project_excludes(tmp_path: Path) -> None:
    """No target can be added for it, so the error asks for another runtime."""
    pyproject = _PROJECT.replace(">=3.10", ">=3.12")

    with pytest.raises(ExcludedTargetError, match="change the project to support this one"):
        chosen(a_lock(tmp_path, pyproject=pyproject), a_target("python3.11"))


def test_lock_of_an_unknown_platform_is_warned_of(tmp_path: Path) -> None:
    """PDM before 2.17 did not note for which platform it locked."""
    lock = a_lock(tmp_path, head=metadata(version="4.4.1"))
    both = '"cross_platform", "inherit_metadata"'

    assert lock.warnings == (
        "pdm.lock was locked for a single platform and does not say which: "
        "lock again with PDM 2.17 or later, `pdm lock`",
    )
    assert a_lock(tmp_path, head=metadata(version="4.4.1", strategy=both)).warnings == ()


# --- files and sources ----------------------------------------------------------------


def test_files_are_known_by_name_or_by_url(tmp_path: Path) -> None:
    """With static URLs the files are where the lock says, else the index knows."""
    wheel, url = "lib-1.0-py3-none-any.whl", "https://files.example/lib-1.0.tar.gz?x=1"
    files = f'files = [{{file = "{wheel}", hash = "{_A}"}}, {{url = "{url}", hash = "{_A}"}}]'

    package = only(a_lock(tmp_path, entry("lib", files)))

    assert package.wheels == (LockedFile(filename=wheel, digest=Digest(_A)),)
    assert package.sdist == LockedFile(filename="lib-1.0.tar.gz", url=url, digest=Digest(_A))


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        pytest.param(
            ('git = "https://git.example/lib"', 'revision = "c1"', 'subdirectory = "sub"'),
            LockedVcs(kind="git", url="https://git.example/lib", commit="c1", subdirectory="sub"),
            id="commit",
        ),
        pytest.param(
            ('url = "https://files.example/lib.whl"', 'subdirectory = "sub"'),
            LockedFile(
                filename="lib.whl",
                digest=Digest(_A),
                url="https://files.example/lib.whl",
                subdirectory="sub",
            ),
            id="url",
        ),
    ],
)
def test_sources(tmp_path: Path, lines: tuple[str, ...], source: LockedVcs | LockedFile) -> None:
    """What does not come from an index has its own place."""
    package = only(a_lock(tmp_path, entry("lib", *lines)))

    assert (package.vcs or package.wheels[0]) == source


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('path = "../lib"', id="path"),
        pytest.param('url = "file:///${PROJECT_ROOT}/../lib"', id="url-of-the-root"),
    ],
)
def test_folder(tmp_path: Path, line: str) -> None:
    """A folder lies where the lock says, seen from the lock."""
    package = only(a_lock(tmp_path, entry("lib", line, "editable = true", "files = []")))

    assert package.directory == LockedDirectory(path=tmp_path / ".." / "lib", editable=True)


def test_archive_on_this_machine(tmp_path: Path) -> None:
    """An sdist that lies in a folder is built."""
    files = f'files = [{{url = "file:///elsewhere/lib-1.0.tar.gz", hash = "{_A}"}}]'
    package = only(a_lock(tmp_path, entry("lib", 'path = "./lib-1.0.tar.gz"', files)))

    assert package.archive == LockedFile(
        filename="lib-1.0.tar.gz", digest=Digest(_A), path=tmp_path / "lib-1.0.tar.gz"
    )


def test_variables_in_a_url_are_filled_in(tmp_path: Path) -> None:
    """A token stands in the environment, not in the lock."""
    a_lock(tmp_path, entry("lib", 'url = "https://${TOKEN}@files.example/lib.whl"'))
    project, environ = read_project(tmp_path), {"TOKEN": "a/b"}
    lock = read_lock(tmp_path / "pdm.lock", project, environ, lock_is_fresh=True)

    assert only(lock).wheels[0].url == "https://a%2Fb@files.example/lib.whl"


def test_project_itself_does_not_ship_from_the_lock(tmp_path: Path) -> None:
    """A requirement may lead back to the project."""
    lock = a_lock(tmp_path, entry("demo", 'path = "."', "files = []"), entry("other"))

    assert chosen(lock) == ["other 1.0"]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        pytest.param(
            ('files = [{file = "lib.whl", hash = "md5:abc"}]',),
            "package[0].files[0]",
            id="weak-hash",
        ),
        pytest.param(
            ('url = "https://files.example/lib.whl"', "files = []"), "package[0]", id="no-hash"
        ),
    ],
)
def test_file_without_digest(tmp_path: Path, lines: tuple[str, ...], place: str) -> None:
    """What nothing vouches for is refused."""
    with pytest.raises(MissingHashError) as caught:
        a_lock(tmp_path, entry("lib", *lines))

    assert caught.value.places == (f"pdm.lock: {place}",)


def test_zeroed_hash_is_never_replaced_by_that_of_the_index(tmp_path: Path) -> None:
    """A file of the index that is not the locked one does not ship."""
    wheel = a_wheel("lib")
    pyproject = _PROJECT + 'dependencies = ["lib"]\n[tool.pdm]\ndistribution = false\n'
    with FakeIndex([wheel]) as index:
        pyproject += f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{index.url}"\n'
        (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
        known = content_hash(read_project(tmp_path).pyproject)
        more = f'content_hash = "sha256:{known}"'
        results = []
        for digest in (wheel.sha256, "0" * 64):
            file = f'files = [{{file = "{wheel.filename}", hash = "sha256:{digest}"}}]'
            text = metadata(more=more) + entry("lib", file)
            (tmp_path / "pdm.lock").write_text(text, encoding="utf-8")
            ran = run_lambda_build(
                *("--contents", "dependencies", "--output", tmp_path / f"{digest}.zip"),
                cwd=tmp_path,
                environ=quiet_environment(tmp_path / "home"),
            )
            results.append((ran.code, (tmp_path / f"{digest}.zip").exists()))

    assert results == [(0, True), (5, False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            entry("lib", 'requires_python = "x"'), "is not a version specifier", id="python"
        ),
        pytest.param(entry("lib", 'marker = "x"'), "is not a marker", id="marker"),
        pytest.param(
            entry("lib", 'git = "https://git.example/lib"', "editable = true"),
            "locked without its commit",
            id="editable-commit",
        ),
        pytest.param(
            entry("lib", 'files = [{file = "a.whl"}]'), "required key `hash`", id="no-hash-key"
        ),
        pytest.param(
            '[[metadata.targets]]\nrequires_python = "x"\n', "not a version specifier", id="target"
        ),
    ],
)
def test_broken_lock(tmp_path: Path, text: str, message: str) -> None:
    """What the format does not allow is said with its place and the command that mends it."""
    with pytest.raises(InvalidLockError, match=message) as caught:
        a_lock(tmp_path, text)

    assert (caught.value.hint or "").startswith("make it again with `pdm lock`")


# --- version and freshness ------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        pytest.param("4.3", "lock again with PDM 2.10 or later: `pdm lock`", id="older"),
        pytest.param(
            "4.6.0",
            "update lambda-build-plugin, or lock again with PDM 2.10 or later: `pdm lock`",
            id="newer",
        ),
    ],
)
def test_versions_that_are_not_read(tmp_path: Path, version: str, hint: str) -> None:
    """PDM refuses a higher minor version, and so do we; older ones are no more."""
    with pytest.raises(UnsupportedLockError, match=f"its lock_version is {version}") as caught:
        a_lock(tmp_path, head=metadata(version=version))

    assert caught.value.hint == hint


def test_lock_without_version(tmp_path: Path) -> None:
    """Something that is no lock of PDM is not read as one."""
    with pytest.raises(UnsupportedLockError, match="its lock_version is not stated"):
        a_lock(tmp_path, head="[metadata]\n")


def test_higher_patch_level_is_read_with_a_warning(tmp_path: Path) -> None:
    """PDM reads it, too, and says so."""
    target = '[[metadata.targets]]\nrequires_python = ">=3.10"'
    lock = a_lock(tmp_path, head=metadata(version="4.5.9", targets=target))

    assert lock.warnings == ("pdm.lock has lock_version 4.5.9, but the newest known one is 4.5.1",)


@pytest.mark.parametrize(
    ("version", "ways", "fresh"),
    [
        pytest.param("4.5.1", {}, True, id="newest"),
        pytest.param("4.5.1", {"with_groups": False}, False, id="newest-hashes-groups"),
        pytest.param("4.5.0", {"with_groups": False}, True, id="before-2.20"),
        pytest.param("4.4.2", {"with_groups": False}, True, id="4.4.2"),
        pytest.param(
            "4.4.1", {"with_groups": False, "whole_resolution": False}, True, id="overrides-alone"
        ),
        pytest.param(
            "4.4.2", {"with_groups": False, "whole_resolution": False}, False, id="no-longer"
        ),
    ],
)
def test_hash_is_of_its_time(
    tmp_path: Path,
    version: str,
    ways: dict[str, bool],
    fresh: bool,  # noqa: FBT001 - a row
) -> None:
    """The content hash is computed as the PDM that wrote the version had it."""
    pyproject = _EXTRAS + "[tool.pdm.dev-dependencies]\nDev_X = []\n"
    (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    known = content_hash(read_project(tmp_path).pyproject, **ways)
    head = metadata(version=version, more=f'content_hash = "sha256:{known}"')

    try:
        lock = a_lock(tmp_path, head=head, pyproject=pyproject, fresh=False)
    except StaleLockError:
        assert not fresh
    else:
        assert (lock.kind, fresh) == ("pdm.lock", True)


def test_stale_lock_says_how_to_mend_it(tmp_path: Path) -> None:
    """Without a hash it is not fresh, either."""
    with pytest.raises(StaleLockError) as caught:
        a_lock(tmp_path, fresh=False)

    assert (
        str(caught.value)
        == """\
error: the lock pdm.lock is out of date
  why: pyproject.toml and the lock differ:
       - the content hash of pyproject.toml does not match the one in the lock

hint: run `pdm lock` and review the changes"""
    )


def test_differences_of_inputs_are_named(tmp_path: Path) -> None:
    """Where the lock holds what PDM locked for, the error says what changed."""
    inputs = """
[metadata.lock_inputs.project]
requires-python = ">=3.9"
sources = [{name = "other", url = "sha256:00"}]
[metadata.lock_inputs.project.resolution]
respect-source-order = true
[metadata.lock_inputs.project.groups]
default = ["lib"]
gone = []
"""
    pyproject = (
        f'{_PROJECT}dependencies = ["lib>=2"]\n[project.optional-dependencies]\nfast-x = []\n'
    )

    with pytest.raises(StaleLockError) as caught:
        a_lock(tmp_path, entry("lib"), head=metadata(more=inputs), pyproject=pyproject, fresh=False)

    assert caught.value.differences == (
        "- requires-python: now >=3.10",
        "- [[tool.pdm.source]]",
        "- [tool.pdm.resolution]",
        "- lib>=2: the lock has 1.0",
        "- group `fast-x`: added",
        "- group `gone`: removed",
    )


def test_project_in_another_tools_tables_is_taken_as_it_is(tmp_path: Path) -> None:
    """PDM hashes its own translation of them, so there is a warning and no comparison."""
    head = metadata(targets='[[metadata.targets]]\nrequires_python = ">=3.10"')
    pyproject = '[tool.poetry]\nname = "demo"\nversion = "1"\n'
    lock = a_lock(tmp_path, head=head, pyproject=pyproject, fresh=False)

    assert lock.warnings == (
        "pdm.lock is assumed to be up to date: only PDM itself can compare it with the tables "
        "of another tool (`pdm lock --check`)",
    )
