"""Locks made by real Poetry: what we choose is what Poetry's own installer would.

Poetry comes from the package index; the packages it locks come from a fake one.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.poetry_hosts import NEWEST, OLDEST, poetry_host
from fakes.wheels import a_wheel
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.lock.errors import StaleLockError
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedVcs
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakes.poetry_hosts import PoetryHost
    from fakes.wheels import FakeWheel

    from lambda_build_plugin.lock.model import Lock, LockedPackage

pytestmark = pytest.mark.index

_POETRY_1 = "poetry>=1.8,<2"
_ANSWERS = Path(__file__).parents[1] / "fakes" / "poetry_answers.py"

_TOOL_TABLES = """
[tool.poetry]
name = "papp"
version = "0.1"
description = ""
authors = []
[tool.poetry.dependencies]
python = "^3.10"
alpha = "^1.0"
wide = "*"
split = [{version = "<2", python = "<3.12"}, {version = "^2.0", python = ">=3.12"}]
lib = {version = "*", extras = ["web"]}
armish = {version = "^1", markers = "platform_machine == 'aarch64'"}
colorish = {version = "*", platform = "win32 || darwin"}
speedy = {version = "*", optional = true}
shared = {version = "*", optional = true, python = ">=3.12"}
[tool.poetry.extras]
fast = ["speedy", "shared"]
other = ["shared"]
[tool.poetry.group.dev.dependencies]
tester = "*"
[tool.poetry.group.Docs_All]
optional = true
[tool.poetry.group.Docs_All.dependencies]
marked = "*"
lib = {version = "*", extras = ["all"]}
"""

_STANDARD_TABLES = """
[project]
name = "papp"
version = "0.1"
requires-python = ">=3.10,<4"
dependencies = [
    "alpha>=1", "wide", "lib[web]", "split<2; python_version < '3.12'",
    "split>=2; python_version >= '3.12'", "colorish; sys_platform == 'win32'",
]
[project.optional-dependencies]
fast = ["speedy", "shared; python_version >= '3.12'"]
other = ["shared; python_version >= '3.12'"]
[dependency-groups]
dev = ["tester", {include-group = "Docs_All"}]
Docs_All = ["marked", "lib[all]"]
[tool.poetry.group.Docs_All]
optional = true
"""


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
    a_distribution(
        "lib", "1.0", "web; extra == 'web'", "beta; extra == 'all'", extras=["web", "all"]
    ),
    a_distribution("marked", "1.0", "web; python_version < '3.12'", "shared"),
    a_distribution("old", "2.0", "beta; python_version < '3.8'"),
    a_distribution("pluggish", "1.0"),
    a_distribution("shared", "1.0"),
    a_distribution("speedy", "1.0", "split"),
    a_distribution("split", "1.0", python=">=3.8"),
    a_distribution("split", "2.0", python=">=3.12"),
    a_distribution("tester", "1.0", "beta", "pluggish"),
    a_distribution("web", "1.0"),
    a_distribution("wide", "1.0", "split>=1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A project that a real Poetry has locked."""

    host: PoetryHost
    folder: Path

    @property
    def home(self) -> Path:
        """Where that Poetry keeps its things."""
        return self.folder.parent / "home"

    def lock(self) -> Lock:
        """Read what Poetry has written; it must be fresh."""
        return read_lock(self.folder / "poetry.lock", read_project(self.folder), {})


def locked(folder: Path, version: str, pyproject: str, index: FakeIndex) -> Locked:
    """Let a version of Poetry lock a project whose packages come from an index."""
    project = folder / "papp"
    project.mkdir()
    source = f'[[tool.poetry.source]]\nname = "fake"\nurl = "{index.url}"\n'
    (project / "pyproject.toml").write_text(pyproject + source, encoding="utf-8")
    made = Locked(host=poetry_host(version, with_plugin=False), folder=project)
    ran = made.host.run("lock", "--no-interaction", cwd=project, home=made.home)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A target, and what is asked for."""

    target: Target
    groups: tuple[str, ...]
    extras: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.target}, groups {self.groups}, extras {self.extras}"

    def answer(self, lock: Lock) -> list[str]:
        """Answer it ourselves."""
        found = reached(
            lock,
            self.target,
            extras=frozenset(map(canonicalize_name, self.extras)),
            groups=frozenset(map(canonicalize_name, self.groups)) - {"main"},
            main="main" in self.groups,
        )
        return [str(package) for package in found.packages]

    def as_json(self) -> dict[str, object]:
        """Put it to Poetry."""
        environment = self.target.marker_environment
        return {"environment": environment, "groups": self.groups, "extras": self.extras}


def questions() -> list[Question]:
    """List every combination of some targets, groups and extras."""
    targets = [
        Target(runtime=RUNTIMES[name], architecture=architecture)
        for name in ("python3.11", "python3.13")
        for architecture in Architecture
    ]
    groups = [("main",), ("main", "dev"), ("dev",), ("docs-all",), ("main", "dev", "docs-all")]
    return [
        Question(target=target, groups=names, extras=extras)
        for target, names, extras in itertools.product(targets, groups, [(), ("fast",), ("other",)])
    ]


def answers_of_poetry(project: Locked, asked: Sequence[Question]) -> dict[str, list[str]]:
    """Ask Poetry's own installer."""
    file = project.folder.parent / "questions.json"
    file.write_text(json.dumps([question.as_json() for question in asked]), encoding="utf-8")
    ran = project.host.run_python(_ANSWERS, file, cwd=project.folder, home=project.home)
    assert ran.returncode == 0, ran.stderr
    return dict(zip(map(str, asked), json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize(
    ("version", "pyproject"),
    [
        pytest.param(NEWEST, _TOOL_TABLES, id="newest-tool-tables"),
        pytest.param(NEWEST, _STANDARD_TABLES, id="newest-standard-tables"),
        pytest.param(OLDEST, _TOOL_TABLES, id="oldest-2-tool-tables", marks=pytest.mark.nightly),
        pytest.param(_POETRY_1, _TOOL_TABLES, id="poetry-1-graph"),
    ],
)
def test_chooses_what_poetry_would_install(tmp_path: Path, version: str, pyproject: str) -> None:
    """For every target, group and extra the chosen packages are those that Poetry installs."""
    with FakeIndex(_OFFERED) as index:
        project = locked(tmp_path, version, pyproject, index)
    lock, asked = project.lock(), questions()

    ours = {str(question): question.answer(lock) for question in asked}

    assert ours == answers_of_poetry(project, asked)


@pytest.mark.parametrize("version", [NEWEST, OLDEST, _POETRY_1])
def test_changed_requirement_makes_the_lock_stale(tmp_path: Path, version: str) -> None:
    """What Poetry finds stale is stale here, and what it finds fresh is fresh here."""
    with FakeIndex([a_distribution("beta", "1.0")]) as index:
        tables = '[tool.poetry]\nname = "papp"\nversion = "1"\ndescription = ""\nauthors = []\n'
        tables += '[tool.poetry.dependencies]\npython = "^3.10"\nbeta = "*"\n'
        project = locked(tmp_path, version, tables, index)
    pyproject = project.folder / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")

    def is_fresh_for_poetry() -> bool:
        ran = project.host.run("check", "--lock", cwd=project.folder, home=project.home)
        return ran.returncode == 0

    pyproject.write_text(text.replace('version = "1"', 'version = "2"'), encoding="utf-8")
    assert (is_fresh_for_poetry(), project.lock().kind) == (True, "poetry.lock")
    pyproject.write_text(text.replace('beta = "*"', 'beta = ">=1"'), encoding="utf-8")
    assert not is_fresh_for_poetry()
    with pytest.raises(StaleLockError):
        project.lock()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("version", [NEWEST, OLDEST, _POETRY_1])
def test_reads_every_kind_of_source(tmp_path: Path, version: str) -> None:
    """Folder, file, URL, commit and index: each is locked by Poetry and found by us."""
    commit = a_repository(tmp_path / "from-commit")
    a_folder(tmp_path / "from-folder")
    wheel, remote, private = a_wheel("from-file"), a_wheel("from-url"), a_wheel("from-index")
    wheel.write_to(tmp_path)
    with FakeIndex([remote, private]) as index:
        tables = f"""
[tool.poetry]
name = "papp"
version = "1"
description = ""
authors = []
[tool.poetry.dependencies]
python = "^3.10"
from-commit = {{git = "{(tmp_path / "from-commit").as_uri()}"}}
from-folder = {{path = "../from-folder", develop = true}}
from-file = {{path = "../{wheel.filename}"}}
from-index = {{version = "*", source = "fake"}}
from-url = {{url = "{index.file_url(remote.filename)}"}}
"""
        project = locked(tmp_path, version, tables, index)
        urls = index.url.rstrip("/"), index.file_url(remote.filename)

    question = Question(target=questions()[0].target, groups=("main",), extras=())
    lock = project.lock()
    found = {package.name: source_of(package) for package in lock.packages}

    assert found == {
        "from-commit": LockedVcs(
            kind="git", url=(tmp_path / "from-commit").as_uri(), commit=commit
        ),
        "from-folder": LockedDirectory(path=project.folder / ".." / "from-folder", editable=True),
        "from-file": LockedFile(
            filename=wheel.filename,
            digest=Digest(f"sha256:{wheel.sha256}"),
            path=project.folder / ".." / wheel.filename,
        ),
        "from-index": urls[0],
        "from-url": LockedFile(
            filename=remote.filename, digest=Digest(f"sha256:{remote.sha256}"), url=urls[1]
        ),
    }
    assert question.answer(lock) == sorted(f"{name} 1.0" for name in found)


def source_of(package: LockedPackage) -> object:
    """Get the one source of a package."""
    return package.index or package.vcs or package.directory or package.wheels[0]


def a_folder(folder: Path) -> None:
    """Write a small project that Poetry understands without building it."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[tool.poetry]\nname = "{folder.name}"\nversion = "1.0"\ndescription = ""\nauthors = []\n'
        '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n',
        encoding="utf-8",
    )


def a_repository(folder: Path) -> str:
    """Make a repository with such a project and give its commit."""
    a_folder(folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example", "-C", str(folder)]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
