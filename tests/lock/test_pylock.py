"""`pylock.toml` (PEP 751) as a `Lock`, or as the message its defect deserves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.project import Project, read_project
from lambda_build_plugin.errors import LockError
from lambda_build_plugin.lock import pylock
from lambda_build_plugin.lock.fields import Context
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedPackage, LockedVcs
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Lock

HEAD = 'lock-version = "1.0"\ncreated-by = "hand"\n'
A, B = "aa" * 32, "bb" * 32
EXAMPLE = Path(__file__).parents[2] / "fixtures" / "locks" / "pylock.spec-example.toml"


def a_lock(folder: Path, text: str, *, project: str = ".") -> Lock:
    """Write a lock and read it for a project, by default the one in its own folder."""
    path = folder / "pylock.toml"
    path.write_text(text, encoding="utf-8")
    root = (folder / project).resolve()
    root.mkdir(parents=True, exist_ok=True)
    return pylock.read(path, a_context(root))


def a_context(root: Path) -> Context:
    """Make the context of a project in a folder."""
    return Context(project=Project(root=root, name=canonicalize_name("demo")), environ={})


def a_package(folder: Path, text: str) -> LockedPackage:
    """Read the one package of a lock."""
    (package,) = a_lock(folder, f'{HEAD}[[packages]]\nname = "demo-lib"\n{text}').packages
    return package


def refusal(folder: Path, text: str) -> LockError:
    """Read a lock that is not right."""
    with pytest.raises(LockError) as caught:
        a_lock(folder, text)
    return caught.value


def shipped(
    lock: Lock, runtime: str = "python3.13", *, extras: str = "", groups: str = ""
) -> list[str]:
    """Name what a lock brings to a target on arm64."""
    target = Target(runtime=RUNTIMES[runtime], architecture=Architecture.ARM64)
    result = reached(lock, target, extras=_names(extras), groups=_names(groups))
    return [str(package) for package in result.packages]


def _names(text: str) -> frozenset[NormalizedName]:
    return frozenset(map(canonicalize_name, text.split()))


# --- the example of the specification -------------------------------------------------


def test_example_of_the_specification() -> None:
    """The example of PEP 751 is read as what it says."""
    lock = pylock.read(EXAMPLE, a_context(EXAMPLE.parent))

    assert (lock.environments, lock.requires_python, lock.warnings) == (
        (LockMarker("sys_platform == 'win32'"), LockMarker("sys_platform == 'linux'")),
        SpecifierSet("==3.12"),
        (),
    )
    assert [str(package) for package in lock.packages] == [
        "attrs 25.1.0",
        "cattrs 24.1.2",
        "numpy 2.2.3",
    ]
    attrs, _, numpy = lock.packages
    assert attrs.wheels == (
        LockedFile(
            digest=Digest(f"sha256:{'ac' * 32}"),
            filename="attrs-25.1.0-py3-none-any.whl",
            url="https://files.example/attrs-25.1.0-py3-none-any.whl",
            size=63152,
        ),
    )
    assert [wheel.filename for wheel in numpy.wheels] == [
        "numpy-2.2.3-cp312-cp312-win_amd64.whl",
        "numpy-2.2.3-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    ]


# --- what a package may be ------------------------------------------------------------


def test_wheel_is_named_by_its_url(tmp_path: Path) -> None:
    """Without a name the URL has it, percent-encoded."""
    package = a_package(
        tmp_path,
        f"""version = "1.0+x"
index = "https://index.example/simple/"
requires-python = ">=3.9"
marker = "os_name == 'posix'"
[[packages.wheels]]
url = "https://files.example/a/demo_lib-1.0%2Bx-py3-none-any.whl?x=y#z"
size = 7
hashes = {{ md5 = "00", sha512 = "{A}{A}", sha256 = "{A}" }}
""",
    )

    assert package == LockedPackage(
        name=canonicalize_name("demo-lib"),
        version=Version("1.0+x"),
        at="pylock.toml: packages[0] (demo-lib)",
        marker=LockMarker("os_name == 'posix'"),
        requires_python=SpecifierSet(">=3.9"),
        index="https://index.example/simple/",
        wheels=(
            LockedFile(
                digest=Digest(f"sha256:{A}"),
                filename="demo_lib-1.0+x-py3-none-any.whl",
                url="https://files.example/a/demo_lib-1.0%2Bx-py3-none-any.whl?x=y#z",
                size=7,
            ),
        ),
    )


def test_path_is_relative_to_the_lock_and_not_quoted(tmp_path: Path) -> None:
    """A file beside the lock is found there; a `%` in its name is a `%`."""
    package = a_package(
        tmp_path, f'wheels = [{{ path = "wheels/x-1%20-any.whl", hashes = {{ sha256 = "{A}" }} }}]'
    )

    assert package.wheels == (
        LockedFile(
            digest=Digest(f"sha256:{A}"),
            filename="x-1%20-any.whl",
            path=tmp_path / "wheels" / "x-1%20-any.whl",
        ),
    )


def test_name_of_a_file_wins(tmp_path: Path) -> None:
    """An opaque URL gets its file name from `name`."""
    package = a_package(
        tmp_path,
        'sdist = { name = "demo-1.tar.gz", url = "https://files.example/8f3", '
        f'hashes = {{ sha384 = "{A}{A[:32]}" }} }}',
    )

    assert package.sdist == LockedFile(
        digest=Digest(f"sha384:{A}{A[:32]}"),
        filename="demo-1.tar.gz",
        url="https://files.example/8f3",
    )


@pytest.mark.parametrize(
    ("table", "url"),
    [
        pytest.param('url = "https://git.example/a"', "https://git.example/a", id="url"),
        pytest.param('path = "../a"', "{folder}/../a", id="path"),
    ],
)
def test_commit_of_a_repository(tmp_path: Path, table: str, url: str) -> None:
    """A `vcs` package is a commit; a path starts from the lock."""
    package = a_package(
        tmp_path,
        f'vcs = {{ type = "git", {table}, commit-id = "{A[:40]}", subdirectory = "lib", '
        'requested-revision = "v1" }',
    )

    assert package.vcs == LockedVcs(
        kind="git", url=url.format(folder=tmp_path), commit=A[:40], subdirectory="lib"
    )


def test_folder(tmp_path: Path) -> None:
    """A `directory` package lies on this machine, and may be editable elsewhere."""
    package = a_package(tmp_path, 'directory = { path = "../lib", editable = true }')

    assert package.directory == LockedDirectory(path=tmp_path / "../lib", editable=True)


def test_archive(tmp_path: Path) -> None:
    """An `archive` package is one file and a place in it."""
    package = a_package(
        tmp_path,
        'archive = { url = "https://files.example/a.zip", size = 3, subdirectory = "lib", '
        f'hashes = {{ sha256 = "{A}" }} }}',
    )

    assert package.archive == LockedFile(
        digest=Digest(f"sha256:{A}"),
        filename="a.zip",
        url="https://files.example/a.zip",
        size=3,
        subdirectory="lib",
    )


def test_wheel_in_an_archive(tmp_path: Path) -> None:
    """PDM locks a wheel that a requirement names as `archive`, with a URL of its own making."""
    package = a_package(
        tmp_path,
        'archive = { url = "file:///${PROJECT_ROOT}/../demo_lib-1.0-py3-none-any.whl", '
        f'path = "../demo_lib-1.0-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}',
    )

    assert package.archive is None
    assert package.wheels == (
        LockedFile(
            digest=Digest(f"sha256:{A}"),
            filename="demo_lib-1.0-py3-none-any.whl",
            path=tmp_path / "../demo_lib-1.0-py3-none-any.whl",
        ),
    )


@pytest.mark.parametrize(
    ("directory", "project"),
    [
        pytest.param('path = "."', ".", id="beside-the-lock"),
        pytest.param('path = "app"', "app", id="below"),
        pytest.param('path = ".", subdirectory = "app"', "app", id="subdirectory"),
    ],
)
def test_project_itself_is_no_dependency(tmp_path: Path, directory: str, project: str) -> None:
    """`uv export` and others list the project; it is built from its source."""
    text = f'{HEAD}[[packages]]\nname = "demo"\ndirectory = {{ {directory} }}\n'

    assert a_lock(tmp_path, text, project=project).packages == ()


def test_folder_below_the_project_is_a_dependency(tmp_path: Path) -> None:
    """A subdirectory of the project's folder is another project."""
    package = a_package(tmp_path, 'directory = { path = ".", subdirectory = "lib" }')

    assert package.directory == LockedDirectory(path=tmp_path, subdirectory="lib")


def test_lock_of_nothing(tmp_path: Path) -> None:
    """`uv export` writes an empty list for a project without dependencies."""
    assert a_lock(tmp_path, f"{HEAD}packages = []\n").packages == ()


# --- extras, groups, environments, versions -------------------------------------------

GATED = f"""{HEAD}
extras = ["Fast"]
dependency-groups = ["dev"]
default-groups = ["default"]
packages = [
  {{ name = "main", version = "1", marker = "'default' in dependency_groups", wheels = [] }},
  {{ name = "fast", version = "1", marker = "'fast' in extras", wheels = [] }},
  {{ name = "dev", version = "1", marker = "'dev' in dependency_groups", wheels = [] }},
  {{ name = "all", version = "1", wheels = [] }},
]
"""


@pytest.mark.parametrize(
    ("extras", "groups", "expected"),
    [
        pytest.param("", "", ["all 1", "main 1"], id="default-groups-alone"),
        pytest.param("fast", "", ["all 1", "fast 1", "main 1"], id="extra"),
        pytest.param("", "dev", ["all 1", "dev 1", "main 1"], id="group-beside-the-default"),
        pytest.param("fast", "dev", ["all 1", "dev 1", "fast 1", "main 1"], id="both"),
    ],
)
def test_extras_and_groups(tmp_path: Path, extras: str, groups: str, expected: list[str]) -> None:
    """What was asked for comes on top of what is installed by default."""
    assert shipped(a_lock(tmp_path, GATED), extras=extras, groups=groups) == expected


@pytest.mark.parametrize(
    ("extras", "groups", "message"),
    [
        pytest.param(
            "quick fast",
            "",
            """\
error: pylock.toml has no extra `quick`
  why: it has: fast

hint: check the spelling, or lock again if the extra is new: `{remedy}`""",
            id="extra",
        ),
        pytest.param(
            "",
            "docs test",
            """\
error: pylock.toml has no dependency group `docs`, `test`
  why: it has: default, dev

hint: check the spelling, or lock again if the dependency group is new: `{remedy}`""",
            id="groups",
        ),
    ],
)
def test_unknown_names(tmp_path: Path, extras: str, groups: str, message: str) -> None:
    """A name that the lock does not offer is refused, with those that it does."""
    lock = a_lock(tmp_path, GATED)

    with pytest.raises(LockError) as caught:
        shipped(lock, extras=extras, groups=groups)

    assert str(caught.value) == message.format(remedy=lock.remedy)


def test_one_of_the_environments_has_to_hold(tmp_path: Path) -> None:
    """A lock made for other systems is refused, not read as if it fitted."""
    lock = a_lock(
        tmp_path,
        f"{HEAD}environments = [\"sys_platform == 'win32'\", \"sys_platform == 'darwin'\"]\n"
        "packages = []",
    )

    with pytest.raises(LockError) as caught:
        shipped(lock)

    assert (
        str(caught.value)
        == f"""\
error: the lock pylock.toml does not cover python3.13 arm64
  why: it was locked only for these environments:
       - sys_platform == 'win32'
       - sys_platform == 'darwin'

hint: choose another runtime, or change the project to support this one and lock \
again: `{lock.remedy}`"""
    )


def test_python_of_the_lock(tmp_path: Path) -> None:
    """`requires-python` is held against the runtime's full version."""
    lock = a_lock(tmp_path, f'{HEAD}requires-python = ">=3.12"\npackages = []')

    assert shipped(lock, "python3.12") == []
    with pytest.raises(LockError) as caught:
        shipped(lock, "python3.11")
    assert caught.value.why == (
        f"it requires Python `>=3.12`, but python3.11 has {RUNTIMES['python3.11'].full_version}"
    )


def test_python_of_a_package(tmp_path: Path) -> None:
    """A package that ships and does not admit the runtime is an error, as PEP 751 has it."""
    marker = "python_version >= '3.11'"
    lock = a_lock(
        tmp_path,
        f"""{HEAD}packages = [
  {{ name = "a", version = "1", requires-python = ">=3.12", wheels = [], marker = "{marker}" }},
]""",
    )

    assert shipped(lock, "python3.10") == []
    with pytest.raises(LockError) as caught:
        shipped(lock, "python3.11")
    assert caught.value.why == (
        "a 1 (pylock.toml: packages[0] (a)) requires Python `>=3.12`, but "
        f"python3.11 has {RUNTIMES['python3.11'].full_version}"
    )


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    """Entries exclude each other for a target, or there is no telling which ships."""
    lock = a_lock(
        tmp_path,
        f"""{HEAD}packages = [
  {{ name = "a", version = "1", wheels = [], marker = "python_version < '3.13'" }},
  {{ name = "a", version = "2", wheels = [], marker = "python_version >= '3.12'" }},
]""",
    )

    assert [shipped(lock, "python3.11"), shipped(lock, "python3.13")] == [["a 1"], ["a 2"]]
    with pytest.raises(LockError) as caught:
        shipped(lock, "python3.12")
    assert (
        str(caught.value)
        == f"""\
error: the lock pylock.toml has `a` more than once for python3.12 arm64
  why: a 1: pylock.toml: packages[0] (a), marker: python_version < '3.13'
       a 2: pylock.toml: packages[1] (a), marker: python_version >= '3.12'

hint: if extras or groups conflict, ask for only one of them; otherwise lock again, so that \
the markers exclude each other: `{lock.remedy}`"""
    )


def test_newer_minor_version_is_read_with_a_warning(tmp_path: Path) -> None:
    """A minor version adds to the format, so what is known is still right."""
    lock = a_lock(tmp_path, 'lock-version = "1.7"\npackages = []')

    assert lock.warnings == ("pylock.toml has lock-version 1.7, but this version only knows 1.0",)


@pytest.mark.parametrize(
    ("created_by", "remedy"),
    [
        pytest.param("pdm", "pdm lock", id="pdm"),
        pytest.param(
            "somebody",
            "uv export --format pylock.toml --no-default-groups --no-emit-project -o pylock.toml",
            id="unknown",
        ),
    ],
)
def test_remedy_is_the_command_of_the_maker(tmp_path: Path, created_by: str, remedy: str) -> None:
    """Hints name the tool that made the lock, or one that can make it."""
    text = f'lock-version = "1.0"\ncreated-by = "{created_by}"\npackages = []'

    assert a_lock(tmp_path, text).remedy == remedy


def test_lock_of_pdm_is_held_against_what_it_was_made_of(tmp_path: Path) -> None:
    """PDM notes the content hash of pyproject.toml in a table of its own."""
    error = refusal(
        tmp_path, f'{HEAD}packages = []\n[tool.pdm.hashes]\nsha256 = "{A}"\n'.replace("hand", "pdm")
    )

    assert (
        str(error)
        == """\
error: the lock pylock.toml is out of date
  why: pyproject.toml and the lock differ:
       - the content hash of pyproject.toml does not match the one in the lock

hint: run `pdm lock` and review the changes"""
    )


def test_lock_of_pdm_has_its_main_dependencies_in_a_group(tmp_path: Path) -> None:
    """What is in `default` ships unless only other groups or extras are asked for."""
    packages = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "1"\nmarker = "{marker}"\n'
        f'wheels = [{{ url = "https://files.example/{name}-1-py3-none-any.whl", '
        f'hashes = {{ sha256 = "{A}" }} }}]\n'
        for name, marker in (
            ("main", "'default' in dependency_groups"),
            ("tool", "'dev' in dependency_groups"),
            ("quick", "'fast' in extras"),
        )
    )
    lock = a_lock(
        tmp_path,
        f'{HEAD}dependency-groups = ["default", "dev"]\ndefault-groups = ["default"]\n'
        f'extras = ["fast"]\n{packages}',
    )
    target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
    alone = reached(lock, target, extras=_names("fast"), groups=_names("dev"), main=False)

    assert shipped(lock) == ["main 1"]
    assert shipped(lock, groups="dev", extras="fast") == ["main 1", "quick 1", "tool 1"]
    assert [str(package) for package in alone.packages] == ["quick 1", "tool 1"]


# --- defects --------------------------------------------------------------------------


def a_defect(text: str) -> str:
    """Write a lock of one package."""
    return f'{HEAD}[[packages]]\nname = "a"\nversion = "1"\n{text}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(
            "packages = []", "pylock.toml: the required key `lock-version` is missing", id="version"
        ),
        pytest.param(
            "lock-version = 1.0", "pylock.toml: lock-version: must be a string", id="version-number"
        ),
        pytest.param(HEAD, "pylock.toml: the required key `packages` is missing", id="packages"),
        pytest.param(
            f"{HEAD}[packages]", "pylock.toml: packages: must be a list", id="packages-no-list"
        ),
        pytest.param(
            f"{HEAD}packages = [{{ wheels = [] }}]",
            "pylock.toml: packages[0]: the required key `name` is missing",
            id="name",
        ),
        pytest.param(
            f'{HEAD}requires-python = "3.x"\npackages = []',
            "pylock.toml: requires-python: `3.x` is not a version specifier",
            id="requires-python",
        ),
        pytest.param(
            f'{HEAD}environments = ["linux"]\npackages = []',
            "pylock.toml: environments[0]: `linux` is not a marker (PEP 508)",
            id="environment",
        ),
        pytest.param(
            a_defect("").replace('"1"\n', '"one"\nwheels = []'),
            "pylock.toml: packages[0].version: `one` is not a version (PEP 440)",
            id="version-of-a-package",
        ),
        pytest.param(
            a_defect("wheels = []\nmarker = \"color == 'red'\""),
            "pylock.toml: packages[0].marker: `color == 'red'` is not a marker (PEP 508)",
            id="marker",
        ),
        pytest.param(
            a_defect(""),
            "pylock.toml: packages[0]: "
            "exactly one of vcs, directory, archive, or sdist and wheels must be set",
            id="no-source",
        ),
        pytest.param(
            a_defect('wheels = []\ndirectory = { path = "../a" }'),
            "pylock.toml: packages[0]: "
            "exactly one of vcs, directory, archive, or sdist and wheels must be set",
            id="two-sources",
        ),
        pytest.param(
            a_defect(f'sdist = {{ name = "a-1.zip", hashes = {{ sha256 = "{A}" }} }}'),
            "pylock.toml: packages[0].sdist: one of `url` and `path` must be set",
            id="no-address",
        ),
        pytest.param(
            a_defect('vcs = { type = "git", commit-id = "1" }'),
            "pylock.toml: packages[0].vcs: one of `url` and `path` must be set",
            id="no-repository",
        ),
        pytest.param(
            a_defect('vcs = { type = "git", url = "https://git.example/a" }'),
            "pylock.toml: packages[0].vcs: the required key `commit-id` is missing",
            id="no-commit",
        ),
        pytest.param(
            a_defect('wheels = [{ path = "a-1-py3-none-any.whl", hashes = { sha256 = "abc" } }]'),
            "pylock.toml: packages[0].wheels[0]: `abc` is no sha256 digest",
            id="half-a-digest",
        ),
        pytest.param(
            a_defect('wheels = [{ path = "a-1-py3-none-any.whl", hashes = { sha256 = 1 } }]'),
            "pylock.toml: packages[0].wheels[0].hashes.sha256: must be a string",
            id="digest-no-text",
        ),
    ],
)
def test_defect_is_named_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    """A mistake in a file of ten thousand lines is found at once."""
    error = refusal(tmp_path, text)

    assert [error.what, error.why, error.hint] == [
        "cannot read the lock pylock.toml",
        why,
        "make it again with the tool that wrote it; locks are not meant to be edited by hand",
    ]


def test_every_file_without_a_digest_is_listed(tmp_path: Path) -> None:
    """All files that nothing vouches for come in one error; md5 vouches for none."""
    error = refusal(
        tmp_path,
        a_defect(
            f"""wheels = [
  {{ url = "https://files.example/a-1-py3-none-any.whl" }},
  {{ path = "a-1-py2-none-any.whl", hashes = {{ md5 = "00" }} }},
  {{ path = "a-1-py4-none-any.whl", hashes = {{ sha256 = "{B}" }} }},
]"""
        ),
    )

    assert (
        str(error)
        == """\
error: the lock pylock.toml does not have a hash for every file
  why: pylock.toml: packages[0].wheels[0] (a-1-py3-none-any.whl): has no sha256 or stronger hash
       pylock.toml: packages[0].wheels[1] (a-1-py2-none-any.whl): has no sha256 or stronger hash

hint: lock again with hashes: `uv export --format pylock.toml --no-default-groups \
--no-emit-project -o pylock.toml`"""
    )


def test_unknown_major_version(tmp_path: Path) -> None:
    """A format that is not known yet is not guessed at."""
    assert (
        str(refusal(tmp_path, 'lock-version = "2.0"'))
        == """\
error: cannot use the lock pylock.toml
  why: its lock-version is 2.0, but this version reads 1.x (PEP 751)

hint: update lambda-build-plugin, or lock with an older version of the tool"""
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# by hand\n\nidna==3.10\n", id="pin"),
        pytest.param(f"idna==3.10 \\\n    --hash=sha256:{A}\n", id="hashed"),
        pytest.param("--index-url https://index.example/simple/\n", id="option"),
        pytest.param("-e file:.\n", id="editable"),
        pytest.param("requests[socks] >= 2\n", id="open-with-extra"),
        pytest.param("idna @ https://files.example/idna.whl\n", id="url"),
    ],
)
def test_requirements_file_under_a_wrong_name(tmp_path: Path, text: str) -> None:
    """What looks like a requirements file is called one."""
    assert refusal(tmp_path, text).hint == (
        "this looks like a requirements file: give it a name that ends in .txt, such as "
        "requirements.txt, or make a real pylock.toml: "
        "`uv export --format pylock.toml --no-default-groups --no-emit-project -o pylock.toml`"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('lock-version = "1.0"\n<<<<<<< ours\n', id="merge-conflict"),
        pytest.param('lock-version == "1.0"\n', id="typing-mistake"),
    ],
)
def test_broken_toml_is_no_requirements_file(tmp_path: Path, text: str) -> None:
    """A lock that was damaged is to be made again."""
    error = refusal(tmp_path, text)

    assert error.why.startswith("pylock.toml: is not TOML: ")
    assert (
        error.hint
        == "make it again with the tool that wrote it; locks are not meant to be edited by hand"
    )


# --- locks of environments ------------------------------------------------------------

OURS = 'lock-version = "1.0"\ncreated-by = "lambda-build-plugin"\n'
OF_HATCH = '[project]\nname = "demo"\n[tool.hatch.envs.default]\n'


@pytest.mark.parametrize(
    ("head", "pyproject", "hatch_toml", "expected"),
    [
        pytest.param(HEAD, OF_HATCH, False, True, id="project of Hatch"),
        pytest.param(HEAD, '[project]\nname = "demo"\n', True, True, id="hatch.toml"),
        pytest.param(OURS, '[project]\nname = "demo"\n', False, True, id="made by us"),
        pytest.param(HEAD, '[project]\nname = "demo"\n', False, False, id="of another tool"),
        pytest.param(OURS, "[tool.hatch.envs.x]\n", True, False, id="no [project]"),
        pytest.param(HEAD + "extras = []\n", OF_HATCH, False, False, id="tells extras"),
        pytest.param(HEAD + 'default-groups = ["x"]\n', OF_HATCH, False, False, id="tells groups"),
    ],
)
def test_lock_of_an_environment(
    tmp_path: Path,
    head: str,
    pyproject: str,
    hatch_toml: bool,  # noqa: FBT001 - a column of the table
    expected: bool,  # noqa: FBT001
) -> None:
    """A lock that tells nothing apart is cut where Hatch or we made it; else it is a word."""
    (tmp_path / "pyproject.toml").write_text(pyproject)
    if hatch_toml:
        (tmp_path / "hatch.toml").write_text("")
    path = tmp_path / "pylock.toml"
    path.write_text(f"{head}packages = []\n")

    lock = pylock.read(path, Context(project=read_project(tmp_path), environ={}))

    assert lock.of_environment is expected
