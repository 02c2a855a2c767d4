"""Fetch selected files from the cache, the locked URL or an index, and verify them.

The digest in the lock decides: whichever index serves a file, its bytes are what was
locked or the build fails. A file with a wrong digest is never searched for elsewhere.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.fetch.errors import (
    DigestMismatchError,
    FileGoneError,
    LocalFileGoneError,
    NotCachedError,
    SeveralFilesError,
    UnreachableError,
    failed_locations,
)
from lambda_build_plugin.fetch.listings import Listings
from lambda_build_plugin.fetch.names import Names
from lambda_build_plugin.system.hashes import Digest, check_file
from lambda_build_plugin.system.threads import map_in_threads
from lambda_build_plugin.urls import path_of, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.fetch.http import HttpClient, Response
    from lambda_build_plugin.fetch.index_pages import Link
    from lambda_build_plugin.fetch.listings import Location
    from lambda_build_plugin.fetch.sources import Sources
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.hashes import Checked

__all__ = ["Fetched", "Fetcher", "Receiver"]

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


class Receiver:
    """Is told of files that are downloaded, in the threads that do it. This one ignores them."""

    def begin(self, selected: Selected) -> Callable[[bytes], None]:
        """Hear that a file begins to arrive, once for each attempt; return what takes its bytes.

        What is to be done with the bytes must not fail, and takes the time of the download.
        """
        del selected
        return lambda _: None

    def complete(self, fetched: Fetched) -> None:
        """Hear that a file, with the bytes of its last attempt, is what was locked."""


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
        self._listings = Listings(
            sources, reporter=reporter, offline=offline, connect=lambda: self._client
        )
        self._names = Names(
            self._listings,
            cache,
            first_index=sources.first_index,
            offline=offline,
            download=self._fetched_anew,
        )
        self._wanted: frozenset[str] = frozenset()
        self._is_under_way = threading.Event()
        self._is_under_way.set()
        """Whether the first of the files arrives, or there is none to wait for."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about yanked files, and about pins that several indexes serve."""
        yanked = (
            f"{filename} was yanked from {shown} (PEP 592); it ships because it is locked"
            for filename, shown in sorted(self._listings.yanked.items())
            if filename in self._wanted
        )
        return (*yanked, *self._names.warnings)

    def asked_for(self, package: LockedPackage) -> str:
        """Say which locations were searched for a pin without hashes; empty for other packages."""
        return self._names.asked_for(package)

    def named(self, packages: Sequence[LockedPackage], target: Target) -> tuple[LockedPackage, ...]:
        """Find the names of files of which the lock has only the digest or the version.

        If no index lists the digests, the files that the target prefers are fetched and
        hashed. The connections stay open for `fetch`.

        Raises:
            FetchError: With every package whose files no index lists.
        """
        try:
            return tuple(self._each(lambda package: self._with_names(package, target), packages))
        except BaseException:
            self.close()
            raise

    def listed_filenames(self, package: LockedPackage) -> frozenset[str]:
        """List the files of all versions of a package, on those pages that can be reached.

        That is for messages: an index that does not answer is left out.
        """
        found: set[str] = set()
        for location in self._listings.locations(package):
            with suppress(FetchError):
                listing = self._listings.read(location, package)
                found.update(link.filename for link in listing.links())
        return frozenset(found)

    def fetch(
        self,
        selected: Sequence[Selected],
        *,
        receiver: Receiver | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> tuple[Fetched, ...]:
        """Fetch the selected files, several at a time, the largest first.

        Args:
            selected: What to fetch.
            receiver: Is told of each file that was not in the cache.
            meanwhile: What the waiting thread does as soon as the first file arrives: before
                that, it would only delay the others.

        Raises:
            FetchError: With every file that cannot be fetched or is not what was locked.
        """
        self._reporter.fetching(files=len(selected))
        self._wanted = frozenset(item.filename for item in selected)
        # What takes longest starts first: the small ones fill the time until it is there.
        if selected:
            self._is_under_way.clear()

        def do_meanwhile() -> None:
            self._is_under_way.wait()
            meanwhile()

        order = sorted(range(len(selected)), key=lambda place: -(selected[place].file.size or 0))
        try:
            return tuple(
                self._each(
                    lambda item: self._fetched(item, receiver or Receiver()),
                    selected,
                    order=order,
                    meanwhile=do_meanwhile,
                )
            )
        finally:
            self.close()

    def close(self) -> None:
        """Close the connections, if `named` and `fetch` have not done so."""
        with self._connecting:
            if self._connected is not None:
                self._connected.close()

    def _each(
        self,
        work: Callable[[_T], _R],
        items: Sequence[_T],
        *,
        order: Sequence[int] | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[_R]:
        """Process all items in threads and report all failures together, in their order."""

        def guarded(item: _T) -> _R | FetchError:
            try:
                return work(item)
            except FetchError as error:
                return error
            finally:
                self._is_under_way.set()

        results = map_in_threads(
            guarded, items, threads=self._jobs, order=order, meanwhile=meanwhile
        )
        errors = [result for result in results if isinstance(result, FetchError)]
        if errors:
            raise _together(errors)
        return [result for result in results if not isinstance(result, FetchError)]

    # --- one file ---------------------------------------------------------------------

    def _fetched(self, selected: Selected, receiver: Receiver) -> Fetched:
        file = selected.file
        digest = file.digest
        if digest is None and self._offline and file.url is not None:
            digest = self._noted_digest(file.url)
        if file.path is not None:
            checked, cached = self._local(file.path, selected), True
        elif (found := self._cache.find(digest) if digest else None) is not None:
            checked, cached = found, True
        else:
            checked, cached = self._fetched_once(selected, receiver)
        self._reporter.fetched(selected.filename, cached=cached)
        fetched = Fetched(selected=selected, path=checked.path, sha256=checked.sha256)
        if not cached:
            receiver.complete(fetched)
        return fetched

    def _fetched_once(self, selected: Selected, receiver: Receiver) -> tuple[Checked, bool]:
        """Fetch a file, unless another build of the run does so; tell whether it was there."""
        digest = selected.file.digest
        if digest is None:
            return self._fetched_anew(selected, receiver), False
        with self._cache.alone(digest):
            found = self._cache.find(digest)
            return (found, True) if found else (self._fetched_anew(selected, receiver), False)

    def _local(self, path: Path, selected: Selected) -> Checked:
        digest = selected.file.digest
        try:
            checked = check_file(path, digest.partition(":")[0] if digest else "sha256")
        except OSError as error:
            raise LocalFileGoneError(path, error.strerror or str(error)) from error
        return _right(checked, selected.filename, digest, str(path))

    def _fetched_anew(self, selected: Selected, receiver: Receiver | None = None) -> Checked:
        """Fetch a file that is not in the cache."""
        url = selected.file.url or self._names.urls.get(str(selected.file.digest))
        if url is None:
            url = self._link(selected).url
        if url.startswith("file:"):
            return self._local(path_of(url), selected)
        if self._offline:
            raise NotCachedError(selected.filename)
        return self._downloaded(url, selected, receiver or Receiver())

    def _downloaded(self, url: str, selected: Selected, receiver: Receiver) -> Checked:
        digest = selected.file.digest
        self._reporter.note(f"get {redacted(url)}")
        checked = self._client.get(
            url,
            lambda response: self._cache.store(
                self._counted(response, receiver.begin(selected)), digest
            ),
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

    def _counted(self, response: Response, hear: Callable[[bytes], None]) -> Iterator[bytes]:
        received = 0
        self._is_under_way.set()
        self._reporter.announced(response.announced_size)
        for chunk in response.chunks():
            self._reporter.received(len(chunk))
            received += len(chunk)
            if received > _LARGEST_FILE:
                raise UnreachableError(response.url, f"the file exceeds {_LARGEST_FILE:,} bytes")
            hear(chunk)
            yield chunk

    def _link(self, selected: Selected) -> Link:
        """Find the address of a file that is locked without one."""
        asked: list[str] = []
        failed: list[FetchError] = []
        digest = selected.file.digest
        namesake: tuple[Digest, str] | None = None
        for location in self._listings.locations(selected.package):
            try:
                links = self._matching(location, selected)
            except FetchError as error:
                failed.append(error)
                asked.append(f"{location.shown}: {error.why}")
                continue
            for link in links:
                listed = link.digest_like(digest) if digest else None
                if listed is None or listed == digest:
                    self._listings.note_yanked(link, location)
                    return link
                namesake = (listed, location.shown)
            known = "listed with another digest" if links else "not listed"
            asked.append(f"{location.shown}: {known}")
        if self._offline:
            raise NotCachedError(selected.filename)
        if failed:
            raise failed_locations(selected.filename, asked, failed)
        if namesake is not None:
            found, shown = namesake
            raise DigestMismatchError(
                selected.filename, where=shown, locked=str(digest), found=found
            )
        raise FileGoneError(selected.filename, asked)

    def _matching(self, location: Location, selected: Selected) -> list[Link]:
        """Find the links for a file at one location, by digest or else by name."""
        listing = self._listings.read(location, selected.package)
        digest = selected.file.digest
        if digest is not None and (link := listing.by_digest(digest)) is not None:
            return [link]
        return [link for link in listing.links() if link.filename == selected.filename]

    def _with_names(self, package: LockedPackage, target: Target) -> LockedPackage:
        if not package.unnamed and not package.unhashed:
            return package
        return self._names.of(package, target)

    # --- the network ------------------------------------------------------------------

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
    """Make one error of several; what is missing offline is listed once."""
    missing = [error for error in errors if isinstance(error, NotCachedError)]
    all_errors = [error for error in errors if not isinstance(error, NotCachedError)]
    for are_lists in (False, True):
        names = [
            name for error in missing if error.are_lists is are_lists for name in error.missing
        ]
        if names:
            all_errors.append(NotCachedError(*names, are_lists=are_lists))
    return all_errors[0] if len(all_errors) == 1 else SeveralFilesError(all_errors)
