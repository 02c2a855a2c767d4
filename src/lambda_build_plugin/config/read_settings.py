"""Merge flags, environment and tables into checked `Settings`, and report all mistakes at once.

Precedence: flag, environment (`LAMBDA_BUILD_<KEY>`), table, default. The frontend collects
the sources; nothing here reads the environment or the working directory.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, is_normalized_name

from lambda_build_plugin.config.build_policy import ALL
from lambda_build_plugin.config.settings import (
    DEFAULT_JOBS,
    HANDLER,
    Contents,
    CrossCompile,
    Form,
    Hooks,
    LayerFiles,
    Layout,
    LocalDependencies,
    Preset,
    Settings,
)
from lambda_build_plugin.config.spelling import wrong_value
from lambda_build_plugin.config.value_reader import ValueReader
from lambda_build_plugin.errors import SettingsError, quoted
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target, default_runtimes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Command, Host
    from lambda_build_plugin.config.sources import SettingsSource
    from lambda_build_plugin.runtime.target import Runtime

__all__ = ["read_settings"]

_LONGEST_HANDLER = 128  # botocore's shape of `Handler`

_SECONDS = re.compile(r"[0-9]{1,18}")

_HOOKS = ("before-build", "after-stage")


def read_settings(
    project: Project,
    layers: Sequence[SettingsSource],
    host: Host,
    *,
    artifact: str | None = None,
    artifacts: Collection[str] = (),
) -> Settings:
    """Merge sources of settings into the checked settings of one artifact.

    Args:
        project: The project to build.
        layers: The sources, the strongest first.
        host: What the frontend knows about this machine.
        artifact: The name of the artifact, if it has one.
        artifacts: The names of all artifacts of the project.

    Raises:
        SettingsError: It lists every mistake in every source.
    """
    reader = ValueReader(layers)
    runtime, runtime_reason, runtime_is_default = _runtime(reader, project)
    bytecode_only = reader.flag("bytecode-only")
    settings = Settings(
        project=project,
        target=Target(
            runtime=runtime or _newest_of_all(),  # a stand-in: this one is never returned
            architecture=reader.choice("architecture", Architecture) or Architecture.X86_64,
        ),
        runtime_reason=runtime_reason,
        runtime_is_default=runtime_is_default,
        layout=reader.choice("layout", Layout) or Layout.FUNCTION,
        layer_prefix=_layer_prefix(reader, runtime),
        layer_files=_layer_files(reader, project),
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
        no_binary=_no_binary(reader),
        cross_compile=reader.choice("cross-compile", CrossCompile) or CrossCompile.AUTO,
        build_environment=frozenset(reader.texts("build-environment")),
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


def _runtime(reader: ValueReader, project: Project) -> tuple[Runtime | None, str, bool]:
    """Choose the runtime.

    Returns:
        The runtime, or None if none is possible; why it is this one; and whether it is only
        the default, which the lock may change.
    """
    name = reader.text("runtime")
    if name is not None:
        if name not in RUNTIMES:
            reader.problem("runtime", wrong_value(name, RUNTIMES))
            return None, "", False
        reason = f"set by {reader.origin('runtime')}"
    elif pinned := _pinned_runtime(project):
        name = pinned
        reason = f"named in {project.pinned_in or '.python-version'} ({project.pinned_python})"
    else:
        return _default_runtime(reader, project)
    runtime = RUNTIMES[name]
    version = runtime.full_version
    if project.requires_python is not None and not project.requires_python.contains(version):
        reader.problems.append(
            f"runtime {name} ({reason}) has Python {version}, "
            f"but the project's {project.requires_python_key} is `{project.requires_python}`"
        )
    return runtime, reason, False


def _pinned_runtime(project: Project) -> str | None:
    """Get the runtime of the nearest `.python-version`.

    One above the project's folder is meant for several projects. It does not count for a
    project whose requires-python excludes it.
    """
    runtime = RUNTIMES.get(f"python{project.pinned_python}")
    if runtime is None:
        return None
    is_own = project.pinned_in in {None, ".python-version"}
    admits = project.requires_python
    if not is_own and admits is not None and not admits.contains(runtime.full_version):
        return None
    return runtime.name


def _default_runtime(reader: ValueReader, project: Project) -> tuple[Runtime | None, str, bool]:
    requires_python = project.requires_python
    if runtimes := default_runtimes(requires_python):
        reason = (
            f"the newest that {project.requires_python_key} `{requires_python}` admits"
            if requires_python is not None
            else "the newest; the project has no requires-python"
        )
        return runtimes[0], reason, True
    there = ", ".join(
        f"{runtime.name} (Python {runtime.full_version})"
        for runtime in RUNTIMES.values()
        if not runtime.preview
    )
    reader.problems.append(
        f"{project.requires_python_key} `{requires_python}` of {project.name} admits no Lambda "
        f"runtime that is out of preview; available are {there}"
    )
    return None, "", False


def _newest_of_all() -> Runtime:
    return next(reversed(RUNTIMES.values()))


def _layer_prefix(reader: ValueReader, runtime: Runtime | None) -> str:
    prefix = (reader.text("layer-prefix") or "python").rstrip("/")
    names = [runtime.name] if runtime else list(RUNTIMES)
    if prefix not in {"python", *(f"python/lib/{name}/site-packages" for name in names)}:
        shown = runtime.name if runtime else "python3.X"
        reader.problem(
            "layer-prefix", f"is `{prefix}`: use `python` or `python/lib/{shown}/site-packages`"
        )
    return prefix


def _layer_files(reader: ValueReader, project: Project) -> tuple[LayerFiles, ...]:
    key = "layer-files"
    found = reader.slashed_paths(key)
    if found and reader.text("layout") != Layout.LAYER.value:
        reader.problem(
            key,
            'is for layers: set `layout = "layer"`; in a function, files of the project are '
            "beside its modules",
        )
    root = os.path.normpath(project.root)
    for path, _ in found:
        if Path(root).is_relative_to(os.path.normpath(path)):
            reader.problem(key, f"`{path}` contains the whole project: name a folder in it")
    return tuple(LayerFiles(path=path, contents_only=slashed) for path, slashed in found)


def _include(reader: ValueReader) -> tuple[str, ...]:
    patterns = reader.patterns("include")
    for pattern in patterns:
        if pattern.startswith("!"):
            reader.problem(
                "include",
                f"`{pattern}` would leave files out: move it to `exclude`, without the `!`",
            )
    return patterns


def _no_binary(reader: ValueReader) -> tuple[str, ...]:
    names = reader.texts("no-binary")
    for name in names:
        if name != ALL and not is_normalized_name(canonicalize_name(name)):
            reader.problem("no-binary", f"`{name}` is not the name of a package, or `{ALL}`")
    return names


def _handler(reader: ValueReader) -> str | None:
    handler = reader.text("handler")
    meant = _without_entry_point_syntax(handler or "")
    if handler and meant != handler and HANDLER.fullmatch(meant):
        colon = "write a dot instead of the colon: " if ":" in handler else "did you mean "
        end = "" if ":" in handler else "?"
        reader.problem("handler", f"is `{handler}`; {colon}`{meant}`{end}")
    elif handler and (not HANDLER.fullmatch(handler) or len(handler) > _LONGEST_HANDLER):
        reader.problem(
            "handler",
            f"is `{handler}`: write `package.module.function`, at most {_LONGEST_HANDLER} "
            "characters without spaces",
        )
    return handler


def _without_entry_point_syntax(handler: str) -> str:
    """Translate how entry points and files are written to how Lambda writes a handler.

    `pkg.app:handler`, `pkg/app.py:handler`, `./app.handler` and `app.handler()` become
    `pkg.app.handler`, `pkg/app.handler` and `app.handler`.
    """
    text = handler.strip().removeprefix("./").removesuffix("()")
    return re.sub(r"(?:\.py)?::?", ".", text)


def _hooks(reader: ValueReader) -> Hooks:
    table = reader.table("hooks")
    for name in table:
        if name not in _HOOKS:
            reader.problem("hooks", f"`{name}` is not a hook: use one of {quoted(_HOOKS)}")
    before_build, after_stage = (_commands(reader, name, table.get(name)) for name in _HOOKS)
    return Hooks(before_build=before_build, after_stage=after_stage)


def _commands(reader: ValueReader, name: str, value: object) -> tuple[Command, ...]:
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


def _jobs(reader: ValueReader) -> int:
    jobs = reader.number("jobs")
    if jobs is not None and jobs < 1:
        reader.problem("jobs", "must be at least 1")
    return DEFAULT_JOBS if jobs is None else jobs


def _epoch(environ: Mapping[str, str], problems: list[str]) -> int | None:
    text = environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        problems.append(
            f"environment variable SOURCE_DATE_EPOCH: is `{text}`: "
            "expected a whole number of seconds"
        )
        return None
    return int(text)
