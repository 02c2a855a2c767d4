"""Find the names of files of which a lock has only the digest, or only the version.

Requirements files and `Pipfile.lock` have no file names, so the pages of indexes are searched
for the digests. A page need not contain any, or may use another algorithm than the lock
(PEP 503). Then the files of the version are fetched in the order in which the target
prefers them, until one is a locked one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.fetch.errors import (
    FileGoneError,
    LocalFileGoneError,
    NotCachedError,
    failed_locations,
)
from lambda_build_plugin.fetch.file_names import is_of, with_files
from lambda_build_plugin.lock.model import LockedFile
from lambda_build_plugin.selection.wheel_choice import Selected, best_wheel
from lambda_build_plugin.system.hashes import Digest, check_file, strongest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lambda_build_plugin.fetch.index_pages import Link
    from lambda_build_plugin.fetch.listings import Listing, Listings, Location
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.hashes import Checked

__all__ = ["Names"]

_NOTES = "file-names"


@dataclass(slots=True)
class _Search:
    """What a search for the digests of a package has found so far."""

    package: LockedPackage
    missing: set[Digest]
    names: dict[str, str] = field(default_factory=dict)
    """File names by digest."""

    unsure: dict[str, tuple[Link, Location]] = field(default_factory=dict)
    """By file name, what the pages do not tell from a locked file."""

    asked: list[str] = field(default_factory=list)
    """A line for each location, for messages."""

    failed: list[FetchError] = field(default_factory=list)

    has_others: bool = False
    """Whether a location lists the version, with other digests than the locked ones."""

    @classmethod
    def of(cls, package: LockedPackage) -> _Search:
        return cls(package, {file.digest for file in package.unnamed if file.digest})

    @property
    def files(self) -> list[LockedFile]:
        """The locked files whose names are known."""
        return [
            LockedFile(digest=Digest(digest), filename=filename)
            for digest, filename in sorted(self.names.items())
        ]

    @property
    def candidates(self) -> list[LockedFile]:
        """The files that may be locked ones."""
        named = set(self.names.values())
        return [
            LockedFile(digest=None, filename=filename, url=link.url)
            for filename, (link, _) in sorted(self.unsure.items())
            if filename not in named
        ]


class Names:
    """Finds names with the help of the pages of all locations. Safe to use from threads."""

    def __init__(
        self,
        listings: Listings,
        cache: Cache,
        *,
        first_index: bool,
        offline: bool,
        download: Callable[[Selected], Checked],
    ) -> None:
        self._listings = listings
        self._cache = cache
        self._first_index = first_index
        self._offline = offline
        self._download = download
        self.urls: dict[str, str] = {}
        """Addresses by digest, of the files that were found in this run."""

        self._asked: dict[str, str] = {}
        self._mixed: dict[str, str] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about pins without hashes that several indexes serve."""
        return tuple(text for _, text in sorted(self._mixed.items()))

    def asked_for(self, package: LockedPackage) -> str:
        """Say which locations were searched for a pin without hashes; empty for other packages."""
        return self._asked.get(package.name, "")

    def of(self, package: LockedPackage, target: Target) -> LockedPackage:
        """Give names to the files of a package.

        Raises:
            FetchError: No location lists any of them, or one cannot be read.
        """
        if package.unhashed:
            return self._unhashed(package)
        return self._hashed(package, target)

    # --- known by digest --------------------------------------------------------------

    def _hashed(self, package: LockedPackage, target: Target) -> LockedPackage:
        # What had to be fetched depends on the target, and so do the names.
        keys = (self._key(package), f"{self._key(package)}\n{target}")
        locked = {str(file.digest) for file in package.unnamed}
        for key in keys:
            note = self._cache.note(_NOTES, key) or {}
            # A note is not proof: it only names files whose digests the lock has.
            if known := {digest: name for digest, name in note.items() if digest in locked}:
                return with_files(package, _files(known))
        search = self._searched(package)
        is_sure = not search.candidates
        tried = [] if is_sure else self._try_candidates(search, target)
        if not search.names and tried:
            raise FileGoneError(str(package), [*search.asked, *tried], has_others=True)
        if not search.names:  # no candidate loads on the target, which the selection explains
            return with_files(package, search.candidates)
        self._cache.keep_note(_NOTES, keys[0] if is_sure else keys[1], search.names)
        return with_files(package, search.files)

    def _searched(self, package: LockedPackage) -> _Search:
        """Search all locations for the locked digests.

        A location that cannot be reached may have what the others lack. Continuing
        without it would let the state of the network decide which file ships.
        """
        search = _Search.of(package)
        for location in self._listings.locations(package):
            try:
                self._search_in(self._listings.read(location, package), location, search)
            except FetchError as error:
                search.failed.append(error)
                search.asked.append(f"{location.shown}: {error.why}")
            if not search.missing:
                search.unsure.clear()
                return search
        if search.failed:
            if any(isinstance(error, NotCachedError) for error in search.failed):
                raise NotCachedError(str(package), are_lists=True)
            raise failed_locations(str(package), search.asked, search.failed)
        if not search.names and not search.candidates:
            raise FileGoneError(str(package), search.asked, has_others=search.has_others)
        return search

    def _search_in(self, listing: Listing, location: Location, search: _Search) -> None:
        for digest in sorted(search.missing):
            link = listing.by_digest(digest)
            if link is not None:
                search.names[digest] = link.filename
                self.urls[digest] = link.url
                search.missing.remove(digest)
                self._listings.note_yanked(link, location)
        if not search.missing:
            return
        namesakes = [
            link for link in listing.links() if is_of(link.filename, search.package, local=True)
        ]
        unsure = [link for link in namesakes if not _is_comparable(link, search.package)]
        for link in unsure:
            search.unsure.setdefault(link.filename, (link, location))
        search.has_others = search.has_others or bool(namesakes)
        known = "listed with other digests" if namesakes else "not listed"
        search.asked.append(f"{location.shown}: {'listed without digests' if unsure else known}")

    def _try_candidates(self, search: _Search, target: Target) -> list[str]:
        """Fetch files of the version until one is locked; return what was wrong with others.

        Wheels come in the order of the target's tags, then source archives. A file that is
        known to be locked ends the search where the target prefers it.
        """
        candidates, problems = search.candidates, []
        while (best := _best([*search.files, *candidates], search.package, target)) is not None:
            if best.digest is not None:
                break
            filename = str(best.filename)
            link, location = search.unsure[filename]
            fetched = self._download(_selected(best, search.package))
            digest = self._locked_digest(fetched, search.missing)
            if digest is not None:
                search.names[digest] = filename
                self.urls[digest] = link.url
                self._listings.note_yanked(link, location)
                break
            problems.append(f"{location.shown}: {filename} is sha256:{fetched.sha256}")
            candidates.remove(best)
        return problems

    def _locked_digest(self, fetched: Checked, locked: Collection[Digest]) -> Digest | None:
        """Find the digest of a file among the locked ones, whatever their algorithms."""
        for algorithm in sorted({each.partition(":")[0] for each in locked}):
            try:
                digest = Digest(check_file(fetched.path, algorithm).digest)
                if digest in locked:
                    if algorithm != "sha256":  # by which it is in the cache already
                        self._cache.store_file(fetched.path, digest)
                    return digest
            except OSError as error:
                raise LocalFileGoneError(fetched.path, error.strerror or str(error)) from error
        return None

    # --- known by version -------------------------------------------------------------

    def _unhashed(self, package: LockedPackage) -> LockedPackage:
        key = self._key(package)
        note = self._cache.note(_NOTES, key) if self._offline else None
        if note is not None:
            return with_files(package, _files(note))
        links = self._listed(package)
        names = {_unhashed_key(link): link.filename for link in links}
        self._cache.keep_note(_NOTES, key, names)
        return with_files(package, _files(names))

    def _listed(self, package: LockedPackage) -> list[Link]:
        """List the files of a version.

        pip takes them from all locations together. uv takes them from the `--find-links`
        locations and the first index that has the package, so that no other index can
        offer its own files under that name. No location replaces one that cannot be read.
        """
        found: dict[str, Link] = {}
        asked: list[str] = []
        indexes: list[str] = []
        is_decided = False
        for location in self._listings.locations(package):
            if is_decided:
                asked.append(
                    f"{location.shown}: not searched, because uv takes a package from the first "
                    "index that has it (`index-strategy`)"
                )
                continue
            try:
                listed = self._listings.read(location, package).links()
            except NotCachedError as error:
                raise NotCachedError(str(package), are_lists=True) from error
            links = [link for link in listed if is_of(link.filename, package)]
            # A pin with `==` allows yanked files (PEP 592).
            for link in links:
                self._listings.note_yanked(link, location)
                found.setdefault(link.filename, link)
            asked.append(f"{location.shown}: {_listed_text(listed, links, package)}")
            if links and not location.flat:
                indexes.append(location.shown)
            is_decided = self._first_index and bool(listed) and not location.flat
        if not found:
            raise FileGoneError(str(package), asked)
        self._asked[package.name] = "\n".join(asked)
        if len(indexes) > 1:
            self._mixed[package.name] = (
                f"{package} is pinned without hashes, and {len(indexes)} indexes have it: "
                f"{', '.join(indexes)}; lock it with hashes, so that none of them can replace it"
            )
        return list(found.values())

    def _key(self, package: LockedPackage) -> str:
        return "\n".join(
            (
                package.name,
                str(package.version),
                f"first index: {self._first_index}" if package.unhashed else "",
                *sorted(str(file.digest) for file in package.unnamed),
                *(location.url for location in self._listings.locations(package)),
            )
        )


def _best(files: Sequence[LockedFile], package: LockedPackage, target: Target) -> LockedFile | None:
    """Choose what the selection would choose."""
    offered = with_files(package, files)
    wheel = best_wheel(offered, target)
    return offered.sdist if wheel is None else wheel.file


def _is_comparable(link: Link, package: LockedPackage) -> bool:
    """Check whether a page tells from its digests that a file is not a locked one."""
    return all(link.digest_like(file.digest) for file in package.unnamed if file.digest)


def _selected(file: LockedFile, package: LockedPackage) -> Selected:
    return Selected(
        name=package.name,
        version=package.version,
        file=file,
        filename=str(file.filename),
        package=package,
    )


def _listed_text(listed: Sequence[Link], links: Sequence[Link], package: LockedPackage) -> str:
    if links:
        return f"{len(links)} file{'s' if len(links) > 1 else ''} of {package}"
    has_others = any(is_of(link.filename, package, any_version=True) for link in listed)
    return "only other versions" if has_others else "not listed"


def _unhashed_key(link: Link) -> str:
    digest = strongest(dict(each.split(":") for each in link.digests))
    return f"{link.url}#{digest or ''}"


def _files(names: Mapping[str, str]) -> list[LockedFile]:
    """Read a note: file names by digest, or by URL and digest."""
    return [_file(key, filename) for key, filename in sorted(names.items())]


def _file(key: str, filename: str) -> LockedFile:
    url, _, digest = key.rpartition("#")
    return LockedFile(digest=Digest(digest) if digest else None, filename=filename, url=url or None)
