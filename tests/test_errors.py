"""Every failure has an exit code of its branch, and says what, why and how to mend it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

import lambda_build_plugin
from lambda_build_plugin import errors
from lambda_build_plugin.commands import caching, foreign_sources, inspected_zip, locking
from lambda_build_plugin.config.project import Project
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.fetch import errors as fetch_failures
from lambda_build_plugin.frontends import extras, result_files
from lambda_build_plugin.invoke import feasible, runtime_packages
from lambda_build_plugin.invoke.answers import Failure, explained
from lambda_build_plugin.invoke.function import Function
from lambda_build_plugin.lock import errors as lock_failures
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.model import Lock, LockedDirectory, LockedFile, LockedPackage
from lambda_build_plugin.projects.build import SamePlaceError
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection import files, provided
from lambda_build_plugin.selection.explain import NoMatchingFileError
from lambda_build_plugin.source_build import cross, foresight, git, unpack
from lambda_build_plugin.source_build import errors as build_failures
from lambda_build_plugin.source_build.source import of_project
from lambda_build_plugin.stage import bytecode, hooks, layer_files, plain_files, source_files, stage
from lambda_build_plugin.stage.contents import ChangedFileError
from lambda_build_plugin.stage.tree import Entry, LongNameError
from lambda_build_plugin.system import interpreters
from lambda_build_plugin.system.cache import CacheError
from lambda_build_plugin.system.output import OutputError, SameFileError
from lambda_build_plugin.verify import (
    closure,
    findings,
    handler,
    imports,
    modules,
    native,
    sizes,
    zip_format,
)
from lambda_build_plugin.verify.findings import StrictError
from lambda_build_plugin.verify.written import ArtifactError
from lambda_build_plugin.wheel import integrity
from lambda_build_plugin.wheel.file import (
    ChangedArchiveError,
    InvalidWheelError,
    UnsafePathError,
    Wheel,
)
from lambda_build_plugin.wheel.members import DamagedMemberError, Member, WheelGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BRANCHES = {
    errors.SettingsError: 2,
    errors.LockError: 3,
    errors.SelectionError: 4,
    errors.FetchError: 5,
    errors.SourceBuildError: 6,
    errors.StageError: 7,
    errors.VerificationError: 8,
    errors.FunctionError: 9,
}


SHAPE = re.compile(
    r"error: \S.*(\n {7}.+|\n)*\n  why: \S.*(\n {7}.+|\n)*\n\nhint: \S.*(\n {6}.+|\n)*"
)


HOSTS = {"cdk", "hatch", "pdm", "poetry"}


def every_error() -> list[type[LambdaBuildError]]:
    """Import the whole package and walk the tree of its errors."""
    for module in pkgutil.walk_packages(lambda_build_plugin.__path__, "lambda_build_plugin."):
        # A door needs its host, which is not installed here; what it raises is the core's.
        if module.name.rpartition(".")[2].partition("_")[0] not in HOSTS:
            importlib.import_module(module.name)
    return sorted(below(LambdaBuildError), key=lambda kind: kind.__qualname__)


def below(kind: type[LambdaBuildError]) -> Iterator[type[LambdaBuildError]]:
    """Yield the subclasses of a class, and theirs."""
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


ERRORS = every_error()


# --- sample values --------------------------------------------------------------------

PATH = Path("folder", "uv.lock")
TARGET = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.X86_64)
FUNCTION = Function(name="demo", artifact=PATH, handler="app.handler", target=TARGET)
LOCK = Lock(path=PATH, kind="uv.lock", remedy="uv lock", packages=())
PROJECT = Project(root=Path("folder"), name=canonicalize_name("demo"))
SOURCE = of_project(PROJECT)
WHEEL = Wheel(
    name=canonicalize_name("demo"),
    version=Version("1.0"),
    filename="demo-1.0-py3-none-any.whl",
    path=Path("demo-1.0-py3-none-any.whl"),
    sha256="0" * 64,
    source="wheel",
)
MEMBER = Member(
    wheel=WHEEL.path,
    name="demo.py",
    header_offset=0,
    compressed_size=1,
    size=1,
    crc=0,
    method=0,
)


def a_package(*filenames: str) -> LockedPackage:
    """Make a locked package with these wheels, or a folder where there are none."""
    return LockedPackage(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        at="package[0]",
        wheels=tuple(LockedFile(digest=None, filename=filename) for filename in filenames),
        directory=None if filenames else LockedDirectory(path=Path("demo")),
    )


SAMPLES: dict[type[LambdaBuildError], Callable[[], LambdaBuildError]] = {
    errors.SettingsError: lambda: errors.SettingsError(["--runtime: is `3`"]),
    cross.NoZigError: lambda: cross.NoZigError("it is neither installed nor on PATH"),
    extras.MissingExtraError: lambda: extras.MissingExtraError(
        "--sbom", library="cyclonedx-python-lib", extra="sbom"
    ),
    result_files.ReportFileError: lambda: result_files.ReportFileError(
        PATH, "is a folder", option="report"
    ),
    # lock
    foreign_sources.ForeignSourceError: lambda: foreign_sources.ForeignSourceError(
        PROJECT, [foreign_sources.Foreign(tool="poetry", line="demo names the path `demo`")]
    ),
    locking.NoUvError: locking.NoUvError,
    locking.ResolverError: lambda: locking.ResolverError(PROJECT, "error: No solution found"),
    lock_failures.LockNotFoundError: lambda: lock_failures.LockNotFoundError(Path("folder")),
    lock_failures.HostOnlyLockError: lambda: lock_failures.HostOnlyLockError(
        LOCK, TARGET, "demo 1.0: has no wheel for Linux x86_64", wrong_python=True
    ),
    lock_failures.InvalidLockError: lambda: lock_failures.InvalidLockError(
        PATH, "it is empty", hint="lock again"
    ),
    lock_failures.UnsupportedLockError: lambda: lock_failures.UnsupportedLockError(
        PATH, "its version is 9", hint="update"
    ),
    lock_failures.WorkspaceNotLockedError: lambda: lock_failures.WorkspaceNotLockedError(
        Path("folder"), FORMATS["uv.lock"]
    ),
    lock_failures.NotLockedError: lambda: lock_failures.NotLockedError(PATH, remedy="uv lock"),
    lock_failures.PyprojectNotFoundError: lambda: lock_failures.PyprojectNotFoundError(PATH, PATH),
    lock_failures.StaleLockError: lambda: lock_failures.StaleLockError(
        PATH, ["- requests: not in the lock"], remedy="uv lock"
    ),
    lock_failures.MissingHashError: lambda: lock_failures.MissingHashError(
        PATH, ["package[0]"], remedy="uv lock"
    ),
    lock_failures.UnlockedRequirementError: lambda: lock_failures.UnlockedRequirementError(
        Path("requirements.txt"), ["line 1: requests"]
    ),
    lock_failures.UnresolvedPackageError: lambda: lock_failures.UnresolvedPackageError(
        LOCK, TARGET, [a_package()]
    ),
    lock_failures.UnknownGroupError: lambda: lock_failures.UnknownGroupError(
        LOCK, "extra", ["fast"], ["slow"]
    ),
    lock_failures.ExcludedTargetError: lambda: lock_failures.ExcludedTargetError(
        LOCK, TARGET, "it requires Python 3.12"
    ),
    lock_failures.AmbiguousPackageError: lambda: lock_failures.AmbiguousPackageError(
        LOCK, TARGET, [[a_package("a.whl"), a_package("b.whl")]]
    ),
    # selection
    NoMatchingFileError: lambda: NoMatchingFileError(
        TARGET, [a_package("demo-1.0-py2-none-any.whl")]
    ),
    files.ForbiddenSourceError: lambda: files.ForbiddenSourceError(
        [(a_package(), "`only-binary`")]
    ),
    foresight.HopelessBuildError: lambda: foresight.HopelessBuildError(
        [(a_package("demo-1.0-py2-none-any.whl"), "no compiler")], TARGET, "use another runtime"
    ),
    files.NoSourceError: lambda: files.NoSourceError([(a_package(), "`no-binary`")]),
    # fetch
    fetch_failures.DigestMismatchError: lambda: fetch_failures.DigestMismatchError(
        "demo.whl", where="https://index.example/", locked="sha256:0", found="sha256:1"
    ),
    fetch_failures.FileGoneError: lambda: fetch_failures.FileGoneError(
        "demo.whl", ["https://index.example/: not listed"]
    ),
    fetch_failures.LocalFileGoneError: lambda: fetch_failures.LocalFileGoneError(
        Path("demo.whl"), "No such file or directory"
    ),
    fetch_failures.NotCachedError: lambda: fetch_failures.NotCachedError("demo.whl"),
    fetch_failures.UnreachableError: lambda: fetch_failures.UnreachableError(
        "https://index.example/", "connection refused"
    ),
    fetch_failures.AccessDeniedError: lambda: fetch_failures.AccessDeniedError(
        "https://index.example/", 401, sent=False
    ),
    fetch_failures.HttpError: lambda: fetch_failures.HttpError("https://index.example/", 500),
    fetch_failures.CertificatesError: lambda: fetch_failures.CertificatesError(
        "ca.pem", "it is empty"
    ),
    CacheError: lambda: CacheError("cache", "no space"),
    caching.CacheInUseError: lambda: caching.CacheInUseError(PATH),
    caching.ForeignCacheError: lambda: caching.ForeignCacheError(PATH),
    fetch_failures.SeveralFilesError: lambda: fetch_failures.SeveralFilesError(
        [fetch_failures.NotCachedError("a.whl"), fetch_failures.NotCachedError("b.whl")]
    ),
    # source_build
    build_failures.NotAPackageError: lambda: build_failures.NotAPackageError(PROJECT),
    build_failures.WrongInclusionError: lambda: build_failures.WrongInclusionError(
        WHEEL.path, parse_tag("cp39-cp39-win_amd64"), TARGET, None
    ),
    build_failures.UnreadableSourceError: lambda: build_failures.UnreadableSourceError(
        "demo", Path("demo"), "it is not there"
    ),
    build_failures.BackendError: lambda: build_failures.BackendError(SOURCE, "hatchling", "a\n\nb"),
    build_failures.OfflineRequirementsError: lambda: build_failures.OfflineRequirementsError(
        SOURCE, "not found"
    ),
    build_failures.ExcludedPythonError: lambda: build_failures.ExcludedPythonError(
        SOURCE, SpecifierSet("<3.13"), TARGET
    ),
    build_failures.OutsideCodeError: lambda: build_failures.OutsideCodeError(
        PROJECT, ["../shared"], "not in the subpath"
    ),
    build_failures.WrongWheelError: lambda: build_failures.WrongWheelError(
        SOURCE,
        [build_failures.Attempt(how="built", filename=WHEEL.filename, problems=("a", "b"))],
        TARGET,
    ),
    build_failures.StrangeWheelError: lambda: build_failures.StrangeWheelError(a_package(), WHEEL),
    build_failures.EmptyWheelError: lambda: build_failures.EmptyWheelError(SOURCE, WHEEL.filename),
    # unpack and checkout
    unpack.BrokenSourceError: lambda: unpack.BrokenSourceError("demo.tar.gz", "it is empty"),
    unpack.UnsafeSourceError: lambda: unpack.UnsafeSourceError("demo.tar.gz", "`../x`"),
    unpack.NoSuchFolderError: lambda: unpack.NoSuchFolderError("demo.tar.gz", "lib"),
    git.GitNotFoundError: lambda: git.GitNotFoundError("https://git.example/a"),
    git.UnusableVcsError: lambda: git.UnusableVcsError(
        "https://git.example/a", "it is no commit", hint="lock again"
    ),
    git.CommitGoneError: lambda: git.CommitGoneError("https://git.example/a", "0" * 40),
    git.GitError: lambda: git.GitError("https://git.example/a", "a\n\nb"),
    # stage and archive
    stage.DuplicateDistributionError: lambda: stage.DuplicateDistributionError(WHEEL, WHEEL),
    InvalidWheelError: lambda: InvalidWheelError(WHEEL, "it has no RECORD"),
    UnsafePathError: lambda: UnsafePathError(WHEEL, "../x", "leaves the artifact"),
    integrity.DamagedWheelsError: lambda: integrity.DamagedWheelsError(
        [integrity.Damage(wheel=WHEEL, member="a.py", problem="its CRC is wrong")]
    ),
    ChangedFileError: lambda: ChangedFileError(Path("app.py")),
    ChangedArchiveError: lambda: ChangedArchiveError(
        Path("cache/ab12"), "one-1.0-py3-none-any.whl", "cannot be read any more"
    ),
    OutputError: lambda: OutputError(Path("dist"), "it is a folder"),
    layer_files.LayerFilesError: lambda: layer_files.LayerFilesError(
        "bin/x", "`bin/x` cannot ship", why="it is a pipe", hint="rename it"
    ),
    SameFileError: lambda: SameFileError(Path("demo.zip")),
    SamePlaceError: lambda: SamePlaceError(Path("demo.zip"), "orders"),
    DamagedMemberError: lambda: DamagedMemberError(MEMBER, "it is cut off"),
    WheelGoneError: lambda: WheelGoneError(Path("one-1.0-py3-none-any.whl")),
    LongNameError: lambda: LongNameError(
        Entry("a" * 300, "demo 1.0", b"", "", 0), "a name has at most 255 bytes"
    ),
    # source_tree and hooks
    source_files.NoCodeError: lambda: source_files.NoCodeError(PROJECT, PROJECT.root),
    plain_files.UnfitFileError: lambda: plain_files.UnfitFileError("a.py", "it is a pipe"),
    hooks.HookError: lambda: hooks.HookError("after-stage", "make", "it exited with 1"),
    # provided
    provided.OtherVersionError: lambda: provided.OtherVersionError(
        [("demo 1.0", "2.0", provided.Provider(label="`deps`", path=PATH, size=1, versions={}))]
    ),
    # verify
    sizes.OversizeError: lambda: sizes.OversizeError(300_000_000, [("demo", 300_000_000)]),
    sizes.OversizeWheelsError: lambda: sizes.OversizeWheelsError(
        300_000_000, [("demo 1.0", 300_000_000)]
    ),
    sizes.TooManyEntriesError: lambda: sizes.TooManyEntriesError(70_000),
    sizes.EmptyArtifactError: lambda: sizes.EmptyArtifactError(layer=True),
    modules.BrokenModuleError: lambda: modules.BrokenModuleError(["app.py, line 1"], TARGET),
    modules.MissingModuleError: lambda: modules.MissingModuleError(["yaml"], ["app.py, line 1"]),
    handler.HandlerError: lambda: handler.HandlerError("app.handler", ["app.py"]),
    handler.MalformedHandlerError: lambda: handler.MalformedHandlerError("app"),
    handler.BuiltInHandlerError: lambda: handler.BuiltInHandlerError("sys.exit", TARGET),
    handler.UndefinedHandlerError: lambda: handler.UndefinedHandlerError("a.b", "a.py"),
    closure.UnmetRequirementsError: lambda: closure.UnmetRequirementsError(["demo requires six"]),
    native.ForeignCodeError: lambda: native.ForeignCodeError(TARGET, {"demo": ["`a.so` is wrong"]}),
    imports.EditableError: lambda: imports.EditableError(["`__editable__.demo.pth`"]),
    zip_format.UnpackableZipError: lambda: zip_format.UnpackableZipError(
        {"is encrypted": ["`a.py`"]}
    ),
    inspected_zip.UnreadableZipError: lambda: inspected_zip.UnreadableZipError(
        Path("a.zip"), "it is cut off"
    ),
    inspected_zip.DamagedZipError: lambda: inspected_zip.DamagedZipError(["`a.py` cannot be read"]),
    findings.SeveralFailuresError: lambda: findings.SeveralFailuresError(
        [ArtifactError("a"), ArtifactError("b")]
    ),
    ArtifactError: lambda: ArtifactError("demo is missing"),
    StrictError: lambda: StrictError(["python3.8 is deprecated"]),
    errors.FunctionError: lambda: explained(
        Failure(error_type="ValueError", message="no number"), FUNCTION, ()
    ),
    runtime_packages.NotInstalledError: lambda: runtime_packages.NotInstalledError(
        runtime_packages.CLIENT, TARGET, "no such index"
    ),
    runtime_packages.OfflineError: lambda: runtime_packages.OfflineError(
        runtime_packages.SDK, TARGET
    ),
    feasible.InfeasibleError: lambda: feasible.InfeasibleError(
        "it cannot run here", ["a.so"], hint="run it on Linux"
    ),
    interpreters.NoInterpreterError: lambda: interpreters.NoInterpreterError((3, 13), "bytecode"),
    bytecode.BytecodeOversizeError: lambda: bytecode.BytecodeOversizeError(300_000_000, only=False),
    bytecode.CompilerError: lambda: bytecode.CompilerError(
        "demo", interpreters.Interpreter.running(), "no memory"
    ),
}


# --- exit codes -----------------------------------------------------------------------


def test_branches_are_the_children_of_the_root() -> None:
    """Each stage has one branch and one exit code, and there are no others."""
    assert {kind: kind.exit_code for kind in LambdaBuildError.__subclasses__()} == BRANCHES


@pytest.mark.parametrize("kind", ERRORS)
def test_exit_code_is_that_of_the_branch(kind: type[LambdaBuildError]) -> None:
    """An error belongs to one branch and leaves with its exit code."""
    branches = [branch for branch in BRANCHES if issubclass(kind, branch)]

    assert [BRANCHES[branch] for branch in branches] == [kind.exit_code]


# --- texts ----------------------------------------------------------------------------


def test_every_leaf_has_a_sample() -> None:
    """No error escapes the tests of its texts."""
    leaves = {kind for kind in ERRORS if not kind.__subclasses__()}

    assert leaves - set(SAMPLES) == set()


@pytest.mark.parametrize("kind", SAMPLES)
def test_error_says_what_why_and_how_to_mend_it(kind: type[LambdaBuildError]) -> None:
    """The text has its three parts in order, none of them empty, each in its column.

    A single mistake in the settings is itself what is wrong, and is not repeated.
    """
    error = SAMPLES[kind]()
    text = str(error)
    if issubclass(kind, errors.SettingsError) and error.why == error.what:
        text = text.replace("\n\nhint", f"\n  why: {error.why}\n\nhint")

    assert SHAPE.fullmatch(text)


def test_text_of_several_lines_stays_in_its_column() -> None:
    """Further lines stand below the first word of their part; an empty one stays empty."""
    error = LambdaBuildError("one\ntwo", why="three\n\n  four", hint="five\nsix")

    assert str(error) == (
        "error: one\n       two\n  why: three\n\n         four\n\nhint: five\n      six"
    )


@pytest.mark.parametrize(
    ("problems", "text"),
    [
        pytest.param(
            ["--runtime: is `3`"],
            "error: --runtime: is `3`\n"
            "\n"
            "hint: `lambda-build --help` lists the options and their values",
            id="one",
        ),
        pytest.param(
            ["--runtime: is `3`", "--arch: is `z80`"],
            "error: the settings contain 2 mistakes\n"
            "  why: --runtime: is `3`\n"
            "       --arch: is `z80`\n"
            "\n"
            "hint: `lambda-build --help` lists the options and their values",
            id="two",
        ),
    ],
)
def test_wrong_settings_are_listed(problems: list[str], text: str) -> None:
    """All mistakes in the settings stand in one error, a line each."""
    assert str(errors.SettingsError(problems)) == text


def test_parts_of_an_error_can_be_asked_for() -> None:
    """A frontend that prints in its own way finds the parts as attributes."""
    error = LambdaBuildError("one", why="two", hint="three")

    assert (error.what, error.why, error.hint, error.args) == ("one", "two", "three", ("one",))


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Names from wheels and output of backends cannot move the cursor or recolour a screen."""
    error = LambdaBuildError("a\x1b[2Jb", why="tab\tstays\x07", hint="\x9bc")

    assert str(error) == "error: a\\x1b[2Jb\n  why: tab\tstays\\x07\n\nhint: \\x9bc"


def test_long_lists_are_cut_unless_all_of_them_is_wanted() -> None:
    """Ten items tell what is wrong; the rest is a word away."""
    error = errors.SettingsError([f"mistake {number}" for number in range(25)])

    short, long = error.text(verbose=False), error.text(verbose=True)

    assert ("mistake 9" in short, "mistake 10" in short) == (True, False)
    assert "       and 15 more, `-v` lists all\n" in short
    assert "mistake 24" in long
    assert "lists all" not in long
    assert "mistake 24" in error.why


def test_text_and_what_is_added_to_a_list_are_never_cut() -> None:
    """The output of a program is no list, and neither is what an explanation was added to."""
    output = "\n".join(f"line {number}" for number in range(25))
    added = errors.SettingsError([f"mistake {number}" for number in range(25)])
    added.why = f"{added.why}\nfor another reason"

    assert "line 24" in str(LambdaBuildError("it failed", why=output, hint="look"))
    assert "for another reason" in str(added)


def named(name: str) -> LockedPackage:
    """Lock a package of a name that has no wheels."""
    return replace(a_package(), name=canonicalize_name(name))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            integrity.DamagedWheelsError(
                [integrity.Damage(wheel=WHEEL, member=f"n{n}.py", problem="odd") for n in range(25)]
            ),
            id="damaged wheels",
        ),
        pytest.param(
            files.ForbiddenSourceError([(named(f"n{n}"), "a flag") for n in range(25)]),
            id="forbidden sources",
        ),
        pytest.param(
            NoMatchingFileError(TARGET, [named(f"n{n}") for n in range(25)]),
            id="no wheels",
        ),
        pytest.param(
            findings.SeveralFailuresError(
                [
                    ArtifactError("a"),
                    closure.UnmetRequirementsError([f"n{n} is missing" for n in range(25)]),
                ]
            ),
            id="several failures",
        ),
    ],
)
def test_errors_with_long_lists_are_cut(error: LambdaBuildError) -> None:
    """Lists of any length end after ten items, also in headlines, unless all is wanted."""
    short, long = error.text(verbose=False), error.text(verbose=True)

    assert ("n24" in short, "and 15 more, `-v` lists all" in short) == (False, True)
    assert ("n24" in long, "lists all" in long) == (True, False)
