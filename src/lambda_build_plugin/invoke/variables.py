"""The environment variables of a function.

They are those of https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, and
what the user sets for the function. Nothing comes from the user's own environment, except for
credentials if the user asks for that.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.invoke.function import Function

__all__ = [
    "DEFAULT_REGION",
    "MAX_SIZE",
    "RESERVED",
    "Places",
    "credentials_in",
    "function_variables",
    "read_variables",
    "region_of",
]

DEFAULT_REGION = "us-east-1"

MAX_SIZE = 4096
"""Bytes of all variables of the user together."""

RESERVED = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME"),
        *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME"),
        *("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT"),
        "LAMBDA_RUNTIME_DIR",
    }
)
"""What Lambda lets nobody set; the region and credentials, also reserved there, are left out."""

_CREDENTIALS = re.compile(
    r"AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|DEFAULT_PROFILE"
    r"|REGION|DEFAULT_REGION|CONFIG_FILE|SHARED_CREDENTIALS_FILE"
    r"|ROLE_ARN|ROLE_SESSION_NAME|WEB_IDENTITY_TOKEN_FILE"
    r"|CONTAINER_CREDENTIALS_(?:RELATIVE|FULL)_URI|CONTAINER_AUTHORIZATION_TOKEN(?:_FILE)?"
    r"|ENDPOINT_URL(?:_\w+)?|CA_BUNDLE)"
)
"""Where the SDK looks for credentials in the environment, and what it needs to use them.

https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_GIVEN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_QUOTED = re.compile(r"""(["'])(.*)\1\s*(?:#.*)?""")


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders that stand for those of Lambda."""

    task: Path
    """For `/var/task`."""

    opt: Path
    """For `/opt`."""

    temporary: Path
    """For `/tmp`."""

    home: Path
    """Does not exist, as on Lambda, so that nothing of the user's home folder is found."""

    runtime: tuple[Path, ...]
    """For `/var/runtime`: awslambdaric, and perhaps the AWS SDK."""

    def site_folders(self, python: tuple[int, int], user: Mapping[str, str]) -> list[Path]:
        """List what is searched for modules before the runtime's own packages."""
        layers = self.opt / "python"
        version = f"python{python[0]}.{python[1]}"
        if "PYTHONPATH" in user:  # then Lambda's bootstrap does not look into layers
            return [self.task]
        return [self.task, layers / "lib" / version / "site-packages", layers]


def function_variables(
    function: Function, places: Places, *, api: str, log_stream: str, credentials: Mapping[str, str]
) -> dict[str, str]:
    """Compose the environment of a function.

    Args:
        function: Its configuration.
        places: The folders that stand for those of Lambda.
        api: Host and port of the Runtime API.
        log_stream: The name of the log stream, which nothing else has.
        credentials: Variables for the SDK, if the user passes some on.
    """
    task, opt = places.task, places.opt
    runtime = os.pathsep.join(map(str, places.runtime))
    region = region_of(function, credentials)
    return {
        "AWS_DEFAULT_REGION": region,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "HOME": str(places.home),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"{task}:{task / 'lib'}:{opt / 'lib'}",
        "PATH": f"/usr/local/bin:/usr/bin:/bin:{opt / 'bin'}",
        "PYTHONPATH": runtime,
        "TMPDIR": str(places.temporary),
        "TZ": ":UTC",
        # Without credentials of the user, the SDK must not find those of a machine.
        **(credentials or {"AWS_EC2_METADATA_DISABLED": "true"}),
        **function.variables,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.target.runtime.name}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": region,
        "LAMBDA_RUNTIME_DIR": str(places.runtime[0]),
        "LAMBDA_TASK_ROOT": str(task),
        "_HANDLER": function.handler,
    }


def region_of(function: Function, credentials: Mapping[str, str]) -> str:
    """Choose the region that the function believes to be in."""
    names = ("AWS_REGION", "AWS_DEFAULT_REGION")
    given = [each.get(name) for each in (function.variables, credentials) for name in names]
    return next(filter(None, given), DEFAULT_REGION)


def credentials_in(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Find what the AWS SDK would find: in the environment, and through a profile it names.

    Args:
        environ: The user's environment.
        home: The user's home folder, which the function itself does not see.
    """
    found = {name: value for name, value in environ.items() if _CREDENTIALS.fullmatch(name)}
    if not found:
        return {}
    if "AWS_PROFILE" in found or "AWS_DEFAULT_PROFILE" in found:
        found.setdefault("AWS_SHARED_CREDENTIALS_FILE", str(home / ".aws" / "credentials"))
        found.setdefault("AWS_CONFIG_FILE", str(home / ".aws" / "config"))
    return found


def read_variables(
    lines: Sequence[str], *, origin: str, problems: list[str], is_file: bool
) -> dict[str, str]:
    """Read `KEY=VALUE` lines; values are never part of a message.

    Args:
        lines: From the command line, or of a file, which may have comments, quotes and `export`.
        origin: What they are called in messages.
        problems: Mistakes are added here.
        is_file: Whether they come from a file.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        where = f"{origin}, line {number}" if is_file else origin
        if is_file and (not line.strip() or line.lstrip().startswith("#")):
            continue
        match = _LINE.fullmatch(line.strip()) if is_file else _GIVEN.fullmatch(line)
        if match is None:
            problems.append(f"{where}: is not of the form KEY=VALUE")
            continue
        name, value = match.groups()
        problems += [f"{where}: {problem}" for problem in _name_problems(name)]
        found[name] = _unquoted(value) if is_file else value
    return found


def _name_problems(name: str) -> Iterator[str]:
    if name in RESERVED:
        yield f"`{name}` is set by Lambda itself and cannot be changed"
    elif not _NAME.fullmatch(name):
        yield f"Lambda does not accept the name `{name}`: it has to begin with a letter"


def _unquoted(value: str) -> str:
    if match := _QUOTED.fullmatch(value):
        return match[2]
    return re.split(r"\s#", value, maxsplit=1)[0].rstrip()
