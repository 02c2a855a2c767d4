"""Tables, environment and flags → `Settings`; all mistakes at once, each with its key.

Precedence: flag, environment (`LAMBDA_BUILD_<KEY>`), table, default. A frontend
brings the layers; this module knows the keys. It reads no global state.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from packaging.utils import canonicalize_name, is_normalized_name

from lambda_build_plugin.config.options import BY_KEY, ENVIRONMENT_PREFIX, KEYS, variable
from lambda_build_plugin.config.patterns import parse_pattern
from lambda_build_plugin.config.settings import (
    DEFAULT_JOBS,
    HANDLER,
    Contents,
    Form,
    Hooks,
    Layout,
    LocalDependencies,
    Preset,
    Settings,
)
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target, newest_admitted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import (
        Command,
        Host,
    )
    from lambda_build_plugin.runtime.target import Runtime

__all__ = [
    "ARTIFACTS",
    "SettingsSource",
    "environment_source",
    "read_settings",
    "table_source",
]

_E = TypeVar("_E", bound=enum.Enum)

_STAGE = "LAMBDA_BUILD_STAGE"
"""Set for hooks, which may run a build of their own; it is not a setting."""

_LONGEST_HANDLER = 128  # botocore's shape of `Handler`

_SECONDS = re.compile(r"[0-9]{1,18}")

_HOOKS = ("before-build", "after-stage")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSource:
    """One source of settings: its values, and how it spells a key."""

    values: Mapping[str, object]
    """By key as in `[tool.lambda-build]`; None means not given."""

    spell: Callable[[str], str]
    base: Path
    """Folder that relative paths of this layer start from."""

    is_table: bool = False
    """Whether it is a table in a file, where some keys are not allowed."""

    is_environment: bool = False
    """Whether it is the process environment, where some keys are not allowed."""


ARTIFACTS = "artifacts"
"""Where in the table those of single artifacts stand; `lambda_build_plugin.artifacts` has them."""

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
"""How the environment says true and false."""


def read_settings(
    project: Project,
    layers: Sequence[SettingsSource],
    host: Host,
    *,
    artifact: str | None = None,
    artifacts: Collection[str] = (),
) -> Settings:
    """Merge the layers, the strongest first, into checked settings of one artifact.

    Args:
        project: What is to be built.
        layers: What is known about how.
        host: What is known of the machine.
        artifact: The name of the artifact, where it has one.
        artifacts: The names of all artifacts of the project.

    Raises:
        SettingsError: With every mistake in every layer.
    """
    reader = _Reader(layers)
    runtime, runtime_reason = _runtime(reader, project)
    bytecode_only = reader.flag("bytecode-only")
    settings = Settings(
        project=project,
        target=Target(
            runtime=runtime or _newest_of_all(),  # a stand-in: this one is never returned
            architecture=reader.choice("architecture", Architecture) or Architecture.X86_64,
        ),
        runtime_reason=runtime_reason,
        layout=reader.choice("layout", Layout) or Layout.FUNCTION,
        layer_prefix=_layer_prefix(reader, runtime),
        contents=reader.choice("contents", Contents) or Contents.ALL,
        form=reader.choice("project", Form) or (Form.WHEEL if project.is_package else Form.SOURCE),
        exclude=reader.patterns("exclude"),
        include=_include(reader),
        hooks=_hooks(reader),
        extras=reader.names("extras"),
        groups=reader.names("groups"),
        local_dependencies=reader.choice("local-dependencies", LocalDependencies)
        or LocalDependencies.BUILD,
        include_local=reader.paths("include-local"),
        only_binary=reader.flag("only-binary"),
        exclude_presets=reader.choices("exclude-presets", Preset),
        scripts=reader.flag("scripts"),
        bytecode=reader.flag("bytecode") or bytecode_only,
        bytecode_only=bytecode_only,
        artifact=artifact,
        provided=reader.names("provided"),
        provided_by=reader.places("provided-by", names=artifacts),
        handler=_handler(reader),
        lock=reader.path("lock"),
        output=reader.path("output"),
        output_is_folder=reader.is_folder("output"),
        unpacked=reader.path("unpacked"),
        strict=reader.flag("strict"),
        offline=reader.flag("offline"),
        jobs=_jobs(reader),
        epoch=_epoch(host.environ, reader.problems),
        host=host,
    )
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def environment_source(host: Host) -> SettingsSource:
    """Read the keys that `LAMBDA_BUILD_<KEY>` sets; an empty value is none."""
    named = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "-"): value
        for name, value in host.environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in {_STAGE, variable("cache-dir")}
    }
    return SettingsSource(
        values={key: value or None for key, value in named.items()},
        spell=lambda key: f"environment variable {variable(key)}",
        base=host.cwd,
        is_environment=True,
    )


def table_source(project: Project) -> SettingsSource:
    """Read `[tool.lambda-build]` of the project, without what it says of single artifacts.

    Raises:
        SettingsError: It is no table.
    """
    try:
        table = project.tool.table("lambda-build")
    except TableError as error:
        raise SettingsError([str(error)]) from error
    return SettingsSource(
        values={key: table.raw(key) for key in table if key != ARTIFACTS},
        spell=lambda key: f"[tool.lambda-build] {key}",
        base=project.root,
        is_table=True,
    )


class _Reader:
    """Gets checked values from the layers and gathers what is wrong with them."""

    def __init__(self, layers: Sequence[SettingsSource]) -> None:
        self.problems: list[str] = []
        self._layers = [replace(layer, values=self._accepted(layer)) for layer in layers]

    def _accepted(self, layer: SettingsSource) -> Mapping[str, object]:
        """Keep the keys that may stand in this source, and note the others as mistakes."""
        accepted: dict[str, object] = {}
        for key, value in layer.values.items():
            if problem := _misplaced(key, layer):
                self.problems.append(f"{layer.spell(key)}: {problem}")
            else:
                accepted[key] = value
        return accepted

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.origin(key)}: {text}")

    def origin(self, key: str) -> str:
        layer = self._first(key)
        return layer.spell(key) if layer else key

    def text(self, key: str) -> str | None:
        value = self._value(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self.problem(key, "must be a string" if value != "" else "must not be empty")
        return None

    def choice(self, key: str, kind: type[_E]) -> _E | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            return kind(text)
        except ValueError:
            values = ", ".join(f"`{member.value}`" for member in kind)
            self.problem(key, f"is `{text}`: use one of {values}")
            return None

    def flag(self, key: str) -> bool:
        value = self._value(key)
        if isinstance(value, str):
            value = _WORDS.get(value.lower(), value)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.problem(key, "must be true or false")
        return False

    def number(self, key: str) -> int | None:
        value = self._value(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            return int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.problem(key, "must be a whole number")
        return None

    def choices(self, key: str, kind: type[_E]) -> tuple[_E, ...]:
        """Get members of an enumeration, each once, in its order."""
        wanted = [part for text in self._texts(key) for part in re.split(r"[,\s]+", text) if part]
        members = {member.value: member for member in kind}
        for text in wanted:
            if text not in members:
                self.problem(key, f"has `{text}`: use some of {_listed(members)}")
        return tuple(member for value, member in members.items() if value in wanted)

    def patterns(self, key: str) -> tuple[str, ...]:
        """Get lines as in `.gitignore`; a text, such as that of a variable, has commas."""
        texts = self._texts(key)
        for text in texts:
            try:
                parse_pattern(text)
            except ValueError as error:
                self.problem(key, f"`{text}` {error}")
        return texts

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._value(key)
        if isinstance(value, str):
            return tuple(part for part in re.split(r"\s*[,\n]\s*", value) if part)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(i, str) for i in value):
            self.problem(key, "must be a list of strings")
            return ()
        return tuple(value)

    def names(self, key: str) -> frozenset[NormalizedName]:
        value = self._value(key)
        items = re.split(r"[,\s]+", value) if isinstance(value, str) else value
        if items is None:
            return frozenset()
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            self.problem(key, "must be a list of names")
            return frozenset()
        for item in items:
            if item and not is_normalized_name(canonicalize_name(item)):
                self.problem(key, f"holds `{item}`, which is no name: leave versions to the lock")
        return frozenset(canonicalize_name(item) for item in items if item)

    def table(self, key: str) -> Mapping[str, object]:
        value = self._value(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self.problem(key, "must be a table in a file")
        return {}

    def path(self, key: str) -> Path | None:
        layer, text = self._first(key), self.text(key)
        if text and "\0" in text:
            self.problem(key, "holds a NUL byte")
            return None
        return layer.base / text if layer and text else None

    def paths(self, key: str) -> tuple[Path, ...]:
        """Get paths in their order, a repeated one once; the environment has one a line."""
        layer = self._first(key)
        items = self._lines(key, "must be a list of paths")
        return tuple(layer.base / item for item in items) if layer else ()

    def _lines(self, key: str, expected: str) -> tuple[str, ...]:
        value = self._value(key)
        items = value.splitlines() if isinstance(value, str) else value
        if items is None:
            return ()
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            self.problem(key, expected)
            return ()
        if any("\0" in item for item in items):
            self.problem(key, "holds a NUL byte")
            return ()
        return tuple(dict.fromkeys(item for item in items if item))

    def places(self, key: str, *, names: Collection[str]) -> tuple[str | Path, ...]:
        """Get names and, where one is none of these, paths; the environment has one a line."""
        layer = self._first(key)
        return tuple(
            item if item in names or layer is None else layer.base / item
            for item in self._lines(key, "must be a list of names and paths")
        )

    def is_folder(self, key: str) -> bool:
        value = self._value(key)
        return isinstance(value, str) and value.endswith(("/", "\\"))

    def _first(self, key: str) -> SettingsSource | None:
        return next((layer for layer in self._layers if layer.values.get(key) is not None), None)

    def _value(self, key: str) -> object:
        layer = self._first(key)
        return layer.values[key] if layer else None


def _runtime(reader: _Reader, project: Project) -> tuple[Runtime | None, str]:
    """Choose the runtime and say why it is this one; None where none can be."""
    name = reader.text("runtime")
    if name is not None:
        if name not in RUNTIMES:
            reader.problem("runtime", f"is `{name}`: use one of {_listed(RUNTIMES)}")
            return None, ""
        reason = f"set by {reader.origin('runtime')}"
    elif project.pinned_python and f"python{project.pinned_python}" in RUNTIMES:
        name = f"python{project.pinned_python}"
        reason = f"named in .python-version ({project.pinned_python})"
    else:
        newest = newest_admitted(project.requires_python)
        if newest is None:
            there = ", ".join(
                f"{runtime.name} (Python {runtime.full_version})"
                for runtime in RUNTIMES.values()
                if not runtime.preview
            )
            reader.problems.append(
                f"requires-python `{project.requires_python}` of {project.name} admits no Lambda "
                f"runtime out of preview: there are {there}"
            )
            return None, ""
        name = newest.name
        reason = (
            f"the newest that requires-python `{project.requires_python}` admits"
            if project.requires_python is not None
            else "the newest; the project has no requires-python"
        )
    runtime = RUNTIMES[name]
    version = runtime.full_version
    if project.requires_python is not None and not project.requires_python.contains(version):
        reader.problems.append(
            f"runtime {name} ({reason}) has Python {version}, "
            f"but the project's requires-python is `{project.requires_python}`"
        )
    return runtime, reason


def _newest_of_all() -> Runtime:
    return next(reversed(RUNTIMES.values()))


def _layer_prefix(reader: _Reader, runtime: Runtime | None) -> str:
    prefix = (reader.text("layer-prefix") or "python").rstrip("/")
    names = [runtime.name] if runtime else list(RUNTIMES)
    if prefix not in {"python", *(f"python/lib/{name}/site-packages" for name in names)}:
        shown = runtime.name if runtime else "python3.X"
        reader.problem(
            "layer-prefix", f"is `{prefix}`: use `python` or `python/lib/{shown}/site-packages`"
        )
    return prefix


def _include(reader: _Reader) -> tuple[str, ...]:
    patterns = reader.patterns("include")
    for pattern in patterns:
        if pattern.startswith("!"):
            reader.problem("include", f"`{pattern}` leaves out: move it to `exclude`, without `!`")
    return patterns


def _handler(reader: _Reader) -> str | None:
    handler = reader.text("handler")
    if handler and (not HANDLER.fullmatch(handler) or len(handler) > _LONGEST_HANDLER):
        reader.problem(
            "handler",
            f"is `{handler}`: write `package.module.function`, at most {_LONGEST_HANDLER} "
            "characters without spaces",
        )
    return handler


def _hooks(reader: _Reader) -> Hooks:
    table = reader.table("hooks")
    for name in table:
        if name not in _HOOKS:
            reader.problem("hooks", f"`{name}` is no hook: there are {_listed(_HOOKS)}")
    before_build, after_stage = (_commands(reader, name, table.get(name)) for name in _HOOKS)
    return Hooks(before_build=before_build, after_stage=after_stage)


def _commands(reader: _Reader, name: str, value: object) -> tuple[Command, ...]:
    """Read a list of commands; each a line for the shell, or a list without one."""
    items = [] if value is None else value
    if isinstance(items, list) and all(map(_is_command, items)):
        return tuple(item if isinstance(item, str) else tuple(item) for item in items)
    reader.problem("hooks", f"`{name}` must be a list of commands: strings, or lists of strings")
    return ()


def _is_command(item: object) -> bool:
    words = [item] if isinstance(item, str) else item
    return (
        isinstance(words, list)
        and bool(words)
        and all(isinstance(word, str) and "\0" not in word for word in words)
        and bool(words[0].strip())
    )


def _jobs(reader: _Reader) -> int:
    jobs = reader.number("jobs")
    if jobs is not None and jobs < 1:
        reader.problem("jobs", "must be at least 1")
    return DEFAULT_JOBS if jobs is None else jobs


def _epoch(environ: Mapping[str, str], problems: list[str]) -> int | None:
    text = environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        problems.append(f"environment variable SOURCE_DATE_EPOCH: is `{text}`, not whole seconds")
        return None
    return int(text)


def _misplaced(key: str, source: SettingsSource) -> str:
    """Say why a key cannot be set in this source; empty if it can."""
    option = BY_KEY.get(key)
    if option is None:
        return _unknown(key)
    instead = f"use the flag `--{option.names[0]}`" if option.names else "use a table in a file"
    if source.is_table and not option.in_table:
        return f"cannot be set in a table: {instead}"
    if source.is_environment and not option.in_environment:
        return f"cannot be set in the environment: {instead}"
    return ""


def _unknown(key: str) -> str:
    from difflib import get_close_matches

    # 0.5 is as near as `arch` comes to `architecture`.
    close = get_close_matches(key, KEYS, n=1, cutoff=0.5)
    return "is no setting" + (f"; did you mean `{close[0]}`?" if close else "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
