"""One file a package: which wheel ships for a target, or why none does."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.build_policy import ALL, BuildPolicy, format_rules
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedPackage, LockedVcs
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.explain import NoMatchingFileError, explain, is_of_one_machine
from lambda_build_plugin.selection.files import ForbiddenSourceError, Selection, select
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.selection.wheel_choice import Selected, best_wheel
from lambda_build_plugin.system.hashes import Digest

ONLY_BINARY = BuildPolicy(rules=(format_rules("`only-binary`", only_binary=[ALL]),))


def a_target(runtime: str = "python3.12", architecture: str = "x86_64") -> Target:
    """Make a target from Lambda's own words."""
    return Target(runtime=RUNTIMES[runtime], architecture=Architecture(architecture))


def a_file(filename: str, *, digit: str = "0", url: str | None = None) -> LockedFile:
    """Make a locked file."""
    return LockedFile(digest=Digest(f"sha256:{digit * 64}"), filename=filename, url=url)


def a_package(
    *filenames: str,
    name: str = "demo",
    version: str | None = "1.0",
    sdist: str | None = None,
    archive: str | None = None,
    directory: str | None = None,
    vcs: LockedVcs | None = None,
) -> LockedPackage:
    """Make a locked package that offers these wheels."""
    return LockedPackage(
        name=canonicalize_name(name),
        version=None if version is None else Version(version),
        at="package[3]",
        wheels=tuple(map(a_file, filenames)),
        sdist=None if sdist is None else a_file(sdist),
        archive=None if archive is None else a_file(archive),
        directory=None if directory is None else LockedDirectory(path=Path(directory)),
        vcs=vcs,
    )


def offering(*tags: str, name: str = "demo") -> LockedPackage:
    """Make version 1.0 of a package with a wheel for each of these tags."""
    return a_package(*(f"{name}-1.0-{tag}.whl" for tag in tags), name=name)


def chosen(package: LockedPackage, target: Target) -> str | None:
    """Name the file that is chosen."""
    best = best_wheel(package, target)
    return best.filename if best else None


# --- which file names are accepted ----------------------------------------------------

ACCEPTED = """
python3.12 x86_64 cp312-cp312-manylinux2014_x86_64
python3.12 x86_64 cp312-cp312-manylinux1_x86_64
python3.12 x86_64 cp312-cp312-manylinux_2_28_x86_64
python3.12 x86_64 cp312-cp312-manylinux_2_34_x86_64
python3.11 x86_64 cp311-cp311-manylinux_2_24_x86_64
python3.11 x86_64 cp311-cp311-manylinux_2_26_x86_64
python3.12 arm64  cp312-cp312-manylinux2014_aarch64
python3.12 x86_64 cp39-abi3-manylinux_2_28_x86_64
python3.12 x86_64 py3-none-manylinux2014_x86_64
python3.12 x86_64 py2.py3-none-any
python3.12 x86_64 cp312-cp312-linux_x86_64
python3.12 x86_64 cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64
python3.12 x86_64 1-cp312-cp312-manylinux2014_x86_64
"""

REFUSED = """
python3.12 x86_64 cp312-cp312-manylinux_2_35_x86_64
python3.11 x86_64 cp311-cp311-manylinux_2_27_x86_64
python3.11 x86_64 cp311-cp311-manylinux_2_28_x86_64
python3.12 x86_64 cp312-cp312-musllinux_1_2_x86_64
python3.12 x86_64 cp312-cp312-macosx_11_0_universal2
python3.12 x86_64 cp312-cp312-win_amd64
python3.12 x86_64 pp310-pypy310_pp73-manylinux2014_x86_64
python3.12 x86_64 cp313-cp313-manylinux2014_x86_64
python3.13 x86_64 cp313-cp313t-manylinux2014_x86_64
python3.12 arm64  cp312-cp312-manylinux2014_x86_64
python3.11 x86_64 cp312-abi3-manylinux2014_x86_64
python3.12 x86_64 py2-none-any
python3.12 x86_64 cp311-none-any
python3.12 x86_64 py313-none-any
"""


def cases(table: str) -> list[object]:
    """Make a case of each line: target and tag, which also name it."""
    rows = [line.split() for line in table.strip().splitlines()]
    return [pytest.param(a_target(*row[:2]), row[2], id="-".join(row)) for row in rows]


@pytest.mark.parametrize(("target", "tag"), cases(ACCEPTED))
def test_wheel_that_loads(target: Target, tag: str) -> None:
    """A wheel that the specifications let the target load is chosen."""
    assert chosen(offering(tag), target) == f"demo-1.0-{tag}.whl"


@pytest.mark.parametrize(("target", "tag"), cases(REFUSED))
def test_wheel_that_does_not_load(target: Target, tag: str) -> None:
    """A wheel for something else is never chosen, even where there is no other."""
    assert chosen(offering(tag), target) is None


# --- which of several is best ---------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "best"),
    [
        pytest.param(
            ["py3-none-any", "cp312-cp312-manylinux_2_17_x86_64"], 1, id="native-before-pure"
        ),
        pytest.param(
            ["cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_28_x86_64"],
            1,
            id="newest-glibc-that-loads",
        ),
        pytest.param(
            ["cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_35_x86_64"],
            0,
            id="glibc-that-does-not-load",
        ),
        pytest.param(
            ["cp312-abi3-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_5_x86_64"],
            1,
            id="own-abi-before-stable-abi",
        ),
        pytest.param(
            ["cp39-abi3-manylinux_2_17_x86_64", "cp311-abi3-manylinux_2_17_x86_64"],
            1,
            id="newer-stable-abi",
        ),
        pytest.param(
            ["cp312-cp312-linux_x86_64", "cp312-cp312-manylinux1_x86_64"],
            1,
            id="manylinux-before-linux",
        ),
        pytest.param(
            [
                "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
                "cp312-cp312-manylinux_2_24_x86_64.manylinux_2_28_x86_64",
            ],
            1,
            id="compressed-set-counts-as-its-best-tag",
        ),
        pytest.param(["1-py3-none-any", "py3-none-any"], 0, id="build-tag-before-none"),
        pytest.param(["2-py3-none-any", "10-py3-none-any"], 1, id="build-tags-are-numbers"),
        pytest.param(["1a-py3-none-any", "1b-py3-none-any"], 1, id="build-tags-have-suffixes"),
        pytest.param(
            ["9-py3-none-any", "cp312-cp312-manylinux_2_17_x86_64"],
            1,
            id="build-tag-is-but-a-tie-break",
        ),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["as-locked", "reversed"])
def test_best_of_several_wheels(offered: list[str], best: int, order: int) -> None:
    """The most specific tag wins, then the highest build tag, in whatever order."""
    assert chosen(offering(*offered[::order]), a_target()) == f"demo-1.0-{offered[best]}.whl"


@pytest.mark.parametrize("order", [1, -1], ids=["as-locked", "reversed"])
def test_one_name_with_two_digests(order: int) -> None:
    """Where a lock allows two files of one name, the choice does not hang on its order."""
    files = [a_file("demo-1.0-py3-none-any.whl", digit=digit) for digit in "12"]
    package = LockedPackage(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        at="package[3]",
        wheels=tuple(files[::order]),
    )

    (selected,) = select([package], a_target()).files

    assert selected.file == files[1]


# --- files of others ------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename",
    [
        pytest.param("demo-2.0-py3-none-any.whl", id="another-version"),
        pytest.param("demo-1.0.post1-py3-none-any.whl", id="post-release"),
        pytest.param("demo_extra-1.0-py3-none-any.whl", id="another-name"),
        pytest.param("demo-1.0.tar.gz", id="sdist"),
        pytest.param("demo-1.0-py3-none.whl", id="too-few-parts"),
        pytest.param("demo-one-py3-none-any.whl", id="no-version"),
        pytest.param(f"demo-1.0-{'9' * 5000}-py3-none-any.whl", id="endless-build-number"),
        pytest.param("", id="no-name"),
    ],
)
def test_stranger_is_never_chosen(filename: str) -> None:
    """What bears another name or version is passed over, whatever the lock says."""
    assert chosen(a_package(filename), a_target()) is None


@pytest.mark.parametrize(
    ("name", "version", "filename"),
    [
        pytest.param("My.Demo", "1.0", "my_demo-1.0-py3-none-any.whl", id="name"),
        pytest.param("demo", "1.0", "Demo-1.0.0-py3-none-any.whl", id="old-spellings"),
        pytest.param("demo", "1.0+cpu", "demo-1.0+cpu-py3-none-any.whl", id="local-version"),
        pytest.param("demo", "1.0", "demo-1.0+cpu-py3-none-any.whl", id="local-of-the-locked"),
        pytest.param("demo", None, "demo-3.1-py3-none-any.whl", id="no-version-locked"),
    ],
)
def test_own_file_in_another_spelling(name: str, version: str | None, filename: str) -> None:
    """Names and versions are compared by meaning (PEP 503, PEP 440)."""
    assert chosen(a_package(filename, name=name, version=version), a_target()) == filename


@pytest.mark.parametrize(
    ("version", "filename"),
    [
        pytest.param("1.0+cpu", "demo-1.0-py3-none-any.whl", id="local-locked-public-offered"),
        pytest.param("1.0+cpu", "demo-1.0+cu121-py3-none-any.whl", id="another-local"),
    ],
)
def test_locked_local_version_is_that_one_only(version: str, filename: str) -> None:
    """A local version that is locked is no other one."""
    assert chosen(a_package(filename, version=version), a_target()) is None


def test_locked_version_before_a_local_version_of_it() -> None:
    """A wheel of just the locked version is taken before `1.0+cpu`, whatever its tags."""
    package = a_package(
        "demo-1.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "demo-1.0-py3-none-any.whl"
    )

    assert chosen(package, a_target()) == "demo-1.0-py3-none-any.whl"


# --- the selection --------------------------------------------------------------------


def test_each_package_gets_its_file() -> None:
    """Packages stay in their order, each with the file that ships."""
    packages = [offering("py3-none-any", name=name) for name in ("one", "two")]

    selection = select(packages, a_target()).files

    assert [(str(item), item.filename, item.file, item.package) for item in selection] == [
        ("one 1.0", "one-1.0-py3-none-any.whl", packages[0].wheels[0], packages[0]),
        ("two 1.0", "two-1.0-py3-none-any.whl", packages[1].wheels[0], packages[1]),
    ]


@pytest.mark.parametrize("version", ["1.0", None])
def test_version_is_that_of_the_file(version: str | None) -> None:
    """What ships is reported under the version that it bears itself."""
    package = a_package("demo-1.0+cpu-py3-none-any.whl", version=version)

    (selected,) = select([package], a_target()).files

    assert selected.version == Version("1.0+cpu")


def test_nothing_locked_is_nothing_selected() -> None:
    """An empty lock needs no files."""
    assert select([], a_target()) == Selection()


def test_wheel_goes_before_sdist() -> None:
    """An sdist beside a wheel that loads is not asked for."""
    package = a_package("demo-1.0-py3-none-any.whl", sdist="demo-1.0.tar.gz")

    (selected,) = select([package], a_target()).files

    assert selected.filename == "demo-1.0-py3-none-any.whl"


# --- what is said where nothing loads -------------------------------------------------


@pytest.mark.parametrize(
    ("target", "offered", "reason"),
    [
        pytest.param(
            a_target("python3.11"),
            ["cp311-cp311-manylinux_2_28_x86_64", "cp312-abi3-manylinux_2_28_x86_64"],
            "needs glibc 2.28, but python3.11 has 2.26: "
            "use python3.12 or newer, or lock an older version",
            id="glibc",
        ),
        pytest.param(
            a_target("python3.11"),
            ["cp311-cp311-manylinux_2_28_x86_64.manylinux_2_27_x86_64"],
            "needs glibc 2.27, but python3.11 has 2.26: lock an older version",
            id="lowest-glibc-of-a-set",
        ),
        pytest.param(
            a_target("python3.11", "arm64"),
            ["cp311-cp311-manylinux_2_28_aarch64", "cp312-cp312-manylinux_2_28_aarch64"],
            "needs glibc 2.28, but python3.11 has 2.26: use python3.12, or lock an older version",
            id="glibc-and-one-runtime",
        ),
        pytest.param(
            a_target("python3.13"),
            ["cp312-cp312-manylinux_2_17_x86_64", "cp314-cp314-manylinux_2_17_x86_64"],
            "has no wheel for CPython 3.13 on Linux x86_64 (only cp312-cp312, cp314-cp314): "
            "use python3.12 or python3.14, or lock another version",
            id="python",
        ),
        pytest.param(
            a_target("python3.13"),
            ["cp313-cp313t-manylinux_2_17_x86_64"],
            "has no wheel for CPython 3.13 on Linux x86_64 (only cp313-cp313t): "
            "lock another version",
            id="free-threaded",
        ),
        pytest.param(
            a_target("python3.13"),
            ["cp39-cp39-manylinux_2_17_x86_64"],
            "has no wheel for CPython 3.13 on Linux x86_64 (only cp39-cp39): lock another version",
            id="no-way-back-to-a-deprecated-runtime",
        ),
        pytest.param(
            a_target(),
            ["py2-none-any"],
            "has no wheel for CPython 3.12 on Linux x86_64 (only py2-none): lock another version",
            id="python-2",
        ),
        pytest.param(
            a_target("python3.12", "arm64"),
            ["cp312-cp312-manylinux_2_17_x86_64"],
            "has no wheel for Linux aarch64 (only Linux x86_64): "
            "use x86_64, or lock another version",
            id="architecture",
        ),
        pytest.param(
            a_target(),
            [
                "cp312-cp312-android_21_arm64_v8a",
                "cp312-cp312-ios_13_0_arm64_iphoneos",
                "cp312-cp312-macosx_11_0_arm64",
                "cp312-cp312-musllinux_1_2_x86_64",
                "cp312-cp312-pyodide_2024_0_wasm32",
                "cp312-cp312-win32",
                "cp312-cp312-win_amd64",
                "cp312-cp312-freebsd_14_x86_64",
            ],
            "has no wheel for Linux x86_64 (only Android arm64_v8a, Linux with musl x86_64, "
            "Pyodide wasm32, Windows 32, Windows amd64, freebsd_14_x86_64, "
            "iOS arm64_iphoneos, macOS arm64): lock another version",
            id="platforms",
        ),
        pytest.param(
            a_target(),
            ["cp312-cp312-manylinux_x86_64"],
            "has no wheel for CPython 3.12 on Linux x86_64 (only cp312-cp312): "
            "lock another version",
            id="manylinux-without-a-level",
        ),
        pytest.param(
            a_target(),
            ["cp312-cp312-manylinux_2_x86_64"],
            "has no wheel for CPython 3.12 on Linux x86_64 (only cp312-cp312): "
            "lock another version",
            id="manylinux-with-half-a-level",
        ),
    ],
)
def test_reason_in_plain_words(target: Target, offered: list[str], reason: str) -> None:
    """The first obstacle is named with a way around it, then what there is."""
    tags = ", ".join(sorted(offered))

    assert explain(offering(*offered), target) == f"demo 1.0: {reason}\n  offered: {tags}"


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        pytest.param(a_package(), "demo 1.0: the lock contains no file for it", id="nothing"),
        pytest.param(
            a_package("demo-2.0-py3-none-any.whl", "Demo.whl"),
            "demo 1.0: the lock contains only files with another name or version: "
            "Demo.whl, demo-2.0-py3-none-any.whl",
            id="strangers",
        ),
    ],
)
def test_reason_where_no_wheel_is_the_packages_own(package: LockedPackage, reason: str) -> None:
    """A lock without a usable file name is told from one without a fitting wheel."""
    assert explain(package, a_target()) == reason


def test_all_packages_without_a_file_are_in_one_error() -> None:
    """Every package that cannot ship is named at once, each with its reason."""
    packages = [
        offering("cp311-cp311-win_amd64", name="one"),
        offering("py3-none-any", name="two"),
        offering("py2-none-any", name="three"),
    ]

    with pytest.raises(NoMatchingFileError) as caught:
        select(packages, a_target("python3.11"))

    assert str(caught.value) == (
        "error: 2 locked packages have no wheel that loads in python3.11 x86_64: "
        "`one 1.0`, `three 1.0`\n"
        "  why: one 1.0: has no wheel for Linux x86_64 (only Windows amd64): "
        "lock another version\n"
        "         offered: cp311-cp311-win_amd64\n"
        "       three 1.0: has no wheel for CPython 3.11 on Linux x86_64 (only py2-none): "
        "lock another version\n"
        "         offered: py2-none-any\n"
        "\n"
        "hint: choose another runtime or architecture, or lock a version that has such a wheel"
    )


def test_error_of_one_package_names_it_in_the_headline() -> None:
    """A single package is said plainly, and can be asked for."""
    package = offering("py2-none-any")

    with pytest.raises(NoMatchingFileError, match=r"^error: no wheel of `demo 1\.0`") as caught:
        select([package], a_target())

    assert (caught.value.packages, caught.value.target) == ((package,), a_target())


# --- sources --------------------------------------------------------------------------

GIT = LockedVcs(kind="git", url="https://git.example/demo", commit="abc123")


def test_what_has_no_wheel_ships_from_its_source() -> None:
    """Folders, commits, sdists and archives are each put where they are built from."""
    folder = a_package(name="folder", version=None, directory="libs/folder")
    commit = a_package(name="commit", vcs=GIT)
    sdist = a_package(name="sdist", sdist="sdist-1.0.tar.gz")
    archive = a_package(name="archive", version=None, archive="main.zip")

    selection = select([folder, commit, sdist, archive], a_target())

    assert selection == Selection(
        files=tuple(
            Selected(
                name=package.name,
                version=package.version,
                file=file,
                filename=file.filename or "",
                package=package,
            )
            for package in (sdist, archive)
            if (file := package.sdist or package.archive)
        ),
        folders=((folder, LockedDirectory(path=Path("libs/folder"))),),
        commits=((commit, GIT),),
    )
    assert [file.is_wheel for file in selection.files] == [False, False]


def test_sdist_is_built_where_no_wheel_loads() -> None:
    """Wheels for other targets do not keep a package from being built."""
    package = a_package("demo-1.0-py2-none-any.whl", sdist="demo-1.0.tar.gz")

    (selected,) = select([package], a_target()).files

    assert selected.filename == "demo-1.0.tar.gz"


def test_wheel_that_is_locked_as_an_archive() -> None:
    """What pylock.toml has as an archive may be a wheel; it is not built."""
    wheel = a_package(archive="demo-1.0-py3-none-any.whl")

    (selected,) = select([wheel], a_target(), policy=ONLY_BINARY).files

    assert (selected.filename, selected.is_wheel) == ("demo-1.0-py3-none-any.whl", True)


def test_skipped_folders_are_left_out_with_the_reason() -> None:
    """Folders that the user does not want are named, and nothing else is left out."""
    folder = a_package(name="folder", directory="libs/folder")
    wheel = offering("py3-none-any")

    selection = select([folder, wheel], a_target(), skip_folders=True)

    assert [file.name for file in selection.files] == ["demo"]
    assert selection.left_out == (
        LeftOut(
            name="folder",
            version="1.0",
            reason=f"`local-dependencies` is `skip`, and it is the folder {Path('libs/folder')}",
        ),
    )


def test_forbidden_sources_are_in_one_error() -> None:
    """With `only-binary` every item that would have to be built is named with its place."""
    packages = [
        a_package(name="commit", vcs=GIT),
        a_package(name="sdist", sdist="sdist-1.0.tar.gz"),
    ]

    with pytest.raises(ForbiddenSourceError) as caught:
        select(packages, a_target(), policy=ONLY_BINARY)

    assert caught.value.why.splitlines() == [
        "commit 1.0 (package[3]): commit abc123 of a git repository",
        "sdist 1.0 (package[3]): the source distribution sdist-1.0.tar.gz",
    ]


def test_folders_are_built_where_only_wheels_are_wanted() -> None:
    """`only-binary` is about strangers' code: the user's own folders are always built."""
    folder = a_package(name="folder", directory="libs/folder")

    assert len(select([folder], a_target(), policy=ONLY_BINARY).folders) == 1


def test_forbidden_sdist_beside_wheels_for_others_is_a_missing_wheel() -> None:
    """Where there are wheels, the reason is that none of them fits."""
    package = a_package("demo-1.0-py2-none-any.whl", sdist="demo-1.0.tar.gz")

    with pytest.raises(NoMatchingFileError):
        select([package], a_target(), policy=ONLY_BINARY)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param(["cp311-cp311-manylinux_2_17_x86_64", "py3-none-any"], True, id="Linux"),
        pytest.param(
            ["cp311-cp311-macosx_11_0_arm64", "cp311-cp311-macosx_10_9_universal2"],
            True,
            id="macOS",
        ),
        pytest.param(["py3-none-any"], False, id="any machine"),
        pytest.param(
            ["cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"],
            False,
            id="two architectures",
        ),
        pytest.param(
            ["cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-macosx_10_9_x86_64"],
            False,
            id="two systems",
        ),
        pytest.param(
            ["cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-musllinux_1_2_x86_64"],
            True,
            id="two C libraries",
        ),
    ],
)
def test_wheels_of_one_machine(tags: list[str], expected: bool) -> None:  # noqa: FBT001
    """A lock that was made for one machine shows it by its wheels."""
    packages = [offering(tag, name=f"demo{index}") for index, tag in enumerate(tags)]

    assert is_of_one_machine(packages) is expected
