"""Errors that can happen between the lock and a verified file."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "AccessDeniedError",
    "CertificatesError",
    "DigestMismatchError",
    "FileGoneError",
    "HttpError",
    "LocalFileGoneError",
    "NotCachedError",
    "SeveralFilesError",
    "UnreachableError",
    "failed_locations",
]


_MOST_NAMES = 10
"""How many files a message names if many fail for the same reason."""


class DigestMismatchError(FetchError):
    """A file is not the one that was locked."""

    def __init__(self, filename: str, *, where: str, locked: str, found: str) -> None:
        self.filename, self.locked, self.found = filename, locked, found
        super().__init__(
            f"{filename} is not what was locked",
            why=f"from {where}\nlocked:   {locked}\nreceived: {found}",
            hint="lock again if the file was meant to change; if not, do not ship it: find out who "
            "changed it",
        )


_PLACES = (
    "add that index where your tool keeps its sources ([[tool.poetry.source]], "
    "[[tool.pdm.source]], uv.toml, pip.conf, --extra-index-url in the requirements file)"
)
_GONE_HINT = f"if it is on another index, {_PLACES}; if it was deleted, lock again"
# Most often a package was uploaded anew under its old version, or a digest was mistyped.
_OTHERS_HINT = (
    "lock again if its files were meant to change; if the locked ones are on another index, "
    f"{_PLACES}"
)


class FileGoneError(FetchError):
    """None of the indexes that may serve a package has the locked file."""

    def __init__(
        self,
        filename: str,
        asked: Sequence[str],
        *,
        failed: Sequence[FetchError] = (),
        has_others: bool = False,
    ) -> None:
        """Say where the file was looked for.

        Args:
            filename: The file, or the package and its version.
            asked: A line for each location.
            failed: Why locations could not be read.
            has_others: Whether the version was found, only with other files than the locked ones.
        """
        self.filename, self.asked = filename, tuple(asked)
        if failed:
            hint = "\n".join(dict.fromkeys(error.hint for error in failed))
        else:
            hint = _OTHERS_HINT if has_others else _GONE_HINT
        super().__init__(
            f"cannot find {'the locked files of ' if has_others else ''}{filename}",
            why=self.asked or "no index and no --find-links location is configured",
            hint=hint,
        )


def failed_locations(what: str, asked: Sequence[str], failed: Sequence[FetchError]) -> FetchError:
    """Make the error for locations that could not be read; a single one keeps its own."""
    return failed[0] if len(asked) == 1 else FileGoneError(what, asked, failed=failed)


class LocalFileGoneError(FetchError):
    """A file that is locked by its path does not exist or cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            f"cannot read {path.name}",
            why=f"{path}: {reason}",
            hint="put it there, or change its path and lock again",
        )


class NotCachedError(FetchError):
    """The build is offline, and the file is not in the cache."""

    def __init__(self, *missing: str, are_lists: bool = False) -> None:
        """Name the files; with `are_lists`, the packages whose list of files is missing."""
        self.missing, self.are_lists = missing, are_lists
        if len(missing) == 1:
            what = f"{'the list of files of ' if are_lists else ''}{missing[0]} is"
        else:
            what = f"{'the lists of files of ' if are_lists else ''}{_shortened(missing)} are"
        super().__init__(
            f"{what} not in the cache",
            why="the build is offline",
            hint="build once without `--offline`",
        )


class UnreachableError(FetchError):
    """A server does not respond, or its response is incomplete."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(
            f"cannot reach {url}",
            why=reason,
            hint="check the network, the proxy (HTTPS_PROXY, NO_PROXY) and the certificates "
            "(SSL_CERT_FILE); `--offline` uses only the cache",
        )


class AccessDeniedError(FetchError):
    """A server requires other credentials."""

    def __init__(self, url: str, status: int, *, name: str = "", sent: bool) -> None:
        self.url, self.status, self.name = url, status, name
        variable = re.sub(r"[^A-Z0-9]", "_", name.upper()) or "<NAME>"
        super().__init__(
            f"the source {name} ({url}) refuses access (HTTP {status})"
            if name
            else f"{url} refuses access (HTTP {status})",
            why="the server did not accept the credentials"
            if sent
            else "no credentials are known for this server",
            hint="credentials are taken from the index URL, "
            f"UV_INDEX_{variable}_USERNAME and _PASSWORD, "
            f"POETRY_HTTP_BASIC_{variable}_USERNAME and _PASSWORD for Poetry's sources, "
            f"in Poetry itself also `poetry config http-basic.{name or '<name>'}`, "
            f"in PDM `pdm config pypi.{name or '<name>'}.username`, or ~/.netrc, "
            "and sent to that server only",
        )


class HttpError(FetchError):
    """A server responds with an unexpected status."""

    def __init__(self, url: str, status: int) -> None:
        self.url, self.status = url, status
        super().__init__(
            f"{url} responded with HTTP {status}",
            why=_phrase(status),
            hint="try again later; if the file moved, lock again",
        )


class CertificatesError(FetchError):
    """The certificates that the user has configured cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"cannot read the certificates in {path}",
            why=reason,
            hint="SSL_CERT_FILE, SSL_CERT_DIR, SSL_CLIENT_CERT, REQUESTS_CA_BUNDLE and pip's "
            "`cert` and `client-cert` must name PEM files",
        )


class SeveralFilesError(FetchError):
    """Several files could not be fetched, each for its own reason."""

    def __init__(self, errors: Sequence[FetchError]) -> None:
        self.errors = tuple(errors)
        count = sum(
            len(error.missing) if isinstance(error, NotCachedError) else 1 for error in errors
        )
        super().__init__(
            f"{count} locked files could not be fetched",
            # Many files may fail for one reason, such as unreadable certificates.
            why=list(dict.fromkeys(_entry(error) for error in errors)),
            hint="\n".join(dict.fromkeys(error.hint for error in errors)),
        )


def _shortened(names: Sequence[str]) -> str:
    shown, more = names[:_MOST_NAMES], len(names) - _MOST_NAMES
    last = f"{more} more" if more > 0 else shown[-1]
    return f"{', '.join(shown if more > 0 else shown[:-1])} and {last}"


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "an unknown status"


def _entry(error: FetchError) -> str:
    why = error.why.replace("\n", "\n  ")
    return f"{error.what}:\n  {why}"
