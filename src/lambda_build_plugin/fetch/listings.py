"""Read what indexes and `--find-links` locations list for a package."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.fetch.errors import NotCachedError, UnreachableError
from lambda_build_plugin.fetch.file_names import is_of
from lambda_build_plugin.fetch.index_pages import ACCEPT, Link, Page, UnknownPageError
from lambda_build_plugin.system.hashes import Digest, check_file
from lambda_build_plugin.urls import path_of, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lambda_build_plugin.fetch.http import HttpClient, Response
    from lambda_build_plugin.fetch.sources import Sources
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.progress import Reporter

__all__ = ["Listing", "Listings", "Location"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One location that may list the files of a package."""

    url: str
    """The address of a page, or the path of a folder."""

    shown: str
    """The same without credentials, for messages."""

    flat: bool
    """Whether it lists the files of many packages (`--find-links`), not of one as an index."""

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, if it is one."""
        if self.url.startswith("file:"):
            return path_of(self.url)
        return None if "://" in self.url else Path(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files that one location lists: a page that is parsed when needed, or a folder."""

    shown: str
    contents: Page | list[Link]

    def by_digest(self, digest: Digest) -> Link | None:
        """Find the first file with a digest.

        Raises:
            UnreachableError: The page lists too many files.
        """
        if not isinstance(self.contents, Page):
            return next((link for link in self.contents if digest in link.digests), None)
        with _reporting_page(self.shown):
            return self.contents.by_digest(digest)

    def links(self) -> list[Link]:
        """List every file, also of other versions and packages.

        Raises:
            UnreachableError: The page lists too many files.
        """
        if not isinstance(self.contents, Page):
            return self.contents
        with _reporting_page(self.shown):
            return list(self.contents.links())


@contextmanager
def _reporting_page(shown: str) -> Iterator[None]:
    try:
        yield
    except UnknownPageError as error:
        raise UnreachableError(shown, str(error)) from error


class Listings:
    """Reads the pages and folders that the configuration names. Safe to use from threads."""

    def __init__(
        self,
        sources: Sources,
        *,
        reporter: Reporter,
        offline: bool,
        connect: Callable[[], HttpClient],
    ) -> None:
        self._sources = sources
        self._reporter = reporter
        self._offline = offline
        self._connect = connect
        self._yanked: dict[str, str] = {}

    @property
    def yanked(self) -> Mapping[str, str]:
        """By file name, the location that advises against it (PEP 592)."""
        return self._yanked

    def note_yanked(self, link: Link, location: Location) -> None:
        """Remember a file that is used, if its index advises against it."""
        if link.yanked:
            self._yanked[link.filename] = location.shown
            self._reporter.note(f"{link.filename} was yanked from {location.shown}")

    def locations(self, package: LockedPackage) -> list[Location]:
        """List where to search for a package, the first location to search first."""
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
                Location(url=link, shown=redacted(link), flat=True)
                for link in sources.find_links
                if link in serving and not package.index
            ),
            *(
                Location(url=f"{base}{package.name}/", shown=redacted(base), flat=False)
                for base in bases
            ),
        ]

    def read(self, location: Location, package: LockedPackage) -> Listing:
        """Read what a location lists; nothing if it does not have the package.

        Raises:
            FetchError: It cannot be read, or is not an index page.
        """
        folder = location.folder
        if folder is not None:
            with _reporting_page(location.shown):
                contents = _folder_page(folder, package, flat=location.flat)
            return Listing(shown=location.shown, contents=contents)
        if self._offline:
            raise NotCachedError(location.shown)

        def parse(response: Response) -> Page:
            body = response.read()
            self._reporter.announced(len(body))
            self._reporter.received(len(body))
            with _reporting_page(location.shown):
                return Page(body, url=response.url, content_type=response.content_type)

        self._reporter.note(f"get {redacted(location.url)}")
        page = self._connect().get(
            location.url, parse, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        )
        return Listing(shown=location.shown, contents=[] if page is None else page)


def _folder_page(folder: Path, package: LockedPackage, *, flat: bool) -> Page | list[Link]:
    """List a folder: the index.html of an index, else its files of the package."""
    files = [] if folder.is_file() else _files_of(folder, package)
    if flat and files:
        return files
    page = folder if folder.is_file() else folder / "index.html"
    if not page.is_file():  # reading a pipe would never end
        return files
    try:
        return Page(page.read_bytes(), url=page.as_uri(), content_type="text/html")
    except OSError:
        return files


def _files_of(folder: Path, package: LockedPackage) -> list[Link]:
    """List the files of a package in a folder, with their current digests."""
    links: list[Link] = []
    with suppress(OSError):  # a missing folder or an unreadable file lists nothing
        for path in sorted(folder.iterdir()):
            if is_of(path.name, package, local=True) and path.is_file():
                digests = _digests_of(path, package)
                links.append(Link(filename=path.name, url=path.as_uri(), digests=digests))
    return links


def _digests_of(path: Path, package: LockedPackage) -> tuple[Digest, ...]:
    """Hash a file in sha256, and in the algorithms that the lock uses for its package."""
    locked = (*package.unnamed, *package.wheels, *filter(None, (package.sdist, package.archive)))
    algorithms = {file.digest.partition(":")[0] for file in locked if file.digest}
    return tuple(
        Digest(check_file(path, algorithm).digest) for algorithm in sorted(algorithms | {"sha256"})
    )
