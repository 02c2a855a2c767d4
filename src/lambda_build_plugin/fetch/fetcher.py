"""Selected files → verified files, from the cache, the locked URL or an index page.

The digest of the lock decides: whichever index serves a file, its bytes are what was
locked or the build fails. A file with a wrong digest is never looked for elsewhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.fetch.cache import check_file
from lambda_build_plugin.fetch.failures import (
    DigestMismatchError,
    FileGoneError,
    NotCachedError,
    SeveralFilesError,
    UnreachableError,
)
from lambda_build_plugin.fetch.pages import ACCEPT, Link, Page, UnknownPageError
from lambda_build_plugin.fetch.sources import redacted
from lambda_build_plugin.lock.model import Digest, LockedFile
from lambda_build_plugin.lock.parts import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lambda_build_plugin.fetch.cache import Cache, Checked
    from lambda_build_plugin.fetch.http import HttpClient, Response
    from lambda_build_plugin.fetch.sources import Sources
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.selection import Selected

__all__ = ["Fetched", "Fetcher"]

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A selected wheel on this machine, its digest right."""

    selected: Selected
    path: Path
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One location that may list a package's files."""

    url: str
    """A page's address, or a folder's path."""

    shown: str
    """The same for messages, without credentials."""

    @property
    def folder(self) -> Path | None:
        if self.url.startswith("file:"):
            return path_of(self.url)
        return None if "://" in self.url else Path(self.url)


class Fetcher:
    """Brings files; nothing it returns has an unchecked digest."""

    def __init__(
        self,
        sources: Sources,
        cache: Cache,
        *,
        reporter: Reporter,
        offline: bool = False,
        jobs: int = 8,
        client: HttpClient | None = None,
    ) -> None:
        self._sources = sources
        self._cache = cache
        self._reporter = reporter
        self._offline = offline
        self._jobs = jobs
        self._given_client = client

    def named(self, packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
        """Find the names of files that the lock knows by digest or version alone.

        Raises:
            FetchError: With every package whose files no index lists.
        """
        return tuple(self._each(self._with_names, packages))

    def fetch(self, selected: Sequence[Selected]) -> tuple[Fetched, ...]:
        """Bring the selected files, several at a time.

        Raises:
            FetchError: With every file that cannot be had or is not what was locked.
        """
        self._reporter.fetching(files=len(selected))
        return tuple(self._each(self._fetched, selected))

    def _each(self, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """Work on all items in threads and report all failures together."""

        def guarded(item: _T) -> _R | FetchError:
            try:
                return work(item)
            except FetchError as error:
                return error

        if not items:
            return []
        with ThreadPoolExecutor(max_workers=min(self._jobs, len(items))) as threads:
            results = list(threads.map(guarded, items))
        errors = [result for result in results if isinstance(result, FetchError)]
        if errors:
            raise _together(errors)
        return [result for result in results if not isinstance(result, FetchError)]

    # --- one file ---------------------------------------------------------------------

    def _fetched(self, selected: Selected) -> Fetched:
        file = selected.file
        if file.path is not None:
            checked, cached = self._local(file.path, selected), True
        elif (found := self._cache.find(file.digest) if file.digest else None) is not None:
            checked, cached = found, True
        elif self._offline:
            raise NotCachedError(selected.filename)
        else:
            checked, cached = self._downloaded(selected), False
        self._reporter.fetched(selected.filename, cached=cached)
        return Fetched(selected=selected, path=checked.path, sha256=checked.sha256)

    def _local(self, path: Path, selected: Selected) -> Checked:
        digest = selected.file.digest
        try:
            checked = check_file(path, digest.partition(":")[0] if digest else "sha256")
        except OSError as error:
            raise FileGoneError(selected.filename, [f"{path}: {error.strerror}"]) from error
        return _right(checked, selected.filename, digest, str(path))

    def _downloaded(self, selected: Selected) -> Checked:
        url = selected.file.url
        if url is None:
            link = self._link(selected)
            url = link.url
        if urlsplit(url).scheme == "file":
            return self._local(path_of(url), selected)
        kept: list[Checked] = []
        digest = selected.file.digest

        def keep(response: Response) -> bytes:
            kept[:] = [self._cache.store(self._counted(response.chunks()), digest)]
            return b""

        self._reporter.note(f"get {redacted(url)}")
        if self._client.get(url, keep, headers={"Accept-Encoding": "identity"}) is None:
            raise FileGoneError(selected.filename, [f"{redacted(url)}: HTTP 404"])
        return _right(kept[0], selected.filename, digest, redacted(url))

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._reporter.received(len(chunk))
            yield chunk

    def _link(self, selected: Selected) -> Link:
        """Find the address of a file that the lock names without one."""
        asked: list[str] = []
        digest = str(selected.file.digest)
        sha256 = digest.removeprefix("sha256:") if digest.startswith("sha256:") else None
        namesake: tuple[Link, str] | None = None
        unreachable: list[FetchError] = []
        for place in self._places(selected.package):
            try:
                for link in self._matching(place, selected.filename, sha256):
                    if sha256 is None or link.sha256 in {None, sha256}:
                        return link
                    namesake = (link, place.shown)
            except FetchError as error:
                unreachable.append(error)
                asked.append(f"{place.shown}: {error.why}")
                continue
            asked.append(f"{place.shown}: not listed")
        if namesake is not None:
            link, shown = namesake
            raise DigestMismatchError(
                selected.filename, where=shown, locked=digest, found=f"sha256:{link.sha256}"
            )
        if unreachable:
            raise unreachable[0] if len(asked) == 1 else FileGoneError(selected.filename, asked)
        raise FileGoneError(selected.filename, asked)

    def _matching(self, place: _Place, filename: str, sha256: str | None) -> Iterator[Link]:
        """Yield the links of a place for a file: by digest first, then by name."""
        page = self._page(place)
        if isinstance(page, Page):
            if sha256 is not None and (link := page.by_sha256(sha256)) is not None:
                yield link
                return
            yield from (link for link in page.links() if link.filename == filename)
        else:
            yield from (link for link in page if link.filename == filename)

    # --- names ------------------------------------------------------------------------

    def _with_names(self, package: LockedPackage) -> LockedPackage:
        if not package.unnamed and not package.unhashed:
            return package
        key = "\n".join(
            (
                package.name,
                str(package.version),
                *sorted(str(file.digest) for file in package.unnamed),
                *(place.url for place in self._places(package)),
            )
        )
        note = self._cache.note("names", key)
        if note is not None and (self._offline or not package.unhashed):
            return _filled(package, note)
        if self._offline:
            raise NotCachedError(f"the list of files of {package}")
        names = self._listed(package)
        self._cache.keep_note("names", key, names)
        return _filled(package, names)

    def _listed(self, package: LockedPackage) -> dict[str, str]:
        """Ask the places for the files of a package: URL or digest → file name.

        With hashes every place is asked until all digests are known, and what the
        lock does not vouch for is passed over. Without, the first place that has the
        version decides.
        """
        wanted = {str(file.digest).removeprefix("sha256:") for file in package.unnamed}
        names: dict[str, str] = {}
        asked: list[str] = []
        for place in self._places(package):
            try:
                page = self._page(place)
            except FetchError as error:
                asked.append(f"{place.shown}: {error.why}")
                if package.unhashed:
                    # Another index must not step in for one that is only out of reach.
                    raise
                continue
            links = page.links() if isinstance(page, Page) else page
            for link in links:
                if package.unhashed and _is_of(link.filename, package):
                    names[_unhashed_key(link)] = link.filename
                elif link.sha256 in wanted:
                    names[f"sha256:{link.sha256}"] = link.filename
            asked.append(f"{place.shown}: not listed")
            if names if package.unhashed else len(names) == len(wanted):
                break
        if not names:
            raise FileGoneError(str(package), asked)
        return names

    # --- places -----------------------------------------------------------------------

    def _places(self, package: LockedPackage) -> list[_Place]:
        indexes = (package.index,) if package.index else self._sources.indexes
        bases = [url if url.endswith("/") else f"{url}/" for url in indexes]
        return [
            *(_Place(url=link, shown=redacted(link)) for link in self._sources.find_links),
            *(_Place(url=f"{base}{package.name}/", shown=redacted(base)) for base in bases),
        ]

    def _page(self, place: _Place) -> Page | list[Link]:
        """Get what a place lists; an empty list where it does not know the package."""
        folder = place.folder
        if folder is not None:
            return _folder_page(folder)
        found: list[Page] = []

        def parse(response: Response) -> bytes:
            body = response.read()
            self._reporter.received(len(body))
            try:
                found[:] = [Page(body, url=response.url, content_type=response.content_type)]
            except UnknownPageError as error:
                raise UnreachableError(place.shown, str(error)) from error
            return b""

        self._reporter.note(f"get {redacted(place.url)}")
        answer = self._client.get(
            place.url, parse, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        )
        return [] if answer is None else found[0]

    @property
    def _client(self) -> HttpClient:
        if self._given_client is None:
            # urllib3 and the certificates are loaded only where the cache does not do.
            from lambda_build_plugin.fetch.http import HttpClient

            self._given_client = HttpClient(self._sources, connections=self._jobs)
        return self._given_client


def _right(checked: Checked, filename: str, digest: Digest | None, where: str) -> Checked:
    if digest is not None and checked.digest != digest:
        raise DigestMismatchError(filename, where=where, locked=digest, found=checked.digest)
    return checked


def _together(errors: Sequence[FetchError]) -> FetchError:
    return errors[0] if len(errors) == 1 else SeveralFilesError(errors)


def _folder_page(folder: Path) -> Page | list[Link]:
    """List a folder: its index.html where it is one of an index, else its files."""
    page = folder if folder.is_file() else folder / "index.html"
    try:
        return Page(page.read_bytes(), url=page.as_uri(), content_type="text/html")
    except OSError:
        pass
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []
    return [Link(filename=path.name, url=path.as_uri(), sha256=None) for path in files]


def _is_of(filename: str, package: LockedPackage) -> bool:
    """Tell whether a file name is one of the package at its version."""
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return False
    return name == canonicalize_name(package.name) and version == package.version


def _unhashed_key(link: Link) -> str:
    return f"{link.url}#{link.sha256 or ''}"


def _filled(package: LockedPackage, names: Mapping[str, str]) -> LockedPackage:
    """Put the named files in the place of those known by digest or version."""
    files = [_named(key, filename) for key, filename in sorted(names.items())]
    sdists = [file for file in files if not (file.filename or "").endswith(".whl")]
    return replace(
        package,
        wheels=tuple(file for file in files if file not in sdists),
        sdist=sdists[0] if sdists else None,
        unnamed=(),
        unhashed=False,
    )


def _named(key: str, filename: str) -> LockedFile:
    if key.startswith("sha256:"):
        return LockedFile(digest=Digest(key), filename=filename)
    url, _, sha256 = key.partition("#")
    return LockedFile(
        digest=Digest(f"sha256:{sha256}") if sha256 else None, filename=filename, url=url
    )
