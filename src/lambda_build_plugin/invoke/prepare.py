"""A request to run an artifact → an execution environment that is ready for events."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.commands.inspected_zip import InspectedZip, guess_runtime, opened_zip
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.invoke.environment import ExecutionEnvironment
from lambda_build_plugin.invoke.feasible import architecture_of, check_code, choose_python
from lambda_build_plugin.invoke.function import DEFAULT_MEMORY, DEFAULT_TIMEOUT, Function
from lambda_build_plugin.invoke.runtime_packages import CLIENT, SDK, STAND_IN, Installer
from lambda_build_plugin.invoke.unpacked import (
    Facts,
    make_read_only,
    unpack_function,
    unpack_layers,
)
from lambda_build_plugin.invoke.variables import Places
from lambda_build_plugin.pipeline.host import open_cache
from lambda_build_plugin.runtime.target import Architecture, Target
from lambda_build_plugin.system.cache_use import using
from lambda_build_plugin.system.interpreters import NoInterpreterError
from lambda_build_plugin.system.leftovers import sweep, temporary_folder
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.config.settings import Host
    from lambda_build_plugin.invoke.environment import Log
    from lambda_build_plugin.invoke.feasible import Python
    from lambda_build_plugin.runtime.target import Runtime

__all__ = ["Prepared", "Request", "prepared"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run, and how."""

    artifact: Path
    layers: tuple[Path, ...] = ()
    handler: str | None = None
    name: str = "function"
    runtime: Runtime | None = None
    """None to guess it from the contents, as `inspect` does."""

    architecture: Architecture | None = None
    """None to guess it from the machine code."""

    memory: int = DEFAULT_MEMORY
    timeout: float = DEFAULT_TIMEOUT
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    python: Path | None = None
    sysroot: Path | None = None
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An environment, and what is known about the function in it."""

    environment: ExecutionEnvironment
    facts: Facts
    warnings: tuple[str, ...]

    @property
    def function(self) -> Function:
        """The function with its configuration."""
        return self.environment.function

    @property
    def python(self) -> Python:
        """The Python that runs it."""
        return self.environment.python


@contextmanager
def prepared(request: Request, host: Host, log: Log) -> Iterator[Prepared]:
    """Unpack an artifact, find what runs it, and clean up at the end of the `with` block.

    Args:
        request: What to run.
        host: This machine.
        log: Gets the log of the function.

    Raises:
        LambdaBuildError: The function cannot run here.
    """
    sweep(host.cache_dir)
    with (
        using([host.cache_dir]),
        temporary_folder(ignore_errors=True) as folder,
        ExitStack() as stack,
    ):
        scratch = Path(folder).resolve()
        task = unpack_function(request.artifact, scratch / "task")
        layers = unpack_layers(request.layers, scratch / "opt")
        facts = Facts.joined([task, *layers])
        target = _target(request, facts)
        python = _python(request, host, target)
        if request.architecture is None and not facts.code:
            target = replace(target, architecture=_architecture_of(python))
        warnings = [*target.warnings(host.today), *check_code(facts, target, python)]
        runtime = _runtime_folders(request, host, target, python, (scratch, facts, warnings))
        places = Places(
            task=scratch / "task",
            opt=scratch / "opt",
            temporary=scratch / "tmp",
            home=scratch / "home",
            runtime=runtime,
        )
        places.temporary.mkdir()
        make_read_only(places.task)
        make_read_only(places.opt)
        if facts.has_extensions:
            warnings.append("the extensions in the layers are not started here")
        environment = ExecutionEnvironment(
            function=_function(request, target),
            python=python,
            places=places,
            credentials=request.credentials,
            log=log,
        )
        stack.enter_context(environment)
        yield Prepared(environment=environment, facts=facts, warnings=tuple(warnings))


def _target(request: Request, facts: Facts) -> Target:
    runtime = request.runtime or _guessed_runtime((request.artifact, *request.layers))
    architecture = request.architecture or architecture_of(facts.code) or Architecture.X86_64
    return Target(runtime=runtime, architecture=architecture)


def _python(request: Request, host: Host, target: Target) -> Python:
    try:
        return choose_python(target, host, program=request.python, sysroot=request.sysroot)
    except NoInterpreterError as error:
        if request.runtime is None:
            error.why += f"; {target.runtime.name} was guessed from the contents of the zip"
            error.hint += ", or name the function's runtime with `--runtime`"
        raise


def _guessed_runtime(zips: Sequence[Path]) -> Runtime:
    with ExitStack() as stack:
        found = [
            InspectedZip(
                path, stack.enter_context(opened_zip(path)), is_layer=index > 0, examine=False
            )
            for index, path in enumerate(zips)
        ]
        return guess_runtime(found)[0]


def _architecture_of(python: Python) -> Architecture:
    """Say that a function for any architecture is for the one that it runs on."""
    found = [each for each in Architecture if each.machine == python.machine]
    return found[0] if found else Architecture.X86_64


def _function(request: Request, target: Target) -> Function:
    return Function(
        name=re.sub(r"[^A-Za-z0-9_-]+", "-", request.name),  # as Lambda restricts it
        artifact=request.artifact,
        layers=request.layers,
        handler=request.handler or "",
        target=target,
        memory=request.memory,
        timeout=request.timeout,
        variables=request.variables,
    )


def _runtime_folders(
    request: Request,
    host: Host,
    target: Target,
    python: Python,
    found: tuple[Path, Facts, list[str]],
) -> tuple[Path, ...]:
    """Get the folders that stand for `/var/runtime`; the SDK only if it is missing."""
    scratch, facts, warnings = found
    installer = Installer(
        cache=open_cache(host, scratch),
        environ=host.environ,
        cwd=host.cwd,
        python=python,
        target=target,
        offline=request.offline,
    )
    folders = [installer.folder(CLIENT)]
    if facts.needs_sdk:
        try:
            folders.append(installer.folder(SDK))
        except FetchError as error:
            warnings.append(f"the function runs without the SDK of Lambda's runtime: {error.what}")
        else:
            warnings.append(
                "the artifact does not contain all of the AWS SDK that it imports: what is missing "
                "comes from the package index and is not AWS's build of it"
            )
    return (*folders, STAND_IN)
