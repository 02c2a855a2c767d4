"""`uv.lock` as a `Lock`: every lock here is made by uv itself, against an index of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.wheels import a_wheel, an_sdist
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.errors import LockError
from lambda_build_plugin.lock import uv
from lambda_build_plugin.lock.fields import Context
from lambda_build_plugin.lock.find import find_lock
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedPackage, LockedVcs
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Lock

WHEELS = (
    a_wheel("alpha", "1.0"),
    a_wheel("alpha", "2.0"),
    a_wheel("gamma", "1.0"),
    a_wheel(
        "beta",
        "1.0",
        metadata=(
            "Requires-Dist: alpha",
            "Provides-Extra: x",
            "Requires-Dist: gamma; extra == 'x'",
        ),
    ),
)
ALPHA_2 = WHEELS[1]
HEAD = '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.10"\n'


@pytest.fixture(scope="module")
def index() -> Iterator[FakeIndex]:
    """Serve the wheels."""
    with FakeIndex(WHEELS) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder for a project."""
    folder = (tmp_path / "project").resolve()
    folder.mkdir()
    return folder


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files, and the folders they lie in."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run_uv_lock(root: Path, index: FakeIndex) -> None:
    """Lock with nothing of this machine's configuration in sight."""
    beside = Path(sys.executable).parent
    executable = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    assert executable, "uv is in the dependency group `test`"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(root.parent / "home"),
        "XDG_CONFIG_HOME": str(root.parent / "home"),
        "XDG_CONFIG_DIRS": str(root.parent / "home"),
        "UV_CACHE_DIR": str(root.parent / "cache"),
        "UV_DEFAULT_INDEX": index.url,
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    result = subprocess.run(
        [executable, "lock"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def a_lock(root: Path, index: FakeIndex, pyproject: str, **files: str) -> Lock:
    """Lock a project and read what uv wrote; `lib__x` stands for `lib/x`."""
    others = {name.replace("__", "/") + ".toml": text for name, text in files.items()}
    write(root, {"pyproject.toml": HEAD + pyproject, **others})
    run_uv_lock(root, index)
    return read(root)


def read(root: Path, lock: Path | None = None) -> Lock:
    """Read the lock of the project in a folder."""
    context = Context(project=read_project(root), environ={})
    return uv.read(lock or root / "uv.lock", context)


def shipped(lock: Lock, runtime: str = "python3.13", *, extras: str = "", groups: str = "") -> str:
    """Name what a lock brings to a target on arm64."""
    target = Target(runtime=RUNTIMES[runtime], architecture=Architecture.ARM64)
    result = reached(lock, target, extras=_names(extras), groups=_names(groups))
    return ", ".join(str(package) for package in result.packages)


def the(lock: Lock, name: str) -> LockedPackage:
    """Get the one entry of a name."""
    (package,) = (package for package in lock.packages if package.name == name)
    return package


def _names(text: str) -> frozenset[NormalizedName]:
    return frozenset(map(canonicalize_name, text.split()))


# --- packages -------------------------------------------------------------------------


def test_package_of_an_index(root: Path, index: FakeIndex) -> None:
    """The lock holds the address, the digest and the index."""
    lock = a_lock(root, index, 'dependencies = ["alpha"]')

    assert the(lock, "alpha") == LockedPackage(
        name=canonicalize_name("alpha"),
        version=Version("2.0"),
        at="uv.lock: package[0] (alpha)",
        index=index.url,
        wheels=(
            LockedFile(
                digest=Digest(f"sha256:{ALPHA_2.sha256}"),
                filename=ALPHA_2.filename,
                url=index.file_url(ALPHA_2.filename),
            ),
        ),
    )
    assert lock.requires_python == SpecifierSet(">=3.10")


def test_needs_of_needs(root: Path, index: FakeIndex) -> None:
    """Extras of packages bring what they need."""
    assert shipped(a_lock(root, index, 'dependencies = ["beta[x]"]')) == (
        "alpha 2.0, beta 1.0, gamma 1.0"
    )


def test_what_the_user_says_of_requirements(root: Path, index: FakeIndex) -> None:
    """Overrides, exclusions and metadata stated by hand are known: they contradict wheels."""
    lock = a_lock(
        root,
        index,
        'dependencies = ["beta[x]"]\n[tool.uv]\n'
        "override-dependencies = [\"Alpha; sys_platform == 'never'\"]\n"
        'exclude-dependencies = ["gamma"]\n'
        '[[tool.uv.dependency-metadata]]\nname = "beta"\nversion = "1.0"\n'
        'requires-dist = ["alpha"]\nprovides-extra = ["x"]\n',
    )

    assert (lock.overridden, lock.rewritten) == (_names("alpha gamma"), _names("beta"))


def test_fork_by_python(root: Path, index: FakeIndex) -> None:
    """Each runtime gets the version that was resolved for it."""
    lock = a_lock(
        root,
        index,
        """dependencies = [
    "beta", "alpha<2; python_version < '3.12'", "alpha>=2; python_version >= '3.12'",
]""",
    )

    assert [shipped(lock, runtime) for runtime in ("python3.11", "python3.13")] == [
        "alpha 1.0, beta 1.0",
        "alpha 2.0, beta 1.0",
    ]


def test_extras_and_groups(root: Path, index: FakeIndex) -> None:
    """Only main ships, unless more is asked for; an extra may ask for another."""
    lock = a_lock(
        root,
        index,
        """dependencies = ["alpha"]
[project.optional-dependencies]
My_Extra = ["gamma"]
all = ["demo[my-extra]"]
none = []
[dependency-groups]
dev = ["beta"]
""",
    )

    assert [
        shipped(lock),
        shipped(lock, extras="my-extra"),
        shipped(lock, extras="all"),
        shipped(lock, extras="none"),
        shipped(lock, groups="dev"),
    ] == [
        "alpha 2.0",
        "alpha 2.0, gamma 1.0",
        "alpha 2.0, gamma 1.0",
        "alpha 2.0",
        "alpha 2.0, beta 1.0",
    ]


CONFLICTS = """dependencies = ["beta"]
[project.optional-dependencies]
cpu = ["alpha==1.0"]
gpu = ["alpha==2.0"]
[dependency-groups]
old = ["alpha==1.0"]
[tool.uv]
conflicts = [[{ extra = "cpu" }, { extra = "gpu" }, { group = "old" }]]
"""


@pytest.mark.parametrize(
    ("extras", "groups", "expected"),
    [
        pytest.param("", "", "alpha 2.0, beta 1.0", id="none"),
        pytest.param("cpu", "", "alpha 1.0, beta 1.0", id="one-side"),
        pytest.param("gpu", "", "alpha 2.0, beta 1.0", id="the-other"),
        pytest.param("", "old", "alpha 1.0, beta 1.0", id="group"),
    ],
)
def test_conflicting_extras(
    root: Path, index: FakeIndex, extras: str, groups: str, expected: str
) -> None:
    """Which side is asked for decides deep in the graph too."""
    lock = a_lock(root, index, CONFLICTS)

    assert shipped(lock, extras=extras, groups=groups) == expected


def test_both_sides_of_a_conflict(root: Path, index: FakeIndex) -> None:
    """What excludes each other cannot be had together."""
    lock = a_lock(root, index, CONFLICTS)

    with pytest.raises(LockError) as caught:
        shipped(lock, extras="cpu gpu")

    assert caught.value.what == "the lock uv.lock has `alpha` more than once for python3.13 arm64"


def test_environments_that_were_not_locked(root: Path, index: FakeIndex) -> None:
    """A lock limited to other systems lacks what this one needs."""
    limited = "[tool.uv]\nenvironments = [\"sys_platform == 'win32'\"]\n"
    lock = a_lock(root, index, f'dependencies = ["alpha"]\n{limited}')

    with pytest.raises(LockError) as caught:
        shipped(lock)

    assert caught.value.why == (
        "it was locked only for these environments:\n- sys_platform == 'win32'"
    )


def test_index_by_marker(root: Path, index: FakeIndex) -> None:
    """One package may come from two indexes, each for its own systems."""
    special = a_wheel("alpha", "2.0+cpu")
    with FakeIndex([special]) as other:
        lock = a_lock(
            root,
            index,
            f"""dependencies = ["alpha"]
[tool.uv.sources]
alpha = [{{ index = "other", marker = "sys_platform == 'linux'" }}]
[[tool.uv.index]]
name = "other"
url = "{other.url}"
explicit = true
""",
        )

        assert shipped(lock) == "alpha 2.0+cpu"
        assert {package.index for package in lock.packages} == {None, index.url, other.url}


# --- sources --------------------------------------------------------------------------


def test_folder_of_wheels(root: Path, index: FakeIndex) -> None:
    """With find-links uv writes no hashes, and that is worth a warning."""
    ALPHA_2.write_to(root / "my wheels")
    lock = a_lock(
        root,
        index,
        'dependencies = ["alpha"]\n[tool.uv]\nno-index = true\nfind-links = ["my wheels"]\n',
    )

    assert the(lock, "alpha").wheels == (
        LockedFile(
            digest=None, filename=ALPHA_2.filename, path=root / "my wheels" / ALPHA_2.filename
        ),
    )
    assert lock.warnings == (
        "uv.lock has no hashes for the files in the folder my wheels: "
        "uv does not lock any for find-links, so the build takes whatever is there",
    )


def test_wheel_by_its_path(root: Path, index: FakeIndex) -> None:
    """A wheel beside the project is found from the lock, and has its digest."""
    ALPHA_2.write_to(root / "wheels")
    lock = a_lock(
        root,
        index,
        'dependencies = ["alpha"]\n[tool.uv.sources]\n'
        f'alpha = {{ path = "wheels/{ALPHA_2.filename}" }}\n',
    )

    assert the(lock, "alpha").wheels == (
        LockedFile(
            digest=Digest(f"sha256:{ALPHA_2.sha256}"),
            filename=ALPHA_2.filename,
            path=root / "wheels" / ALPHA_2.filename,
        ),
    )


def test_wheel_and_sdist_by_url(root: Path, index: FakeIndex) -> None:
    """A file by its address; of an sdist the lock keeps the digest alone."""
    wheel, sdist = a_wheel("one", "1+x"), an_sdist("two", "1")
    with FakeIndex([wheel, sdist]) as other:
        urls = [other.file_url(file.filename) for file in (wheel, sdist)]
        lock = a_lock(root, index, f'dependencies = ["one @ {urls[0]}", "two @ {urls[1]}"]')

    assert the(lock, "one").wheels == (
        LockedFile(digest=Digest(f"sha256:{wheel.sha256}"), filename=wheel.filename, url=urls[0]),
    )
    assert the(lock, "two").sdist == LockedFile(
        digest=Digest(f"sha256:{sdist.sha256}"), filename=sdist.filename, url=urls[1]
    )


LIBRARY = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "lib"
version = "1"
requires-python = ">=3.10"
"""


@pytest.mark.skipif(shutil.which("git") is None, reason="git makes the repository")
def test_commit_of_a_repository(root: Path, index: FakeIndex, tmp_path: Path) -> None:
    """A git source is a commit, and a folder in it."""
    repository = tmp_path / "repository"
    write(repository, {"some/lib/pyproject.toml": LIBRARY})
    identity = ("-c", "user.name=me", "-c", "user.email=me@mail.example")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=repository,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    lock = a_lock(
        root,
        index,
        'dependencies = ["lib"]\n[tool.uv.sources]\n'
        f'lib = {{ git = "{repository.as_uri()}", subdirectory = "some/lib" }}\n',
    )

    assert the(lock, "lib").vcs == LockedVcs(
        kind="git",
        url=repository.as_uri(),
        commit=git("rev-parse", "HEAD"),
        subdirectory="some/lib",
    )


def test_folder_of_source(root: Path, index: FakeIndex) -> None:
    """A path dependency lies where the lock says."""
    lock = a_lock(
        root,
        index,
        'dependencies = ["lib"]\n[tool.uv.sources]\nlib = { path = "../lib" }\n',
        **{"..__lib__pyproject": LIBRARY},
    )

    assert the(lock, "lib").directory == LockedDirectory(path=root / "../lib")


# --- workspaces -----------------------------------------------------------------------

MEMBERS = '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
MEMBER_LIB = "[tool.uv.sources]\nlib = { workspace = true }\n"


def test_root_of_a_workspace(root: Path, index: FakeIndex) -> None:
    """A member that the root needs is a folder; the root itself never ships from the lock."""
    lock = a_lock(
        root,
        index,
        f'dependencies = ["lib"]\n{MEMBER_LIB}{MEMBERS}',
        packages__lib__pyproject=f'{LIBRARY}dependencies = ["gamma"]\n',
    )

    assert shipped(lock) == "gamma 1.0, lib 1"
    assert the(lock, "lib").directory == LockedDirectory(path=root / "packages/lib")


def test_member_with_the_lock_at_the_root(root: Path, index: FakeIndex) -> None:
    """The walk begins at the member that is being built."""
    member = HEAD.replace("demo", "app")
    a_lock(
        root,
        index,
        f'dependencies = ["beta"]\n{MEMBER_LIB}{MEMBERS}',
        packages__lib__pyproject=f'{LIBRARY}dependencies = ["gamma"]\n',
        packages__app__pyproject=f'{member}dependencies = ["lib", "alpha"]\n',
    )
    app = root / "packages" / "app"
    found = find_lock(read_project(app), None)

    assert found is not None
    assert shipped(read(app, found.path)) == "alpha 2.0, gamma 1.0, lib 1"


def test_member_that_is_no_package(root: Path, index: FakeIndex) -> None:
    """Of a member with `package = false`, only what it needs ships."""
    lock = a_lock(
        root,
        index,
        f'dependencies = ["lib"]\n{MEMBER_LIB}{MEMBERS}',
        packages__lib__pyproject=f'{LIBRARY}dependencies = ["gamma"]\n[tool.uv]\npackage = false\n',
    )

    assert shipped(lock) == "gamma 1.0"


def test_conflicting_extras_of_a_member(root: Path, index: FakeIndex) -> None:
    """Asking for `lib[cpu]` opens the gates of that extra, in whichever member it is."""
    lock = a_lock(
        root,
        index,
        f"""dependencies = ["lib[cpu]"]
{MEMBER_LIB}
[tool.uv]
conflicts = [[{{ package = "lib", extra = "cpu" }}, {{ package = "lib", extra = "gpu" }}]]
{MEMBERS}""",
        packages__lib__pyproject=f"""{LIBRARY}
[project.optional-dependencies]
cpu = ["alpha==1.0"]
gpu = ["alpha==2.0"]
""",
    )

    assert shipped(lock) == "alpha 1.0, lib 1"


def test_conflicting_members(root: Path) -> None:
    """Of projects that exclude each other the one that is built is active."""
    write(
        root,
        {
            "pyproject.toml": HEAD.replace("demo", "one") + 'dependencies = ["alpha<2"]\n',
            "uv.lock": f"""version = 1
[[package]]
name = "one"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "alpha", version = "1.0", marker = "extra == 'project-3-one'" }},
    {{ name = "alpha", version = "2.0", marker = "extra == 'project-3-two'" }},
]
[package.metadata]
requires-dist = [{{ name = "alpha", specifier = "<2" }}]
{_entry("1.0")}{_entry("2.0")}""",
        },
    )

    assert shipped(read(root)) == "alpha 1.0"


def _a_workspace_of_two(root: Path, needs: str) -> tuple[Path, Path, Path]:
    """Write a lock of two members that need `beta`, which needs `alpha` as the text says."""
    members = []
    entries = ""
    for name in ("one", "two"):
        write(
            root,
            {f"{name}/pyproject.toml": f'{HEAD.replace("demo", name)}dependencies = ["beta"]\n'},
        )
        members.append(root / name)
        entries += f"""[[package]]
name = "{name}"
source = {{ virtual = "{name}" }}
dependencies = [{{ name = "beta" }}]
[package.metadata]
requires-dist = [{{ name = "beta" }}]
"""
    beta = _entry("1.0").replace("alpha", "beta") + f"dependencies = [{needs}]\n"
    text = f"version = 1\n{entries}{beta}{_entry('1.0')}{_entry('2.0')}"
    write(root, {"uv.lock": text})
    return members[0], members[1], root / "uv.lock"


def test_members_share_what_is_parsed(root: Path) -> None:
    """The packages of a lock are read once for all members of a workspace."""
    one, two, lock = _a_workspace_of_two(root, '{ name = "alpha", version = "1.0" }')

    first, second = read(one, lock), read(two, lock)

    assert first.packages is second.packages
    assert (shipped(first), shipped(second)) == ("alpha 1.0, beta 1.0", "alpha 1.0, beta 1.0")


def test_members_with_conflicts_share_nothing(root: Path) -> None:
    """What excludes each other is decided for each member, whichever was read before."""
    needs = (
        """{ name = "alpha", version = "1.0", marker = "extra == 'project-3-one'" },"""
        """{ name = "alpha", version = "2.0", marker = "extra == 'project-3-two'" }"""
    )
    one, two, lock = _a_workspace_of_two(root, needs)

    found = [shipped(read(member, lock)) for member in (one, two, one)]

    assert found == ["alpha 1.0, beta 1.0", "alpha 2.0, beta 1.0", "alpha 1.0, beta 1.0"]


def test_lock_that_was_changed_is_parsed_again(root: Path) -> None:
    """A lock that another program writes between two builds is the one that counts."""
    one, _, lock = _a_workspace_of_two(root, '{ name = "alpha", version = "1.0" }')
    read(one, lock)

    _a_workspace_of_two(root, '{ name = "alpha", version = "2.0" }')

    assert shipped(read(one, lock)) == "alpha 2.0, beta 1.0"


def _entry(version: str) -> str:
    return f"""[[package]]
name = "alpha"
version = "{version}"
source = {{ registry = "https://index.example/simple/" }}
"""


def test_root_that_is_no_project(root: Path, index: FakeIndex) -> None:
    """A workspace's root alone has nothing to build; its members are named."""
    write(
        root,
        {
            "pyproject.toml": MEMBERS,
            "packages/a/pyproject.toml": HEAD.replace("demo", "a"),
            "packages/b/pyproject.toml": HEAD.replace("demo", "b"),
        },
    )
    run_uv_lock(root, index)

    with pytest.raises(LockError) as caught:
        read(root)

    assert (
        str(caught.value)
        == f"""\
error: cannot use the lock uv.lock
  why: it locks a workspace, and {root} itself is not a project

hint: name the folder of one of its members: `packages/a`, `packages/b`"""
    )


# --- fresh or stale -------------------------------------------------------------------

LOCKED = """dependencies = [
    "alpha>=1",
    "gamma; platform_system == 'Windows'",
]
[project.optional-dependencies]
fast = ["beta[x]>=1.0,<2"]
"""


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(LOCKED, id="as-locked"),
        pytest.param(
            """dependencies = [
    "Gamma ; sys_platform == 'win32'", "alpha >= 1.0",
]
[project.optional-dependencies]
FAST = ["beta[X] <2, >=1"]
""",
            id="order-and-spelling",
        ),
        pytest.param(
            LOCKED + "[dependency-groups]\nempty = []\n[tool.other]\nx = 1\n",
            id="other-tables",
        ),
    ],
)
def test_lock_that_answers_is_fresh(root: Path, index: FakeIndex, now: str) -> None:
    """What means the same is the same; `uv lock --check` is stricter."""
    a_lock(root, index, LOCKED)
    write(root, {"pyproject.toml": HEAD + now})

    assert shipped(read(root)) == "alpha 2.0"


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        pytest.param('"alpha>=1",', '"alpha>=1", "beta",', ["- beta: not in the lock"], id="added"),
        pytest.param(
            "[project.optional",
            '[dependency-groups]\nnew = ["alpha"]\n[project.optional',
            ["- alpha: not in the lock (group `new`)"],
            id="added-to-a-group",
        ),
        pytest.param('"alpha>=1",', "", ["- alpha>=1: only in the lock"], id="removed"),
        pytest.param(
            "alpha>=1",
            "alpha>=2",
            ["- alpha>=2: not in the lock", "- alpha>=1: only in the lock"],
            id="version",
        ),
        pytest.param(
            "Windows",
            "Darwin",
            [
                '- gamma: asked for as `(platform_system == "Darwin")`, '
                "locked as `sys_platform == 'win32'`"
            ],
            id="marker",
        ),
        pytest.param(
            "fast =",
            "quick =",
            [
                "- beta[x]<2,>=1.0: asked for as `extra == \"quick\"`, locked as `extra == 'fast'`",
            ],
            id="extra",
        ),
        pytest.param(
            'fast = ["',
            'fast = ["gamma", "',
            [
                '- gamma: asked for as `(platform_system == "Windows") or extra == "fast"`, '
                "locked as `sys_platform == 'win32'`"
            ],
            id="added-to-an-extra",
        ),
    ],
)
def test_lock_that_does_not_answer_is_stale(
    root: Path, index: FakeIndex, before: str, after: str, difference: list[str]
) -> None:
    """Every difference is shown, with the remedy."""
    a_lock(root, index, LOCKED)
    write(root, {"pyproject.toml": HEAD + LOCKED.replace(before, after)})

    with pytest.raises(LockError) as caught:
        read(root)

    lines = ["pyproject.toml and the lock differ:", *difference]
    assert str(caught.value) == (
        "error: the lock uv.lock is out of date\n"
        f"  why: {(chr(10) + ' ' * 7).join(lines)}\n"
        "\n"
        "hint: run `uv lock` and review the changes"
    )


def test_lock_of_another_project(root: Path, index: FakeIndex) -> None:
    """The entry of the project is found by its folder."""
    a_lock(root, index, 'dependencies = ["alpha"]')
    elsewhere = root.parent / "uv.lock"
    (root / "uv.lock").rename(elsewhere)

    with pytest.raises(LockError) as caught:
        read(root, elsewhere)

    assert caught.value.why == (
        "pyproject.toml and the lock differ:\n- the project demo is not in the lock"
    )


# --- defects --------------------------------------------------------------------------

ENTRY = 'version = 1\n[[package]]\nname = "demo"\nsource = { virtual = "." }\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(
            ENTRY + 'dependencies = [{ name = "a" }]',
            "uv.lock: package[0].dependencies[0]: no package in the lock matches a",
            id="missing-entry",
        ),
        pytest.param(
            ENTRY + '[[package]]\nname = "a"\nsource = { registry = "x" }\nversion = "one"',
            "uv.lock: package[1].version: `one` is not a version (PEP 440)",
            id="version",
        ),
        pytest.param(
            ENTRY + '[package.metadata]\nrequires-dist = [{ name = "a", marker = "linux" }]',
            "uv.lock: package[0].metadata.requires-dist[0].marker: "
            "`linux` is not a marker (PEP 508)",
            id="marker",
        ),
        pytest.param(
            ENTRY + '[package.metadata]\nrequires-dist = [{ name = "a", specifier = "1" }]',
            "uv.lock: package[0].metadata.requires-dist[0].specifier: "
            "`1` is not a version specifier",
            id="specifier",
        ),
        pytest.param(
            ENTRY + '[[package]]\nname = "a"\nversion = "1"\n'
            'source = { url = "https://files.example/a.zip" }\nsdist = { hash = "sha256:00" }',
            "uv.lock: package[1].sdist: `00` is no sha256 digest",
            id="digest",
        ),
    ],
)
def test_defect_is_named_with_its_place(root: Path, text: str, why: str) -> None:
    """A lock that was edited by hand fails at the door."""
    write(root, {"pyproject.toml": HEAD, "uv.lock": text})

    with pytest.raises(LockError) as caught:
        read(root)

    assert [caught.value.what, caught.value.why, caught.value.hint] == [
        "cannot read the lock uv.lock",
        why,
        "make it again with `uv lock`; locks are not meant to be edited by hand",
    ]


def test_file_without_hash(root: Path) -> None:
    """What an index serves needs a digest."""
    text = (
        ENTRY + '[[package]]\nname = "a"\nversion = "1"\n'
        'source = { registry = "https://index.example/simple/" }\n'
        'wheels = [{ url = "https://files.example/a-1-py3-none-any.whl" }]'
    )
    write(root, {"pyproject.toml": HEAD, "uv.lock": text})

    with pytest.raises(LockError) as caught:
        read(root)

    assert (
        str(caught.value)
        == """\
error: the lock uv.lock does not have a hash for every file
  why: uv.lock: package[1].wheels[0] (a-1-py3-none-any.whl): has no sha256 or stronger hash

hint: lock again with hashes: `uv lock`"""
    )


def test_unknown_version(root: Path) -> None:
    """A later format is not guessed at."""
    write(root, {"pyproject.toml": HEAD, "uv.lock": "version = 2\n"})

    with pytest.raises(LockError) as caught:
        read(root)

    assert (
        str(caught.value)
        == """\
error: cannot use the lock uv.lock
  why: its version is 2, but this version of lambda-build-plugin reads only 1

hint: update lambda-build-plugin, or lock again with another version of uv"""
    )
