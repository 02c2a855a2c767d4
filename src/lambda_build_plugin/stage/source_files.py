"""The files of a project that ships as source → `PlainProject`.

Modules are imported from the project's folder, from its `src`, or from the places in `[tool.poetry]
packages`. Version control, environments, caches, files of tools, tests and what git ignores stay
behind; `exclude` and then `include` override that. A test that a module imports is code, so it
ships. Nothing is executed.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import SettingsError, StageError
from lambda_build_plugin.stage.imported_tests import imported_tests
from lambda_build_plugin.stage.project_walk import ProjectWalk
from lambda_build_plugin.stage.tree import PlainProject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.stage.project_walk import Choice
    from lambda_build_plugin.stage.tree import PlainFile

__all__ = ["NoCodeError", "plain_project"]


class NoCodeError(StageError):
    """Nothing of the project's folder ships."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        super().__init__(
            f"no Python module of {project.name} ships",
            why=f"{folder} contains none, apart from files of version control, environments, tools "
            "and tests, and files that `.gitignore` or `exclude` match",
            hint="keep code with the setting `include`, or package only the dependencies: "
            "`--contents dependencies`",
        )


def plain_project(project: Project, choice: Choice) -> PlainProject:
    """Choose the files of a project.

    Raises:
        StageError: A link leads out of the project, a name is impossible, or nothing is left.
        SettingsError: `[tool.poetry] packages` is not valid for Poetry.
    """
    walk = ProjectWalk(project.root, choice)
    files: dict[str, PlainFile] = {}
    try:
        for file in _found(project, choice, walk):
            files.setdefault(file.path, file)
        for file in imported_tests(files, walk):
            files[file.path] = file
    except TableError as error:
        raise SettingsError([str(error)], hint="fix pyproject.toml") from error
    if not any(path.endswith((".py", ".so")) for path in files):
        raise NoCodeError(project, project.root)
    return PlainProject(
        name=project.name,
        version=project.version,
        files=tuple(files[path] for path in sorted(files)),
        left_behind=tuple(
            walk.left_behind[path] for path in sorted(walk.left_behind) if path not in files
        ),
    )


def _found(project: Project, choice: Choice, walk: ProjectWalk) -> Iterator[PlainFile]:
    """Yield the files below the import root, then other files that `include` names."""
    root = project.root
    if packages := project.tool.table("poetry").tables("packages"):
        for table in packages:
            yield from _of_package(table, root, walk)
    elif _has_code_in_src(root, choice, walk):
        yield from walk.files(root / "src", "")
    else:
        yield from walk.files(root, "")
        return
    if choice.include:
        yield from walk.files(root, "", by_default=False)


def _has_code_in_src(root: Path, choice: Choice, walk: ProjectWalk) -> bool:
    """Check whether modules are imported from `src`: it has some, and the folder has none.

    A handler below `src` means that `src` itself is a package.
    """
    source = root / "src"
    if (choice.handler or "").replace("/", ".").startswith("src."):
        return False
    if not source.is_dir() or (source / "__init__.py").exists() or not _is_root(source):
        return False
    return not any(walk.ships_by_default(place, place.name) for place in _modules(root))


def _is_root(source: Path) -> bool:
    """Check whether a folder contains modules or packages, which may lack an `__init__.py`."""
    return any(source.glob("*.py")) or any(source.glob("*/*.py"))


def _modules(folder: Path) -> Iterator[Path]:
    """Yield the modules and packages in a folder."""
    for place in folder.iterdir():
        if (place.suffix == ".py" and place.is_file()) or (place / "__init__.py").is_file():
            yield place


def _of_package(table: Table, root: Path, walk: ProjectWalk) -> Iterator[PlainFile]:
    """Yield what one of Poetry's `packages` names: code from inside or outside the project."""
    listed = table.raw("format")
    formats = (listed,) if isinstance(listed, str) else table.texts("format")
    if formats and "wheel" not in formats:
        return
    base = (root / (table.text("from") or "")).resolve()
    to = PurePosixPath(table.text("to") or "")
    include = table.required_text("include")
    try:
        matches = sorted(base.glob(include))
        places = [(place, str(to / place.relative_to(base).as_posix())) for place in matches]
    except (ValueError, NotImplementedError, IndexError) as error:
        raise TableError(
            table.place("include"), f"`{include}` is not a valid pattern: {error}"
        ) from error
    if not places:
        raise TableError(table.place("include"), f"`{include}` matches nothing in {base}")
    for place, path in places:
        if path.startswith("/") or ".." in path.split("/"):
            raise TableError(table.at, f"`{path}` would be outside the artifact")
        if place.is_dir():
            yield from walk.files(place, f"{path}/" if path != "." else "", home=base)
        elif walk.ships(place, path):
            yield from walk.file(place, path, home=base)
