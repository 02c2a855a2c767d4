"""Locks made by real uv: what `uv lock --check` accepts is fresh here, whatever the source is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.wheels import a_wheel

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.lock.errors import StaleLockError
from lambda_build_plugin.lock.read import read_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.lock.model import Lock

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

_EXTRAS = ("Provides-Extra: web", "Provides-Extra: all")
_KIT, _NEWER = (a_wheel("kit", version, metadata=_EXTRAS) for version in ("1.0", "2.0"))
_PYPROJECT = (
    '[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.10"\n'
    "[project.optional-dependencies]\nweb = []\nall = []\n"
)

_REQUIREMENTS = {
    "index": "kit[web]>=1 ; python_version < '3.13'",
    "url": "kit[web] @ {wheel} ; python_version < '3.13'",
    "git": "kit[web] @ git+{repository}@v1 ; python_version < '3.13'",
    "git-without-reference": "kit @ git+{repository}",
    "file": "kit @ {folder}/kit-1.0-py3-none-any.whl",
    "folder": "kit @ {folder}/outside",
}
_SOURCES = {
    "none": "",
    "workspace": "{ workspace = true }",
    "path": '{ path = "../outside" }',
    "editable": '{ path = "../outside", editable = true }',
    "virtual": '{ path = "../outside", package = false }',
    "wheel": '{ path = "../kit-1.0-py3-none-any.whl" }',
    "index": '{ index = "fake" }',
    "url": '{ url = "{wheel}" }',
    "commit": '{ git = "{repository}", rev = "{commit}" }',
    "tag": '{ git = "{repository}", tag = "v1" }',
    "branch": '{ git = "{repository}", branch = "dev" }',
    "subdirectory": '{ git = "{repository}", tag = "v1", subdirectory = "sub" }',
    "two-with-markers": (
        '[{ index = "fake", marker = "sys_platform == \'linux\'" },'
        ' { path = "../outside", marker = "sys_platform != \'linux\'" }]'
    ),
    "one-with-a-marker": '{ path = "../outside", marker = "sys_platform == \'linux\'" }',
}
_WHERE = {
    "dependencies": 'dependencies = ["{requirement}"]\n',
    "extra": (
        "dependencies = []\n[project.optional-dependencies]\n"
        'Fast_One = ["{requirement}"]\nother = ["papp[fast-one]"]\n'
    ),
    "group": (
        'dependencies = []\n[dependency-groups]\nDev_One = ["{requirement}"]\n'
        'more = [{{include-group = "dev-one"}}]\n'
    ),
    "everywhere": (
        'dependencies = ["{requirement}"]\n[project.optional-dependencies]\n'
        'fast = ["{requirement}"]\n[dependency-groups]\ndev = ["{requirement}"]\n'
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A project with everything that its requirements can come from."""

    folder: Path
    index: FakeIndex
    commit: str

    @property
    def project(self) -> Path:
        """The folder of the project."""
        return self.folder / "papp"

    def write(self, where: str, requirement: str, source: str, more: str = "") -> None:
        """Write the project; `{wheel}`, `{repository}`, `{commit}` and `{folder}` are filled in."""
        text = _WHERE[where].format(requirement=requirement)
        text = f'[project]\nname = "papp"\nversion = "1"\nrequires-python = ">=3.10"\n{text}{more}'
        text += f"[tool.uv.sources]\nkit = {source}\n" if source else ""
        text += '[tool.uv.workspace]\nmembers = ["member"]\n' if "workspace" in source else ""
        text += f'[[tool.uv.index]]\nname = "fake"\nurl = "{self.index.url}"\ndefault = true\n'
        (self.project / "pyproject.toml").write_text(self.filled_in(text), encoding="utf-8")

    def filled_in(self, text: str) -> str:
        """Fill in the places of this world."""
        values = {
            "wheel": self.index.file_url(_KIT.filename),
            "repository": (self.folder / "repository").as_uri(),
            "commit": self.commit,
            "folder": self.folder.as_uri(),
        }
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", value)
        return text

    def lock(self) -> None:
        """Let uv make a new lock."""
        (self.project / "uv.lock").unlink(missing_ok=True)
        ran = self.uv("lock")
        assert ran.returncode == 0, ran.stderr

    def verdicts(self) -> tuple[bool, bool]:
        """Tell whether the lock is fresh for us, and for uv."""
        try:
            self.read()
        except StaleLockError:
            return False, self.uv("lock", "--check").returncode == 0
        return True, self.uv("lock", "--check").returncode == 0

    def read(self) -> Lock:
        """Read the lock."""
        return read_lock(self.project / "uv.lock", read_project(self.project), {})

    def uv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run uv with nothing of this machine's configuration in sight."""
        program = shutil.which("uv", path=os.path.dirname(sys.executable))  # noqa: PTH120
        assert program, "uv is in the dependency group `test`"
        home = str(self.folder / "home")
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "XDG_CONFIG_DIRS": home,
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
        }
        return subprocess.run(
            [program, *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make the folders, the repository and the index."""
    folder = tmp_path_factory.mktemp("world").resolve()
    for name in ("outside", "papp/member", "repository", "repository/sub"):
        (folder / name).mkdir(parents=True)
        (folder / name / "pyproject.toml").write_text(_PYPROJECT.format(name="kit"))
    _KIT.write_to(folder)
    git = [
        "git",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example",
        "-C",
        str(folder / "repository"),
    ]
    for command in ("init -q", "add .", "commit -qm first", "tag v1", "branch dev"):
        subprocess.run([*git, *command.split()], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    with FakeIndex([_KIT, _NEWER, a_wheel("other")]) as index:
        yield World(folder=folder, index=index, commit=head.stdout.strip())


@pytest.mark.parametrize("requirement", _REQUIREMENTS.values(), ids=list(_REQUIREMENTS))
@pytest.mark.parametrize("source", _SOURCES.values(), ids=list(_SOURCES))
def test_what_uv_has_locked_is_fresh(world: World, source: str, requirement: str) -> None:
    """Source, direct URL, extra, group and marker in every combination: uv's verdict is ours."""
    verdicts = {}
    for where in _WHERE:
        world.write(where, requirement, source)
        world.lock()
        verdicts[where] = world.verdicts()

    assert verdicts == dict.fromkeys(_WHERE, (True, True))


_CHANGES = {
    "version": ("everywhere", "kit>=1", "", "kit>=2", ""),
    "extra": ("group", "kit", "", "kit[web]", ""),
    "marker": ("group", "kit", "", "kit ; sys_platform == 'linux'", ""),
    "version-in-a-group": ("group", "kit>=1", "", "kit>=2", ""),
    "version-of-a-named-index": ("dependencies", "kit>=1", "index", "kit>=2", "index"),
    "source-is-new": ("dependencies", "kit", "", "kit", "path"),
    "source-is-gone": ("dependencies", "kit", "tag", "kit", ""),
    "source-over-url-is-gone": (
        "dependencies",
        "kit @ {wheel}",
        "index",
        "kit @ {wheel}",
        "",
    ),
    "source-over-url-is-another": (
        "group",
        "kit @ git+{repository}@v1",
        "commit",
        "kit @ git+{repository}@v1",
        "tag",
    ),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=list(_CHANGES))
def test_what_is_stale_for_uv_is_stale_here(
    world: World, change: tuple[str, str, str, str, str]
) -> None:
    """A change of a requirement or of its source makes the lock stale."""
    where, requirement, source, new_requirement, new_source = change
    world.write(where, requirement, _SOURCES[source or "none"])
    world.lock()

    world.write(where, new_requirement, _SOURCES[new_source or "none"])

    assert world.verdicts() == (False, False)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param('[tool.uv]\ndev-dependencies = ["kit>=1"]\n', id="old-group-of-uv"),
        pytest.param("[dependency-groups]\nempty = []\n", id="empty-group"),
        pytest.param(
            '[dependency-groups]\ndev = ["kit", {include-group = "b"}]\nb = ["kit[all]"]\n'
            '[tool.uv]\ndev-dependencies = ["kit>=1"]\n',
            id="old-and-new-group",
        ),
    ],
)
def test_groups_are_compared_as_uv_locks_them(world: World, more: str) -> None:
    """Old and included groups are locked in a spelling of uv's own."""
    world.write("dependencies", "kit", "", more)
    world.lock()

    assert world.verdicts() == (True, True)


@pytest.mark.parametrize(
    ("root", "member"),
    [
        pytest.param('{ git = "{repository}", tag = "v1" }', "", id="inherited"),
        pytest.param('{ index = "fake" }', '{ path = "../../outside" }', id="own"),
    ],
)
def test_member_inherits_the_sources_of_the_root(world: World, root: str, member: str) -> None:
    """The root's table counts for the names that the member's own table does not have."""
    folder = world.project / "one"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "one"\nversion = "1"\nrequires-python = ">=3.10"\n'
        + world.filled_in('dependencies = ["kit @ {wheel}"]\n')
        + (f"[tool.uv.sources]\nkit = {member}\n" if member else ""),
        encoding="utf-8",
    )
    world.write("dependencies", "other", root, '[tool.uv.workspace]\nmembers = ["one"]\n')
    world.lock()

    lock = read_lock(world.project / "uv.lock", read_project(folder), {})

    assert lock.kind == "uv.lock"


_SETTINGS = {
    "nothing": "",
    "build": 'build-constraint-dependencies = ["hatchling<2", "wheel"]',
    "build-in-other-words": 'build-constraint-dependencies = ["Wheel", "hatchling <2"]',
    "build-other": 'build-constraint-dependencies = ["hatchling<3", "wheel"]',
    "build-marker": (
        'build-constraint-dependencies = ["hatchling<2 ; sys_platform == \'linux\'", "wheel"]'
    ),
    "constraint": 'constraint-dependencies = ["kit<3"]',
    "constraint-on-what-is-not-locked": 'constraint-dependencies = ["other<3"]',
    "override": 'override-dependencies = ["kit<3"]',
    "override-of-what-is-not-locked": 'override-dependencies = ["other<3"]',
}


@pytest.mark.parametrize("locked", _SETTINGS.values(), ids=list(_SETTINGS))
def test_constraints_and_overrides(world: World, locked: str) -> None:
    """After any change of constraints and overrides, a lock is as fresh for us as for uv."""

    def write(setting: str) -> None:
        world.write("dependencies", "kit>=1", "", f"[tool.uv]\n{setting}\n")

    write(locked)
    world.lock()
    different = {}
    for name, setting in _SETTINGS.items():
        write(setting)
        ours, of_uv = world.verdicts()
        if ours is not of_uv:
            different[name] = ours

    assert different == {}
