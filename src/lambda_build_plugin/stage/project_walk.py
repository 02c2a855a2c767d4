"""Walk through the folders of a project and decide for each file whether it ships.

Patterns decide in this order: `include`, `exclude`, then the defaults below and the
`.gitignore` files of the project. All of them are written as in a `.gitignore`. The index
of git decides nothing, because a copy without a repository has to give the same bytes. What
stays behind is noted with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from lambda_build_plugin.config.patterns import make_spec
from lambda_build_plugin.stage.plain_files import (
    LinkedFolders,
    UnfitFileError,
    plain_file,
    real_place,
)
from lambda_build_plugin.stage.tree import LeftBehind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pathspec import GitIgnoreSpec

    from lambda_build_plugin.stage.tree import PlainFile

__all__ = ["BY_DEFAULT", "BY_GITIGNORE", "TEST", "Choice", "ProjectWalk"]

BY_DEFAULT = "it is left out by default"
BY_GITIGNORE = "`.gitignore` matches it"
TEST = "it is a test"
_BY_EXCLUDE = "`exclude` matches it"
_ENVIRONMENT_FOLDER = "it is an environment"
_OF_BUILD = "it belongs to the build, or ships as a wheel"

_NEVER = frozenset({".git", ".hg", ".svn", ".bzr", "CVS", "__pycache__"})
"""Folders and files that no pattern can include."""

_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
"""What marks a virtual environment (PEP 405), and one of conda or pixi."""

_PROJECT_FILES = ("pyproject.toml", "setup.py")
"""What marks a folder as a project, such as a member of a workspace."""

_OUTPUT_FOLDERS = frozenset({"build", "dist"})
"""Where the builds of every such project write."""

_LEFT_BEHIND = """
# version control and what hangs on it
.gitignore
.gitattributes
.gitmodules
.gitkeep
.hgignore
.github/
.gitlab/
.gitlab-ci.yml
.circleci/
.pre-commit-config.yaml
# secrets
.aws/
.docker/
.env
.env.*
.envrc
.git-credentials
.netrc
.npmrc
.pypirc
.ssh/
id_dsa
id_ecdsa
id_ed25519
id_rsa
# caches, and what editors and systems leave
*.py[co]
.*_cache/
.cache/
.coverage
.coverage.*
.eggs/
.hypothesis/
.ipynb_checkpoints/
.nox/
.tox/
htmlcov/
.idea/
.vscode/
.#*
*.sw[op]
*~
.DS_Store
Thumbs.db
desktop.ini
# what builds and other tools make
*.dist-info/
*.egg-info/
*-function-python3.*.zip
*-layer-python3.*.zip
.aws-sam/
.pdm-build/
.pixi/
.serverless/
.terraform/
cdk.out/
node_modules/
/build/
/dist/
/*.whl
/*.zip
# projects, locks and tools
/.dockerignore
/.editorconfig
/.flake8
/.mypy.ini
/.pdm-python
/.pylintrc
/.python-version
/.ruff.toml
/.tool-versions
/Dockerfile
/Dockerfile.*
/MANIFEST.in
/Makefile
/Pipfile
/Pipfile.lock
/compose.yaml
/constraints*.txt
/docker-compose*.yml
/docker-compose*.yaml
/hatch.toml
/justfile
/mypy.ini
/noxfile.py
/pdm.lock
/pdm.toml
/poetry.lock
/poetry.toml
/pylock.toml
/pylock.*.toml
/pyproject.toml
/pytest.ini
/requirements*.in
/requirements*.lock
/requirements*.txt
/ruff.toml
/samconfig.toml
/setup.cfg
/setup.py
/tox.ini
/uv.lock
/uv.toml
"""
"""Files that a function has no use for; `docs/how-to/source-projects.md` lists the same."""

_TESTS = """
test/
tests/
test_*.py
conftest.py
"""
"""Code that runs before a function is deployed, unless a module that ships imports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user says about the files that ship."""

    include: tuple[str, ...] = ()
    """Patterns over archive paths; they win over everything else."""

    exclude: tuple[str, ...] = ()
    handler: str | None = None
    """As `package.module.function`; it shows whether `src` itself is a package."""

    apart: frozenset[Path] = frozenset()
    """Absolute places that never ship: the output, local packages that ship as wheels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder on the way down."""

    place: Path
    path: str
    """Its archive path, empty or with a slash at its end."""

    homes: tuple[Path, ...]
    """Resolved folders in which links may end."""

    above: tuple[Path, ...] = ()
    """Resolved folders on the way to it, itself included."""

    linked: bool = False
    """Whether a link on the way leads to it."""

    ignored: bool = False
    """Whether everything in it stays behind, unless a pattern names it."""


_Specs: TypeAlias = "tuple[tuple[Path, GitIgnoreSpec], ...]"
"""Patterns, each with the folder that they are relative to; the first match counts."""


@dataclass(slots=True)
class ProjectWalk:
    """Walks folders and decides for each file."""

    root: Path
    choice: Choice
    left_behind: dict[str, LeftBehind] = field(init=False, default_factory=dict)
    """What was found and does not ship, by path; a folder as a whole."""

    _defaults: GitIgnoreSpec = field(init=False)
    _tests: GitIgnoreSpec = field(init=False)
    _exclude: GitIgnoreSpec = field(init=False)
    _include: GitIgnoreSpec = field(init=False)
    _by_name: frozenset[str] = field(init=False)
    _specs: dict[Path, _Specs] = field(init=False, default_factory=dict)
    _linked: LinkedFolders = field(init=False, default_factory=LinkedFolders)

    def __post_init__(self) -> None:
        self._defaults = make_spec(_LEFT_BEHIND.splitlines())
        self._tests = make_spec(_TESTS.splitlines())
        self._exclude = make_spec(self.choice.exclude)
        self._include = make_spec(self.choice.include)
        self._by_name = frozenset(pattern.strip("/") for pattern in self.choice.include)

    def files(
        self, folder: Path, path: str, *, home: Path | None = None, by_default: bool = True
    ) -> Iterator[PlainFile]:
        """Yield what ships from a folder; `by_default` is false if files have to be named."""
        homes = (self.root, home) if home else (self.root,)
        place = real_place(folder)
        start = _Folder(
            place=folder, path=path, homes=homes, above=(place,), ignored=not by_default
        )
        yield from self._below(start)

    def file(self, place: Path, path: str, *, home: Path) -> Iterator[PlainFile]:
        """Yield one file that is named."""
        folder = _Folder(place=place.parent, path="", homes=(self.root, home))
        yield from self._entry(folder, place, path)

    def ships(self, place: Path, path: str, *, ignored: bool = False) -> bool:
        """Decide for one file: `include` before `exclude` before what is left behind."""
        return not self._reason(place, path, ignored=ignored)

    def ships_by_default(self, place: Path, path: str) -> bool:
        """Decide for one file or folder without the user's patterns."""
        return not self._reason_by_default(place, path)

    def is_excluded(self, path: str) -> bool:
        """Tell whether the user's patterns leave a file out."""
        return self._reason_by_user(path) == _BY_EXCLUDE

    def _reason(self, place: Path, path: str, *, ignored: bool) -> str:
        """Say why a file stays behind; empty if it ships."""
        by_user = self._reason_by_user(path)
        if by_user is not None:
            return by_user
        return BY_DEFAULT if ignored else self._reason_by_default(place, path)

    def _reason_by_user(self, path: str) -> str | None:
        """Apply the user's patterns; None if none of them matches."""
        for spec, answer in ((self._include, True), (self._exclude, False)):
            found = spec.check_file(path).include
            if found is not None:
                return "" if found is answer else _BY_EXCLUDE
        return None

    def _reason_by_default(self, place: Path, path: str) -> str:
        is_folder = place.is_dir()
        suffix = "/" if is_folder else ""
        if apart := self._reason_apart(place):
            return apart
        if self._defaults.match_file(path + suffix) or (is_folder and _is_output_folder(place)):
            return BY_DEFAULT
        if self._tests.match_file(path + suffix):
            return TEST
        return BY_GITIGNORE if self._is_ignored(place, suffix) else ""

    def _note(self, place: Path, path: str, reason: str) -> None:
        if place.name not in _NEVER and not self._include.check_file(path).include:
            self.left_behind.setdefault(path, LeftBehind(path=path, place=place, reason=reason))

    def _below(self, folder: _Folder) -> Iterator[PlainFile]:
        try:
            places = sorted(folder.place.iterdir())
        except OSError as error:
            raise UnfitFileError(
                folder.path or ".", error.strerror or str(error), hint="check its permissions"
            ) from error
        for place in places:
            path = folder.path + place.name
            if apart := self._reason_apart(place):
                self._note(place, f"{path}/" if place.is_dir() else path, apart)
            elif place.is_dir():
                yield from self._in_folder(folder, place, path)
            elif reason := self._reason(place, path, ignored=folder.ignored):
                if not folder.ignored:  # its folder is noted
                    self._note(place, path, reason)
            else:
                yield from self._entry(folder, place, path)

    def _in_folder(self, folder: _Folder, place: Path, path: str) -> Iterator[PlainFile]:
        reason = "" if folder.ignored else self._reason_by_default(place, path)
        ignored = folder.ignored or bool(reason)
        if (ignored or not self._may_bring_back) and self._exclude.match_file(f"{path}/"):
            reason = _BY_EXCLUDE
        if reason:
            self._note(place, f"{path}/", reason)
        if (ignored or reason) and not self._may_bring_back:
            return
        real = folder.above[-1] / place.name
        if place.is_symlink():
            real = real_place(real)
        if real in folder.above:  # a link back up: it would never end
            return
        homes = folder.homes
        if place.is_symlink() and not _is_below(real, homes):
            if not self._is_named(path):
                if ignored or not self.ships(place, f"{path}/"):
                    return
                raise _outside(path, real)
            homes = (*homes, real)
        below = _Folder(
            place=place,
            path=f"{path}/",
            homes=homes,
            above=(*folder.above, real),
            linked=folder.linked or place.is_symlink(),
            ignored=ignored,
        )
        if below.linked:
            self._linked.add(path)
        yield from self._below(below)

    def _entry(self, folder: _Folder, place: Path, path: str) -> Iterator[PlainFile]:
        if place.is_symlink() and not self._is_named(path):
            real = real_place(place)
            if not _is_below(real, folder.homes):
                raise _outside(path, real)
        yield plain_file(place, path)

    @property
    def _may_bring_back(self) -> bool:
        """Whether a pattern may match something in a folder that stays behind."""
        return bool(self.choice.include) or any(p.startswith("!") for p in self.choice.exclude)

    def _is_named(self, path: str) -> bool:
        return path in self._by_name

    def _reason_apart(self, place: Path) -> str:
        """Say why a file or folder can never ship; empty if it can."""
        if place.name in _NEVER or place in self.choice.apart:
            return _OF_BUILD
        if place.is_dir() and any((place / name).exists() for name in _ENVIRONMENTS):
            return _ENVIRONMENT_FOLDER
        return ""

    def _is_ignored(self, place: Path, suffix: str) -> bool:
        """Apply the `.gitignore` files, the nearest first, as git does (gitignore(5))."""
        for folder, spec in self._specs_for(place.parent):
            found = spec.check_file(place.relative_to(folder).as_posix() + suffix).include
            if found is not None:
                return found
        return False

    def _specs_for(self, folder: Path) -> _Specs:
        """Get the patterns for the entries of a folder, up to the top of its repository.

        Without a repository, files above the project do not count.
        """
        if folder not in self._specs:
            own = tuple(
                (folder, spec)
                for name in (".gitignore", ".git/info/exclude")
                if (spec := _spec(folder / name)) is not None
            )
            at_top = (folder / ".git").exists() or not (
                (folder.is_relative_to(self.root) and folder != self.root)
                or _is_in_repository(folder.parent)
            )
            self._specs[folder] = own if at_top else own + self._specs_for(folder.parent)
        return self._specs[folder]


def _is_output_folder(place: Path) -> bool:
    """Check whether a nested project writes its builds to a folder."""
    return place.name in _OUTPUT_FOLDERS and any(
        (place.parent / name).is_file() for name in _PROJECT_FILES
    )


def _is_in_repository(folder: Path) -> bool:
    return any((place / ".git").exists() for place in (folder, *folder.parents))


def _outside(path: str, real: Path) -> UnfitFileError:
    return UnfitFileError(
        path,
        f"it is a link to {real}, which is outside the project",
        hint=f'ship what it points to with `include = ["/{path}"]`, or leave it out with `exclude`',
    )


def _spec(file: Path) -> GitIgnoreSpec | None:
    """Read a file of patterns; invalid lines are skipped, as git does."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError:
        return None
    try:
        return make_spec(text.splitlines())
    except ValueError:
        return make_spec(filter(_is_pattern, text.splitlines()))


def _is_pattern(line: str) -> bool:
    try:
        make_spec([line])
    except ValueError:
        return False
    return True


def _is_below(place: Path, homes: Sequence[Path]) -> bool:
    return any(place.is_relative_to(home) for home in homes)
