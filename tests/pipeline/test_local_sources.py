"""Path dependencies and workspace members: real copies of what lies in their folders now."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.hatch_hosts import hatch_host, indexes
from fakes.hosts import our_wheel
from fakes.index import FakeIndex
from fakes.pdm_hosts import WITH_BACKEND, pdm_host
from fakes.poetry_hosts import NEWEST, poetry_host
from fakes.projects import quiet_environment, run_lambda_build
from fakes.sources import a_source
from fakes.wheels import a_wheel, an_sdist
from fakes.words import NO_FILE

from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.lock import pdm_freshness
from lambda_build_plugin.lock.poetry_freshness import content_hash
from lambda_build_plugin.system.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PYPROJECT = """\
[build-system]
requires = ["{backend}"]
build-backend = "{module}"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = [{dependencies}]
{more}
"""
_BACKENDS = {
    "hatchling": "hatchling.build",
    "pdm-backend": "pdm.backend",
    "poetry-core": "poetry.core.masonry.api",
}
_UV_SOURCE = "[tool.uv.sources]\n{name} = {{ workspace = true }}\n"
_POETRY_SOURCE = """\
[tool.poetry.dependencies]
{name} = {{ path = "../{name}", develop = true }}
"""
_WORKSPACE = '[tool.uv.workspace]\nmembers = ["app", "common", "util"]\n'
_LOCKED_FOLDER = """
[[package]]
name = "{name}"
version = "1.0"
description = ""
optional = false
python-versions = ">=3.10"
groups = ["main"]
files = []
develop = true
{dependencies}
[package.source]
type = "directory"
url = "../{name}"
"""
_PDM_SOURCE = "{name} @ file:///${{PROJECT_ROOT}}/../{name}"
_PDM_DEVELOPED = """\
[tool.pdm.dev-dependencies]
dev = ["-e file:///${PROJECT_ROOT}/../common", "-e file:///${PROJECT_ROOT}/../util"]
"""
_PDM_WORKSPACE = """\
[project]
name = "root"
version = "1.0"
requires-python = ">=3.10"

[tool.pdm]
distribution = false

[tool.pdm.workspace]
members = ["app", "common", "stray", "util"]
"""
_PDM_LOCK = """\
[metadata]
groups = ["default"]
strategy = ["inherit_metadata"]
lock_version = "4.5.1"
content_hash = "sha256:{digest}"

[[metadata.targets]]
requires_python = ">=3.10"
"""
_PDM_LOCKED_FOLDER = """
[[package]]
name = "{name}"
version = "1.0"
requires_python = ">=3.10"
{editable}path = "../{name}"
summary = ""
groups = ["default"]
dependencies = [{dependencies}]
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give an environment of no one's, in which uv is at hand."""
    environ = quiet_environment(
        tmp_path / "home",
        LAMBDA_BUILD_RUNTIME="python3.13",
        LAMBDA_BUILD_ARCHITECTURE="arm64",
        LAMBDA_BUILD_OUTPUT=str(tmp_path / "made.zip"),
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return {**environ, "PATH": path, "UV_OFFLINE": "1"}


def a_package(
    folder: Path,
    *dependencies: str,
    files: Mapping[str, str] | None = None,
    more: str = "",
    backend: str = "hatchling",
) -> Path:
    """Write a package that is named like its folder, by default of one module."""
    name = folder.name
    (folder / "src" / name).mkdir(parents=True)
    text = _PYPROJECT.format(
        name=name,
        backend=backend,
        module=_BACKENDS[backend],
        dependencies=", ".join(f'"{dependency}"' for dependency in dependencies),
        more=more,
    )
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    for path, content in (files or {f"src/{name}/__init__.py": "edition = 1\n"}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    return folder


def a_uv_workspace(root: Path, environ: Mapping[str, str]) -> Path:
    """Make a workspace of three members, locked by uv; get the one that is a function."""
    a_package(root / "util")
    a_package(root / "common", "util", more=_UV_SOURCE.format(name="util"))
    app = a_package(root / "app", "common", more=_UV_SOURCE.format(name="common"))
    (root / "pyproject.toml").write_text(_WORKSPACE, encoding="utf-8")
    subprocess.run(["uv", "lock", "--quiet"], cwd=root, env=dict(environ), check=True)
    return app


def a_poetry_project(root: Path, environ: Mapping[str, str]) -> Path:
    """Make the same three as path dependencies in a poetry.lock."""
    a_package(root / "util", backend="poetry-core")
    more = _POETRY_SOURCE.format(name="util")
    a_package(root / "common", "util", more=more, backend="poetry-core")
    more = _POETRY_SOURCE.format(name="common")
    app = a_package(root / "app", "common", more=more, backend="poetry-core")
    needs = '\n[package.dependencies]\nutil = {path = "../util"}\n'
    packages = _LOCKED_FOLDER.format(name="common", dependencies=needs)
    packages += _LOCKED_FOLDER.format(name="util", dependencies="")
    digest = content_hash(read_toml(app / "pyproject.toml"))
    (app / "poetry.lock").write_text(
        "# This file is automatically @generated by Poetry 2.1.0 and should not be changed by "
        f'hand.\n{packages}\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.10"\n'
        f'content-hash = "{digest}"\n',
        encoding="utf-8",
    )
    return app


def a_pdm_project(root: Path, environ: Mapping[str, str]) -> Path:
    """Make the same three as path dependencies in a pdm.lock, one of them editable."""
    app = a_chain_of_pdm(root)
    util = f'"util @ {(app / ".." / "util").as_uri()}"'
    packages = _PDM_LOCKED_FOLDER.format(name="common", editable="", dependencies=util)
    editable = "editable = true\n"
    packages += _PDM_LOCKED_FOLDER.format(name="util", editable=editable, dependencies="")
    digest = pdm_freshness.content_hash(read_toml(app / "pyproject.toml"))
    (app / "pdm.lock").write_text(_PDM_LOCK.format(digest=digest) + packages, encoding="utf-8")
    return app


def a_chain_of_pdm(root: Path) -> Path:
    """Write three packages of which each names the folder of the next, as PDM has it."""
    a_package(root / "util", backend="pdm-backend")
    a_package(root / "common", _PDM_SOURCE.format(name="util"), backend="pdm-backend")
    return a_package(root / "app", _PDM_SOURCE.format(name="common"), backend="pdm-backend")


def a_development_of_pdm(root: Path) -> Path:
    """Write three packages of which the first has the others as editable ones."""
    a_package(root / "util", backend="pdm-backend")
    a_package(root / "common", "util", backend="pdm-backend")
    return a_package(root / "app", "common", more=_PDM_DEVELOPED, backend="pdm-backend")


def a_pylock_project(root: Path, environ: Mapping[str, str]) -> Path:
    """Make the same three as directories in a pylock.toml."""
    a_package(root / "util")
    a_package(root / "common", "util")
    app = a_package(root / "app", "common")
    entries = "".join(
        f'[[packages]]\nname = "{name}"\n'
        f'[packages.directory]\npath = "../{name}"\neditable = true\n'
        for name in ("common", "util")
    )
    text = f'lock-version = "1.0"\ncreated-by = "test"\n{entries}'
    (app / "pylock.toml").write_text(text, encoding="utf-8")
    return app


def a_requirements_project(root: Path, environ: Mapping[str, str]) -> Path:
    """Make the same three as lines of a requirements file, in three spellings."""
    a_package(root / "util")
    a_package(root / "common", "util")
    app = a_package(root / "app", "common")
    lines = f"-e ../common\nutil @ {(root / 'util').as_uri()}\n-e .\n"
    (app / "requirements.txt").write_text(lines, encoding="utf-8")
    return app


def shipped(project: Path, environ: Mapping[str, str], *options: str) -> dict[str, Any]:
    """Run `lambda-build`, which has to succeed, and give its report."""
    run = run_lambda_build("--json", *options, cwd=project, environ=environ)
    assert run.code == 0, run.errors
    report: dict[str, Any] = json.loads(run.output)
    return report


def contents(report: Mapping[str, Any]) -> dict[str, str]:
    """Get what the artifact holds beside metadata."""
    with zipfile.ZipFile(report["artifact"]) as archive:
        return {
            name: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" not in name
        }


def sources(report: Mapping[str, Any]) -> dict[str, str]:
    """Get what each package was made of."""
    return {package["name"]: package["source"] for package in report["packages"]}


MAKERS = [
    pytest.param(a_uv_workspace, id="uv.lock"),
    pytest.param(a_poetry_project, id="poetry.lock"),
    pytest.param(a_pdm_project, id="pdm.lock"),
    pytest.param(a_pylock_project, id="pylock.toml"),
    pytest.param(a_requirements_project, id="requirements.txt"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_local_packages_are_copied(
    tmp_path: Path, environ: dict[str, str], make: Callable[[Path, Mapping[str, str]], Path]
) -> None:
    """A chain of local packages ships as three real copies, and an edit is in the next zip."""
    app = make(tmp_path / "work", environ)
    first = shipped(app, environ)
    before = contents(first)
    (tmp_path / "work" / "util" / "src" / "util" / "__init__.py").write_text("edition = 2\n")

    second = shipped(app, environ)

    assert before == {f"{name}/__init__.py": "edition = 1\n" for name in ("app", "common", "util")}
    assert contents(second) == {**before, "util/__init__.py": "edition = 2\n"}
    assert sources(second) == {"app": "local", "common": "local", "util": "local"}
    assert second["warnings"] == []


@pytest.mark.index
def test_local_packages_through_poetry(tmp_path: Path) -> None:
    """`poetry lock` and `poetry build-lambda` make three copies of path dependencies."""
    root, home = tmp_path / "work", tmp_path / "home"
    poetry = poetry_host(NEWEST)
    with FakeIndex([a_wheel("common", "9.0"), a_wheel("util", "9.0")]) as index:
        own_index = f'[[tool.poetry.source]]\nname = "own"\nurl = "{index.url}"\n'
        a_package(root / "util", more=own_index, backend="poetry-core")
        for name, needed in (("common", "util"), ("app", "common")):
            more = _POETRY_SOURCE.format(name=needed) + own_index
            path = a_package(root / name, more=more, backend="poetry-core") / "pyproject.toml"
            # Poetry's own table names them, and nothing else does: as most of its projects are.
            text = path.read_text().replace("dependencies = []", 'dynamic = ["dependencies"]')
            path.write_text(text, encoding="utf-8")
        app = root / "app"
        locked = poetry.run("lock", "--no-interaction", cwd=app, home=home)
        assert locked.returncode == 0, locked.stdout + locked.stderr
        ran = poetry.run("build-lambda", "--json", "--runtime", "python3.13", cwd=app, home=home)
        assert ran.returncode == 0, ran.stderr

    report = json.loads(ran.stdout)
    assert contents(report) == {
        f"{name}/__init__.py": "edition = 1\n" for name in ("app", "common", "util")
    }
    assert report["warnings"] == []


@pytest.mark.index
@pytest.mark.parametrize(
    ("make", "strategy"),
    [
        pytest.param(a_chain_of_pdm, "inherit_metadata", id="chain-flat"),
        pytest.param(
            a_chain_of_pdm, "no_inherit_metadata", id="chain-graph", marks=pytest.mark.nightly
        ),
        pytest.param(
            a_development_of_pdm, "inherit_metadata", id="group-flat", marks=pytest.mark.nightly
        ),
        pytest.param(a_development_of_pdm, "no_inherit_metadata", id="group-graph"),
    ],
)
def test_local_packages_through_pdm(
    tmp_path: Path,
    environ: dict[str, str],
    make: Callable[[Path], Path],
    strategy: str,
) -> None:
    """`pdm lock`, `pdm build --lambda` and `lambda-build`: copies of what lies there, no links."""
    home, pdm = tmp_path / "home", pdm_host(*WITH_BACKEND)
    app = make(tmp_path / "work")
    named = {"PDM_PYTHON": str(pdm.python)}  # else PDM makes a virtualenv to resolve in
    locked = pdm.run("lock", "--strategy", strategy, cwd=app, home=home, environ=named)
    assert locked.returncode == 0, locked.stdout + locked.stderr
    words = ("build", "--lambda", "--json", "--runtime", "python3.13", "--arch", "arm64")

    found = []
    for edition in (1, 2):
        (tmp_path / "work/util/src/util/__init__.py").write_text(f"edition = {edition}\n")
        ran = pdm.run(*words, cwd=app, home=home)
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert report["sha256"] == shipped(app, environ)["sha256"]
        assert report["warnings"] == []
        found.append(contents(report))

    others = {f"{name}/__init__.py": "edition = 1\n" for name in ("app", "common")}
    assert found == [{**others, "util/__init__.py": f"edition = {edition}\n"} for edition in (1, 2)]


@pytest.mark.index
def test_member_of_a_workspace_of_pdm(tmp_path: Path, environ: dict[str, str]) -> None:
    """Of the lock at the root, which has all members in one group, what a member needs ships."""
    root, home, pdm = tmp_path / "work", tmp_path / "home", pdm_host(*WITH_BACKEND)
    a_package(root / "util", backend="pdm-backend")
    a_package(root / "common", "util", backend="pdm-backend")
    a_package(root / "stray", backend="pdm-backend")
    app = a_package(root / "app", "common", backend="pdm-backend")
    (root / "pyproject.toml").write_text(_PDM_WORKSPACE, encoding="utf-8")
    named = {"PDM_PYTHON": str(pdm.python)}
    locked = pdm.run("lock", cwd=root, home=home, environ=named)
    assert locked.returncode == 0, locked.stdout + locked.stderr

    words = ("build", "--lambda", "--json", "--runtime", "python3.13", "--arch", "arm64")
    ran = pdm.run(*words, cwd=app, home=home)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)

    assert report["sha256"] == shipped(app, environ)["sha256"]
    assert sources(report) == {"app": "local", "common": "local", "util": "local"}
    assert report["warnings"] == []


@pytest.mark.index
def test_local_packages_through_hatch(tmp_path: Path, environ: dict[str, str]) -> None:
    """`hatch build -t lambda` in a member of a uv workspace makes the same three copies."""
    app = a_uv_workspace(tmp_path / "work", environ)
    pyproject, plugin = app / "pyproject.toml", our_wheel()
    target = f"""
[tool.hatch.build.targets.lambda]
dependencies = ["lambda-build-plugin @ {plugin.as_uri()}"]
"""
    pyproject.write_text(pyproject.read_text() + target, encoding="utf-8")
    online = {**environ, **indexes(), "UV_OFFLINE": "0"}
    hatch, home = hatch_host(), tmp_path / "home"

    found = []
    for edition in (1, 2):
        (tmp_path / "work/util/src/util/__init__.py").write_text(f"edition = {edition}\n")
        ran = hatch.run("build", "-t", "lambda", cwd=app, home=home, environ=online)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        of_hatch = (tmp_path / "made.zip").read_bytes()
        report = shipped(app, environ)
        assert of_hatch == (tmp_path / "made.zip").read_bytes()
        found.append(contents(report))

    others = {f"{name}/__init__.py": "edition = 1\n" for name in ("app", "common")}
    assert found == [{**others, "util/__init__.py": f"edition = {edition}\n"} for edition in (1, 2)]


@pytest.mark.parametrize("make", MAKERS)
def test_place_leaves_no_trace(
    tmp_path: Path, environ: dict[str, str], make: Callable[[Path, Mapping[str, str]], Path]
) -> None:
    """Backends write folders of path dependencies into METADATA; the same bytes ship from each."""
    digests = set()
    for place in ("here", "there"):
        app = make(tmp_path / place, environ)
        report = shipped(app, environ)
        with zipfile.ZipFile(report["artifact"]) as archive:
            text = archive.read("app-1.0.dist-info/METADATA").decode()
        assert "Requires-Dist: common\n" in text
        digests.add(report["sha256"])

    assert len(digests) == 1


def test_shared_namespace(tmp_path: Path, environ: dict[str, str]) -> None:
    """A wheel and a folder that share a namespace are both importable from the zip."""
    wheel = a_wheel("acme-a", files={"acme/a.py": "here = 'a'\n"})
    wheel.write_to(tmp_path / "wheels")
    more = '[tool.hatch.build.targets.wheel]\npackages = ["src/acme"]\n'
    a_package(tmp_path / "acme-b", files={"src/acme/b.py": "here = 'b'\n"}, more=more)
    app = a_package(tmp_path / "app", "acme-a", "acme-b")
    lines = f"../wheels/{wheel.filename} --hash=sha256:{wheel.sha256}\n-e ../acme-b\n"
    (app / "requirements.txt").write_text(lines, encoding="utf-8")

    report = shipped(app, environ, "--unpacked", "../unpacked")

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import acme.a, acme.b; print(acme.a.here, acme.b.here)"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path / "unpacked"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "a b\n"
    assert sources(report) == {"acme-a": "wheel", "acme-b": "local", "app": "local"}


@pytest.fixture
def strangers_index() -> Iterator[FakeIndex]:
    """Give an index with a package of somebody else's that is named like ours."""
    with FakeIndex([a_wheel("common", "9.0"), a_wheel("util", "9.0")]) as index:
        yield index


@pytest.mark.parametrize("make", MAKERS)
def test_ours_ships_and_not_the_stranger_s(
    tmp_path: Path,
    environ: dict[str, str],
    strangers_index: FakeIndex,
    make: Callable[[Path, Mapping[str, str]], Path],
) -> None:
    """A folder named like a package on the index ships itself; the index is not even asked."""
    app = make(tmp_path / "work", environ)

    report = shipped(app, {**environ, "UV_DEFAULT_INDEX": strangers_index.url})

    assert contents(report)["common/__init__.py"] == "edition = 1\n"
    assert strangers_index.requests == []


def test_skipped_folders(tmp_path: Path, environ: dict[str, str]) -> None:
    """With `local-dependencies = "skip"` the report names what was left out, and why."""
    app = a_uv_workspace(tmp_path / "work", environ)

    report = shipped(app, environ, "--local-dependencies", "skip", "--strict")

    assert sources(report) == {"app": "local"}
    assert [(item["name"], item["version"]) for item in report["left_out"]] == [
        ("common", "1.0"),
        ("util", "1.0"),
    ]
    assert {item["reason"].partition(",")[0] for item in report["left_out"]} == {
        "`local-dependencies` is `skip`"
    }


def test_included_beside_the_lock(tmp_path: Path, environ: dict[str, str]) -> None:
    """`include-local` adds wheels and folders, from the project's folder, without a lock."""
    wheel = a_wheel("shared", "1.2.3")
    wheel.write_to(tmp_path / "shared" / "dist")
    a_package(tmp_path / "extra")
    listed = f'["../shared/dist/{wheel.filename}", "../extra"]'
    app = a_package(tmp_path / "app", more=f"[tool.lambda-build]\ninclude-local = {listed}\n")

    report = shipped(app, environ)

    assert sources(report) == {"app": "local", "extra": "local", "shared": "wheel"}
    assert set(contents(report)) == {
        "app/__init__.py",
        "extra/__init__.py",
        "shared/__init__.py",
    }


def test_folder_whose_wheel_is_empty(tmp_path: Path, environ: dict[str, str]) -> None:
    """A backend that finds no code may say nothing; we do."""
    more = "[tool.hatch.build.targets.wheel]\nbypass-selection = true\n"
    a_package(tmp_path / "extra", more=more, files={"code/extra.py": ""})
    shutil.rmtree(tmp_path / "extra" / "src")
    app = a_package(tmp_path / "app", more='[tool.lambda-build]\ninclude-local = ["../extra"]\n')

    assert shipped(app, environ)["warnings"] == [
        "the wheel of extra 1.0, built from its folder, is empty: check its build settings if "
        "the folder contains code"
    ]


def test_what_an_included_wheel_requires(tmp_path: Path, environ: dict[str, str]) -> None:
    """A requirement that nothing meets fails the build, whoever has brought the wheel."""
    wheel = a_wheel("shared", metadata=["Requires-Dist: absent>=2"]).write_to(tmp_path)
    app = a_package(tmp_path / "app")

    run = run_lambda_build("--include-local", str(wheel), cwd=app, environ=environ)

    assert run.code == 8
    assert "why: shared 1.0 requires absent>=2, which does not ship" in run.errors


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("absent", None, "it is neither a folder nor a wheel", id="absent"),
        pytest.param("shared-1.0-py3-none-any.whl", None, NO_FILE, id="absent wheel"),
        pytest.param("shared-1.0-py3-none-any.whl", b"text", "it is neither", id="no zip"),
        pytest.param(
            "shared-1.0-cp39-cp39-win_amd64.whl",
            a_wheel("shared").content,
            "its tag is cp39-cp39-win_amd64, but python3.13 arm64 loads "
            "cp313-cp313-manylinux_2_34_aarch64, the same for an older manylinux",
            id="for another target",
        ),
        pytest.param(
            "shared-1.0-py3-none-any.whl",
            a_wheel("shared", metadata=["Requires-Python: <3.12"]).content,
            "its Requires-Python is `<3.12`, but python3.13 has Python 3.13.",
            id="for another Python",
        ),
    ],
)
def test_unfit_inclusion(
    tmp_path: Path, environ: dict[str, str], name: str, content: bytes | None, why: str
) -> None:
    """What cannot be included is an error that says why, and nothing is written."""
    app = a_package(tmp_path / "app")
    if content is not None:
        (tmp_path / name).write_bytes(content)

    run = run_lambda_build("--include-local", f"../{name}", cwd=app, environ=environ)

    assert (run.code, run.errors.partition("\n")[0]) == (
        6,
        f"error: cannot take {name} from {app / '..' / name}",
    )
    assert f"why: {why}" in run.errors
    assert not (tmp_path / "made.zip").exists()


def test_folder_that_is_gone(tmp_path: Path, environ: dict[str, str]) -> None:
    """A path dependency whose folder is not there is named with its place."""
    app = a_pylock_project(tmp_path / "work", environ)
    shutil.rmtree(tmp_path / "work" / "util")

    run = run_lambda_build(cwd=app, environ=environ)

    folder = app / ".." / "util"
    assert (run.code, run.errors.splitlines()[:2]) == (
        6,
        [f"error: cannot take util from {folder}", f"  why: {folder} is not a folder"],
    )


def test_file_that_is_gone(tmp_path: Path, environ: dict[str, str]) -> None:
    """A wheel that is locked by its path is looked for there alone, and the hint says so."""
    app = a_package(tmp_path / "app", "lib")
    line = f"../lib-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n"
    (app / "requirements.txt").write_text(line, encoding="utf-8")

    run = run_lambda_build(cwd=app, environ=environ)

    place = app / ".." / "lib-1.0-py3-none-any.whl"
    assert (run.code, run.errors) == (
        5,
        f"error: cannot read {place.name}\n  why: {place}: {NO_FILE}\n\n"
        "hint: put it there, or change its path and lock again\n",
    )


def test_folder_without_a_package(tmp_path: Path, environ: dict[str, str]) -> None:
    """A folder that nobody could build says what it lacks."""
    app = a_pylock_project(tmp_path / "work", environ)
    (tmp_path / "work" / "util" / "pyproject.toml").unlink()

    run = run_lambda_build(cwd=app, environ=environ)

    assert (run.code, run.errors.splitlines()[1]) == (
        6,
        "  why: it is not a package: it has neither a pyproject.toml nor a setup.py",
    )


@pytest.mark.index
def test_member_without_a_build_system(tmp_path: Path, environ: dict[str, str]) -> None:
    """What a member depends on is a package, for uv and here: one of setuptools (PEP 517)."""
    app = a_uv_workspace(tmp_path / "work", environ)
    util = tmp_path / "work" / "util" / "pyproject.toml"
    util.write_text(f"[project]{util.read_text().partition('[project]')[2]}", encoding="utf-8")

    report = shipped(app, {**environ, **indexes(), "UV_OFFLINE": "0"})

    assert contents(report)["util/__init__.py"] == "edition = 1\n"


def test_folder_of_another_package(tmp_path: Path, environ: dict[str, str]) -> None:
    """What is built must be the package that the lock names."""
    app = a_pylock_project(tmp_path / "work", environ)
    shutil.rmtree(tmp_path / "work" / "util")
    stranger = a_package(tmp_path / "work" / "stranger")
    stranger.rename(tmp_path / "work" / "util")

    run = run_lambda_build(cwd=app, environ=environ)

    assert (run.code, run.errors.partition("\n")[0]) == (
        6,
        "error: building util produced another package",
    )


def test_version_of_a_folder_is_its_own(tmp_path: Path, environ: dict[str, str]) -> None:
    """The lock's version of a folder may be old or missing: what lies there now counts."""
    app = a_uv_workspace(tmp_path / "work", environ)
    pyproject = tmp_path / "work" / "util" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"1.0"', '"2.0"'), encoding="utf-8")

    report = shipped(app, environ)

    assert {package["name"]: package["version"] for package in report["packages"]} == {
        "app": "1.0",
        "common": "1.0",
        "util": "2.0",
    }


def test_circle(tmp_path: Path, environ: dict[str, str]) -> None:
    """A local package that depends on the project does not bring it a second time."""
    root = tmp_path / "work"
    app = a_uv_workspace(root, environ)
    pyproject = root / "util" / "pyproject.toml"
    text = pyproject.read_text().replace("dependencies = []", 'dependencies = ["app"]')
    pyproject.write_text(text + _UV_SOURCE.format(name="app"), encoding="utf-8")
    subprocess.run(["uv", "lock", "--quiet"], cwd=root, env=environ, check=True)

    assert sorted(sources(shipped(app, environ))) == ["app", "common", "util"]


def test_sdist_is_built_once(tmp_path: Path, environ: dict[str, str]) -> None:
    """The wheel of an sdist is kept: a second build, without uv or pip, ships the same bytes."""
    sdist = an_sdist("lib", files=a_source())
    sdist.write_to(tmp_path)
    app = a_package(tmp_path / "app", "lib")
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (app / "requirements.txt").write_text(line, encoding="utf-8")

    first, second = (shipped(app, environ, "-v") for _ in range(2))

    assert sources(first) == sources(second) == {"app": "local", "lib": "sdist"}
    assert first["sha256"] == second["sha256"]
    said = run_lambda_build("-v", cwd=app, environ=environ)
    assert (said.code, "in isolation" in said.output + said.errors) == (0, False)


def test_damaged_wheel_in_the_cache(tmp_path: Path, environ: dict[str, str]) -> None:
    """A kept wheel whose bytes have changed is not used: it is built anew."""
    sdist = an_sdist("lib", files=a_source())
    sdist.write_to(tmp_path)
    app = a_package(tmp_path / "app", "lib")
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (app / "requirements.txt").write_text(line, encoding="utf-8")
    first = shipped(app, environ)
    for path in (tmp_path / "home").rglob("files/sha256/*/*"):
        path.write_bytes(b"damaged")

    second = shipped(app, environ)

    assert second["sha256"] == first["sha256"]


def test_forged_note_of_a_built_wheel(tmp_path: Path, environ: dict[str, str]) -> None:
    """Which wheel was built of an sdist is believed of the user's own builds only."""
    sdist = an_sdist("lib", files=a_source())
    sdist.write_to(tmp_path)
    app = a_package(tmp_path / "app", "lib")
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (app / "requirements.txt").write_text(line, encoding="utf-8")
    first = shipped(app, environ)
    (note,) = (tmp_path / "home").rglob("built/*.note")
    wheel = a_wheel("lib", "1.0", files={"lib/__init__.py": "evil = 1\n"})
    forged = {"digest": f"sha256:{wheel.sha256}", "filename": wheel.filename}
    Cache(note.parents[1]).store([wheel.content], None)
    note.write_bytes(note.read_bytes()[:32] + json.dumps(forged).encode())

    second = shipped(app, environ)

    assert second["sha256"] == first["sha256"]


def test_sdist_of_another_version(tmp_path: Path, environ: dict[str, str]) -> None:
    """An sdist that makes another version than its name says is refused."""
    sdist = an_sdist("lib", "2.0", files=a_source("lib", "1.0"))
    with FakeIndex([sdist]) as index:
        app = a_package(tmp_path / "app", "lib")
        line = f"lib==2.0 --hash=sha256:{sdist.sha256}\n"
        (app / "requirements.txt").write_text(line, encoding="utf-8")

        run = run_lambda_build(cwd=app, environ={**environ, "UV_DEFAULT_INDEX": index.url})

    assert run.code == 6
    assert "error: building lib 2.0 produced another package" in run.errors.splitlines()


def test_build_is_named_on_a_terminal(tmp_path: Path, environ: dict[str, str]) -> None:
    """A build may take minutes: while it goes on, the line says of which package it is."""
    sdist = an_sdist("lib", files=a_source())
    sdist.write_to(tmp_path)
    app = a_package(tmp_path / "app", "lib")
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (app / "requirements.txt").write_text(line, encoding="utf-8")
    controller, terminal = pty.openpty()
    code = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"

    subprocess.run(
        [sys.executable, "-c", code],
        cwd=app,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=True,
    )

    os.close(terminal)
    drawn = os.read(controller, 10_000).decode()
    os.close(controller)
    assert "\r\x1b[Kapp python3.13 arm64: build lib …" in drawn


def test_failing_build_of_what_has_wheels(tmp_path: Path, environ: dict[str, str]) -> None:
    """Who sees the build of a package fail learns first why its wheels were not taken."""
    backend = 'requires = []\nbuild-backend = "broken"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": f"[build-system]\n{backend}",
        "broken.py": "raise OSError('stuck')\n",
    }
    sdist = an_sdist("fast", files=files)
    wheel = a_wheel("fast", tag="cp313-cp313-manylinux_2_35_aarch64")
    sdist.write_to(tmp_path)
    wheel.write_to(tmp_path)
    app = a_package(tmp_path / "app", "fast")
    (app / "pylock.toml").write_text(
        f"""\
lock-version = "1.0"
created-by = "test"

[[packages]]
name = "fast"
version = "1.0"
sdist = {{ path = "../{sdist.filename}", hashes = {{ sha256 = "{sdist.sha256}" }} }}
wheels = [{{ path = "../{wheel.filename}", hashes = {{ sha256 = "{wheel.sha256}" }} }}]
""",
        encoding="utf-8",
    )

    run = run_lambda_build("--no-binary", "fast", cwd=app, environ=environ)

    lines = [line.strip() for line in run.errors.splitlines()]
    assert (run.code, lines[:4]) == (
        6,
        [
            "error: building fast 1.0 failed in broken",
            "why: none of its wheels loads on python3.13 arm64",
            "fast 1.0: needs glibc 2.35, but python3.13 has 2.34: lock an older version",
            "offered: cp313-cp313-manylinux_2_35_aarch64",
        ],
    )
    assert "OSError: stuck" in lines


def test_only_binary(tmp_path: Path, environ: dict[str, str]) -> None:
    """With `only-binary` an sdist is refused, and a folder of the user's is built."""
    sdist = an_sdist("lib", files=a_source())
    sdist.write_to(tmp_path)
    a_package(tmp_path / "util")
    app = a_package(tmp_path / "app")
    requirements = app / "requirements.txt"
    requirements.write_text("-e ../util\n", encoding="utf-8")
    assert sources(shipped(app, environ, "--only-binary"))["util"] == "local"
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    requirements.write_text(line, encoding="utf-8")

    run = run_lambda_build("--only-binary", cwd=app, environ=environ)

    assert (run.code, run.errors.partition("\n")[0]) == (
        4,
        "error: the lock contains source code, and `only-binary` forbids building it",
    )


def test_two_projects_of_poetry(tmp_path: Path, environ: dict[str, str]) -> None:
    """What poetry-core brings along is found for the second project, which uses more of it."""
    a_package(tmp_path / "util", backend="poetry-core")
    more = _POETRY_SOURCE.format(name="util")
    app = a_package(tmp_path / "app", "util", more=more, backend="poetry-core")
    packages = _LOCKED_FOLDER.format(name="util", dependencies="")
    digest = content_hash(read_toml(app / "pyproject.toml"))
    (app / "poetry.lock").write_text(
        f'{packages}\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.10"\n'
        f'content-hash = "{digest}"\n',
        encoding="utf-8",
    )

    run = run_lambda_build(cwd=app, environ=environ)

    assert (run.code, run.errors) == (0, "")
