"""Locks made by real PDM: what we choose is what PDM itself would install.

PDM comes from the package index; the packages it locks come from a fake one.
"""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.pdm_hosts import NEWEST, pdm_host
from fakes.wheels import a_wheel
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.lock.errors import ExcludedTargetError, StaleLockError, UnknownGroupError
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedVcs
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fakes.hosts import Host
    from fakes.wheels import FakeWheel

    from lambda_build_plugin.lock.model import Lock, LockedPackage

pytestmark = pytest.mark.index

_ANSWERS = Path(__file__).parents[1] / "fakes" / "pdm_answers.py"

_WITH_4_4 = ("pdm==2.10.4", "unearth<0.13", "packaging<24.3", "httpx<0.28")
_WITH_4_4_1 = ("pdm==2.12.4", "unearth<0.15", "packaging<24.3", "httpx<0.28")
_WITH_4_5_0 = ("pdm==2.22.4", "hishel<0.1", "unearth<0.18", "packaging<25")

_STANDARD_TABLES = """
[project]
name = "papp"
version = "0.1"
requires-python = ">=3.10"
dependencies = [
    "alpha>=1", "wide", "lib[web]", "colorish; sys_platform == 'win32'",
    "armish; platform_machine == 'aarch64'",
]
[project.optional-dependencies]
fast = ["speedy", "shared; python_version >= '3.12'"]
Other_X = ["papp[fast]", "lib[all,web]"]
[dependency-groups]
dev = ["tester", {include-group = "Docs_All"}]
Docs_All = ["marked", "lib[all]"]
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"
"""

_OWN_TABLES = """
[project]
name = "papp"
version = "0.1"
requires-python = ">=3.10"
dependencies = [
    "alpha>=1", "wide", "lib[web]", "armish; platform_machine == 'aarch64'",
]
[project.optional-dependencies]
fast = ["speedy", "shared; python_version >= '3.12'"]
other-x = ["shared", "lib[all,web]"]
[tool.pdm.dev-dependencies]
dev = ["tester"]
docs-all = ["marked", "lib[all]"]
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"
"""

_SPLIT = """
[project]
name = "papp"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["split", "sub; python_version < '3.12'", "armish; platform_machine == 'aarch64'"]
[project.optional-dependencies]
fast = ["speedy"]
other-x = []
[dependency-groups]
dev = ["tester"]
docs-all = ["lib[web]"]
"""
_TWO_TARGETS = (
    ("lock", "-G", ":all", "--platform", "manylinux_2_26_x86_64", "--python", "==3.11.*"),
    (
        *("lock", "-G", ":all", "--platform", "manylinux_2_34_aarch64"),
        *("--python", "==3.13.*", "--append"),
    ),
)


def a_distribution(
    name: str, version: str, *requires: str, python: str = "", extras: Sequence[str] = ()
) -> FakeWheel:
    """Make a wheel with requirements."""
    lines = [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Requires-Python: {python}"] if python else []
    return a_wheel(name, version, metadata=lines)


_OFFERED = (
    a_distribution("alpha", "1.0", "beta>=1", "colorish; sys_platform == 'win32'", "old<3"),
    a_distribution("armish", "1.0"),
    a_distribution("beta", "1.0"),
    a_distribution("beta", "2.0"),
    a_distribution("colorish", "1.0"),
    a_distribution("circle", "1.0", "lib[all]"),
    a_distribution(
        *("lib", "1.0", "web; extra == 'web'", "beta; extra == 'all'", "circle; extra == 'all'"),
        extras=["web", "all"],
    ),
    a_distribution("marked", "1.0", "web; python_version < '3.12'", "shared"),
    a_distribution("old", "2.0", "beta; python_version < '3.8'"),
    a_distribution("shared", "1.0"),
    a_distribution("speedy", "1.0", "wide; python_version < '3.12'"),
    a_distribution("split", "1.0", python=">=3.8"),
    a_distribution("split", "2.0", python=">=3.12"),
    a_distribution("sub", "1.0"),
    a_distribution("tester", "1.0", "beta", "lib[web]"),
    a_distribution("web", "1.0"),
    a_distribution("wide", "1.0", "sub>=1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A project that a real PDM has locked."""

    host: Host
    folder: Path
    index: str
    file: str = "pdm.lock"

    @property
    def home(self) -> Path:
        """Where that PDM keeps its things."""
        return self.folder.parent / "home"

    @property
    def path(self) -> Path:
        """Where the lock is."""
        return self.folder / self.file

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run PDM without an environment of the project's own."""
        environ = {"PDM_USE_VENV": "false", "PDM_PYTHON": str(self.host.python)}
        return self.host.run(*arguments, cwd=self.folder, home=self.home, environ=environ)

    def lock(self) -> Lock:
        """Read what PDM has written; it must be fresh."""
        return read_lock(self.path, read_project(self.folder), {})

    def rewrite(self, old: str, new: str) -> None:
        """Change pyproject.toml."""
        pyproject = self.folder / "pyproject.toml"
        text = pyproject.read_text(encoding="utf-8")
        assert old in text
        pyproject.write_text(text.replace(old, new), encoding="utf-8")


def locked(
    folder: Path,
    pyproject: str,
    index: FakeIndex,
    *commands: Sequence[str],
    requirements: tuple[str, ...] = NEWEST,
    file: str = "pdm.lock",
) -> Locked:
    """Let a version of PDM lock a project whose packages come from an index."""
    project = folder / "papp"
    project.mkdir(exist_ok=True)
    source = f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{index.url}"\n'
    (project / "pyproject.toml").write_text(pyproject + source, encoding="utf-8")
    host = pdm_host(*requirements, with_plugin=False)
    made = Locked(host=host, folder=project, index=index.url, file=file)
    for command in commands or [("lock", "-G", ":all")]:
        ran = made.run(*command)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A target, and what is asked for."""

    target: Target
    groups: tuple[str, ...]
    extras: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.target}, groups {self.groups}, extras {self.extras}"

    def answer(self, lock: Lock) -> list[str] | None:
        """Answer it ourselves; None where the lock does not serve the target."""
        try:
            found = reached(
                lock,
                self.target,
                extras=frozenset(map(canonicalize_name, self.extras)),
                groups=frozenset(map(canonicalize_name, self.groups)) - {"default"},
                main="default" in self.groups,
            )
        except ExcludedTargetError:
            return None
        return [str(package) for package in found.packages]

    def as_json(self) -> dict[str, object]:
        """Put it to PDM."""
        glibc = self.target.runtime.glibc
        machine = self.target.architecture.machine
        return {
            "python": f"=={self.target.runtime.full_version}",
            "platform": f"manylinux_{glibc.major}_{glibc.minor}_{machine}",
            "groups": [*self.groups, *self.extras],
        }


def questions() -> list[Question]:
    """List every combination of some targets, groups and extras."""
    targets = [
        Target(runtime=RUNTIMES[name], architecture=architecture)
        for name in ("python3.11", "python3.13")
        for architecture in Architecture
    ]
    groups = [("default",), ("default", "dev"), ("dev",), ("docs-all",), ()]
    return [
        Question(target=target, groups=names, extras=extras)
        for target, names, extras in itertools.product(
            targets, groups, [(), ("fast",), ("other-x",)]
        )
        if names or extras
    ]


def answers_of_pdm(project: Locked, asked: Sequence[Question]) -> Mapping[str, list[str] | None]:
    """Ask the newest PDM: it reads the locks of the older ones, too."""
    given, answered = project.folder.parent / "questions.json", project.folder.parent / "answers"
    given.write_text(json.dumps([question.as_json() for question in asked]), encoding="utf-8")
    ran = pdm_host(*NEWEST, with_plugin=False).run_python(
        _ANSWERS, given, answered, cwd=project.folder, home=project.home
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return dict(zip(map(str, asked), json.loads(answered.read_text("utf-8")), strict=True))


_NO_METADATA = ("lock", "-G", ":all", "-S", "no_inherit_metadata")
_STATIC = ("lock", "-G", ":all", "-S", "static_urls")
_TO_PYLOCK = (("config", "--local", "lock.format", "pylock"), ("lock", "-G", ":all"))


@pytest.mark.parametrize(
    ("requirements", "pyproject", "commands", "file"),
    [
        pytest.param(NEWEST, _STANDARD_TABLES, (), "pdm.lock", id="flat"),
        pytest.param(NEWEST, _STANDARD_TABLES, (_NO_METADATA,), "pdm.lock", id="graph"),
        pytest.param(
            NEWEST,
            _STANDARD_TABLES,
            (_STATIC,),
            "pdm.lock",
            id="static-urls",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            NEWEST,
            _OWN_TABLES,
            (_NO_METADATA,),
            "pdm.lock",
            id="graph-own-tables",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            NEWEST, _SPLIT, _TWO_TARGETS, "pdm.lock", id="two-targets", marks=pytest.mark.nightly
        ),
        pytest.param(
            NEWEST,
            _SPLIT,
            ((*_TWO_TARGETS[0], "-S", "no_inherit_metadata"), _TWO_TARGETS[1]),
            "pdm.lock",
            id="two-targets-graph",
        ),
        pytest.param(NEWEST, _STANDARD_TABLES, _TO_PYLOCK, "pylock.toml", id="pylock"),
        pytest.param(
            NEWEST,
            _SPLIT,
            (_TO_PYLOCK[0], *_TWO_TARGETS),
            "pylock.toml",
            id="pylock-two-targets",
            marks=pytest.mark.nightly,
        ),
        pytest.param(_WITH_4_4, _OWN_TABLES, (), "pdm.lock", id="4.4-graph"),
        pytest.param(
            _WITH_4_4_1,
            _OWN_TABLES,
            (("lock", "-G", ":all", "-S", "inherit_metadata"),),
            "pdm.lock",
            id="4.4.1-flat",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            _WITH_4_5_0,
            _STANDARD_TABLES,
            (),
            "pdm.lock",
            id="4.5.0-flat",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_chooses_what_pdm_would_install(
    tmp_path: Path,
    requirements: tuple[str, ...],
    pyproject: str,
    commands: tuple[tuple[str, ...], ...],
    file: str,
) -> None:
    """For every target, group and extra the chosen packages are those that PDM installs."""
    with FakeIndex(_OFFERED) as index:
        project = locked(
            tmp_path, pyproject, index, *commands, requirements=requirements, file=file
        )
    lock, asked = project.lock(), questions()

    ours = {str(question): question.answer(lock) for question in asked}

    assert ours == answers_of_pdm(project, asked)


@pytest.mark.parametrize("file", ["pdm.lock", "pylock.toml"])
def test_command_in_the_error_adds_the_target(tmp_path: Path, file: str) -> None:
    """A lock that excludes the target serves it after the command that the error names."""
    commands = [*_TO_PYLOCK[: file == "pylock.toml"], ("lock", "--platform", "macos_arm64")]
    with FakeIndex(_OFFERED) as index:
        project = locked(tmp_path, _SPLIT, index, *commands, file=file)
        target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
        question = Question(target=target, groups=("default",))
        with pytest.raises(ExcludedTargetError) as caught:
            reached(project.lock(), target, extras=frozenset(), groups=frozenset())
        command = 'lock --platform manylinux_2_34_aarch64 --python "==3.13.*" --append'
        assert caught.value.hint == (
            f"add the target to the lock: `pdm {command}`, or choose another runtime or "
            "architecture"
        )

        ran = project.run(*shlex.split(command))

    assert ran.returncode == 0, ran.stderr
    assert question.answer(project.lock()) == ["armish 1.0", "split 2.0"]


@pytest.mark.parametrize("file", ["pdm.lock", "pylock.toml"])
def test_command_in_the_error_locks_the_group(tmp_path: Path, file: str) -> None:
    """An extra that was not locked can be asked for after the command that the error names."""
    commands = [*_TO_PYLOCK[: file == "pylock.toml"], ("lock", "--prod")]
    target = questions()[0].target
    fast = frozenset({canonicalize_name("fast")})
    with FakeIndex(_OFFERED) as index:
        project = locked(tmp_path, _SPLIT, index, *commands, file=file)
        with pytest.raises(UnknownGroupError, match="`pdm lock -G :all`"):
            reached(project.lock(), target, extras=fast, groups=frozenset())

        ran = project.run("lock", "-G", ":all")

    assert ran.returncode == 0, ran.stderr
    found = reached(project.lock(), target, extras=fast, groups=frozenset(), main=False)
    assert [str(package) for package in found.packages] == ["speedy 1.0", "sub 1.0", "wide 1.0"]


_INPUTS = "[tool.pdm.resolution]\nlock_inputs = true\n"
_CHANGES = (
    ('version = "0.1"', 'version = "0.2"'),
    ('"split"', '"split>=1"'),
    ('"split"', '"split<1"'),
    ("python_version < '3.12'", "python_version<'3.12'"),
    ("python_version < '3.12'", "python_version < '3.11'"),
    ('requires-python = ">=3.10"', 'requires-python = ">=3.11"'),
    ('dev = ["tester"]', 'dev = ["tester", "web"]'),
    ('dev = ["tester"]', 'dev = ["tester"]\nnew = []'),
    ("other-x = []", 'other-x = ["papp[fast]"]'),
    ('name = "pypi"', 'name = "pypi"\nexclude_packages = ["b"]'),
    ('name = "pypi"', 'name = "pypi"\nusername = "someone"'),
)


@pytest.mark.parametrize(
    ("extra", "file"),
    [
        pytest.param("", "pdm.lock", id="hash-pdm.lock"),
        pytest.param(_INPUTS, "pylock.toml", id="inputs-pylock.toml"),
        pytest.param("", "pylock.toml", id="hash-pylock.toml", marks=pytest.mark.nightly),
        pytest.param(_INPUTS, "pdm.lock", id="inputs-pdm.lock", marks=pytest.mark.nightly),
    ],
)
def test_what_is_stale_for_pdm_is_stale_here(tmp_path: Path, extra: str, file: str) -> None:
    """After each change of pyproject.toml, the lock is fresh here if it is for PDM itself."""
    with FakeIndex(_OFFERED) as index:
        commands = _TO_PYLOCK if file == "pylock.toml" else ()
        project = locked(tmp_path, _SPLIT + extra, index, *commands, file=file)
    pyproject = project.folder / "pyproject.toml"
    before, verdicts = pyproject.read_text(encoding="utf-8"), {}
    for old, new in _CHANGES:
        project.rewrite(old, new)
        verdicts[new] = (is_fresh_here(project), project.run("lock", "--check").returncode == 0)
        pyproject.write_text(before, encoding="utf-8")

    assert is_fresh_here(project)
    assert {new: ours for new, (ours, _) in verdicts.items()} == {
        new: theirs for new, (_, theirs) in verdicts.items()
    }
    assert {theirs for _, theirs in verdicts.values()} == {True, False}


def is_fresh_here(project: Locked) -> bool:
    """Tell whether the lock is taken."""
    try:
        project.lock()
    except StaleLockError:
        return False
    return True


_WORKSPACE = """
[project]
name = "papp"
version = "1"
requires-python = ">=3.10"
dependencies = ["beta"]
[tool.pdm]
distribution = false
[tool.pdm.workspace]
members = ["members/*"]
"""


def test_members_of_a_workspace_count_for_freshness(tmp_path: Path) -> None:
    """The requirements of each member are part of what the workspace has locked."""
    with FakeIndex(_OFFERED) as index:
        member = tmp_path / "papp" / "members" / "one"
        a_folder(member)
        project = locked(tmp_path, _WORKSPACE, index)
    assert is_fresh_here(project)
    with (member / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[project.optional-dependencies]\nx = []\n")

    assert (is_fresh_here(project), project.run("lock", "--check").returncode == 0) == (
        False,
        False,
    )


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize(
    ("commands", "file"),
    [
        pytest.param((), "pdm.lock", id="flat"),
        pytest.param((_NO_METADATA,), "pdm.lock", id="graph"),
        pytest.param((_STATIC,), "pdm.lock", id="static-urls"),
        pytest.param(_TO_PYLOCK, "pylock.toml", id="pylock"),
    ],
)
def test_reads_every_kind_of_source(
    tmp_path: Path, commands: tuple[tuple[str, ...], ...], file: str
) -> None:
    """Folder, file, URL and commit: each is locked by PDM and found by us."""
    commit = a_repository(tmp_path / "from-commit")
    a_folder(tmp_path / "from-folder")
    a_folder(tmp_path / "from-source")
    wheel, remote = a_wheel("from-file"), a_wheel("from-url")
    wheel.write_to(tmp_path)
    # PDM takes `file:///…` for the name of a host.
    repository = (tmp_path / "from-commit").as_uri().replace("file://", "file://localhost")
    with FakeIndex([remote]) as index:
        tables = f"""
[project]
name = "papp"
version = "1"
requires-python = ">=3.10"
dependencies = [
    "from-commit @ git+{repository}@main",
    "from-folder @ file:///${{PROJECT_ROOT}}/../from-folder",
    "from-file @ file:///${{PROJECT_ROOT}}/../{wheel.filename}",
    "from-url @ {index.file_url(remote.filename)}",
]
[tool.pdm.dev-dependencies]
dev = ["-e file:///${{PROJECT_ROOT}}/../from-source#egg=from-source"]
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"
"""
        project = locked(tmp_path, tables, index, *commands, file=file)
        url = index.file_url(remote.filename)

    target = questions()[0].target
    question = Question(target=target, groups=("default", "dev"))
    lock = project.lock()
    found = {
        package.name: source_of(package) for package in lock.packages if package.name != "papp"
    }

    assert found == {
        "from-commit": LockedVcs(kind="git", url=repository, commit=commit),
        "from-folder": LockedDirectory(path=project.folder / ".." / "from-folder"),
        "from-source": LockedDirectory(path=project.folder / ".." / "from-source", editable=True),
        "from-file": LockedFile(
            filename=wheel.filename,
            digest=Digest(f"sha256:{wheel.sha256}"),
            path=project.folder / ".." / wheel.filename,
        ),
        "from-url": LockedFile(
            filename=remote.filename, digest=Digest(f"sha256:{remote.sha256}"), url=url
        ),
    }
    assert question.answer(lock) == sorted(f"{name} 1.0" for name in found)


def source_of(package: LockedPackage) -> object:
    """Get the one source of a package."""
    return package.vcs or package.directory or package.wheels[0]


def a_folder(folder: Path) -> None:
    """Write a small project that PDM understands without building it."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{folder.name}"\nversion = "1.0"\ndependencies = []\n'
        '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n',
        encoding="utf-8",
    )


def a_repository(folder: Path) -> str:
    """Make a repository with such a project and give its commit."""
    a_folder(folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example", "-C", str(folder)]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "-m", "first"],
    ):
        subprocess.run([*git, *command], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
