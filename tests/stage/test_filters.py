from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.locks import held
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.trees import a_tree, paths, record_of, shipped
from fakes.wheels import a_wheel

from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.config.settings import Preset
from lambda_build_plugin.stage.contents import write_folder
from lambda_build_plugin.stage.filters import Excluded, filtered, preset_effect
from lambda_build_plugin.verify.written import check_archive, read_again

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIST_INFO = "demo-1.0.dist-info"
_METADATA = [f"{_DIST_INFO}/METADATA", f"{_DIST_INFO}/RECORD", f"{_DIST_INFO}/WHEEL"]


def remaining(
    folder: Path,
    files: Sequence[str],
    *,
    presets: Sequence[Preset] = (),
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    prefix: str = "",
) -> list[str]:
    """Filter a distribution of these files and list which of them remain."""
    tree = a_tree(folder, a_wheel(files=dict.fromkeys(files, "")), prefix=prefix)
    found = filtered(tree, presets=presets, exclude=exclude, include=include)
    return paths(found.tree)


_FILES = ["a.py", "a.txt", "pkg/a.py", "pkg/a.txt", "pkg/data/b.bin"]


@pytest.mark.parametrize(
    ("exclude", "include", "gone"),
    [
        pytest.param(["*.txt"], [], {"a.txt", "pkg/a.txt"}, id="suffix"),
        pytest.param(["pkg/"], [], {"pkg/a.py", "pkg/a.txt", "pkg/data/b.bin"}, id="folder"),
        pytest.param(["*.txt", "!pkg/a.txt"], [], {"a.txt"}, id="taken back in later"),
        pytest.param(["!pkg/a.txt", "*.txt"], [], {"a.txt", "pkg/a.txt"}, id="left out later"),
        pytest.param(["pkg/", "!data/"], [], {"pkg/a.py", "pkg/a.txt"}, id="out of a folder"),
        pytest.param(["*.py", "!*.py", "/a.py"], [], {"a.py"}, id="the last of three"),
        pytest.param(["*"], ["*.py", "*.bin"], {"a.txt", "pkg/a.txt"}, id="include wins"),
    ],
)
def test_order(tmp_path: Path, exclude: list[str], include: list[str], gone: set[str]) -> None:
    """The last line that matches a file decides, and `include` comes last."""
    found = remaining(tmp_path, _FILES, exclude=exclude, include=include)

    assert set(_FILES) - set(found) == gone


@pytest.mark.parametrize("prefix", ["python/", "python/lib/python3.13/site-packages/"])
def test_layer(tmp_path: Path, prefix: str) -> None:
    """The same lines serve a function and a layer: they start where imports start."""
    found = remaining(tmp_path, ["a.py", "pkg/a.py"], exclude=["/a.py"], prefix=prefix)

    assert found == [f"{prefix}pkg/a.py"]


def test_record(tmp_path: Path) -> None:
    """RECORD lists what ships and nothing else."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": "1", "b.txt": "2"}))

    found = filtered(tree, exclude=["*.txt"]).tree

    content = shipped(found, tmp_path / "a.zip")
    rows = record_of(found, _DIST_INFO)
    assert [row[0] for row in rows] == ["a.py", _METADATA[0], _METADATA[2], _METADATA[1]]
    for path, digest, size in rows[:-1]:
        sha256 = hashlib.sha256(content[path]).digest()
        assert digest == "sha256=" + base64.urlsafe_b64encode(sha256).decode().rstrip("=")
        assert size == str(len(content[path]))


def test_shared_file_stays_in_both_records(tmp_path: Path) -> None:
    """A file that two distributions bring alike is still listed by both."""
    tree = a_tree(
        tmp_path,
        a_wheel("one", files={"ns/__init__.py": "", "a.txt": ""}),
        a_wheel("two", files={"ns/__init__.py": "", "b.txt": ""}),
    )

    found = filtered(tree, exclude=["*.txt"]).tree

    listed = [
        {row[0] for row in record_of(found, f"{name}-1.0.dist-info")} for name in ("one", "two")
    ]
    assert all("ns/__init__.py" in rows for rows in listed)


@pytest.mark.parametrize("pattern", ["*", "METADATA", "*.txt", "**/licenses/", "demo*"])
def test_metadata_stays(tmp_path: Path, pattern: str) -> None:
    """A line that does not name metadata leaves it alone."""
    licence = f"{_DIST_INFO}/licenses/a.txt"
    tree = a_tree(tmp_path, a_wheel(files={"demo.py": "", "b.txt": "", licence: ""}))

    found = filtered(tree, exclude=[pattern]).tree

    metadata = [entry.path for entry in found.entries if ".dist-info/" in entry.path]
    assert metadata == [*_METADATA, licence]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        pytest.param("*.dist-info/licenses/", _METADATA, id="a folder in it"),
        pytest.param("*.dist-info/WHEEL", [*_METADATA[:2], f"{_DIST_INFO}/licenses/a"], id="file"),
        pytest.param("demo-*.dist-info", [], id="all of it"),
    ],
)
def test_metadata_by_name(tmp_path: Path, pattern: str, left: list[str]) -> None:
    """A line that names metadata leaves it out, and the artifact still passes."""
    tree = a_tree(tmp_path, a_wheel(files={"demo.py": "", f"{_DIST_INFO}/licenses/a": ""}))

    found = filtered(tree, exclude=[pattern]).tree

    assert [entry.path for entry in found.entries] == [*left, "demo.py"]
    written = write_archive(found, tmp_path / "a.zip", epoch=None)
    with read_again(written.path) as archive:
        check_archive(found, archive)


@pytest.mark.parametrize(
    ("exclude", "include", "prefix", "warning"),
    [
        pytest.param(["*.rs"], [], "", "`*.rs` of `exclude` matches nothing", id="exclude"),
        pytest.param(["!*.rs"], [], "", "`!*.rs` of `exclude` matches nothing", id="negated"),
        pytest.param([], ["*.rs"], "", "`*.rs` of `include` matches nothing", id="include"),
        pytest.param(
            ["METADATA"],
            [],
            "",
            "`METADATA` of `exclude` matches nothing but metadata, which stays unless a pattern "
            "names `*.dist-info`",
            id="metadata",
        ),
        pytest.param(
            ["python/demo/"],
            [],
            "python/",
            "`python/demo/` of `exclude` matches nothing: paths start below `python/`",
            id="prefix of a layer",
        ),
    ],
)
def test_in_vain(
    tmp_path: Path, exclude: list[str], include: list[str], prefix: str, warning: str
) -> None:
    """A line that matches nothing is a warning."""
    tree = a_tree(tmp_path, a_wheel(), prefix=prefix)

    found = filtered(tree, exclude=exclude, include=include)

    assert (found.tree, found.warnings) == (tree, (warning,))


def test_presets_match_in_silence(tmp_path: Path) -> None:
    """A preset that finds nothing is no warning: it speaks of all packages."""
    found = filtered(a_tree(tmp_path, a_wheel()), presets=list(Preset))

    assert found.warnings == ()
    assert [(item.rule, item.files) for item in found.excluded] == [
        ("tests", 0),
        ("stubs", 0),
        ("docs", 0),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            ["pkg/tests/test_a.py", "pkg/tests/data/x.csv", "pkg/a.py"], ["pkg/a.py"], id="suite"
        ),
        pytest.param(
            ["pkg/sub/test/a_test.py", "pkg/sub/test/data/x.csv"], [], id="suite called test"
        ),
        pytest.param(
            ["pkg/tests/__init__.py", "pkg/tests/_natype.py", "pkg/tests/test_a.py"],
            ["pkg/tests/__init__.py", "pkg/tests/_natype.py"],
            id="modules of a suite that others may import",
        ),
        pytest.param(
            ["django/test/client.py", "django/test/html.py"],
            ["django/test/client.py", "django/test/html.py"],
            id="package for tests of others",
        ),
        pytest.param(
            ["pkg/test_a.py", "pkg/a_test.py", "pkg/conftest.py"], [], id="modules beside others"
        ),
        pytest.param(
            ["pkg/test_util.py", "pkg/test_helpers.py"],
            ["pkg/test_helpers.py", "pkg/test_util.py"],
            id="tools",
        ),
        pytest.param(
            ["tests/test_a.py", "test_b.py"], ["test_b.py"], id="no suite at the top level"
        ),
        pytest.param(["test/__init__.py"], ["test/__init__.py"], id="package called test"),
        pytest.param(["pkg/testing/__init__.py"], ["pkg/testing/__init__.py"], id="testing"),
    ],
)
def test_preset_tests(tmp_path: Path, files: list[str], expected: list[str]) -> None:
    """`tests` leaves out suites and test modules below packages."""
    assert remaining(tmp_path, files, presets=[Preset.TESTS]) == expected


@pytest.mark.parametrize(
    ("speaker", "text", "stays"),
    [
        pytest.param("__init__.py", "from ._bws_test import bws", True, id="import"),
        pytest.param("sub/a.py", "import_module('pkg._bws_test')", True, id="string"),
        pytest.param("__init__.py", "my_bws_test = bws_tests = 1", False, id="other words"),
        pytest.param("__init__.txt", "_bws_test", False, id="text"),
        pytest.param("_tests/runner.py", "from pkg import _bws_test", False, id="for tests"),
        pytest.param("SelfTest/__init__.py", "import pkg._bws_test", False, id="for tests, too"),
        pytest.param("a_test.py", "from pkg import _bws_test", False, id="test"),
    ],
)
def test_preset_tests_and_what_is_imported(
    tmp_path: Path, speaker: str, text: str, stays: object
) -> None:
    """A module that is called like a test stays where the package itself speaks of it."""
    files = {"pkg/_bws_test.py": "", "pkg/b.py": "", f"pkg/{speaker}": text}

    found = paths(filtered(a_tree(tmp_path, a_wheel(files=files)), presets=[Preset.TESTS]).tree)

    assert ("pkg/_bws_test.py" in found) == stays


def test_preset_tests_and_what_those_import(tmp_path: Path) -> None:
    """What is imported by a module that stays for such a reason stays as well."""
    files = {
        "pkg/__init__.py": "from .test_mode import Mode",
        "pkg/test_mode.py": "from .base_test import Base",
        "pkg/base_test.py": "",
        "pkg/other_test.py": "from .test_lost import Lost",
        "pkg/test_lost.py": "",
    }

    found = filtered(a_tree(tmp_path, a_wheel(files=files)), presets=[Preset.TESTS])

    assert paths(found.tree) == ["pkg/__init__.py", "pkg/base_test.py", "pkg/test_mode.py"]


def test_preset_stubs(tmp_path: Path) -> None:
    """`stubs` leaves out what only type checkers read."""
    files = ["pkg/__init__.py", "pkg/__init__.pyi", "pkg/py.typed", "other-stubs/py.typed"]

    found = remaining(tmp_path, files, presets=[Preset.STUBS])

    assert found == ["pkg/__init__.py", "pkg/py.typed"]


def test_preset_stubs_with_lazy_loader(tmp_path: Path) -> None:
    """Stubs that lazy-loader reads at run time stay where it ships."""
    tree = a_tree(
        tmp_path,
        a_wheel("lazy-loader"),
        a_wheel(files={"pkg/__init__.py": "", "pkg/__init__.pyi": "", "pkg/a.pyi": ""}),
    )

    found = filtered(tree, presets=[Preset.STUBS])

    assert paths(found.tree) == ["lazy_loader/__init__.py", "pkg/__init__.py", "pkg/__init__.pyi"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(["pkg/__init__.py", "pkg/docs/index.rst"], ["pkg/__init__.py"], id="folder"),
        pytest.param(["pkg/examples/a.py"], [], id="examples"),
        pytest.param(
            ["botocore/docs/__init__.py", "botocore/docs/bcdoc/__init__.py"],
            ["botocore/docs/__init__.py", "botocore/docs/bcdoc/__init__.py"],
            id="package",
        ),
        pytest.param(
            ["pkg/docs/a.txt", "pkg/docs/sub/__init__.py"],
            ["pkg/docs/a.txt", "pkg/docs/sub/__init__.py"],
            id="around a package",
        ),
        pytest.param(["docs/a.txt"], ["docs/a.txt"], id="top level"),
        pytest.param(["README.md", "pkg/__init__.py", "pkg/CHANGES.rst"], ["pkg/__init__.py"]),
        pytest.param(
            ["pkg/__init__.py", "pkg/templates/mail.md"],
            ["pkg/__init__.py", "pkg/templates/mail.md"],
            id="data",
        ),
        pytest.param(
            ["descr/__init__.py", "descr/iris.rst", "descr/readme.zh-cn.rst", "prompt.md"],
            ["descr/__init__.py", "descr/iris.rst", "prompt.md"],
            id="data in a package and at the root",
        ),
        pytest.param(["LICENSE.md", "NOTICE.rst"], ["LICENSE.md", "NOTICE.rst"], id="licence"),
    ],
)
def test_preset_docs(tmp_path: Path, files: list[str], expected: list[str]) -> None:
    """`docs` leaves out documents, and neither packages, nor licences, nor data."""
    assert remaining(tmp_path, files, presets=[Preset.DOCS]) == expected


def test_line_after_preset(tmp_path: Path) -> None:
    """A line takes back in what a preset leaves out."""
    files = ["pkg/tests/test_a.py", "pkg/tests/data.csv"]

    found = remaining(tmp_path, files, presets=[Preset.TESTS], exclude=["!*.csv"])

    assert found == ["pkg/tests/data.csv"]


def test_savings(tmp_path: Path) -> None:
    """Each file is counted for the rule that decided."""
    tree = a_tree(
        tmp_path,
        a_wheel(files={"p/tests/test_a.py": "1" * 10, "p/tests/b.bin": "1" * 200, "p/a.pyi": "1"}),
    )

    found = filtered(tree, presets=[Preset.TESTS, Preset.STUBS], exclude=["*.bin", "!*.pyi"])

    assert found.excluded == (
        Excluded(kind="preset", rule="tests", files=1, unzipped=10),
        Excluded(kind="preset", rule="stubs", files=0, unzipped=0),
        Excluded(kind="pattern", rule="*.bin", files=1, unzipped=200),
    )


@pytest.mark.parametrize("preset", Preset)
@pytest.mark.parametrize("prefix", ["", "python/"])
def test_effect_of_a_preset(tmp_path: Path, preset: Preset, prefix: str) -> None:
    """What a preset would leave out is told without leaving it out."""
    files = {
        "demo/__init__.py": "import demo.test_kit",
        "demo/__init__.pyi": "x: int",
        "demo/test_kit.py": "# used",
        "demo/tests/test_a.py": "# not used",
        "demo/docs/index.rst": "Demo",
    }
    tree = a_tree(tmp_path, a_wheel(files=files), prefix=prefix)
    (excluded,) = filtered(tree, presets=[preset]).excluded

    effect = preset_effect(preset, tree)

    assert (effect.files, effect.unzipped) == (excluded.files, excluded.unzipped)
    assert effect.files == 1


def test_nothing_asked(tmp_path: Path) -> None:
    """Without rules the tree is the same one."""
    tree = a_tree(tmp_path, a_wheel())

    assert filtered(tree).tree is tree


def test_metadata_works(tmp_path: Path) -> None:
    """With all presets, `importlib.metadata` finds version, entry points and every file."""
    tree = a_tree(
        tmp_path,
        a_wheel(
            files={
                "demo/__init__.py": "",
                "demo/__init__.pyi": "",
                "demo/tests/test_a.py": "",
                "demo/README.md": "",
                f"{_DIST_INFO}/licenses/README.md": "licence",
            },
            entry_points="[group]\nname = demo\n",
        ),
    )
    folder = tmp_path / "unpacked"

    write_folder(filtered(tree, presets=list(Preset)).tree, folder)

    (found,) = importlib.metadata.distributions(path=[str(folder)])
    assert found.version == "1.0"
    assert [(point.name, point.value) for point in found.entry_points] == [("name", "demo")]
    files = found.files
    assert files
    assert all(Path(str(file.locate())).is_file() for file in files)
    assert sorted(str(file) for file in files) == [
        f"{_DIST_INFO}/METADATA",
        f"{_DIST_INFO}/RECORD",
        f"{_DIST_INFO}/WHEEL",
        f"{_DIST_INFO}/entry_points.txt",
        f"{_DIST_INFO}/licenses/README.md",
        "demo/__init__.py",
    ]


def test_command_line(tmp_path: Path) -> None:
    """The flags leave out, and the report says what each of them saved."""
    project = a_project(tmp_path / "project")
    (project / "src" / "demo" / "app.pyi").write_text("x: int\n")
    run = run_lambda_build(
        *("--exclude-preset", "stubs,docs", "--exclude", "__init__.py", "--exclude", "*.rs"),
        cwd=project,
        environ=quiet_environment(tmp_path / "home"),
    )

    assert run.code == 0, run.errors
    assert (
        "Excluded\n"
        "  preset stubs: 1 file, 0.0 KB\n"
        "  __init__.py: 1 file, 0.0 KB\n"
        "\n"
        "warning: `*.rs` of `exclude` matches nothing\n"
    ) in run.output


_PROGRAM = """
import importlib, importlib.metadata, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
for found in importlib.metadata.distributions(path=[sys.argv[1]]):
    assert found.version and list(found.entry_points) is not None
    missing = [str(file) for file in found.files if not file.locate().is_file()]
    assert not missing, (found.name, missing)
"""


@pytest.mark.index
def test_real_packages(tmp_path: Path) -> None:
    """Packages that are large for their tests, stubs and documents work without them."""
    names = ("boto3", "cryptography", "fastapi", "numpy", "pandas", "pydantic", "sqlalchemy")
    # Later ones of the two need a newer glibc than the runtimes up to 3.11 have.
    bounded = {"numpy": "numpy<2.3", "pandas": "pandas<3"}
    dependencies = tuple(bounded.get(name, name) for name in names)
    project = a_project(tmp_path / "project", dependencies=dependencies, extra=held())
    beside = Path(sys.executable).parent
    uv = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    assert uv, "uv is in the dependency group `test`"
    subprocess.run([uv, "lock", "--quiet"], cwd=project, check=True)
    unpacked = tmp_path / "unpacked"
    cache = tmp_path / "cache"
    run = run_lambda_build(
        *("--runtime", f"python3.{sys.version_info.minor}", "--unpacked", unpacked),
        *("--exclude-preset", "tests,stubs,docs", "--cache-dir", cache, "-q"),
        cwd=project,
        environ=os.environ,
    )
    assert run.code == 0, run.errors

    modules = (*names, "botocore.docs", "cryptography.x509", "numpy.testing", "pandas.testing")
    subprocess.run(
        [sys.executable, "-S", "-B", "-c", _PROGRAM, str(unpacked), *modules],
        env={"PYTHONPATH": str(unpacked)},
        check=True,
    )
    assert not (unpacked / "pandas" / "tests" / "test_algos.py").exists()
