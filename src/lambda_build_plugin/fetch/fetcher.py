"""Fetch selected files from the cache, the locked URL or an index, and verify them.

The digest in the lock decides: whichever index serves a file, its bytes are what was
locked or the build fails. A file with a wrong digest is never searched for elsewhere.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.fetch.errors import (
    DigestMismatchError,
    FileGoneError,
    LocalFileGoneError,
    NotCachedError,
    SeveralFilesError,
    UnreachableError,
)
from lambda_build_plugin.fetch.index_pages import ACCEPT, Link, Page, UnknownPageError
from lambda_build_plugin.lock.model import LockedFile, sdist_suffixes
from lambda_build_plugin.system.hashes import Digest, check_file
from lambda_build_plugin.urls import path_of, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lambda_build_plugin.fetch.http import HttpClient, Response
    from lambda_build_plugin.fetch.sources import Sources
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.hashes import Checked

__all__ = ["Fetched", "Fetcher"]

_T = TypeVar("_T")
_R = TypeVar("_R")

_LARGEST_FILE = 1 << 31
"""Bytes after which a body is considered endless; Lambda accepts an eighth of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A selected file on this machine whose digest was checked: a wheel, an sdist or an archive.

    Its path may be in the cache, where files do not have their own names.
    """

    selected: Selected
    path: Path
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Location:
    """One location that may list the files of a package."""

    url: str
    """The address of a page, or the path of a folder."""

    shown: str
    """The same without credentials, for messages."""

    flat: bool
    """Whether it lists the files of many packages (`--find-links`), not of one as an index."""

    @property
    def folder(self) -> Path | None:
        if self.url.startswith("file:"):
            return path_of(self.url)
        return None if "://" in self.url else Path(self.url)


class Fetcher:
    """Fetch files; each file that is returned has the right digest."""

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
        self._connected = client
        self._connecting = threading.Lock()
        self._listed_urls: dict[str, str] = {}
        """Addresses by digest, of the files whose names were looked up in this run."""

        self._wanted: frozenset[str] = frozenset()
        self._yanked: dict[str, str] = {}
        """By file name, the location that says so."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about yanked files, from the pages that had to be read."""
        return tuple(
            f"{filename} was yanked from {shown} (PEP 592); it ships because it is locked"
            for filename, shown in sorted(self._yanked.items())
            if filename in self._wanted
        )

    def named(self, packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
        """Find the names of files of which the lock has only the digest or the version.

        The connections stay open for `fetch`.

        Raises:
            FetchError: With every package whose files no index lists.
        """
        try:
            return tuple(self._each(self._with_names, packages))
        except BaseException:
            self.close()
            raise

    def listed_filenames(self, package: LockedPackage) -> frozenset[str]:
        """List the files of all versions of a package, on those pages that can be reached.

        That is for messages: an index that does not answer is left out.
        """
        found: set[str] = set()
        for location in self._locations(package):
            with suppress(FetchError):
                found.update(link.filename for link in _links(self._page(location, package)))
        return frozenset(found)

    def fetch(self, selected: Sequence[Selected]) -> tuple[Fetched, ...]:
        """Fetch the selected files, several at a time.

        Raises:
            FetchError: With every file that cannot be fetched or is not what was locked.
        """
        self._reporter.fetching(files=len(selected))
        self._wanted = frozenset(item.filename for item in selected)
        try:
            return tuple(self._each(self._fetched, selected))
        finally:
            self.close()

    def close(self) -> None:
        """Close the connections, if `named` and `fetch` have not done so."""
        with self._connecting:
            if self._connected is not None:
                self._connected.close()

    def _each(self, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """Process all items in threads and report all failures together."""

        def guarded(item: _T) -> _R | FetchError:
            try:
                return work(item)
            except FetchError as error:
                return error

        if not items:
            return []
        threads = ThreadPoolExecutor(max_workers=min(self._jobs, len(items)))
        try:
            results = list(threads.map(guarded, items))
        finally:
            # An interrupted build does not wait for downloads that are still running.
            threads.shutdown(wait=False, cancel_futures=True)
        errors = [result for result in results if isinstance(result, FetchError)]
        if errors:
            raise _together(errors)
        return [result for result in results if not isinstance(result, FetchError)]

    # --- one file ---------------------------------------------------------------------

    def _fetched(self, selected: Selected) -> Fetched:
        file = selected.file
        digest = file.digest
        if digest is None and self._offline and file.url is not None:
            digest = self._noted_digest(file.url)
        if file.path is not None:
            checked, cached = self._local(file.path, selected), True
        elif (found := self._cache.find(digest) if digest else None) is not None:
            checked, cached = found, True
        else:
            checked, cached = self._fetched_anew(selected), False
        self._reporter.fetched(selected.filename, cached=cached)
        return Fetched(selected=selected, path=checked.path, sha256=checked.sha256)

    def _local(self, path: Path, selected: Selected) -> Checked:
        digest = selected.file.digest
        try:
            checked = check_file(path, digest.partition(":")[0] if digest else "sha256")
        except OSError as error:
            raise LocalFileGoneError(path, error.strerror or str(error)) from error
        return _right(checked, selected.filename, digest, str(path))

    def _fetched_anew(self, selected: Selected) -> Checked:
        """Fetch a file that is not in the cache."""
        url = selected.file.url or self._listed_urls.get(str(selected.file.digest))
        if url is None:
            url = self._link(selected).url
        if url.startswith("file:"):
            return self._local(path_of(url), selected)
        if self._offline:
            raise NotCachedError(selected.filename)
        return self._downloaded(url, selected)

    def _downloaded(self, url: str, selected: Selected) -> Checked:
        digest = selected.file.digest
        self._reporter.note(f"get {redacted(url)}")
        checked = self._client.get(
            url,
            lambda response: self._cache.store(self._counted(response), digest),
            headers={"Accept-Encoding": "identity"},
        )
        if checked is None:
            raise FileGoneError(selected.filename, [f"{redacted(url)}: HTTP 404"])
        if digest is None:
            self._cache.keep_note("digests", url, {"digest": checked.digest})
        return _right(checked, selected.filename, digest, redacted(url))

    def _noted_digest(self, url: str) -> Digest | None:
        """Return the digest of what an address without one served the last time."""
        note = self._cache.note("digests", url)
        return Digest(note["digest"]) if note and "digest" in note else None

    def _counted(self, response: Response) -> Iterator[bytes]:
        received = 0
        for chunk in response.chunks():
            self._reporter.received(len(chunk))
            received += len(chunk)
            if received > _LARGEST_FILE:
                raise UnreachableError(response.url, f"the file exceeds {_LARGEST_FILE:,} bytes")
            yield chunk

    def _link(self, selected: Selected) -> Link:
        """Find the address of a file that is locked without one."""
        asked: list[str] = []
        failed: list[FetchError] = []
        digest = str(selected.file.digest)
        sha256 = digest.removeprefix("sha256:") if digest.startswith("sha256:") else None
        namesake: tuple[Link, str] | None = None
        for location in self._locations(selected.package):
            try:
                links = self._matching(location, selected, sha256)
            except FetchError as error:
                failed.append(error)
                asked.append(f"{location.shown}: {error.why}")
                continue
            for link in links:
                if sha256 is None or link.sha256 in {None, sha256}:
                    self._note_yanked(link, location)
                    return link
                namesake = (link, location.shown)
            known = "listed with another digest" if links else "not listed"
            asked.append(f"{location.shown}: {known}")
        if self._offline:
            raise NotCachedError(selected.filename)
        if failed:
            raise _failed(selected.filename, asked, failed)
        if namesake is not None:
            link, shown = namesake
            raise DigestMismatchError(
                selected.filename, where=shown, locked=digest, found=f"sha256:{link.sha256}"
            )
        raise FileGoneError(selected.filename, asked)

    def _matching(self, location: _Location, selected: Selected, sha256: str | None) -> list[Link]:
        """Find the links for a file at one location, by digest or else by name."""
        page = self._page(location, selected.package)
        if sha256 is not None and (link := _by_sha256(page, sha256)) is not None:
            return [link]
        return [link for link in _links(page) if link.filename == selected.filename]

    # --- names ------------------------------------------------------------------------

    def _with_names(self, package: LockedPackage) -> LockedPackage:
        if not package.unnamed and not package.unhashed:
            return package
        key = "\n".join(
            (
                package.name,
                str(package.version),
                *sorted(str(file.digest) for file in package.unnamed),
                *(location.url for location in self._locations(package)),
            )
        )
        note = self._cache.note("names", key)
        if note is not None and (self._offline or not package.unhashed):
            return _filled(package, note)
        names = self._listed_unhashed(package) if package.unhashed else self._listed(package)
        self._cache.keep_note("names", key, names)
        return _filled(package, names)

    def _listed(self, package: LockedPackage) -> dict[str, str]:
        """Look up the files whose digests are locked; return file names by digest.

        A location that cannot be reached may have what the others lack. Continuing
        without it would let the state of the network decide which file ships.
        """
        missing = {str(file.digest) for file in package.unnamed}
        names: dict[str, str] = {}
        asked: list[str] = []
        failed: list[FetchError] = []
        for location in self._locations(package):
            try:
                page = self._page(location, package)
            except FetchError as error:
                failed.append(error)
                asked.append(f"{location.shown}: {error.why}")
                continue
            for digest in sorted(missing):
                link = _by_sha256(page, digest.removeprefix("sha256:"))
                if link is not None:
                    names[digest] = link.filename
                    self._listed_urls[digest] = link.url
                    missing.remove(digest)
                    self._note_yanked(link, location)
            if not missing:
                return names
            namesakes = any(_is_of(link.filename, package) for link in _links(page))
            known = "listed with other digests" if namesakes else "not listed"
            asked.append(f"{location.shown}: {known}")
        if failed:
            if self._offline:
                raise NotCachedError(f"the list of files of {package}")
            raise _failed(str(package), asked, failed)
        if not names:
            raise FileGoneError(str(package), asked)
        return names

    def _listed_unhashed(self, package: LockedPackage) -> dict[str, str]:
        """Look up the files of a version; return file names by URL.

        The first location that has the version decides, and no other replaces one that
        cannot be reached.
        """
        asked: list[str] = []
        for location in self._locations(package):
            try:
                page = self._page(location, package)
            except NotCachedError as error:
                raise NotCachedError(f"the list of files of {package}") from error
            links = [link for link in _links(page) if _is_of(link.filename, package)]
            if links:
                # A pin with `==` allows yanked files (PEP 592).
                for link in links:
                    self._note_yanked(link, location)
                return {_unhashed_key(link): link.filename for link in links}
            asked.append(f"{location.shown}: not listed")
        raise FileGoneError(str(package), asked)

    def _note_yanked(self, link: Link, location: _Location) -> None:
        """Remember a file that its index advises against (PEP 592)."""
        if link.yanked:
            self._yanked[link.filename] = location.shown
            self._reporter.note(f"{link.filename} was yanked from {location.shown}")

    # --- locations -------------------------------------------------------------------

    def _locations(self, package: LockedPackage) -> list[_Location]:
        sources = self._sources
        serving = sources.places_of(package.name)
        indexes = (
            (package.index,)
            if package.index
            else tuple(url for url in sources.indexes if url in serving)
        )
        bases = [url if url.endswith("/") else f"{url}/" for url in indexes]
        return [
            *(
                _Location(url=link, shown=redacted(link), flat=True)
                for link in sources.find_links
                if link in serving and not package.index
            ),
            *(
                _Location(url=f"{base}{package.name}/", shown=redacted(base), flat=False)
                for base in bases
            ),
        ]

    def _page(self, location: _Location, package: LockedPackage) -> Page | list[Link]:
        """Return what a location lists; an empty list if it does not have the package."""
        folder = location.folder
        if folder is not None:
            return _folder_page(folder, package, flat=location.flat)
        if self._offline:
            raise NotCachedError(location.shown)

        def parse(response: Response) -> Page:
            body = response.read()
            self._reporter.received(len(body))
            try:
                return Page(body, url=response.url, content_type=response.content_type)
            except UnknownPageError as error:
                raise UnreachableError(location.shown, str(error)) from error

        self._reporter.note(f"get {redacted(location.url)}")
        page = self._client.get(
            location.url, parse, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        )
        return [] if page is None else page

    @property
    def _client(self) -> HttpClient:
        with self._connecting:  # all threads start at once, and must share the connections
            if self._connected is None:
                # urllib3 and the certificates are loaded only if something is not in the cache.
                from lambda_build_plugin.fetch.http import HttpClient

                self._connected = HttpClient(
                    self._sources, connections=self._jobs, note=self._reporter.note
                )
            return self._connected


def _right(checked: Checked, filename: str, digest: Digest | None, where: str) -> Checked:
    if digest is not None and checked.digest != digest:
        raise DigestMismatchError(filename, where=where, locked=digest, found=checked.digest)
    return checked


def _together(errors: Sequence[FetchError]) -> FetchError:
    return errors[0] if len(errors) == 1 else SeveralFilesError(errors)


def _failed(what: str, asked: Sequence[str], failed: Sequence[FetchError]) -> FetchError:
    """Make the error for locations that could not be reached; a single one keeps its own."""
    return failed[0] if len(asked) == 1 else FileGoneError(what, asked, failed=failed)


def _by_sha256(page: Page | list[Link], sha256: str) -> Link | None:
    if isinstance(page, Page):
        return page.by_sha256(sha256)
    return next((link for link in page if link.sha256 == sha256), None)


def _links(page: Page | list[Link]) -> Iterator[Link]:
    return page.links() if isinstance(page, Page) else iter(page)


def _folder_page(folder: Path, package: LockedPackage, *, flat: bool) -> Page | list[Link]:
    """List a folder: the index.html of an index, else its files of the package."""
    files = [] if folder.is_file() else _files_of(folder, package)
    if flat and files:
        return files
    page = folder if folder.is_file() else folder / "index.html"
    if not page.is_file():  # a pipe would be waited for
        return files
    try:
        return Page(page.read_bytes(), url=page.as_uri(), content_type="text/html")
    except OSError:
        return files
    except UnknownPageError as error:
        raise UnreachableError(str(page), str(error)) from error


def _files_of(folder: Path, package: LockedPackage) -> list[Link]:
    """List the files of a package in a folder, with their current digests."""
    links: list[Link] = []
    with suppress(OSError):  # a missing folder or an unreadable file lists nothing
        for path in sorted(folder.iterdir()):
            if _is_of(path.name, package, local=True) and path.is_file():
                sha256 = check_file(path).sha256
                links.append(Link(filename=path.name, url=path.as_uri(), sha256=sha256))
    return links


def _is_of(filename: str, package: LockedPackage, *, local: bool = False) -> bool:
    """Check whether a file belongs to a package at its version, or also a local version of it."""
    suffix = _suffix(filename)
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        elif suffix is not None:
            # The parser knows only the two kinds that may still be uploaded (PEP 527).
            name, version = parse_sdist_filename(f"{filename.removesuffix(suffix)}.tar.gz")
        else:
            return False
    except (InvalidWheelFilename, InvalidSdistFilename):
        return False
    if name != canonicalize_name(package.name):
        return False
    return version == package.version or (local and version.public == str(package.version))


def _unhashed_key(link: Link) -> str:
    return f"{link.url}#{link.sha256 or ''}"


def _filled(package: LockedPackage, names: Mapping[str, str]) -> LockedPackage:
    """Replace what is known only by digest or version with the named files."""
    files = {_named(key, filename): filename for key, filename in sorted(names.items())}
    # Old versions also have eggs, installers, and archives with compiled code.
    sdists = [file for file, name in files.items() if _suffix(name) and _is_of(name, package)]
    return replace(
        package,
        wheels=tuple(file for file, name in files.items() if name.endswith(".whl")),
        sdist=min(sdists, key=_preference, default=None),
        unnamed=(),
        unhashed=False,
    )


def _preference(sdist: LockedFile) -> tuple[int, str]:
    """Order the archives of a version by kind, whatever their order on the page."""
    filename = sdist.filename or ""
    return sdist_suffixes.index(_suffix(filename) or ""), filename


def _suffix(filename: str) -> str | None:
    """Return the suffix of a source archive; None for any other file."""
    return next((suffix for suffix in sdist_suffixes if filename.endswith(suffix)), None)


def _named(key: str, filename: str) -> LockedFile:
    if key.startswith("sha256:"):
        return LockedFile(digest=Digest(key), filename=filename)
    url, _, sha256 = key.partition("#")
    return LockedFile(
        digest=Digest(f"sha256:{sha256}") if sha256 else None, filename=filename, url=url
    )
