"""Which files ship of a project that is packaged as it lies in its folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.stage.plain_files import UnfitFileError
from lambda_build_plugin.stage.project_walk import Choice
from lambda_build_plugin.stage.source_files import NoCodeError, plain_project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other names and modes")


def a_folder(root: Path, *paths: str, texts: Mapping[str, str] | None = None) -> Path:
    """Write empty files, and some with a text."""
    for path, text in {**dict.fromkeys(paths, ""), **(texts or {})}.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return root


def shipped(root: Path, choice: Choice | None = None) -> list[str]:
    """List the paths that ship, in their order."""
    return [file.path for file in plain_project(read_project(root), choice or Choice()).files]


# --- where modules are imported from ----------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "handler", "expected"),
    [
        pytest.param(
            ["lambda_function.py", "shared/__init__.py", "words/en.txt"],
            None,
            ["lambda_function.py", "shared/__init__.py", "words/en.txt"],
            id="flat",
        ),
        pytest.param(
            ["src/app/__init__.py", "src/app/words.txt", "notes.txt"],
            None,
            ["app/__init__.py", "app/words.txt"],
            id="packages in src",
        ),
        pytest.param(["src/app.py", "setup.py"], None, ["app.py"], id="modules in src"),
        pytest.param(["src/app/main.py"], None, ["app/main.py"], id="namespace package in src"),
        pytest.param(
            ["src/app.py", "main.py"], None, ["main.py", "src/app.py"], id="src beside a module"
        ),
        pytest.param(
            ["src/app.py", "app/__init__.py"],
            None,
            ["app/__init__.py", "src/app.py"],
            id="src beside a package",
        ),
        pytest.param(
            ["src/__init__.py", "src/app.py"],
            None,
            ["src/__init__.py", "src/app.py"],
            id="src is a package",
        ),
        pytest.param(["src/app.py"], "src/app.handler", ["src/app.py"], id="handler in src"),
        pytest.param(["src/words.txt", "main.py"], None, ["main.py", "src/words.txt"], id="data"),
    ],
)
def test_import_root(
    tmp_path: Path, paths: list[str], handler: str | None, expected: list[str]
) -> None:
    """Modules are imported from the folder itself, or from `src` where only that has some."""
    assert shipped(a_folder(tmp_path, *paths), Choice(handler=handler)) == expected


def test_packages_of_poetry(tmp_path: Path) -> None:
    """What Poetry's `packages` name ships, from outside the project too, and nothing else."""
    pyproject = """\
[tool.poetry]
packages = [
    { include = "shared", from = "../shared/src" },
    { include = "app/**/*.py", to = "inner" },
    { include = "lambda_function.py" },
    { include = "docs", format = "sdist" },
]
"""
    a_folder(tmp_path / "shared" / "src", "shared/__init__.py", "shared/a.txt", "other.py")
    root = a_folder(
        tmp_path / "project",
        *("lambda_function.py", "app/deep/a.py", "app/b.txt", "docs/c.py", "main.py"),
        texts={"pyproject.toml": pyproject},
    )

    assert shipped(root, Choice(include=("/main.py",))) == [
        "inner/app/deep/a.py",
        "lambda_function.py",
        "main.py",
        "shared/__init__.py",
        "shared/a.txt",
    ]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        pytest.param(
            'include = "gone"', "packages[0].include: `gone` matches nothing in {root}", id="absent"
        ),
        pytest.param(
            'include = ""',
            "packages[0].include: `` is not a valid pattern: Unacceptable pattern: ''",
            id="empty",
        ),
        pytest.param(
            'include = "main.py"\nto = "../up"',
            "packages[0]: `../up/main.py` would be outside the artifact",
            id="target outside",
        ),
        pytest.param(
            'include = "main.py"\nto = "/"',
            "packages[0]: `/main.py` would be outside the artifact",
            id="absolute target",
        ),
        pytest.param(
            'include = ".."', "packages[0]: `..` would be outside the artifact", id="above"
        ),
    ],
)
def test_wrong_packages_of_poetry(tmp_path: Path, table: str, problem: str) -> None:
    """A package that is not there is an error with its place in pyproject.toml."""
    text = f"[[tool.poetry.packages]]\n{table}\n"
    root = a_folder(tmp_path, "main.py", texts={"pyproject.toml": text})

    with pytest.raises(SettingsError) as caught:
        shipped(root)

    assert caught.value.why == f"pyproject.toml: tool.poetry.{problem}".format(root=tmp_path)


# --- what stays behind -------------------------------------------------------------------


def test_left_behind(tmp_path: Path) -> None:
    """Version control, environments, caches, secrets, tools and tests stay behind; data ships."""
    (tmp_path / "env").mkdir()
    a_folder(
        tmp_path,
        *(".git/config", ".gitignore", ".env", ".env.local", "env/pyvenv.cfg", "env/lib/a.py"),
        *("__pycache__/a.pyc", "pkg/__pycache__/a.pyc", "pkg/a.pyc", ".mypy_cache/a.json"),
        *("requirements.txt", "requirements-dev.txt", "uv.lock", "Makefile", "Dockerfile"),
        *("tests/data.json", "pkg/tests/a.py", "test_a.py", "conftest.py", "dist/a.zip"),
        *("node_modules/a.js", "pip-1.0.dist-info/METADATA", "old.zip", ".vscode/a.json"),
        *("main.py", "pkg/Makefile", "pkg/requirements.txt", "pkg/dist/a.txt", "template.yaml"),
        *(".aws/credentials", ".ssh/known_hosts", "deploy/id_rsa", ".npmrc", ".git-credentials"),
        *("README.md", ".hidden", "latest.txt", "pkg/contest.py"),
    )

    assert shipped(tmp_path) == [
        *(".hidden", "README.md", "latest.txt", "main.py", "pkg/Makefile", "pkg/contest.py"),
        *("pkg/dist/a.txt", "pkg/requirements.txt", "template.yaml"),
    ]


def test_environments_and_earlier_zips(tmp_path: Path) -> None:
    """Neither environments of conda and pixi ship, nor what members of a workspace have built."""
    (tmp_path / "conda" / "conda-meta").mkdir(parents=True)
    a_folder(
        tmp_path,
        *("main.py", "conda/lib/a.py", ".pixi/envs/default/lib/a.py"),
        *("api/pyproject.toml", "api/a.py", "api/dist/api-1.zip", "api/build/lib/a.py"),
        *("old/setup.py", "old/dist/old-1.whl", "data/dist/a.txt"),
        "data/demo-1.0-function-python3.13-arm64.zip",
        "data/demo-1.0-deps-layer-python3.13-x86_64.zip",
        "data/words.zip",
    )

    assert shipped(tmp_path) == [
        *("api/a.py", "api/pyproject.toml", "data/dist/a.txt", "data/words.zip", "main.py"),
        "old/setup.py",
    ]


def test_what_stays_behind_is_noted(tmp_path: Path) -> None:
    """Each file and folder is noted once, with the reason."""
    a_folder(
        tmp_path,
        *(".git/config", "main.py", "lib/a.py", "lib/b/c.py", "tests/a.py", "docs/a.md"),
        *("env/lib/a.py", "out.bin", "Makefile", "generated/a.py"),
        texts={".gitignore": "lib/\ngenerated/\n", "env/pyvenv.cfg": ""},
    )
    choice = Choice(
        exclude=("docs/",), include=("/generated/",), apart=frozenset({tmp_path / "out.bin"})
    )

    project = plain_project(read_project(tmp_path), choice)

    assert {item.path: item.reason for item in project.left_behind} == {
        ".gitignore": "it is left out by default",
        "Makefile": "it is left out by default",
        "docs/a.md": "`exclude` matches it",
        "env/": "it is an environment",
        "lib/": "`.gitignore` matches it",
        "out.bin": "it belongs to the build, or ships as a wheel",
        "tests/": "it is a test",
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param({"main.py": "import test_results"}, ["test_results.py"], id="module"),
        pytest.param(
            {"main.py": "def f():\n    import test_results"}, ["test_results.py"], id="late"
        ),
        pytest.param(
            {"pkg/__init__.py": "from .test_data import A", "pkg/test_data.py": ""},
            ["pkg/test_data.py"],
            id="relative",
        ),
        pytest.param(
            {
                "pkg/__init__.py": "",
                "pkg/a/b.py": "from .. import test_data",
                "pkg/test_data.py": "",
            },
            ["pkg/test_data.py"],
            id="from a folder above",
        ),
        pytest.param(
            {"main.py": "from tests.tools import a", "tests/__init__.py": "", "tests/tools.py": ""},
            ["tests/__init__.py", "tests/tools.py"],
            id="in a folder of tests",
        ),
        pytest.param(
            {"main.py": "import test_results", "test_results.py": "import conftest"},
            ["conftest.py", "test_results.py"],
            id="what only a test imports",
        ),
        pytest.param({"main.py": "import tests_results"}, [], id="another name"),
        pytest.param({"main.py": "# test_results\nimport (", "a.py": ""}, [], id="syntax error"),
        pytest.param({"other.py": "", "test_other.py": "import test_results"}, [], id="by tests"),
    ],
)
def test_tests_that_code_imports_ship(
    tmp_path: Path, texts: dict[str, str], expected: list[str]
) -> None:
    """What a function imports is no test, whatever its name."""
    a_folder(tmp_path, "main.py", "test_results.py", "conftest.py", "tests/test_main.py")
    a_folder(tmp_path, texts=texts)

    paths = shipped(tmp_path)

    assert [path for path in paths if "test" in path] == expected


def test_imported_test_that_is_excluded(tmp_path: Path) -> None:
    """The user's patterns have the last word."""
    a_folder(tmp_path, "test_results.py", texts={"main.py": "import test_results"})

    assert shipped(tmp_path, Choice(exclude=("test_results.py",))) == ["main.py"]


def test_what_is_apart(tmp_path: Path) -> None:
    """The places of the build itself and local packages never ship, whatever is included."""
    a_folder(tmp_path, "main.py", "out.bin", "libs/common/a.py")
    apart = frozenset({tmp_path / "out.bin", tmp_path / "libs" / "common"})

    assert shipped(tmp_path, Choice(include=("*",), apart=apart)) == ["main.py"]


def test_gitignore(tmp_path: Path) -> None:
    """What `.gitignore` files name stays behind, the nearest file having the last word."""
    a_folder(
        tmp_path / "repository",
        *("project/main.py", "project/a.log", "project/pkg/b.log", "project/pkg/keep.log"),
        *("project/local/c.txt", "project/pkg/local/d.txt", "project/private.txt"),
        texts={
            ".gitignore": "*.log\n",
            ".git/info/exclude": "private.txt\n",
            "project/.gitignore": "/local/\n",
            "project/pkg/.gitignore": "!keep.log\n",
        },
    )

    assert shipped(tmp_path / "repository" / "project") == [
        "main.py",
        "pkg/keep.log",
        "pkg/local/d.txt",
    ]


def test_gitignore_above_without_repository(tmp_path: Path) -> None:
    """A `.gitignore` above the project counts within a repository alone."""
    a_folder(tmp_path, "project/main.py", texts={".gitignore": "*\n"})

    assert shipped(tmp_path / "project") == ["main.py"]


def test_line_that_is_no_pattern(tmp_path: Path) -> None:
    """A line of `.gitignore` that is no pattern is passed over, as in git."""
    a_folder(tmp_path, "main.py", "a.log", texts={".gitignore": "!\n*.log\n"})

    assert shipped(tmp_path) == ["main.py"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        pytest.param((), ("*.txt",), ["main.py"], id="exclude"),
        pytest.param((), ("data/", "!data/b.txt"), ["data/b.txt", "main.py"], id="later wins"),
        pytest.param(
            ("data/a.txt",), ("data/",), ["data/a.txt", "main.py"], id="include before exclude"
        ),
        pytest.param(
            ("tests/", "ignored/deep/"),
            ("data/",),
            ["ignored/deep/c.txt", "main.py", "tests/d.txt"],
            id="include what stays behind",
        ),
        pytest.param(
            ("*.txt", "!data/*"), (), ["ignored/deep/c.txt", "main.py", "tests/d.txt"], id="not all"
        ),
    ],
)
def test_patterns(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]
) -> None:
    """`exclude` refines what ships, `include` has the last word over everything."""
    a_folder(
        tmp_path,
        *("main.py", "data/a.txt", "data/b.txt", "ignored/deep/c.txt", "tests/d.txt"),
        texts={".gitignore": "ignored/\n"},
    )

    assert shipped(tmp_path, Choice(include=include, exclude=exclude)) == expected


def test_include_from_beside_src(tmp_path: Path) -> None:
    """What lies beside `src` ships under its own path, where `include` names it."""
    a_folder(tmp_path, "src/app.py", "words/en.txt", "notes.txt")

    assert shipped(tmp_path, Choice(include=("words/",))) == ["app.py", "words/en.txt"]


@pytest.mark.parametrize("paths", [["README.md"], ["tests/test_a.py"], []])
def test_no_code(tmp_path: Path, paths: list[str]) -> None:
    """A project without any module that ships is an error, not a zip without a handler."""
    with pytest.raises(NoCodeError):
        shipped(a_folder(tmp_path, *paths))


# --- links, modes, names -----------------------------------------------------------------


@on_posix
def test_links_inside(tmp_path: Path) -> None:
    """Links inside the project become copies, and one that leads back up ends."""
    a_folder(tmp_path, texts={"main.py": "MAIN", "real/a.py": "A"})
    (tmp_path / "again.py").symlink_to("main.py")
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "real" / "up").symlink_to("..")

    files = plain_project(read_project(tmp_path), Choice()).files

    assert {file.path: file.place.read_text(encoding="utf-8") for file in files} == {
        "again.py": "MAIN",
        "main.py": "MAIN",
        "other/a.py": "A",
        "real/a.py": "A",
    }


@on_posix
@pytest.mark.parametrize("name", ["secret.txt", "folder"])
def test_link_that_leaves_the_project(tmp_path: Path, name: str) -> None:
    """A link to the outside is refused, and the message says how to ship it all the same."""
    a_folder(tmp_path / "outside", "secret.txt", "folder/a.txt")
    root = a_folder(tmp_path / "project", "main.py")
    (root / name).symlink_to(tmp_path / "outside" / name)

    with pytest.raises(UnfitFileError) as caught:
        shipped(root)

    assert caught.value.what == f"'{name}' cannot ship"
    assert f'`include = ["/{name}"]`' in caught.value.hint


@on_posix
def test_link_that_is_included_by_name(tmp_path: Path) -> None:
    """Links to the outside ship as copies where `include` names them; a pattern is no name."""
    a_folder(tmp_path / "outside", "one.txt", "folder/a.txt")
    root = a_folder(tmp_path / "project", "main.py")
    for name in ("one.txt", "folder"):
        (root / name).symlink_to(tmp_path / "outside" / name)

    assert shipped(root, Choice(include=("one.txt", "/folder/"))) == [
        "folder/a.txt",
        "main.py",
        "one.txt",
    ]
    with pytest.raises(UnfitFileError):
        shipped(root, Choice(include=("*.txt", "/folder/")))


@on_posix
def test_link_that_stays_behind(tmp_path: Path) -> None:
    """A link to the outside that would not ship is nobody's business."""
    root = a_folder(tmp_path / "project", "main.py", texts={".gitignore": "/data\n"})
    (root / "data").symlink_to(tmp_path)
    (root / "gone.txt").symlink_to("nowhere")

    assert shipped(root, Choice(exclude=("gone.txt",))) == ["main.py"]


@on_posix
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(
            lambda path: path.symlink_to("nowhere"),
            "it is a link that points to nothing or to itself",
            id="broken link",
        ),
        pytest.param(
            lambda path: path.symlink_to(path.name),
            "it is a link that points to nothing or to itself",
            id="link to itself",
        ),
        pytest.param(os.mkfifo, "it is a device, a pipe or a socket", id="pipe"),
    ],
)
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    """What is no file is refused, and not waited for."""
    make(a_folder(tmp_path, "main.py") / "odd")

    with pytest.raises(UnfitFileError) as caught:
        shipped(tmp_path)

    assert caught.value.why == problem


@on_posix
def test_modes(tmp_path: Path) -> None:
    """What its owner may run stays executable."""
    a_folder(tmp_path, "main.py", "run.sh", "odd.sh")
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "odd.sh").chmod(0o611)

    files = plain_project(read_project(tmp_path), Choice()).files

    assert {file.path: file.executable for file in files} == {
        "main.py": False,
        "odd.sh": False,
        "run.sh": True,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such a name")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param(b"caf\xe9.txt", "its name is not UTF-8 text", id="not UTF-8"),
        pytest.param(
            b"a\\b.txt", "its name contains a `\\` or a drive, as Windows paths do", id="backslash"
        ),
        pytest.param(
            b"c:a.txt", "its name contains a `\\` or a drive, as Windows paths do", id="drive"
        ),
    ],
)
def test_names(tmp_path: Path, name: bytes, problem: str) -> None:
    """A name that unpacks to another one elsewhere is refused."""
    a_folder(tmp_path, "main.py")
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("")  # noqa: PTH118

    with pytest.raises(UnfitFileError) as caught:
        shipped(tmp_path)

    assert caught.value.why == problem
