from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.runtime.limits import size_text
from lambda_build_plugin.stage.tree import Distribution, Entry, StagedTree
from lambda_build_plugin.verify.findings import StrictError
from lambda_build_plugin.verify.sizes import (
    EmptyArtifactError,
    OversizeError,
    TooManyEntriesError,
    biggest,
    check_tree,
    large_zip,
)
from lambda_build_plugin.verify.written import ArtifactError, check_archive, read_again
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMIT = 262_144_000
_NOWHERE = Path("nowhere.whl")
_METADATA = "Metadata-Version: 2.1\nName: Demo.App\nVersion: 1.0\n\nThe text.\n"
_DIST_INFO = "demo_app-1.0.dist-info"


def an_entry(path: str, size: int = 0, *, owner: str = "demo-app") -> Entry:
    """Make an entry that says how large it is, whatever its bytes."""
    return Entry(path, canonicalize_name(owner), b"", "sha256=", size)


def a_tree(*entries: Entry, prefix: str = "", distributions: Sequence[str] = ()) -> StagedTree:
    """Make a tree of entries, with distributions that are spelled `name==version`."""
    return StagedTree(
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        distributions=tuple(_a_distribution(*text.split("==")) for text in distributions),
        prefix=prefix,
    )


def _a_distribution(name: str, version: str) -> Distribution:
    wheel = Wheel(
        name=canonicalize_name(name),
        version=Version(version),
        filename=f"{name}-{version}-py3-none-any.whl",
        path=_NOWHERE,
        sha256="",
        source="wheel",
    )
    return Distribution(wheel=wheel, dist_info=f"{name}-{version}.dist-info")


def a_zip(folder: Path, files: Mapping[str, str]) -> Path:
    """Write an ordinary zip."""
    path = folder / "artifact.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def check(tree: StagedTree, path: Path) -> None:
    """Read a zip again and hold it against the tree."""
    with read_again(path) as archive:
        check_archive(tree, archive)


def a_tree_of(
    files: Mapping[str, str], *, prefix: str = "", distributions: Sequence[str] = ()
) -> StagedTree:
    """Make the tree that such a zip would be written of."""
    entries = (an_entry(path, len(text.encode())) for path, text in files.items())
    return a_tree(*entries, prefix=prefix, distributions=distributions)


@pytest.mark.parametrize(
    ("size", "warnings"),
    [
        pytest.param(0, (), id="nothing"),
        pytest.param(249_036_800, (), id="at 95%"),
        pytest.param(249_036_801, ("unzipped size is 95.0% of Lambda's limit",), id="above 95%"),
        pytest.param(_LIMIT - 1, ("unzipped size is 100.0% of Lambda's limit",), id="just below"),
    ],
)
def test_unzipped_size(size: int, warnings: tuple[str, ...]) -> None:
    """A tree below the limit passes; close to it, with a warning."""
    tree = a_tree(an_entry("a.py", size))

    assert check_tree(tree, layer=False) == warnings


@pytest.mark.parametrize("size", [_LIMIT, _LIMIT + 1], ids=["at", "above"])
@pytest.mark.parametrize("layer", [False, True])
def test_oversize(*, size: int, layer: bool) -> None:
    """A tree at the limit is too large, in one file or in several, as function or layer."""
    tree = a_tree(an_entry("a.py", size - 1), an_entry("b.py", 1))

    with pytest.raises(OversizeError) as caught:
        check_tree(tree, layer=layer)

    assert caught.value.what == (
        f"the artifact is too large by {size - _LIMIT + 1} byte{'s' if size > _LIMIT else ''}: "
        "Lambda requires less than 250.0 MB unzipped"
    )
    assert caught.value.why.splitlines()[0] == f"it has 250.0 MB ({size:,} bytes) unzipped"


def test_size_of_a_function_with_layers() -> None:
    """What provides for a function counts, too; the error tells both."""
    tree = a_tree(an_entry("a.py", 62_144_000))

    with pytest.raises(OversizeError) as caught:
        check_tree(tree, layer=False, beside={"`deps`": 200_000_000})

    assert (caught.value.what, caught.value.why.splitlines()[:2]) == (
        "the artifact is too large by 1 byte: Lambda requires less than 250.0 MB unzipped "
        "together with the other artifacts",
        [
            "it has 59.3 MB (62,144,000 bytes) unzipped",
            "`deps`, which is used with it, has 190.7 MB",
        ],
    )


def test_a_function_and_layers_close_to_the_limit() -> None:
    """The warning counts them together."""
    tree = a_tree(an_entry("a.py", 62_143_999))

    assert check_tree(tree, layer=False, beside={"deps": 200_000_000}) == (
        "unzipped size together with the other artifacts is 100.0% of Lambda's limit",
    )


def test_biggest_distributions() -> None:
    """A tree that is too large names the five that take the most."""
    sizes = {"a": 1, "b": 2, "c": 300_000_000, "d": 2_097_152, "e": 2, "f": 4}
    tree = a_tree(*(an_entry(name, size, owner=name) for name, size in sizes.items()))

    with pytest.raises(OversizeError) as caught:
        check_tree(tree, layer=False)

    assert caught.value.biggest == (
        ("c", 300_000_000),
        ("d", 2_097_152),
        ("f", 4),
        ("b", 2),
        ("e", 2),
    )
    assert caught.value.why.splitlines()[1:4] == [
        "the largest distributions are:",
        "- c: 286.1 MB",
        "- d: 2.0 MB",
    ]


def oversize(*entries: Entry) -> OversizeError:
    """Check a tree that is too large."""
    with pytest.raises(OversizeError) as caught:
        check_tree(a_tree(*entries), layer=False)
    return caught.value


def test_largest_folders() -> None:
    """Folders in packages show what may be left out."""
    error = oversize(
        an_entry("big/data/a.bin", 200_000_000),
        an_entry("big/data/deep/b.bin", 50_000_000),
        an_entry("big/c.bin", 20_000_000),
        an_entry("small/lib/d.bin", 1_048_576),
    )

    assert error.why.splitlines()[-3:] == [
        "the largest folders of packages are:",
        "- big/data/: 238.4 MB",
        "- small/lib/: 1.0 MB",
    ]


_SDK = [an_entry("botocore/a.json", 10_485_760, owner="botocore")]
_TESTS = [an_entry("big/tests/test_a.py", 31_457_280, owner="big")]


@pytest.mark.parametrize(
    ("further", "size", "hint"),
    [
        pytest.param(
            _TESTS,
            _LIMIT - 1000,
            '`exclude-presets = ["tests"]` saves 30.0 MB: that is enough',
            id="one is enough",
        ),
        pytest.param(
            _SDK + _TESTS,
            _LIMIT - 1000,
            '`exclude-presets = ["tests"]` saves 30.0 MB, `provided = ["boto3"]` saves 10.0 MB: '
            "that is enough together",
            id="two are enough",
        ),
        pytest.param(
            _SDK,
            _LIMIT,
            '`provided = ["boto3"]` saves 10.0 MB, which is not enough: leave out what the '
            "function does not need (`exclude`), or deploy a container image; layers do not help, "
            "because they count, too",
            id="not enough",
        ),
        pytest.param(
            [],
            _LIMIT,
            "leave out what the function does not need (`exclude`), or deploy a container image; "
            "layers do not help, because they count, too",
            id="nothing",
        ),
    ],
)
def test_what_would_bring_it_under(further: list[Entry], size: int, hint: str) -> None:
    """The hint has been computed: what presets and the runtime's packages save."""
    assert oversize(an_entry("big/a.bin", size, owner="big"), *further).hint == hint


@pytest.mark.parametrize(
    ("further", "saving"),
    [
        pytest.param(
            [
                an_entry("big/b.py", 1_048_576, owner="big"),
                an_entry("big/__pycache__/b.cpython-313.pyc", 10, owner="big"),
                an_entry("big/not_compiled.py", 3_145_728, owner="big"),
            ],
            "`bytecode-only = true` saves 1.0 MB if tracebacks need no lines of code",
            id="sources beside bytecode",
        ),
        pytest.param(
            [an_entry("pyarrow/include/arrow/a.h", 2_097_152, owner="pyarrow")],
            '`exclude = ["/pyarrow/include/"]` saves 2.0 MB',
            id="heavy folder",
        ),
    ],
)
def test_what_else_would_make_it_smaller(further: list[Entry], saving: str) -> None:
    """Sources that ship beside their bytecode, and folders that functions hardly need."""
    hint = oversize(an_entry("big/a.bin", _LIMIT, owner="big"), *further).hint

    assert hint.partition(", which is not enough")[0] == saving


def test_biggest_adds_up() -> None:
    """The size of a distribution is that of all its files."""
    entries = [
        an_entry("a", 3, owner="a"),
        an_entry("b", 4, owner="b"),
        an_entry("c", 2, owner="a"),
    ]

    assert biggest(a_tree(*entries)) == [("a", 5), ("b", 4)]


def test_most_entries() -> None:
    """A zip can count 65,535 files, and not one more."""
    entries = [an_entry(f"{number}.py") for number in range(65_536)]

    assert check_tree(a_tree(*entries[:-1]), layer=False) == ()
    with pytest.raises(TooManyEntriesError, match="the artifact has 65,536 files"):
        check_tree(a_tree(*entries), layer=False)


def test_empty_layer() -> None:
    """A layer with nothing in it is an error."""
    with pytest.raises(EmptyArtifactError, match="the layer would be empty"):
        check_tree(a_tree(prefix="python/"), layer=True)


@pytest.mark.parametrize("prefix", ["", "python/"])
def test_archive(tmp_path: Path, prefix: str) -> None:
    """A zip that is what was meant passes."""
    files = {f"{prefix}{_DIST_INFO}/METADATA": _METADATA, f"{prefix}pkg/a.py": "a"}
    tree = a_tree_of(files, prefix=prefix, distributions=["demo-app==1.0"])

    check(tree, a_zip(tmp_path, files))


@pytest.mark.parametrize("version", ["1.0.0", "v1", "1"])
def test_equal_version(tmp_path: Path, version: str) -> None:
    """Versions are compared as versions (PEP 440), not as texts."""
    files = {f"{_DIST_INFO}/METADATA": _METADATA.replace("1.0", version)}
    tree = a_tree_of(files, distributions=["demo-app==1.0"])

    check(tree, a_zip(tmp_path, files))


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        pytest.param(
            _METADATA.replace("1.0", "1.1"),
            f"{_DIST_INFO} says it is demo-app 1.1, but 1.0 was selected",
            id="another version",
        ),
        pytest.param(
            _METADATA.replace("1.0", "newest"),
            f"{_DIST_INFO} says it is demo-app newest, but 1.0 was selected",
            id="no version",
        ),
        pytest.param(
            "Name: demo-app\n\nVersion: 1.0\n",
            f"{_DIST_INFO} says it is demo-app None, but 1.0 was selected",
            id="version in the text only",
        ),
        pytest.param(
            _METADATA.replace("Demo.App", "other"),
            f"{_DIST_INFO} belongs to `other`, which was not selected",
            id="another name",
        ),
        pytest.param("", f"{_DIST_INFO} belongs to ``, which was not selected", id="nothing"),
    ],
)
def test_wrong_metadata(tmp_path: Path, metadata: str, problem: str) -> None:
    """A distribution that says of itself that it is another one than was chosen is refused."""
    files = {f"{_DIST_INFO}/METADATA": metadata}
    tree = a_tree_of(files, distributions=["demo-app==1.0"])

    with pytest.raises(ArtifactError) as caught:
        check(tree, a_zip(tmp_path, files))

    assert caught.value.why == problem


@pytest.mark.parametrize("prefix", ["", "python/"])
def test_stranger(tmp_path: Path, prefix: str) -> None:
    """A distribution too many is refused: that is not what was locked."""
    files = {
        f"{prefix}{_DIST_INFO}/METADATA": _METADATA,
        f"{prefix}other-2.0.dist-info/METADATA": "Name: other\nVersion: 2.0\n",
    }
    tree = a_tree_of(files, prefix=prefix, distributions=["demo-app==1.0"])

    with pytest.raises(ArtifactError) as caught:
        check(tree, a_zip(tmp_path, files))

    assert caught.value.why == "other-2.0.dist-info belongs to `other`, which was not selected"


def test_two_metadata_folders(tmp_path: Path) -> None:
    """A distribution that is there twice is refused."""
    files = {f"{_DIST_INFO}/METADATA": _METADATA, "demo_app-1.dist-info/METADATA": _METADATA}
    tree = a_tree_of(files, distributions=["demo-app==1.0"])

    with pytest.raises(ArtifactError) as caught:
        check(tree, a_zip(tmp_path, files))

    assert caught.value.why == "`demo-app` is present 2 times"


def test_no_metadata(tmp_path: Path) -> None:
    """A distribution without metadata is refused."""
    files = {"demo/a.py": "a"}
    tree = a_tree_of(files, distributions=["demo-app==1.0"])

    with pytest.raises(ArtifactError) as caught:
        check(tree, a_zip(tmp_path, files))

    assert caught.value.why == "`demo-app` has no METADATA"


@pytest.mark.parametrize(
    ("files", "odd"),
    [
        pytest.param({"a.py": "a"}, "[('b.py', 1)]", id="missing"),
        pytest.param({"a.py": "a", "b.py": "b", "c.py": "c"}, "[('c.py', 1)]", id="one too many"),
        pytest.param({"a.py": "a", "b.py": "bb"}, "[('b.py', 1), ('b.py', 2)]", id="another size"),
        pytest.param({"b.py": "b", "a.py": "a"}, "their order", id="another order"),
    ],
)
def test_other_members(tmp_path: Path, files: Mapping[str, str], odd: str) -> None:
    """A zip whose members are not those of the tree is refused."""
    tree = a_tree_of({"a.py": "a", "b.py": "b"})

    with pytest.raises(ArtifactError) as caught:
        check(tree, a_zip(tmp_path, files))

    assert caught.value.why == f"its members differ from the tree: {odd}"


def test_unreadable_zip(tmp_path: Path) -> None:
    """A zip that cannot be read again is refused."""
    path = tmp_path / "artifact.zip"
    path.write_bytes(b"no zip")

    with pytest.raises(ArtifactError, match="is not what should have been built"):
        check(a_tree(), path)


@pytest.mark.parametrize(
    ("size", "warned"),
    [
        pytest.param(52_428_799, False, id="below"),
        pytest.param(52_428_800, True, id="at"),
        pytest.param(52_428_801, True, id="above"),
    ],
)
def test_zipped_size(*, size: int, warned: bool) -> None:
    """A zip that is not below the limit of a direct upload is warned of, and no error."""
    assert bool(large_zip(size)) is warned


def test_zipped_size_text() -> None:
    """The warning says what to do."""
    assert large_zip(60_000_000) == (
        "the zip has 60,000,000 bytes; a zip of 52,428,800 bytes or more must be uploaded "
        "through S3",
    )


def test_strict() -> None:
    """Warnings that are errors are all told."""
    error = StrictError(["one", "two"])

    assert (error.exit_code, error.warnings, error.why) == (8, ("one", "two"), "- one\n- two")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 KB"),
        (1_000, "1.0 KB"),
        (102_399, "100.0 KB"),
        (102_400, "0.1 MB"),
        (1_048_576, "1.0 MB"),
        (262_144_000, "250.0 MB"),
    ],
)
def test_size_text(size: int, text: str) -> None:
    """Sizes are written in units of 1024, as Lambda's documents mean them."""
    assert size_text(size) == text
