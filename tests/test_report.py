from __future__ import annotations

import base64
import datetime
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin import report
from lambda_build_plugin.archive import Written
from lambda_build_plugin.config.project import Project
from lambda_build_plugin.config.settings import Host, Layout, Settings
from lambda_build_plugin.report import PackageReport, as_json, as_text
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.stage.filters import Excluded
from lambda_build_plugin.stage.tree import Distribution, Entry, StagedTree
from lambda_build_plugin.verify.sizes import Saving
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.report import BuildReport

_ZIP = b"the bytes of a zip"
_EXCLUDED = (
    Excluded(kind="preset", rule="tests", files=3, unzipped=2_048),
    Excluded(kind="pattern", rule="*.rs", files=1, unzipped=9),
)


def a_package(name: str, size: int, *, source: str = "wheel") -> PackageReport:
    """Make the report of a distribution in version 1.0."""
    return PackageReport(
        name=name,
        version="1.0",
        file=f"{name}-1.0-py3-none-any.whl",
        sha256="ab" * 32,
        source=source,
        built_by="hatchling 1.27.0" if source == "local" else "",
        compiled_by="",
        unzipped=size,
        zipped=size // 2,
        files=1,
    )


def a_report(
    *packages: PackageReport,
    zipped: int = 5_242_880,
    unzipped: int = 131_072_000,
    handler: str | None = "demo.app.handler",
    lock: str | None = "/project/uv.lock",
    left_out: Sequence[LeftOut] = (),
    warnings: Sequence[str] = (),
    changed: bool | None = None,
) -> BuildReport:
    """Make the report of a build."""
    tree = StagedTree(
        entries=(Entry("a.py", canonicalize_name("a"), b"", "sha256=", unzipped),),
        distributions=(_a_distribution("a"),),
        prefix="",
    )
    made = _made(tree, zipped, handler=handler, lock=lock, left_out=left_out, warnings=warnings)
    return made | {"packages": list(packages), "changed": changed}


def _a_distribution(name: str, *, source: str = "wheel") -> Distribution:
    wheel = Wheel(
        name=canonicalize_name(name),
        version=Version("1.0"),
        filename=f"{name}-1.0-py3-none-any.whl",
        path=Path("nowhere.whl"),
        sha256="ab" * 32,
        source=source,
    )
    return Distribution(wheel=wheel, dist_info=f"{name}-1.0.dist-info")


def _made(
    tree: StagedTree,
    zipped: int,
    *,
    handler: str | None = None,
    lock: str | None = None,
    left_out: Sequence[LeftOut] = (),
    excluded: Sequence[Excluded] = (),
    savings: Sequence[Saving] = (),
    warnings: Sequence[str] = (),
) -> BuildReport:
    host = Host(
        cwd=Path("/work"),
        home=Path("/home"),
        cache_dir=Path("/cache"),
        today=datetime.date(2026, 11, 21),
        environ={},
    )
    settings = Settings(
        project=Project(root=Path("/work"), name=canonicalize_name("demo")),
        target=Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64),
        runtime_reason="set by --runtime",
        layout=Layout.FUNCTION,
        handler=handler,
        host=host,
    )
    written = Written(
        path=Path("/project/.demo.zip.part"),
        size=zipped,
        sha256=hashlib.sha256(_ZIP).digest(),
        compressed=tuple(entry.size // 2 for entry in tree.entries),
    )
    return report.make(
        report.BuildResult(
            settings=settings,
            tree=tree,
            written=written,
            artifact=Path("/project/demo.zip"),
            changed=True,
            lock=Path(lock) if lock else None,
            left_out=left_out,
            excluded=excluded,
            savings=savings,
            warnings=warnings,
            seconds={"lock": 0.25, "archive": 0.123456},
        )
    )


def test_make() -> None:
    """The report of a build is schema 1, key by key."""
    app, lib = canonicalize_name("app"), canonicalize_name("lib")
    tree = StagedTree(
        entries=(
            Entry("app.py", app, b"", "sha256=", 10),
            Entry("lib/a.py", lib, b"", "sha256=", 100),
            Entry("lib/b.py", lib, b"", "sha256=", 1_000),
        ),
        distributions=(_a_distribution("lib"), _a_distribution("app", source="local")),
        prefix="",
    )

    made = _made(
        tree,
        700,
        handler="app.handler",
        lock="/project/uv.lock",
        left_out=[LeftOut(name="colorama", version="0.4.6", reason="its marker is false")],
        excluded=_EXCLUDED,
        warnings=["beware"],
    )

    sha256 = hashlib.sha256(_ZIP)
    assert made == {
        "schema": 1,
        "name": None,
        "artifact": "/project/demo.zip",
        "changed": True,
        "layout": "function",
        "runtime": "python3.13",
        "runtime_reason": "set by --runtime",
        "architecture": "arm64",
        "handler": "app.handler",
        "size": {
            "zipped": 700,
            "unzipped": 1_110,
            "limit_zipped": 52_428_800,
            "limit_unzipped": 262_144_000,
        },
        "sha256": sha256.hexdigest(),
        "code_sha256": base64.b64encode(sha256.digest()).decode(),
        "packages": [
            {
                "name": "app",
                "version": "1.0",
                "file": "app-1.0-py3-none-any.whl",
                "sha256": "ab" * 32,
                "source": "local",
                "built_by": "",
                "compiled_by": "",
                "unzipped": 10,
                "zipped": 5,
                "files": 1,
            },
            {
                "name": "lib",
                "version": "1.0",
                "file": "lib-1.0-py3-none-any.whl",
                "sha256": "ab" * 32,
                "source": "wheel",
                "built_by": "",
                "compiled_by": "",
                "unzipped": 1_100,
                "zipped": 550,
                "files": 2,
            },
        ],
        "folders": [],
        "savings": [],
        "layer_files": [],
        "left_out": [{"name": "colorama", "version": "0.4.6", "reason": "its marker is false"}],
        "excluded": [
            {"kind": "preset", "rule": "tests", "files": 3, "unzipped": 2_048},
            {"kind": "pattern", "rule": "*.rs", "files": 1, "unzipped": 9},
        ],
        "left_behind": [],
        "warnings": ["beware"],
        "lock": "/project/uv.lock",
        "seconds": {"lock": 0.25, "archive": 0.1235},
    }


def test_json() -> None:
    """As JSON the report is the same value, one document that ends its line."""
    made = a_report(a_package("a", 10), handler=None, lock=None, warnings=["ü"])

    text = as_json([made])

    assert text.endswith("}\n")
    assert json.loads(text) == made


def test_json_of_artifacts() -> None:
    """Artifacts with names, also one alone, and several targets stand in one list."""
    made = a_report(a_package("a", 10))
    named = made | {"name": "api"}

    assert [json.loads(as_json(reports)) for reports in ([named], [made, made])] == [
        {"schema": 1, "artifacts": [named]},
        {"schema": 1, "artifacts": [made, made]},
    ]


def test_text_of_a_named_artifact() -> None:
    """A person reads which of the artifacts it is."""
    named = a_report(a_package("a", 10)) | {"name": "api"}

    assert as_text(named).splitlines()[2] == "  artifact   api"


def test_text() -> None:
    """A person reads what was built, for what and why, how large it is, and what to know."""
    made = a_report(
        a_package("demo", 10_240, source="local"),
        a_package("numpy", 104_857_600),
        left_out=[LeftOut(name="colorama", version="0.4.6", reason="its marker is false")],
        warnings=["beware"],
        changed=True,
    )

    assert as_text(made) == (
        """\
Built /project/demo.zip

  runtime    python3.13 arm64 (set by --runtime)
  layout     function, handler demo.app.handler
  lock       /project/uv.lock
  unzipped   [############............] 125.0 MB of 250.0 MB (50%)
  zipped     [##......................] 5.0 MB of 50.0 MB (10%) for a direct upload
  CodeSha256 """
        + base64.b64encode(hashlib.sha256(_ZIP).digest()).decode()
        + """
  zip        changed (replaces another zip)

2 distributions
  numpy 1.0   100.0 MB
  demo 1.0     10.0 KB  (built from source by hatchling 1.27.0)

Left out: colorama 0.4.6 (`-v` says why)

warning: beware
0.37 s
"""
    )


def test_shortest_text() -> None:
    """What there is nothing to say of is not said."""
    made = a_report(a_package("a", 10), handler=None, lock=None)

    lines = as_text(made).splitlines()

    assert lines[3:5] == ["  layout     function", "  lock       none needed"]
    assert lines[9:] == ["1 distribution", "  a 1.0     0.0 KB", "", "0.37 s"]


def test_long_list() -> None:
    """Eight distributions are listed, the largest first, and the others as one line."""
    made = a_report(*(a_package(f"package-{number:02}", number * 1_024) for number in range(20)))

    lines = as_text(made).splitlines()

    assert lines[9:-2] == [
        "20 distributions",
        *(f"  package-{number} 1.0    {number}.0 KB" for number in range(19, 11, -1)),
        "  and 12 more       66.0 KB",
    ]


@pytest.mark.parametrize("count", [9, 18, 108], ids=["1", "10", "100"])
def test_columns(count: int) -> None:
    """Sizes stand below each other, however many distributions one line stands for."""
    made = a_report(*(a_package(f"{number}", number * 1_024) for number in range(count)))

    lines = as_text(made).splitlines()

    assert len({len(line) for line in lines[10:-2]}) == 1


def test_verbose_text() -> None:
    """With `--verbose` every distribution and the seconds of each stage are listed."""
    made = a_report(*(a_package(f"package-{number:02}", number * 1_024) for number in range(20)))

    lines = as_text(made, verbose=True).splitlines()

    assert lines[10:30] == [
        f"  package-{number:02} 1.0  {f'{number}.0 KB':>9}" for number in range(19, -1, -1)
    ]
    assert lines[-1] == "0.37 s (lock 0.25, archive 0.12)"


def test_left_out_without_version() -> None:
    """A source that is left out before anybody knows its version has its name alone."""
    made = a_report(left_out=[LeftOut(name="local", version="", reason="its marker is false")])

    assert "\nLeft out: local (`-v` says why)\n" in as_text(made)
    assert "\n  local: its marker is false\n" in as_text(made, verbose=True)


def test_what_is_left_out_is_one_line_unless_verbose() -> None:
    """The lock of an environment may have hundreds of packages, and few people ask for them."""
    left_out = [LeftOut(name=f"a{number:02}", version="1", reason="why") for number in range(30)]
    made = _made(StagedTree(entries=(), distributions=(), prefix=""), 0, left_out=left_out)

    assert "\nLeft out: a00 1, a01 1, a02 1, a03 1 and 26 more (`-v` says why)\n\n" in as_text(made)
    assert "\nLeft out\n  a00 1: why\n" in as_text(made, verbose=True)
    assert "\n  a29 1: why\n\n" in as_text(made, verbose=True)


def test_excluded() -> None:
    """A line for each rule that has left out files says what it saved."""
    tree = StagedTree(entries=(), distributions=(), prefix="")
    in_vain = Excluded(kind="preset", rule="docs", files=0, unzipped=0)

    text = as_text(_made(tree, 700, excluded=[*_EXCLUDED, in_vain]))

    assert "\nExcluded\n  preset tests: 3 files, 2.0 KB\n  *.rs: 1 file, 0.0 KB\n\n" in text


def test_rules_without_effect_are_not_listed() -> None:
    """If no rule has left out anything, there is no list."""
    tree = StagedTree(entries=(), distributions=(), prefix="")
    in_vain = Excluded(kind="preset", rule="docs", files=0, unzipped=0)

    assert "Excluded" not in as_text(_made(tree, 700, excluded=[in_vain]))


def a_large_tree(size: int, *, prefix: str = "") -> StagedTree:
    """Make a tree whose bytes are mostly in two folders; `size` is that of the first."""
    owner = canonicalize_name("numpy")
    files = {
        "numpy.libs/openblas.so": size,
        "numpy/__init__.py": 1_000,
        "numpy/_core/data.bin": size // 2,
        "numpy/_core/more/data.bin": size // 4,
        "numpy/small/a.bin": 10,
        "single.py": 10,
    }
    return StagedTree(
        entries=tuple(
            Entry(f"{prefix}{path}", owner, b"", "sha256=", bytes_)
            for path, bytes_ in files.items()
        ),
        distributions=(_a_distribution("numpy"),),
        prefix=prefix,
    )


@pytest.mark.parametrize("prefix", ["", "python/"])
def test_largest_folders(prefix: str) -> None:
    """Folders that are a tenth of a large artifact are listed, also those beside a package."""
    made = _made(a_large_tree(20 << 20, prefix=prefix), 700)

    assert made["folders"] == [
        {"path": "numpy.libs/", "unzipped": 20 << 20},
        {"path": "numpy/_core/", "unzipped": 15 << 20},
    ]
    assert (
        "\nLargest folders\n  numpy.libs/     20.0 MB\n  numpy/_core/    15.0 MB\n\n"
    ) in as_text(made)


def test_folders_of_a_small_artifact_are_not_listed() -> None:
    """Nobody needs to know what fills a few MB."""
    assert _made(a_large_tree(2 << 20), 700)["folders"] == []


def test_savings() -> None:
    """What would make it smaller is listed with what it saves, and when it can be used."""
    savings = [
        Saving("provided = ['boto3']", 30 << 20),
        Saving("bytecode-only = true", 5 << 20, "if so"),
    ]

    made = _made(a_large_tree(2 << 20), 700, savings=savings)

    assert made["savings"][1] == {
        "setting": "bytecode-only = true",
        "unzipped": 5 << 20,
        "condition": "if so",
    }
    assert (
        "\nCould be smaller: what these settings would save\n"
        "  provided = ['boto3']    30.0 MB\n"
        "  bytecode-only = true     5.0 MB  if so\n\n"
    ) in as_text(made)


@pytest.mark.parametrize(
    ("zipped", "line"),
    [
        pytest.param(
            0, "[........................] 0.0 KB of 50.0 MB (0%) for a direct upload", id="nothing"
        ),
        pytest.param(
            52_428_799,
            "[########################] 50.0 MB of 50.0 MB (100%) for a direct upload",
            id="below the limit",
        ),
        pytest.param(
            52_428_800,
            "[########################] 50.0 MB of 50.0 MB (100%): upload via S3",
            id="at the limit",
        ),
        pytest.param(
            157_286_400,
            "[########################] 150.0 MB of 50.0 MB (300%): upload via S3",
            id="far above",
        ),
    ],
)
def test_zipped_bar(zipped: int, line: str) -> None:
    """The bar fills up to the limit of a direct upload, and what then is to be done is said."""
    assert f"\n  zipped     {line}\n" in as_text(a_report(zipped=zipped))
