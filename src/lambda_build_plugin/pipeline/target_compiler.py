"""Let a Python of the target's version tell which sources it can compile."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.system.interpreters import find_interpreter, without_python_variables
from lambda_build_plugin.system.leftovers import temporary_folder
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.verify.grammar import SyntaxProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["compile_with_target"]

_COMPILER = """\
import json, sys, warnings
warnings.simplefilter("ignore")
answers = []
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
        answers.append(None)
    except SyntaxError as error:
        answers.append([error.msg, error.lineno])
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        answers.append([str(error) or type(error).__name__, None])
print(json.dumps(answers))
"""
"""What the target's Python runs: it compiles sources and executes none of them."""

_TIMEOUT = 120.0  # seconds


def compile_with_target(
    sources: Sequence[bytes], python: tuple[int, int], *, environ: Mapping[str, str], home: Path
) -> Sequence[SyntaxProblem | None] | None:
    """Compile sources with a Python of this machine, without executing them.

    Args:
        sources: The contents of modules.
        python: The major and minor version.
        environ: Variables such as PATH that say where to search for it.
        home: The user's home folder.

    Returns:
        For each source what is wrong with it, or None; None alone if there is no such Python.
    """
    try:
        interpreter = find_interpreter(
            python, environ=environ, home=home, need="the check of the project's modules"
        )
    except LambdaBuildError:
        return None
    try:
        with temporary_folder() as folder:
            paths = [Path(folder, f"module-{number}.py") for number in range(len(sources))]
            for path, source in zip(paths, sources, strict=True):
                path.write_bytes(source)
            command: list[str | Path] = [interpreter.path, "-I", "-S", "-c", _COMPILER, *paths]
            ran = finished(command, environ=without_python_variables(environ), timeout=_TIMEOUT)
        return [
            None if answer is None else SyntaxProblem(text=str(answer[0]), line=answer[1])
            for answer in json.loads(ran.stdout)
        ]
    except (OSError, SubprocessError, ValueError, TypeError, LookupError):
        return None
