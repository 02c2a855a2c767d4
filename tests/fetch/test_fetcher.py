from __future__ import annotations

import base64
import hashlib
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.index import CutShort, Drop, FakeIndex, Redirect, Replace, Slow, Status
from fakes.wheels import FakeSdist, FakeWheel, a_wheel, an_sdist
from fakes.words import NO_FILE
from packaging.utils import canonicalize_name
from packaging.version import Version

import lambda_build_plugin.fetch.fetcher as fetcher_module
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.fetch.configuration import read_sources
from lambda_build_plugin.fetch.errors import (
    AccessDeniedError,
    DigestMismatchError,
    FileGoneError,
    NotCachedError,
    SeveralFilesError,
    UnreachableError,
)
from lambda_build_plugin.fetch.fetcher import Fetched, Fetcher, Receiver
from lambda_build_plugin.fetch.http import HttpClient
from lambda_build_plugin.lock.model import LockedFile, LockedPackage
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.wheel_choice import Selected
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WHEEL = a_wheel("demo", "1.0")
LOCAL = a_wheel("demo", "1.0+cpu.1")
OTHER = a_wheel("other", "2.0")
SDIST = an_sdist("demo", "1.0")
# Of the same name, but not what was locked.
NAMESAKE = a_wheel("demo", "1.0", files={"demo.py": "import evil"})
AUTH = ("user", "s3cr3t")
TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)

Files = FakeWheel | FakeSdist


class Notes(Reporter):
    """Keeps what the fetcher tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.cached: dict[str, bool] = {}
        self.bytes = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def received(self, size: int) -> None:
        self.bytes += size

    def fetched(self, filename: str, *, cached: bool) -> None:
        self.cached[filename] = cached


class World:
    """A cache, and fetchers that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Notes()
        self.fetchers: list[Fetcher] = []

    def fetcher(
        self,
        *indexes: str,
        find_links: tuple[str, ...] = (),
        offline: bool = False,
        jobs: int = 8,
        first_index: bool = False,
    ) -> Fetcher:
        sources = read_sources(
            IndexOptions(
                first_index=first_index,
                index_url=indexes[-1] if indexes else None,
                extra_index_urls=indexes[:-1],
                find_links=find_links,
                no_index=not indexes,
            ),
            environ={},
            home=self.folder / "home",
            project=self.folder,
            etc=self.folder / "etc",
        )
        client = HttpClient(sources, connections=jobs, sleep=lambda _: None)
        fetcher = Fetcher(
            sources,
            Cache(self.folder / "cache"),
            reporter=self.reporter,
            offline=offline,
            jobs=jobs,
            client=client,
        )
        self.fetchers.append(fetcher)
        return fetcher

    def cached(self) -> list[str]:
        """List the content of the cache's files, by their first letters of sha256."""
        return sorted(
            path.name[:8] for path in (self.folder / "cache/files").rglob("*") if path.is_file()
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give an empty cache."""
    world = World(tmp_path)
    yield world
    for fetcher in world.fetchers:
        fetcher.close()


def a_digest(file: Files) -> Digest:
    """Give the digest that a lock would hold."""
    return Digest(f"sha256:{file.sha256}")


def a_package(name: str = "demo", version: str = "1.0", **fields: object) -> LockedPackage:
    """Make a package of a lock."""
    return LockedPackage(
        name=canonicalize_name(name),
        version=Version(version),
        at="lock",
        **fields,  # type: ignore[arg-type]
    )


def selected(
    file: FakeWheel = WHEEL,
    *,
    url: str | None = None,
    path: Path | None = None,
    index: str | None = None,
    digest: Digest | None = None,
    unhashed: bool = False,
) -> Selected:
    """Select a wheel, known by file name and digest unless more is given."""
    version = Version(file.filename.split("-")[1])
    package = a_package(file.project, str(version), index=index)
    return Selected(
        name=package.name,
        version=version,
        file=LockedFile(
            digest=None if unhashed else digest or a_digest(file),
            filename=file.filename,
            url=url,
            path=path,
        ),
        filename=file.filename,
        package=package,
    )


def contents(fetched: tuple[Fetched, ...]) -> list[bytes]:
    """Read what was fetched."""
    return [item.path.read_bytes() for item in fetched]


def paths(index: FakeIndex) -> list[str]:
    """List what was asked for."""
    return [request.path for request in index.requests]


def failure(work: Callable[[], object]) -> FetchError:
    """Get the error that a step ends in."""
    with pytest.raises(FetchError) as caught:
        work()
    return caught.value


# --- one file -------------------------------------------------------------------------


def test_locked_url_is_asked_alone(world: World) -> None:
    """Where the lock has the address no index page is needed."""
    with FakeIndex([WHEEL]) as index:
        item = selected(url=index.file_url(WHEEL.filename))
        fetched = world.fetcher(index.url).fetch([item])
        assert paths(index) == [f"/files/{WHEEL.filename}"]
    assert fetched == (
        Fetched(
            selected=item,
            path=world.folder / "cache/files/sha256" / WHEEL.sha256[:2] / WHEEL.sha256,
            sha256=WHEEL.sha256,
        ),
    )
    assert contents(fetched) == [WHEEL.content]


@pytest.mark.parametrize("form", ["html", "json"])
def test_file_is_found_by_name_and_digest(world: World, form: str) -> None:
    """A lock without addresses needs one page of the index a package."""
    with FakeIndex([WHEEL, SDIST, OTHER], form=form) as index:  # type: ignore[arg-type]
        fetched = world.fetcher(index.url).fetch([selected()])
        assert paths(index) == ["/simple/demo/", f"/files/{WHEEL.filename}"]
    assert contents(fetched) == [WHEEL.content]


def test_file_is_found_on_pages_without_digests(world: World) -> None:
    """Where the index states no digests the name leads to the file, and the digest is checked."""
    with FakeIndex([WHEEL], hashes=None) as index:
        assert contents(world.fetcher(index.url).fetch([selected()])) == [WHEEL.content]


def test_local_version_is_found(world: World) -> None:
    """The `+` of a local version is quoted in addresses and plain in names."""
    with FakeIndex([LOCAL]) as index:
        fetched = world.fetcher(index.url).fetch([selected(LOCAL)])
        assert paths(index)[1] == "/files/demo-1.0%2Bcpu.1-py3-none-any.whl"
    assert contents(fetched) == [LOCAL.content]


def test_file_in_the_cache_needs_no_network(world: World) -> None:
    """What was fetched once is checked and used again, and the reporter hears of it."""
    with FakeIndex([WHEEL]) as index:
        item = selected(url=index.file_url(WHEEL.filename))
        world.fetcher(index.url).fetch([item])
        first = dict(world.reporter.cached)
        again = world.fetcher(index.url).fetch([item])
        assert len(index.requests) == 1
    assert (contents(again), first, world.reporter.cached, world.reporter.bytes) == (
        [WHEEL.content],
        {WHEEL.filename: False},
        {WHEEL.filename: True},
        len(WHEEL.content),
    )


def test_damaged_cache_is_filled_anew(world: World) -> None:
    """A file that was changed in the cache is fetched again."""
    with FakeIndex([WHEEL]) as index:
        item = selected(url=index.file_url(WHEEL.filename))
        world.fetcher(index.url).fetch([item])[0].path.write_bytes(NAMESAKE.content)
        assert contents(world.fetcher(index.url).fetch([item])) == [WHEEL.content]


@pytest.mark.parametrize("algorithm", ["sha384", "sha512", "blake2b"])
def test_other_algorithms_vouch_as_well(world: World, algorithm: str) -> None:
    """A lock may hold another digest than the index states."""
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, WHEEL.content).hexdigest()}")
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url)
        assert contents(fetcher.fetch([selected(digest=digest)])) == [WHEEL.content]


def test_local_file_is_checked(world: World) -> None:
    """A file on this machine is used where it lies, if it is what was locked."""
    path = WHEEL.write_to(world.folder)
    bad = NAMESAKE.write_to(world.folder / "bad")
    (fetched,) = world.fetcher().fetch([selected(path=path)])
    error = failure(lambda: world.fetcher().fetch([selected(path=bad)]))
    assert (fetched.path, fetched.sha256) == (path, WHEEL.sha256)
    assert (type(error), error.why) == (
        DigestMismatchError,
        f"from {bad}\nlocked:   sha256:{WHEEL.sha256}\nreceived: sha256:{NAMESAKE.sha256}",
    )


def test_absent_local_file_is_one_error(world: World) -> None:
    """A path of the lock that leads nowhere is told with the reason."""
    path = world.folder / WHEEL.filename
    error = failure(lambda: world.fetcher().fetch([selected(path=path)]))
    assert error.why == f"{path}: {NO_FILE}"


def test_file_url_is_read_in_place(world: World) -> None:
    """A locked `file:` address with quoted letters is a file of this machine."""
    path = LOCAL.write_to(world.folder / "a folder")
    item = selected(LOCAL, url=path.as_uri())
    assert world.fetcher(offline=True).fetch([item])[0].path == path


# --- wrong and absent files -----------------------------------------------------------


def test_wrong_digest_is_never_a_second_try(world: World) -> None:
    """A file that is not what was locked ends the build, though another index has the right one."""
    with FakeIndex([WHEEL]) as one, FakeIndex([WHEEL]) as two:
        one.fail(".whl", Replace(NAMESAKE.content))
        error = failure(lambda: world.fetcher(one.url, two.url).fetch([selected()]))
        where = one.file_url(WHEEL.filename)
        assert (len(one.requests), two.requests) == (2, [])
    assert (type(error), error.what, error.why) == (
        DigestMismatchError,
        f"{WHEEL.filename} is not what was locked",
        f"from {where}\nlocked:   sha256:{WHEEL.sha256}\nreceived: sha256:{NAMESAKE.sha256}",
    )
    assert world.cached() == []


def test_namesake_is_passed_over(world: World) -> None:
    """A page that states another digest for the name has another file: the next may have it."""
    with FakeIndex([NAMESAKE]) as one, FakeIndex([WHEEL]) as two:
        fetched = world.fetcher(one.url, two.url).fetch([selected()])
        assert paths(one) == ["/simple/demo/"]
    assert contents(fetched) == [WHEEL.content]


def test_namesake_alone_is_a_mismatch(world: World) -> None:
    """Where only another file of the name is to be had, it is said to be another."""
    with FakeIndex([NAMESAKE]) as index:
        error = failure(lambda: world.fetcher(index.url).fetch([selected()]))
        assert (type(error), error.why) == (
            DigestMismatchError,
            f"from {index.url}\n"
            f"locked:   sha256:{WHEEL.sha256}\nreceived: sha256:{NAMESAKE.sha256}",
        )
        assert paths(index) == ["/simple/demo/"]


def test_namesake_does_not_hide_that_an_index_is_away(world: World) -> None:
    """The right file may be where nobody answered, so that is what is told."""
    with FakeIndex([NAMESAKE]) as one, FakeIndex([WHEEL]) as two:
        two.fail("/demo/", *[Drop()] * 4)
        error = failure(lambda: world.fetcher(one.url, two.url).fetch([selected()]))
        first, second = error.why.splitlines()
        assert (type(error), first) == (FileGoneError, f"{one.url}: listed with another digest")
        assert (second.startswith(f"{two.url}: "), second[-13:]) == (True, " (4 attempts)")
    assert error.hint.startswith("check the network")


def test_gone_file_names_who_was_asked(world: World) -> None:
    """A file that no index lists is told with all that were asked."""
    folder = world.folder / "wheels"
    with FakeIndex([OTHER]) as one, FakeIndex([SDIST]) as two:
        fetcher = world.fetcher(one.url, two.url, find_links=(str(folder),))
        error = failure(lambda: fetcher.fetch([selected()]))
        assert (type(error), error.what, error.why) == (
            FileGoneError,
            f"cannot find {WHEEL.filename}",
            f"{folder}: not listed\n{one.url}: not listed\n{two.url}: not listed",
        )


def test_gone_url_is_told(world: World) -> None:
    """A locked address that leads nowhere is told without its secrets."""
    with FakeIndex() as index:
        url = f"{index.file_url(WHEEL.filename)}?token=s3cr3t"
        error = failure(lambda: world.fetcher(index.url).fetch([selected(url=url)]))
        assert error.why == f"{index.file_url(WHEEL.filename)}: HTTP 404"


def test_no_index_at_all_is_told(world: World) -> None:
    """Without any place to ask, that is the reason."""
    error = failure(lambda: world.fetcher().fetch([selected()]))
    assert error.why == "no index and no --find-links location is configured"


def test_page_of_an_unknown_kind_is_told(world: World) -> None:
    """An index that speaks another version is not read as an empty one."""
    page = Status(
        200,
        {"Content-Type": "application/vnd.pypi.simple.v2+json"},
        b'{"meta": {"api-version": "2.0"}}',
    )
    with FakeIndex([WHEEL]) as index:
        index.fail("/demo/", page)
        error = failure(lambda: world.fetcher(index.url).fetch([selected()]))
        assert (type(error), error.what) == (UnreachableError, f"cannot reach {index.url}")
    assert error.why == "it is not an index page (PEP 691)"


def test_several_failures_are_one_error(world: World) -> None:
    """All files are tried, and each failure is told; what is right stays in the cache."""
    third = a_wheel("third", "3.0")
    with FakeIndex([WHEEL, OTHER]) as index:
        index.fail(WHEEL.filename, Replace(b"evil"))
        items = [selected(), selected(OTHER), selected(third)]
        error = failure(lambda: world.fetcher(index.url).fetch(items))
        assert isinstance(error, SeveralFilesError)
        assert (error.what, [type(each) for each in error.errors]) == (
            "2 locked files could not be fetched",
            [DigestMismatchError, FileGoneError],
        )
        assert error.why == (
            f"{WHEEL.filename} is not what was locked:\n"
            f"  from {index.file_url(WHEEL.filename)}\n"
            f"  locked:   sha256:{WHEEL.sha256}\n"
            f"  received: sha256:{hashlib.sha256(b'evil').hexdigest()}\n"
            f"cannot find {third.filename}:\n"
            f"  {index.url}: not listed"
        )
    assert world.cached() == [OTHER.sha256[:8]]


def test_failure_leaves_nothing_partial(world: World) -> None:
    """A download that breaks off for good leaves no part of it behind."""
    with FakeIndex([WHEEL]) as index:
        index.fail(".whl", *[CutShort(200)] * 4)
        error = failure(lambda: world.fetcher(index.url).fetch([selected()]))
    left = [path for path in (world.folder / "cache").rglob("*") if path.is_file()]
    assert (type(error), left) == (UnreachableError, [])


def test_endless_file_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is larger than any file of use is not received to its end."""
    monkeypatch.setattr(fetcher_module, "_LARGEST_FILE", 1000)
    with FakeIndex([WHEEL]) as index:
        index.fail(".whl", Replace(bytes(300_000)))
        url = index.file_url(WHEEL.filename)
        error = failure(lambda: world.fetcher().fetch([selected(url=url)]))
    left = [path for path in (world.folder / "cache").rglob("*") if path.is_file()]
    assert (error.why, left) == ("the file exceeds 1,000 bytes", [])


def test_yanked_files_are_told_of_if_they_ship(world: World) -> None:
    """A page may call many files yanked; what is not fetched is nobody's matter."""
    with FakeIndex([WHEEL, SDIST], yanked=[WHEEL.filename, SDIST.filename]) as index:
        url = index.url
        fetcher = world.fetcher(url)
        digests = (LockedFile(digest=a_digest(WHEEL)), LockedFile(digest=a_digest(SDIST)))
        fetcher.named([a_package(unnamed=digests)], TARGET)
        fetcher.fetch([selected()])
    warning = f"{WHEEL.filename} was yanked from {url} (PEP 592); it ships because it is locked"
    assert fetcher.warnings == (warning,)


def test_fault_on_the_way_is_survived(world: World) -> None:
    """A download that breaks off once is whole in the end."""
    with FakeIndex([WHEEL]) as index:
        index.fail("/demo/", Status(503), CutShort(30))
        index.fail(".whl", CutShort(200), Drop())
        assert contents(world.fetcher(index.url).fetch([selected()])) == [WHEEL.content]
    assert world.cached() == [WHEEL.sha256[:8]]


# --- several indexes ------------------------------------------------------------------


def test_index_of_the_lock_is_the_only_one(world: World) -> None:
    """A package that the lock binds to an index is not looked for on another."""
    with FakeIndex([WHEEL]) as one, FakeIndex([WHEEL]) as two:
        world.fetcher(one.url).fetch([selected(index=two.url.rstrip("/"))])
        assert (one.requests, paths(two)[0]) == ([], "/simple/demo/")


def test_index_that_is_away_is_no_matter_where_another_has_the_digest(world: World) -> None:
    """With a digest it does not matter who serves the file."""
    with FakeIndex([WHEEL]) as one, FakeIndex([WHEEL]) as two:
        one.fail("/demo/", *[Drop()] * 4)
        fetched = world.fetcher(one.url, two.url).fetch([selected()])
    assert contents(fetched) == [WHEEL.content]


def test_only_index_that_denies_speaks_for_itself(world: World) -> None:
    """With one index its own error is the message."""
    with FakeIndex([WHEEL], auth=AUTH) as index:
        error = failure(lambda: world.fetcher(index.url).fetch([selected()]))
    assert type(error) is AccessDeniedError


def test_login_goes_to_its_own_origin(world: World) -> None:
    """Files that lie elsewhere are fetched without the login of the index."""
    login = f"Basic {base64.b64encode(b'user:s3cr3t').decode()}"
    with (
        FakeIndex([WHEEL]) as files,
        FakeIndex([WHEEL], auth=AUTH, files_elsewhere=files.files_url) as index,
    ):
        fetched = world.fetcher(index.url_with_credentials).fetch([selected()])
        sent = [
            [request.headers.get("authorization") for request in server.requests]
            for server in (index, files)
        ]
    assert (contents(fetched), sent) == ([WHEEL.content], [[login], [None]])
    assert "s3cr3t" not in " ".join(world.reporter.notes)


def test_redirect_of_a_file_drops_the_login(world: World) -> None:
    """A server that sends the client to a store keeps the login for itself."""
    with FakeIndex([WHEEL]) as files, FakeIndex([WHEEL], auth=AUTH) as index:
        index.fail(".whl", Redirect(files.file_url(WHEEL.filename)))
        fetched = world.fetcher(index.url_with_credentials).fetch([selected()])
        assert [request.headers.get("authorization") for request in files.requests] == [None]
    assert contents(fetched) == [WHEEL.content]


def test_files_come_in_parallel_and_in_order(world: World) -> None:
    """Eight slow files take little longer than one, and stand in the order of the lock."""
    wheels = [a_wheel(f"demo{number}") for number in range(8)]
    with FakeIndex(wheels) as index:
        index.fail(".whl", *[Slow(0.2)] * 8)
        items = [selected(wheel, url=index.file_url(wheel.filename)) for wheel in wheels]
        begin = time.monotonic()
        fetched = world.fetcher(index.url).fetch(items)
        seconds = time.monotonic() - begin
    assert contents(fetched) == [wheel.content for wheel in wheels]
    assert seconds < 1  # one after the other: 1.6


class Heard(Receiver):
    """Keeps the bytes of each attempt, and what was complete."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, bytearray]] = []
        self.complete_files: list[Fetched] = []

    def begin(self, selected: Selected) -> Callable[[bytes], None]:
        received = bytearray()
        self.attempts.append((selected.filename, received))
        return received.extend

    def complete(self, fetched: Fetched) -> None:
        self.complete_files.append(fetched)


def test_receiver_hears_each_attempt(world: World) -> None:
    """Whoever listens to a download hears each attempt, and which one was right."""
    heard = Heard()
    with FakeIndex([WHEEL]) as index:
        index.fail(".whl", CutShort(200))
        fetched = world.fetcher(index.url).fetch([selected()], receiver=heard)

    assert [(name, bytes(received)) for name, received in heard.attempts] == [
        (WHEEL.filename, WHEEL.content[:200]),
        (WHEEL.filename, WHEEL.content),
    ]
    assert heard.complete_files == list(fetched)


def test_receiver_hears_no_end_of_a_wrong_file(world: World) -> None:
    """What is not the locked file was never complete, even if it has arrived as a whole."""
    heard = Heard()
    with FakeIndex([WHEEL, OTHER]) as index:
        index.fail(WHEEL.filename, Replace(b"evil"))
        items = [selected(), selected(OTHER)]
        failure(lambda: world.fetcher(index.url).fetch(items, receiver=heard))

    assert [each.selected.filename for each in heard.complete_files] == [OTHER.filename]


def test_receiver_hears_nothing_of_the_cache(world: World) -> None:
    """A file that is there was received before."""
    heard = Heard()
    with FakeIndex([WHEEL]) as index:
        world.fetcher(index.url).fetch([selected()])
        world.fetcher(index.url).fetch([selected()], receiver=heard)

    assert (heard.attempts, heard.complete_files) == ([], [])


def test_largest_file_is_asked_for_first(world: World) -> None:
    """Files are asked for by their locked sizes, and returned in the order of the lock."""
    wheels = [a_wheel(f"demo{number}") for number in range(4)]
    sizes = [10, None, 3000, 200]
    with FakeIndex(wheels) as index:
        items = [selected(wheel, url=index.file_url(wheel.filename)) for wheel in wheels]
        items = [
            replace(item, file=replace(item.file, size=size))
            for item, size in zip(items, sizes, strict=True)
        ]
        fetched = world.fetcher(index.url, jobs=1).fetch(items)
        asked = [path.rpartition("/")[2].partition("-")[0] for path in paths(index)]

    assert asked == ["demo2", "demo3", "demo0", "demo1"]
    assert contents(fetched) == [wheel.content for wheel in wheels]


def test_failures_are_told_in_the_order_of_the_lock(world: World) -> None:
    """The size of a file has no influence on the message."""
    with FakeIndex([WHEEL, OTHER]) as index:
        index.fail(".whl", Replace(b"evil"), Replace(b"evil"))
        items = [selected(), selected(OTHER)]
        items[1] = replace(items[1], file=replace(items[1].file, size=5000))
        error = failure(lambda: world.fetcher(index.url).fetch(items))

    assert isinstance(error, SeveralFilesError)
    assert [each.what for each in error.errors] == [
        f"{WHEEL.filename} is not what was locked",
        f"{OTHER.filename} is not what was locked",
    ]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("index", id="downloaded"),
        pytest.param("cache", id="in the cache"),
        pytest.param("nowhere", id="gone"),
        pytest.param("", id="no file at all"),
    ],
)
def test_something_is_done_meanwhile(world: World, place: str) -> None:
    """The waiting thread does something else as soon as a file arrives, and waits for none."""
    done: list[str] = []
    with FakeIndex([] if place == "nowhere" else [WHEEL]) as index:
        if place == "cache":
            world.fetcher(index.url).fetch([selected()])
        with suppress(FetchError):
            world.fetcher(index.url).fetch(
                [selected()] if place else [], meanwhile=lambda: done.append("imports")
            )

    assert done == ["imports"]


def test_meanwhile_does_not_delay_the_first_file(world: World) -> None:
    """What is done meanwhile begins when the first file does."""
    arrived: list[str] = []
    heard = Heard()
    with FakeIndex([WHEEL]) as index:
        index.fail("/demo/", Slow(0.2))
        world.fetcher(index.url).fetch(
            [selected()],
            receiver=heard,
            meanwhile=lambda: arrived.extend(name for name, _ in heard.attempts),
        )

    assert arrived == [WHEEL.filename]


def test_fetcher_makes_its_own_client(world: World) -> None:
    """Without a given client all threads share one, made when the first needs it."""
    wheels = [a_wheel(f"demo{number}") for number in range(8)]
    with FakeIndex(wheels) as index:
        sources = read_sources(
            IndexOptions(index_url=index.url),
            environ={},
            home=world.folder,
            project=world.folder,
            etc=world.folder,
        )
        fetcher = Fetcher(sources, Cache(world.folder / "cache"), reporter=Reporter())
        fetched = fetcher.fetch([selected(wheel) for wheel in wheels])
    assert contents(fetched) == [wheel.content for wheel in wheels]


# --- folders --------------------------------------------------------------------------


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "url"])
def test_folder_of_files_is_a_place(world: World, *, as_url: bool) -> None:
    """`--find-links` with a folder offers its files, whatever else lies there."""
    folder = world.folder / "my wheels"
    path = WHEEL.write_to(folder)
    (folder / "index.html").write_text("<p>Welcome</p>")
    (folder / "README").write_text("hello")
    place = folder.as_uri() if as_url else str(folder)
    (fetched,) = world.fetcher(find_links=(place,)).fetch([selected()])
    assert fetched.path == path


def test_page_of_files_is_a_place(world: World) -> None:
    """`--find-links` with a page offers what it lists, at the very address that was given."""
    with FakeIndex([WHEEL]) as index:
        page = f'<a href="{index.file_url(WHEEL.filename)}">x</a>'
        index.fail("/all.html", Status(200, {"Content-Type": "text/html"}, page.encode()))
        fetcher = world.fetcher(find_links=(f"http://{index.netloc}/all.html",))
        assert contents(fetcher.fetch([selected()])) == [WHEEL.content]
        assert paths(index) == ["/all.html", f"/files/{WHEEL.filename}"]


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "url"])
def test_index_may_be_a_folder(world: World, *, as_url: bool) -> None:
    """An index of folders with index.html is read like one behind a server."""
    path = LOCAL.write_to(world.folder / "files")
    page = world.folder / "simple/demo/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        f'<a href="../../files/{LOCAL.filename.replace("+", "%2B")}#sha256={LOCAL.sha256}">x</a>'
    )
    simple = world.folder / "simple"
    fetcher = world.fetcher(simple.as_uri() if as_url else str(simple))
    assert fetcher.fetch([selected(LOCAL)])[0].path.resolve() == path


def test_namesake_in_a_folder_is_passed_over(world: World) -> None:
    """A wheel that was built here under the same name does not stand in the way of the locked."""
    NAMESAKE.write_to(world.folder / "wheels")
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url, find_links=("wheels",))
        assert contents(fetcher.fetch([selected()])) == [WHEEL.content]


# --- offline --------------------------------------------------------------------------


@pytest.mark.parametrize("with_url", [True, False])
def test_offline_asks_nobody(world: World, *, with_url: bool) -> None:
    """A file that is not in the cache is an error, and no server hears of it."""
    with FakeIndex([WHEEL]) as index:
        item = selected(url=index.file_url(WHEEL.filename) if with_url else None)
        error = failure(lambda: world.fetcher(index.url, offline=True).fetch([item]))
        assert (type(error), error.what, index.requests) == (
            NotCachedError,
            f"{WHEEL.filename} is not in the cache",
            [],
        )


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        (2, "p1-1.0-py3-none-any.whl and p2-1.0-py3-none-any.whl"),
        (
            12,
            f"{', '.join(f'p{number}-1.0-py3-none-any.whl' for number in range(1, 11))} and 2 more",
        ),
    ],
)
def test_offline_is_told_once(world: World, count: int, listed: str) -> None:
    """However many files are missing, there is one reason and one way out."""
    wheels = [a_wheel(f"p{number}", "1.0") for number in range(1, count + 1)]
    error = failure(lambda: world.fetcher(offline=True).fetch([selected(each) for each in wheels]))
    assert (type(error), error.what, error.why, error.hint) == (
        NotCachedError,
        f"{listed} are not in the cache",
        "the build is offline",
        "build once without `--offline`",
    )


def test_offline_lists_are_told_once(world: World) -> None:
    """The same holds for pages that were never read; another reason stands beside it."""
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url, offline=True)
        packages = [an_unnamed(WHEEL), a_package("other", unhashed=True)]
        error = failure(lambda: fetcher.named(packages, TARGET))
    assert error.what == "the lists of files of demo 1.0 and other 1.0 are not in the cache"
    bad = selected(path=NAMESAKE.write_to(world.folder))
    items = [bad, selected(OTHER), selected(a_wheel("third", "3.0"))]
    error = failure(lambda: world.fetcher(offline=True).fetch(items))
    assert error.what == "3 locked files could not be fetched"
    assert f"{OTHER.filename} and third-3.0-py3-none-any.whl are not in the cache:" in error.why


def test_offline_reads_folders(world: World) -> None:
    """A folder of this machine needs no network."""
    WHEEL.write_to(world.folder / "wheels")
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url, find_links=("wheels",), offline=True)
        assert contents(fetcher.fetch([selected()])) == [WHEEL.content]
        assert index.requests == []


# --- files known by digest ------------------------------------------------------------


def an_unnamed(*files: Files) -> LockedPackage:
    """Make a package whose files are known by digest, as in a requirements file."""
    return a_package(unnamed=tuple(LockedFile(digest=a_digest(file)) for file in files))


@pytest.mark.parametrize("form", ["html", "json"])
def test_names_are_found_by_digest(world: World, form: str) -> None:
    """Wheels and sdist get the names that the index has for their digests, and no others."""
    stranger = a_wheel("demo", "1.0", tag="py2-none-any")
    with FakeIndex([WHEEL, SDIST, stranger], form=form) as index:  # type: ignore[arg-type]
        (package,) = world.fetcher(index.url).named([an_unnamed(SDIST, WHEEL)], TARGET)
    assert package == a_package(
        wheels=(LockedFile(digest=a_digest(WHEEL), filename=WHEEL.filename),),
        sdist=LockedFile(digest=a_digest(SDIST), filename=SDIST.filename),
    )


def test_named_packages_are_left_alone(world: World) -> None:
    """What has a name already is not asked for."""
    package = a_package(wheels=(LockedFile(digest=a_digest(WHEEL), filename=WHEEL.filename),))
    assert world.fetcher().named([package], TARGET) == (package,)


def test_names_come_from_several_indexes(world: World) -> None:
    """Each index may know some of the digests; asking ends when all are known."""
    with FakeIndex([SDIST]) as one, FakeIndex([WHEEL]) as two, FakeIndex([WHEEL]) as three:
        (package,) = world.fetcher(one.url, two.url, three.url).named(
            [an_unnamed(WHEEL, SDIST)], TARGET
        )
        assert (len(one.requests), len(two.requests), three.requests) == (1, 1, [])
    assert (package.wheels[0].filename, package.sdist and package.sdist.filename) == (
        WHEEL.filename,
        SDIST.filename,
    )


def test_digest_that_is_gone_is_left_out(world: World) -> None:
    """A file that was deleted everywhere is no reason to do without the others."""
    with FakeIndex([WHEEL]) as index:
        (package,) = world.fetcher(index.url).named([an_unnamed(WHEEL, SDIST)], TARGET)
    assert (len(package.wheels), package.sdist) == (1, None)


def test_index_that_is_away_does_not_choose_the_file(world: World) -> None:
    """Names that are missing while an index is away are an error, and nothing is remembered."""
    with FakeIndex([SDIST]) as one, FakeIndex([WHEEL]) as two:
        two.fail("/demo/", *[Status(500)] * 4)
        fetcher = world.fetcher(one.url, two.url)
        error = failure(lambda: fetcher.named([an_unnamed(WHEEL, SDIST)], TARGET))
        assert (type(error), error.what, error.why) == (
            FileGoneError,
            "cannot find demo 1.0",
            f"{one.url}: listed with other digests\n"
            f"{two.url}: the server responded with HTTP 500 (4 attempts)",
        )
        (package,) = fetcher.named([an_unnamed(WHEEL, SDIST)], TARGET)
    assert (len(package.wheels), package.sdist is not None) == (1, True)


def test_unknown_digests_are_one_error(world: World) -> None:
    """Packages of which no index has a single file are told together."""
    with FakeIndex([NAMESAKE]) as index:
        packages = [an_unnamed(WHEEL), a_package("other", unnamed=an_unnamed(OTHER).unnamed)]
        error = failure(lambda: world.fetcher(index.url).named(packages, TARGET))
        assert error.why == (
            f"cannot find the locked files of demo 1.0:\n"
            f"  {index.url}: listed with other digests\n"
            f"cannot find other 1.0:\n  {index.url}: not listed"
        )


@pytest.mark.parametrize("locked", [SDIST, WHEEL])
def test_page_without_digests_leads_to_the_locked_file(world: World, locked: Files) -> None:
    """Wheels are tried before archives, and only what is locked gets a name."""
    with FakeIndex([WHEEL, SDIST], hashes=None) as index:
        (package,) = world.fetcher(index.url).named([an_unnamed(locked)], TARGET)
    named = LockedFile(digest=a_digest(locked), filename=locked.filename)
    is_wheel = locked is WHEEL
    assert (package.wheels, package.sdist) == (
        (named,) if is_wheel else (),
        None if is_wheel else named,
    )


def test_note_in_the_cache_names_only_locked_files(world: World) -> None:
    """A note that somebody forged cannot add a file that the lock does not have."""
    with FakeIndex([WHEEL]) as index:
        world.fetcher(index.url).named([an_unnamed(WHEEL)], TARGET)
        for note in (world.folder / "cache" / "file-names").iterdir():
            forged = note.read_bytes().replace(WHEEL.sha256.encode(), NAMESAKE.sha256.encode())
            note.write_bytes(forged)
        (package,) = world.fetcher(index.url).named([an_unnamed(WHEEL)], TARGET)
    assert [file.digest for file in package.wheels] == [a_digest(WHEEL)]


def test_page_is_asked_for_once(world: World) -> None:
    """The address that was seen with the name serves to fetch the file."""
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url)
        fetcher.named([an_unnamed(WHEEL)], TARGET)
        fetcher.fetch([selected()])
        assert paths(index) == ["/simple/demo/", f"/files/{WHEEL.filename}"]


def test_warm_build_needs_no_network(world: World) -> None:
    """Names are remembered with the files, so that a second build may be offline."""
    with FakeIndex([WHEEL, SDIST]) as index:
        fetcher = world.fetcher(index.url)
        first = fetcher.named([an_unnamed(WHEEL, SDIST)], TARGET)
        fetcher.fetch([selected()])
        asked = len(index.requests)
        again = world.fetcher(index.url, offline=True)
        assert again.named([an_unnamed(SDIST, WHEEL)], TARGET) == first
        assert contents(again.fetch([selected()])) == [WHEEL.content]
        assert len(index.requests) == asked


def test_offline_without_names_is_an_error(world: World) -> None:
    """Names that were never asked for are not guessed."""
    with FakeIndex([WHEEL]) as index:
        fetcher = world.fetcher(index.url, offline=True)
        error = failure(lambda: fetcher.named([an_unnamed(WHEEL)], TARGET))
        assert (error.what, index.requests) == (
            "the list of files of demo 1.0 is not in the cache",
            [],
        )


def test_digests_are_found_in_a_folder(world: World) -> None:
    """A wheelhouse serves a requirements file with hashes, without any index."""
    for file in (WHEEL, SDIST, OTHER):
        file.write_to(world.folder / "wheels")
    fetcher = world.fetcher(find_links=("wheels",), offline=True)
    (package,) = fetcher.named([an_unnamed(WHEEL)], TARGET)
    assert package == a_package(
        wheels=(LockedFile(digest=a_digest(WHEEL), filename=WHEEL.filename),)
    )
    assert contents(fetcher.fetch([selected()])) == [WHEEL.content]


@pytest.mark.parametrize("newest_first", [True, False])
def test_sdist_is_told_from_what_else_is_no_wheel(world: World, *, newest_first: bool) -> None:
    """Old versions have eggs, installers and several archives; one kind of sdist is taken."""
    names = (
        "demo-1.0-py2.7.egg",
        "demo-1.0.linux-x86_64.tar.gz",
        "demo-1.0.tar.bz2",
        "demo-1.0.tar.gz",
        "demo-1.0.win32.exe",
        "demo-1.0.zip",
    )
    files = [FakeSdist(filename=name, content=name.encode()) for name in names]
    with FakeIndex(files[::-1] if newest_first else files) as index:
        (package,) = world.fetcher(index.url).named([an_unnamed(*files)], TARGET)
    assert package == a_package(sdist=LockedFile(digest=a_digest(files[3]), filename=names[3]))


# --- sources --------------------------------------------------------------------------


def a_source(file: FakeSdist, url: str | None = None, *, hashed: bool = True) -> Selected:
    """Select an sdist, or an archive at a URL."""
    locked = LockedFile(digest=a_digest(file) if hashed else None, filename=file.filename, url=url)
    return Selected(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        file=locked,
        filename=file.filename,
        package=a_package(sdist=None if url else locked, archive=locked if url else None),
    )


def test_sdist_of_the_index_is_fetched(world: World) -> None:
    """An sdist is found by its name and digest, and kept, like a wheel."""
    with FakeIndex([SDIST, WHEEL]) as index:
        fetched = world.fetcher(index.url).fetch([a_source(SDIST)])
        asked = paths(index)
        assert asked == ["/simple/demo/", f"/files/{SDIST.filename}"]
        again = world.fetcher(index.url, offline=True).fetch([a_source(SDIST)])
        assert paths(index) == asked
    assert contents(fetched) == contents(again) == [SDIST.content]


@pytest.mark.parametrize("hashed", [True, False])
def test_archive_at_a_url_is_fetched(world: World, *, hashed: bool) -> None:
    """An archive comes from its address through redirects, and offline from the cache."""
    with FakeIndex([SDIST]) as index:
        url = f"http://{index.netloc}/archive/main.tar.gz"
        index.fail("/archive/main.tar.gz", Redirect(index.file_url(SDIST.filename)))
        fetched = world.fetcher().fetch([a_source(SDIST, url, hashed=hashed)])
        asked = paths(index)
        assert asked == ["/archive/main.tar.gz", f"/files/{SDIST.filename}"]
        again = world.fetcher(offline=True).fetch([a_source(SDIST, url, hashed=hashed)])
        assert paths(index) == asked
    assert contents(fetched) == contents(again) == [SDIST.content]


def test_archive_with_another_digest_is_refused(world: World) -> None:
    """What a forge packs anew today is not what was locked, though the commit is the same."""
    other = an_sdist("demo", "1.0", files={"demo.py": "other"})
    with FakeIndex([SDIST]) as index:
        url = index.file_url(SDIST.filename)
        error = failure(lambda: world.fetcher().fetch([a_source(other, url)]))
    assert (type(error), error.what) == (
        DigestMismatchError,
        f"{SDIST.filename} is not what was locked",
    )
    assert world.cached() == []


def test_archive_is_fetched_with_the_login_of_its_url(world: World) -> None:
    """A token in the address of an archive is sent, and shown nowhere."""
    with FakeIndex([SDIST], auth=AUTH) as index:
        url = index.file_url(SDIST.filename).replace("//", "//user:s3cr3t@")
        fetched = world.fetcher().fetch([a_source(SDIST, url)])
    assert contents(fetched) == [SDIST.content]
    assert [note for note in world.reporter.notes if "s3cr3t" in note] == []


# --- files known by version -----------------------------------------------------------

PINNED = a_package(unhashed=True)


def test_pin_gets_the_files_of_its_version(world: World) -> None:
    """A pin without hashes means what the index has of that very version."""
    later, local = a_wheel("demo", "1.0.post1"), LOCAL
    with FakeIndex([WHEEL, SDIST, later, local]) as index:
        assert world.fetcher(index.url).named([PINNED], TARGET) == (
            a_package(
                wheels=(
                    LockedFile(
                        digest=a_digest(WHEEL),
                        filename=WHEEL.filename,
                        url=index.file_url(WHEEL.filename),
                    ),
                ),
                sdist=LockedFile(
                    digest=a_digest(SDIST),
                    filename=SDIST.filename,
                    url=index.file_url(SDIST.filename),
                ),
            ),
        )


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"])
def test_pin_gets_an_sdist_of_any_kind(world: World, suffix: str) -> None:
    """Old versions have source archives that could not be uploaded today (PEP 527)."""
    sdist = FakeSdist(filename=f"demo-1.0{suffix}", content=b"sdist")
    with FakeIndex([sdist, FakeSdist(filename="demo-1.0", content=b"")]) as index:
        (package,) = world.fetcher(index.url).named([PINNED], TARGET)
    assert package.sdist is not None
    assert package.sdist.filename == sdist.filename


def test_first_index_that_has_the_package_decides(world: World) -> None:
    """With uv's rule a namesake on a later index adds no file; one without it is passed over."""
    with FakeIndex([OTHER]) as one, FakeIndex([WHEEL]) as two, FakeIndex([NAMESAKE]) as three:
        fetcher = world.fetcher(one.url, two.url, three.url, first_index=True)
        (package,) = fetcher.named([PINNED], TARGET)
        assert (len(two.requests), three.requests) == (1, [])
    assert [file.digest for file in package.wheels] == [a_digest(WHEEL)]


def test_all_indexes_are_merged(world: World) -> None:
    """With pip's rule all indexes add files; of the same name the first one counts."""
    with FakeIndex([WHEEL]) as one, FakeIndex([NAMESAKE, SDIST]) as two:
        fetcher = world.fetcher(one.url, two.url)
        (package,) = fetcher.named([PINNED], TARGET)
    assert [file.digest for file in package.wheels] == [a_digest(WHEEL)]
    assert package.sdist is not None
    assert package.sdist.digest == a_digest(SDIST)


def test_nobody_steps_in_for_an_index_that_is_away(world: World) -> None:
    """Without hashes a public namesake must not replace what a private index has."""
    with FakeIndex([WHEEL]) as private, FakeIndex([NAMESAKE]) as public:
        private.fail("/demo/", *[Status(502)] * 4)
        error = failure(lambda: world.fetcher(private.url, public.url).named([PINNED], TARGET))
        assert (type(error), public.requests) == (UnreachableError, [])


def test_unknown_version_is_an_error(world: World) -> None:
    """A version that no index has is told with all that were asked."""
    with FakeIndex([a_wheel("demo", "2.0")]) as index:
        error = failure(lambda: world.fetcher(index.url).named([PINNED], TARGET))
        assert (error.what, error.why) == (
            "cannot find demo 1.0",
            f"{index.url}: only other versions",
        )


def test_pin_is_asked_anew_each_time(world: World) -> None:
    """While there is a network the index decides, not the memory of it."""
    with FakeIndex([WHEEL]) as index:
        for _ in range(2):
            world.fetcher(index.url).named([PINNED], TARGET)
        assert paths(index) == ["/simple/demo/"] * 2


@pytest.mark.parametrize("hashes", ["sha256", "sha512", "md5", None])
def test_pins_build_offline_once_warm(world: World, hashes: str | None) -> None:
    """Offline the last answer counts, with or without digests on the pages."""
    with FakeIndex([WHEEL], hashes=hashes) as index:
        fetcher = world.fetcher(index.url)
        (package,) = fetcher.named([PINNED], TARGET)
        item = selected(url=package.wheels[0].url, unhashed=hashes in {"md5", None})
        fetcher.fetch([item])
        asked = len(index.requests)
        again = world.fetcher(index.url, offline=True)
        assert again.named([PINNED], TARGET) == (package,)
        assert (contents(again.fetch([item])), len(index.requests)) == ([WHEEL.content], asked)


def test_yanked_pin_is_noted(world: World) -> None:
    """A pin admits what was yanked (PEP 592); a verbose build tells of it."""
    page = f'<a data-yanked="" href="/files/{WHEEL.filename}#sha256={WHEEL.sha256}">x</a>'
    with FakeIndex() as index:
        index.fail("/demo/", Status(200, {"Content-Type": "text/html"}, page.encode()))
        (package,) = world.fetcher(index.url).named([PINNED], TARGET)
        assert world.reporter.notes[1:] == [f"{WHEEL.filename} was yanked from {index.url}"]
    assert len(package.wheels) == 1
