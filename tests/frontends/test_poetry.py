"""`poetry build-lambda` through the real Poetry: the oldest that is supported and the newest."""

from __future__ import annotations

import base64
import json
import os
import shutil
import textwrap
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.index import FakeIndex
from fakes.pages import views_of
from fakes.poetry_hosts import NEWEST, OLDEST, our_wheel, poetry_host
from fakes.wheels import FakeWheel, a_wheel

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.fetch.configuration import read_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from fakes.poetry_hosts import PoetryHost
# Poetry itself comes from the package index; what the tests lock comes from the loopback.
pytestmark = pytest.mark.index

ARM = ("--runtime", "python3.13", "--arch", "arm64")
X86 = ("--runtime", "python3.11", "--arch", "x86_64")
SECRET = "s3cret-of-the-index"
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

WHEELS = (
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-win_amd64"),
    a_wheel(
        "numpy",
        "2.5.5",
        tag="cp313-cp313-manylinux_2_28_aarch64",
        metadata=["Requires-Python: >=3.12"],
    ),
    a_wheel(
        "numpy",
        "2.5.5",
        tag="cp313-cp313-manylinux_2_28_x86_64",
        metadata=["Requires-Python: >=3.12"],
    ),
    a_wheel("pydantic", "2.12.5", metadata=["Requires-Dist: pydantic-core==2.41.5"]),
    a_wheel("pydantic-core", "2.41.5", tag="cp311-cp311-manylinux_2_17_x86_64"),
    a_wheel("pydantic-core", "2.41.5", tag="cp313-cp313-manylinux_2_17_aarch64"),
    a_wheel("colorama", "0.4.6"),
    a_wheel("orjson", "3.11.0"),
    a_wheel("pytest", "8.4.2"),
    a_wheel("markdown", "3.9"),
)
NEWER = (
    a_wheel("pydantic", "2.13.0", metadata=["Requires-Dist: pydantic-core==2.42.0"]),
    a_wheel("pydantic-core", "2.42.0", tag="cp313-cp313-manylinux_2_17_aarch64"),
    a_wheel(
        "numpy",
        "2.6.0",
        tag="cp313-cp313-manylinux_2_28_aarch64",
        metadata=["Requires-Python: >=3.12"],
    ),
)

DEPENDENCIES = """\
dependencies = [
    "pydantic>=2",
    "numpy>=2.2,<2.3; python_version < '3.12'",
    "numpy>=2.3; python_version >= '3.12'",
    "colorama; sys_platform == 'win32'",
]
[project.optional-dependencies]
fast = ["orjson>=3"]
[tool.poetry.group.dev.dependencies]
pytest = "^8"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
markdown = "*"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a Poetry, a home and a project."""

    poetry: PoetryHost
    project: Path
    home: Path

    def poetry_does(
        self, *words: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run Poetry in the project."""
        return self.poetry.run(*words, cwd=cwd or self.project, home=self.home, environ=environ)

    def builds(
        self, *words: str | Path, environ: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run `poetry build-lambda`, which has to succeed, and give its report."""
        ran = self.poetry_does("build-lambda", "--json", *words, environ=environ)
        assert ran.returncode == 0, ran.stderr
        report: dict[str, Any] = json.loads(ran.stdout)
        return report

    def locks(self, environ: Mapping[str, str] | None = None) -> None:
        """Run `poetry lock`, which has to succeed."""
        ran = self.poetry_does("lock", "--no-interaction", environ=environ)
        assert ran.returncode == 0, ran.stdout + ran.stderr


WITH_THE_NEWEST = pytest.param((NEWEST,), id="newest")
WITH_THE_OLDEST = ((OLDEST, "packaging==24.2"), "oldest-with-packaging-24.2")

WITH_BOTH = pytest.mark.parametrize(
    "poetry_versions",
    [WITH_THE_NEWEST, pytest.param(WITH_THE_OLDEST[0], id=WITH_THE_OLDEST[1])],
    indirect=True,
)
"""Marks a test of what Poetry gives us: it runs through the oldest Poetry each time."""


@pytest.fixture(
    scope="module",
    params=[
        WITH_THE_NEWEST,
        pytest.param(WITH_THE_OLDEST[0], id=WITH_THE_OLDEST[1], marks=pytest.mark.nightly),
    ],
)
def poetry_versions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Give the requirements of a Poetry to run the test through."""
    versions: tuple[str, ...] = request.param
    return versions


@pytest.fixture(scope="module")
def poetry(poetry_versions: tuple[str, ...]) -> PoetryHost:
    """Give that Poetry with the plugin installed as a wheel beside it."""
    return poetry_host(*poetry_versions)


@pytest.fixture(scope="module")
def newest() -> PoetryHost:
    """Give the newest Poetry, where the version plays no part."""
    return poetry_host(NEWEST)


@pytest.fixture(scope="module")
def locked(poetry: PoetryHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Give a project of every kind of dependency, locked once for all tests; do not write to it."""
    folder = tmp_path_factory.mktemp("locked")
    with FakeIndex(WHEELS) as index:
        user = User(
            poetry=poetry,
            project=a_project(folder / "app", a_source(index), DEPENDENCIES),
            home=a_home(folder),
        )
        user.locks()
        yield user


@pytest.fixture
def user(locked: User, tmp_path: Path) -> User:
    """Give a copy of that project, to whom nothing has been fetched yet."""
    project = tmp_path / "app"
    shutil.copytree(locked.project, project)
    return User(poetry=locked.poetry, project=project, home=a_home(tmp_path))


def a_home(folder: Path) -> Path:
    """Make a home in which nothing is configured."""
    home = folder / "home"
    home.mkdir()
    return home


def a_source(index: FakeIndex | str, name: str = "fake", priority: str = "primary") -> str:
    """Write the table that names an index to Poetry."""
    url = index if isinstance(index, str) else index.url
    return textwrap.dedent(
        f"""\
        [[tool.poetry.source]]
        name = "{name}"
        url = "{url}"
        priority = "{priority}"
        """
    )


def a_real_source() -> str:
    """Name the package index of this machine to Poetry."""
    sources = read_sources(IndexOptions(), environ=os.environ, home=Path.home(), project=Path("/"))
    return a_source(sources.indexes[-1], "real")


def network() -> dict[str, str]:
    """Get what this machine has to know to reach that index."""
    return {key: os.environ[key] for key in NETWORK if key in os.environ}


def a_project(
    folder: Path,
    sources: str = "",
    dependencies: str = "",
    *,
    poetry: str = "packages = [{include = 'app', from = 'src'}]",
    requires: str = "poetry-core>=2",
) -> Path:
    """Make a project `app`, with code in `src`."""
    (folder / "src" / "app").mkdir(parents=True)
    (folder / "src" / "app" / "__init__.py").write_text("def handler(event, context): ...\n")
    head = '[project]\nname = "app"\nversion = "1.0"\nrequires-python = ">=3.11,<3.14"\n'
    (folder / "pyproject.toml").write_text(
        f"{head}{dependencies}\n[tool.poetry]\n{poetry}\n{sources}"
        f'[build-system]\nrequires = ["{requires}"]\n'
        'build-backend = "poetry.core.masonry.api"\n'
    )
    return folder


def a_user(host: PoetryHost, folder: Path, *arguments: str, **options: str) -> User:
    """Make a user with a project of their own."""
    project = a_project(folder / "app", *arguments, **options)
    return User(poetry=host, project=project, home=a_home(folder))


def names(report: Mapping[str, Any]) -> set[str]:
    """Get what is packaged, without the project itself."""
    return {package["name"] for package in report["packages"]} - {"app"}


def files(report: Mapping[str, Any]) -> dict[str, str]:
    """Get each packaged name with the file that it came from."""
    return {package["name"]: package["file"] for package in report["packages"]}


def contents(*folders: Path) -> dict[Path, bytes]:
    """Read all that lies in some folders."""
    return {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- what ships -----------------------------------------------------------------------


@WITH_BOTH
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(
            ARM,
            {
                "app": "app-1.0-py3-none-any.whl",
                "numpy": "numpy-2.5.5-cp313-cp313-manylinux_2_28_aarch64.whl",
                "pydantic": "pydantic-2.12.5-py3-none-any.whl",
                "pydantic-core": "pydantic_core-2.41.5-cp313-cp313-manylinux_2_17_aarch64.whl",
            },
            id="python3.13-arm64",
        ),
        pytest.param(
            X86,
            {
                "app": "app-1.0-py3-none-any.whl",
                "numpy": "numpy-2.2.6-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "pydantic": "pydantic-2.12.5-py3-none-any.whl",
                "pydantic-core": "pydantic_core-2.41.5-cp311-cp311-manylinux_2_17_x86_64.whl",
            },
            id="python3.11-x86_64",
        ),
    ],
)
def test_locked_versions_ship_in_the_files_of_the_target(
    user: User, target: tuple[str, ...], expected: dict[str, str]
) -> None:
    """Markers and wheels are those of the target; other platforms, dev and extras stay out."""
    assert files(user.builds(*target)) == expected


MAIN = {"numpy", "pydantic", "pydantic-core"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("", MAIN, id="main alone by default"),
        pytest.param("--with dev", MAIN | {"pytest"}, id="with adds"),
        pytest.param("--with dev,docs", MAIN | {"pytest", "markdown"}, id="with takes a list"),
        pytest.param("--with dev --with docs", MAIN | {"pytest", "markdown"}, id="with again"),
        pytest.param("--with docs --without main", {"markdown"}, id="without takes away"),
        pytest.param("--without dev", MAIN, id="without what is not there"),
        pytest.param("--only docs", {"markdown"}, id="only"),
        pytest.param("--only main,dev", MAIN | {"pytest"}, id="only takes a list"),
        pytest.param("-E fast", MAIN | {"orjson"}, id="extra"),
        pytest.param("--extras fast", MAIN | {"orjson"}, id="extras"),
        pytest.param("--all-extras", MAIN | {"orjson"}, id="all extras"),
        pytest.param("--contents project", set(), id="project alone"),
    ],
)
def test_groups_and_extras_mean_what_poetry_means(
    user: User, words: str, expected: set[str]
) -> None:
    """Poetry's own words choose, and main alone is the default."""
    assert names(user.builds(*ARM, *words.split())) == expected


def test_only_wins_over_with_and_says_so(user: User) -> None:
    """As in Poetry, --with and --without beside --only are ignored with a warning."""
    ran = user.poetry_does("build-lambda", *ARM, "--only", "docs", "--with", "dev", "--json")

    assert names(json.loads(ran.stdout)) == {"markdown"}
    assert "--with and --without are ignored when --only is given" in ran.stderr


@WITH_BOTH
def test_with_adds_to_the_groups_of_the_table(user: User) -> None:
    """Groups in [tool.lambda-build] are the default that --with adds to."""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + '[tool.lambda-build]\ngroups = ["docs"]\n')

    assert names(user.builds(*ARM, "--with", "dev")) == MAIN | {"markdown", "pytest"}


def test_artifacts_of_the_project(user: User) -> None:
    """Each artifact has its own groups; flags of Poetry count for all."""
    table = """
    [tool.lambda-build]
    architecture = "arm64"
    [tool.lambda-build.artifacts.deps]
    layout = "layer"
    contents = "dependencies"
    [tool.lambda-build.artifacts.api]
    groups = ["docs"]
    provided-by = ["deps"]
    """
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + textwrap.dedent(table))

    reports = user.builds("--runtime", "python3.13", "-E", "fast")["artifacts"]

    assert {report["name"]: names(report) for report in reports} == {
        "deps": {"numpy", "orjson", "pydantic", "pydantic-core"},
        "api": {"markdown"},
    }


def test_page_shows_the_build(user: User) -> None:
    """`--html` writes what the report says."""
    report = user.builds(*ARM, "--html", "page.html")

    (view,) = views_of(user.project / "page.html")
    assert view["size"] == report["size"]
    assert {row["name"] for row in view["packages"]} == names(report) | {"app"}


def test_repeated_architecture(user: User) -> None:
    """There is a zip for each architecture that is named."""
    words = ("--contents", "project", "--arch", "x86_64", "--arch", "arm64")

    reports = user.builds(*words)["artifacts"]

    assert [report["architecture"] for report in reports] == ["x86_64", "arm64"]


def test_provided_packages_stay_out(user: User) -> None:
    """What only a provided package needs goes with it."""
    assert names(user.builds(*ARM, "--provided", "pydantic")) == {"numpy"}


def test_newer_versions_on_the_index_do_not_ship(poetry: PoetryHost, tmp_path: Path) -> None:
    """The lock decides, and there is one dist-info of each distribution."""
    pinned = DEPENDENCIES.replace("pydantic>=2", "pydantic==2.12.5").replace(
        "numpy>=2.3", "numpy==2.5.5"
    )
    with FakeIndex((*WHEELS, *NEWER)) as index:
        user = a_user(poetry, tmp_path, a_source(index), pinned)
        user.locks()
        pyproject = user.project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace(pinned, DEPENDENCIES))
        user.locks()  # keeps what is locked
        report = user.builds(*ARM)

    with zipfile.ZipFile(report["artifact"]) as archive:
        found = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    assert found == {
        "app-1.0.dist-info",
        "numpy-2.5.5.dist-info",
        "pydantic-2.12.5.dist-info",
        "pydantic_core-2.41.5.dist-info",
    }


@WITH_BOTH
def test_both_doors_write_the_same_bytes(user: User) -> None:
    """`lambda-build` in the same project makes the same zip."""
    words = (*ARM, "-o", "one.zip")
    ran = user.poetry_does("build-lambda", *words)
    assert ran.returncode == 0, ran.stderr
    of_poetry = (user.project / "one.zip").read_bytes()
    (user.project / "one.zip").unlink()

    ran = user.poetry.run_python(
        "-c",
        "from lambda_build_plugin.frontends.cli import entry_point; entry_point()",
        *words,
        cwd=user.project,
        home=user.home,
    )

    assert ran.returncode == 0, ran.stderr
    assert (user.project / "one.zip").read_bytes() == of_poetry


def test_nothing_is_left_behind_but_the_zip_and_the_cache(user: User) -> None:
    """No .venv, the lock as it was, no file outside of dist/ and the cache."""
    before = contents(user.project, user.home)

    report = user.builds(*ARM)

    ours = {user.home / "lambda-build-cache", user.home / ".local/state/lambda-build"}
    after = contents(user.project, user.home)
    assert {path: data for path, data in after.items() if not ours & {*path.parents}} == {
        **before,
        Path(report["artifact"]): Path(report["artifact"]).read_bytes(),
    }
    assert Path(report["artifact"]).parent == user.project / "dist"
    assert not (user.project / ".venv").exists()


def test_real_packages_build(newest: PoetryHost, tmp_path: Path) -> None:
    """What the package index serves goes the same way as what the tests make."""
    user = a_user(newest, tmp_path, a_real_source(), 'dependencies = ["markupsafe==3.0.4"]')
    user.locks(network())

    assert "manylinux" in files(user.builds(*ARM, environ=network()))["markupsafe"]


# --- where and how it is called -------------------------------------------------------


@pytest.mark.parametrize(
    ("cwd", "words"),
    [
        pytest.param(".", ["build-lambda"], id="in the project"),
        pytest.param("src/app", ["build-lambda"], id="in a sub-folder"),
        pytest.param("..", ["-C", "app", "build-lambda"], id="-C"),
        pytest.param("..", ["-P", "app", "build-lambda"], id="-P"),
        pytest.param("..", ["build-lambda", "--project", "app"], id="--project at the end"),
        pytest.param(".", ["build-lambda", "--no-interaction"], id="--no-interaction"),
        pytest.param(".", ["--no-ansi", "build-lambda"], id="--no-ansi"),
    ],
)
def test_zip_goes_to_dist_of_the_project(user: User, cwd: str, words: list[str]) -> None:
    """Wherever Poetry is called, the project is Poetry's."""
    ran = user.poetry_does(
        *words, "--contents", "project", *ARM, cwd=(user.project / cwd).resolve()
    )

    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in (user.project / "dist").iterdir()] == [
        "app-1.0-function-python3.13-arm64.zip"
    ]


def test_output_starts_from_where_poetry_works(user: User, tmp_path: Path) -> None:
    """With -C paths start from that folder, with -P from the current one, as in Poetry."""
    words = ("build-lambda", "--contents", "project", *ARM, "-o")

    user.poetry_does("-C", "app", *words, "there.zip", cwd=tmp_path)
    user.poetry_does("-P", "app", *words, "here.zip", cwd=tmp_path)

    assert (user.project / "there.zip").is_file()
    assert (tmp_path / "here.zip").is_file()


def test_quiet_says_nothing(user: User) -> None:
    """--quiet is Poetry's option and means the same here."""
    ran = user.poetry_does("build-lambda", "--quiet", "--contents", "project", *ARM)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@WITH_BOTH
def test_verbose_says_that_the_wheel_is_built_in_process(user: User) -> None:
    """With -v each step is told: the project's wheel comes from Poetry's own builder."""
    ran = user.poetry_does("build-lambda", "-v", "--contents", "project", *ARM)

    assert "building app with poetry-core in this process" in ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"poetry": 'build = "build.py"'}, id="build script"),
        pytest.param({"requires": "poetry-core>=1,<2"}, id="another poetry-core"),
    ],
)
def test_wheel_is_built_in_isolation_where_poetry_would(
    newest: PoetryHost, tmp_path: Path, options: dict[str, str]
) -> None:
    """What needs more than the poetry-core that is here is not built in Poetry's process."""
    user = a_user(newest, tmp_path, **options)
    # There is nothing to make an isolated environment of: the attempt is enough.
    offline = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    ran = user.poetry_does("build-lambda", "-v", "--contents", "project", environ=offline)

    assert "building app with poetry.core.masonry.api in isolation" in ran.stderr


def test_without_a_build_backend_poetry_builds_itself(newest: PoetryHost, tmp_path: Path) -> None:
    """A project without [build-system] is a package to Poetry, and so to this command."""
    user = a_user(newest, tmp_path)
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().partition("[build-system]")[0])

    assert files(user.builds("--contents", "project")) == {"app": "app-1.0-py3-none-any.whl"}


# --- what is refused ------------------------------------------------------------------


@WITH_BOTH
def test_stale_lock_is_refused(user: User) -> None:
    """After a change of the dependencies `poetry lock` is due, as Poetry itself sees it."""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("pydantic>=2", "pydantic>=2.1"))

    ran = user.poetry_does("build-lambda", *ARM)

    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("error: the lock poetry.lock is out of date\n")
    assert "`poetry lock`" in ran.stderr


def test_change_of_description_leaves_the_lock_fresh(user: User) -> None:
    """What plays no part in locking makes no lock stale."""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"1.0"', '"1.1"'))

    assert user.builds(*ARM)["artifact"].endswith("app-1.1-function-python3.13-arm64.zip")


def test_missing_lock_is_refused(user: User) -> None:
    """Nothing is resolved behind the user's back."""
    (user.project / "poetry.lock").unlink()

    ran = user.poetry_does("build-lambda", *ARM)

    assert (ran.returncode, ran.stdout) == (3, "")
    assert "`poetry lock`" in ran.stderr
    assert not (user.project / "poetry.lock").exists()


def test_poetry_lock_comes_before_other_locks(user: User) -> None:
    """Another tool's lock beside it is not what a Poetry user means."""
    (user.project / "pylock.toml").write_text("this is no lock")

    assert user.builds(*ARM)["lock"] == str(user.project / "poetry.lock")


def test_other_lock_is_read_when_it_is_named(user: User) -> None:
    """--lock names another lock."""
    locked = user.builds(*ARM)["packages"]
    pins = (f"{each['name']}=={each['version']}\n" for each in locked if each["name"] != "app")
    (user.project / "requirements.txt").write_text("".join(pins))

    report = user.builds(*ARM, "--lock", "requirements.txt")

    assert (report["lock"], report["packages"]) == (
        str(user.project / "requirements.txt"),
        locked,
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(
            "--with nope,docs --without neither",
            2,
            "Group(s) not found: neither (via --without), nope (via --with)",
            id="unknown groups",
        ),
        pytest.param("-E fast --all-extras", 2, "cannot be combined", id="extras twice"),
        pytest.param("-E nope", 3, "`nope`", id="unknown extra"),
        pytest.param("--arch sparc", 2, "--arch: is `sparc`", id="wrong value"),
    ],
)
def test_wrong_words_are_refused(user: User, words: str, code: int, said: str) -> None:
    """What Poetry would not accept is not accepted here, and there is no traceback."""
    ran = user.poetry_does("build-lambda", *words.split())

    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.startswith("error: ")
    assert said in ran.stderr


def test_project_that_is_no_package_ships_its_files(newest: PoetryHost, tmp_path: Path) -> None:
    """With `package-mode = false` the code ships as it lies in the project."""
    user = a_user(newest, tmp_path, poetry="package-mode = false")

    report = user.builds("--contents", "project", "-o", "a.zip")

    assert files(report) == {"app": ""}
    with zipfile.ZipFile(user.project / "a.zip") as archive:
        assert "app/__init__.py" in archive.namelist()


def test_wheel_of_a_project_that_is_no_package_is_refused(
    newest: PoetryHost, tmp_path: Path
) -> None:
    """`package-mode = false` leaves nothing to build a wheel from."""
    user = a_user(newest, tmp_path, poetry="package-mode = false")

    ran = user.poetry_does("build-lambda", "--project-as", "wheel")

    assert ran.returncode == 6
    assert "`package-mode = false`" in ran.stderr
    assert '`project = "source"`' in ran.stderr


def test_code_from_outside_the_project_is_told_why(newest: PoetryHost, tmp_path: Path) -> None:
    """poetry-core packages nothing from beside the project; the error says what does help."""
    shared = tmp_path / "shared" / "src" / "common"
    shared.mkdir(parents=True)
    (shared / "__init__.py").touch()
    packages = (
        "packages = [{include = 'app', from = 'src'}, {include = 'common', from = '../shared/src'}]"
    )
    user = a_user(newest, tmp_path, poetry=packages)

    ran = user.poetry_does("build-lambda")

    assert ran.returncode == 6
    assert ran.stderr.startswith("error: part of the code of app is outside of its folder\n")
    assert "- ../shared/src/common" in ran.stderr
    assert '`project = "source"`' in ran.stderr


def test_code_from_outside_the_project_ships_as_source(newest: PoetryHost, tmp_path: Path) -> None:
    """With `project = "source"` the code from beside the project is in the zip."""
    shared = tmp_path / "shared" / "src" / "common"
    shared.mkdir(parents=True)
    (shared / "__init__.py").touch()
    packages = (
        "packages = [{include = 'app', from = 'src'}, {include = 'common', from = '../shared/src'}]"
    )
    user = a_user(newest, tmp_path, poetry=packages)

    user.builds("--contents", "project", "--project-as", "source", "-o", "a.zip")

    with zipfile.ZipFile(user.project / "a.zip") as archive:
        assert {"app/__init__.py", "common/__init__.py"} <= set(archive.namelist())


# --- sources --------------------------------------------------------------------------

PRIVATE = a_wheel("inhouse", "1.0")
LOGIN = {
    "POETRY_HTTP_BASIC_PRIVATE_USERNAME": "me",
    "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": SECRET,
}


@contextmanager
def a_private_source(
    poetry: PoetryHost, folder: Path
) -> Iterator[tuple[User, FakeIndex, FakeIndex]]:
    """Give a locked project with a package from an explicit source that asks for a password."""
    with (
        FakeIndex([a_wheel("open", "1.0")]) as public,
        FakeIndex([PRIVATE], auth=("me", SECRET)) as private,
    ):
        user = a_user(
            poetry,
            folder,
            a_source(public) + a_source(private, "private", "explicit"),
            'dependencies = ["open", "inhouse"]\n'
            "[tool.poetry.dependencies]\ninhouse = {source = 'private'}\n",
        )
        user.locks(LOGIN)
        yield user, public, private


@WITH_BOTH
def test_private_source_opens_with_poetrys_variables(poetry: PoetryHost, tmp_path: Path) -> None:
    """POETRY_HTTP_BASIC_* works; the credentials go to their own origin only."""
    with a_private_source(poetry, tmp_path) as (user, public, private):
        locking = len(public.requests), len(private.requests)
        report = user.builds("-v", environ=LOGIN)
        asked = public.requests[locking[0] :], private.requests[locking[1] :]

    assert names(report) == {"open", "inhouse"}
    token = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert {request.headers.get("authorization") for request in asked[0]} == {None}
    assert {request.headers.get("authorization") for request in asked[1]} == {f"Basic {token}"}


def test_private_source_opens_with_poetrys_configuration(
    newest: PoetryHost, tmp_path: Path
) -> None:
    """What `poetry config http-basic` has stored works as well."""
    with a_private_source(newest, tmp_path) as (user, _, _):
        user.poetry_does("config", "http-basic.private", "me", SECRET)

        assert names(user.builds()) == {"open", "inhouse"}


def test_pips_and_uvs_indexes_are_not_asked(newest: PoetryHost, tmp_path: Path) -> None:
    """Poetry has sources of its own: what the installers are configured with stays out of it."""
    with (
        FakeIndex([a_wheel("open", "1.0")]) as public,
        FakeIndex([a_wheel("open", "1.0")]) as installers,
    ):
        user = a_user(newest, tmp_path, a_source(public), 'dependencies = ["open"]\n')
        user.locks()
        report = user.builds(
            environ={"PIP_EXTRA_INDEX_URL": installers.url, "UV_INDEX": installers.url}
        )

        assert names(report) == {"open"}
        assert list(installers.requests) == []


def test_private_source_opens_to_lambda_build_too(newest: PoetryHost, tmp_path: Path) -> None:
    """The other door reads Poetry's variables for the sources of pyproject.toml."""
    with a_private_source(newest, tmp_path) as (user, _, _):
        ran = newest.run_python(
            "-c",
            "from lambda_build_plugin.frontends.cli import entry_point; entry_point()",
            "--json",
            cwd=user.project,
            home=user.home,
            environ=LOGIN,
        )

    assert names(json.loads(ran.stdout)) == {"open", "inhouse"}


@pytest.mark.parametrize("verbosity", ["-q", "-v", "-vvv"])
def test_wrong_password_names_the_source(
    newest: PoetryHost, tmp_path: Path, verbosity: str
) -> None:
    """The error says which source refuses, and never what was tried."""
    wrong = {**LOGIN, "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": "wr0ng-guess"}
    with a_private_source(newest, tmp_path) as (user, _, private):
        ran = user.poetry_does("build-lambda", verbosity, environ=wrong)

        assert ran.returncode == 5
        assert f"error: the source private ({private.url}" in ran.stderr
        assert "POETRY_HTTP_BASIC_PRIVATE_USERNAME" in ran.stderr
        assert "`poetry config http-basic.private`" in ran.stderr
        assert "wr0ng-guess" not in ran.stdout + ran.stderr


# --- in Poetry's company --------------------------------------------------------------


@WITH_BOTH
def test_poetry_starts_without_the_core(poetry: PoetryHost, tmp_path: Path) -> None:
    """Whatever Poetry is asked, the entry module and the tables of options load, no more."""
    program = textwrap.dedent(
        """\
        import atexit, sys
        atexit.register(lambda: print(
            *sorted(name for name in sys.modules if name.startswith("lambda_build_plugin"))
        ))
        from poetry.console.application import main
        main()
        """
    )
    ran = poetry.run_python("-c", program, "--version", cwd=tmp_path, home=a_home(tmp_path))

    assert ran.stdout.splitlines()[1:] == [
        "lambda_build_plugin lambda_build_plugin.config lambda_build_plugin.config.options "
        "lambda_build_plugin.frontends lambda_build_plugin.frontends.options "
        "lambda_build_plugin.frontends.poetry "
        "lambda_build_plugin.lock lambda_build_plugin.lock.formats"
    ]


@WITH_BOTH
def test_entry_module_loads_nothing_that_poetry_has_not(poetry: PoetryHost, tmp_path: Path) -> None:
    """Beside ours no module comes that Poetry's base classes had not brought."""
    program = textwrap.dedent(
        """\
        import sys
        import cleo.helpers, poetry.console.commands.command, poetry.plugins.application_plugin
        before = set(sys.modules)
        import lambda_build_plugin.frontends.poetry
        print(*sorted(n for n in set(sys.modules) - before if "lambda_build_plugin" not in n))
        """
    )
    ran = poetry.run_python("-c", program, cwd=tmp_path, home=a_home(tmp_path))

    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "", "")


RIVAL = {
    "rival.py": """\
from poetry.console.commands.command import Command
from poetry.plugins.application_plugin import ApplicationPlugin
class BuildLambda(Command):
    name = "build-lambda"
class Plugin(ApplicationPlugin):
    @property
    def commands(self):
        return [BuildLambda]
""",
    "rival-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n",
    "rival-1.0.dist-info/entry_points.txt": ("[poetry.application.plugin]\nrival = rival:Plugin\n"),
}


@pytest.mark.parametrize(
    "place", [pytest.param("0", id="before ours"), pytest.param("len(sys.path)", id="after ours")]
)
def test_plugin_with_the_same_command_is_named(
    newest: PoetryHost, tmp_path: Path, place: str
) -> None:
    """Another plugin's `build-lambda` stops no command, and is told of when ours runs."""
    rival = tmp_path / "rival"
    for name, text in RIVAL.items():
        (rival / name).parent.mkdir(parents=True, exist_ok=True)
        (rival / name).write_text(text)
    user = a_user(newest, tmp_path)
    program = (
        f"import sys; sys.path.insert({place}, {str(rival)!r})\n"
        "from poetry.console.application import main; main()"
    )

    def poetry_does(*words: str) -> CompletedProcess[str]:
        return newest.run_python("-c", program, *words, cwd=user.project, home=user.home)

    assert poetry_does("--version").returncode == 0
    ran = poetry_does("build-lambda", "--contents", "project")
    assert ran.returncode == 0, ran.stderr
    assert "the package rival has a command build-lambda, too" in ran.stderr


# --- how it is installed --------------------------------------------------------------


@contextmanager
def an_index_with_this_plugin(host: PoetryHost) -> Iterator[str]:
    """Serve our own wheel, and name the index where what it requires lies: as Poetry's sources."""
    wheel = our_wheel(beside=host)
    ours = FakeWheel(filename=wheel.name, content=wheel.read_bytes())
    with FakeIndex([ours]) as index:
        yield a_source(index, "ours", "supplemental") + a_real_source()


@pytest.fixture
def own_poetry(poetry_versions: tuple[str, ...], tmp_path: Path) -> PoetryHost:
    """Give a Poetry without the plugin, of one's own to install it in."""
    folder = tmp_path / "own-poetry"
    host = poetry_host(*poetry_versions, with_plugin=False)
    shutil.copytree(host.folder, folder, symlinks=True)
    return replace(host, folder=folder)


def test_self_add_installs_the_plugin(own_poetry: PoetryHost, tmp_path: Path) -> None:
    """`poetry self add lambda-build-plugin` is all that is needed."""
    user = a_user(own_poetry, tmp_path)
    with an_index_with_this_plugin(own_poetry) as sources:
        # Where Poetry looks for plugins is configured like a project.
        config = user.home / "poetry-config" / "pyproject.toml"
        config.parent.mkdir()
        config.write_text(f"[tool.poetry]\npackage-mode = false\n{sources}")
        ran = user.poetry_does(
            "self", "add", "--no-interaction", "lambda-build-plugin", environ=network()
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr

    assert files(user.builds("--contents", "project")) == {"app": "app-1.0-py3-none-any.whl"}


def test_project_may_require_the_plugin(own_poetry: PoetryHost, tmp_path: Path) -> None:
    """With [tool.poetry.requires-plugins] `poetry install` brings it, beside what is pinned."""
    with an_index_with_this_plugin(own_poetry) as sources:
        requires = "[tool.poetry.requires-plugins]\nlambda-build-plugin = '>=0'\n"
        user = a_user(
            own_poetry, tmp_path, sources + requires, 'dependencies = ["markupsafe==3.0.4"]'
        )
        user.locks(network())
        ran = user.poetry_does(
            "install", "--no-interaction", "--dry-run", "--only", "main", environ=network()
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr

    assert files(user.builds("--contents", "project")) == {"app": "app-1.0-py3-none-any.whl"}
    assert (user.project / ".poetry" / "plugins").is_dir()
