"""`pdm build --lambda` through the real PDM: the oldest that is supported and the newest."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import textwrap
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.hosts import our_wheel
from fakes.index import FakeIndex
from fakes.pages import views_of
from fakes.pdm_hosts import NEWEST, OLDEST, WITH_BACKEND, pdm_host
from fakes.wheels import FakeWheel, a_wheel

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.fetch.configuration import read_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from fakes.hosts import Host
# PDM itself comes from the package index; what the tests lock comes from the loopback.
pytestmark = pytest.mark.index

ARM = ("--runtime", "python3.13", "--arch", "arm64")
X86 = ("--runtime", "python3.11", "--arch", "x86_64")
SECRET = "s3cret-of-the-index"

# PDM does not fork: one version of numpy serves both targets.
WHEELS = (
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-win_amd64"),
    a_wheel("numpy", "2.2.6", tag="cp313-cp313-manylinux_2_28_aarch64"),
    a_wheel("numpy", "2.2.6", tag="cp313-cp313-manylinux_2_28_x86_64"),
    a_wheel("pydantic", "2.12.5", metadata=["Requires-Dist: pydantic-core==2.41.5"]),
    a_wheel("pydantic-core", "2.41.5", tag="cp311-cp311-manylinux_2_17_x86_64"),
    a_wheel("pydantic-core", "2.41.5", tag="cp313-cp313-manylinux_2_17_aarch64"),
    a_wheel("colorama", "0.4.6"),
    a_wheel("tomli", "2.2.1"),
    a_wheel("orjson", "3.11.0"),
    a_wheel("uvloop", "0.22.1"),
    a_wheel("pytest", "8.4.2"),
    a_wheel("markdown", "3.9"),
)
NEWER = (
    a_wheel("pydantic", "2.13.0", metadata=["Requires-Dist: pydantic-core==2.42.0"]),
    a_wheel("pydantic-core", "2.42.0", tag="cp313-cp313-manylinux_2_17_aarch64"),
    a_wheel("numpy", "2.6.0", tag="cp313-cp313-manylinux_2_28_aarch64"),
)

DEPENDENCIES = """\
dependencies = [
    "pydantic>=2",
    "numpy>=2.2",
    "colorama; sys_platform == 'win32'",
    "tomli; python_version < '3.12'",
]
[project.optional-dependencies]
fast = ["orjson>=3"]
loop = ["uvloop"]
[dependency-groups]
dev = ["pytest>=8"]
docs = ["markdown"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a PDM, a home and a project."""

    pdm: Host
    project: Path
    home: Path

    def pdm_does(
        self, *words: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run PDM in the project."""
        return self.pdm.run(*words, cwd=cwd or self.project, home=self.home, environ=environ)

    def builds(
        self, *words: str | Path, environ: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run `pdm build --lambda`, which has to succeed, and give its report."""
        ran = self.pdm_does("build", "--lambda", "--json", *words, environ=environ)
        assert ran.returncode == 0, ran.stderr
        report: dict[str, Any] = json.loads(ran.stdout)
        return report

    def locks(self, *words: str, environ: Mapping[str, str] | None = None) -> None:
        """Run `pdm lock`, which has to succeed; PDM leaves a virtualenv, which goes again."""
        # With an interpreter named PDM makes no virtualenv to resolve in.
        named = {"PDM_PYTHON": str(self.pdm.python), **(environ or {})}
        ran = self.pdm_does("lock", *words, environ=named)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        shutil.rmtree(self.project / ".venv", ignore_errors=True)
        (self.project / ".pdm-python").unlink(missing_ok=True)

    def of_lambda_build(
        self, *words: str, environ: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run the console script in PDM's environment."""
        program = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
        return self.pdm.run_python(
            "-c", program, *words, cwd=self.project, home=self.home, environ=environ
        )


WITH_THE_NEWEST = pytest.param((*NEWEST, "pdm-backend>=2.4"), id="newest")
WITH_THE_OLDEST = ((*OLDEST, "pdm-backend>=2.4"), "oldest-with-packaging-24.2")

WITH_BOTH = pytest.mark.parametrize(
    "pdm",
    [WITH_THE_NEWEST, pytest.param(WITH_THE_OLDEST[0], id=WITH_THE_OLDEST[1])],
    indirect=True,
)
"""Marks a test of what PDM gives us: it runs through the oldest PDM each time."""


@pytest.fixture(
    scope="module",
    params=[
        WITH_THE_NEWEST,
        pytest.param(WITH_THE_OLDEST[0], id=WITH_THE_OLDEST[1], marks=pytest.mark.nightly),
    ],
)
def pdm(request: pytest.FixtureRequest) -> Host:
    """Give a PDM with the plugin installed as a wheel beside it."""
    return pdm_host(*request.param)


@pytest.fixture(scope="module")
def newest() -> Host:
    """Give the newest PDM, where the version plays no part."""
    return pdm_host(*WITH_BACKEND)


@pytest.fixture(scope="module")
def locked(pdm: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Give a project of every kind of dependency, locked once for all tests; do not write to it."""
    folder = tmp_path_factory.mktemp("locked")
    with FakeIndex(WHEELS) as index:
        user = User(
            pdm=pdm,
            project=a_project(folder / "app", a_source(index), DEPENDENCIES),
            home=a_home(folder),
        )
        user.locks("-G:all")
        yield user


@pytest.fixture
def user(locked: User, tmp_path: Path) -> User:
    """Give a copy of that project, to whom nothing has been fetched yet."""
    project = tmp_path / "app"
    shutil.copytree(locked.project, project)
    return User(pdm=locked.pdm, project=project, home=a_home(tmp_path))


def a_home(folder: Path) -> Path:
    """Make a home in which nothing is configured."""
    home = folder / "home"
    home.mkdir()
    return home


def a_source(index: FakeIndex | str, name: str = "pypi", more: str = "") -> str:
    """Write the table that names an index to PDM; `pypi` takes the place of the default one."""
    url = index if isinstance(index, str) else index.url
    return f'[[tool.pdm.source]]\nname = "{name}"\nurl = "{url}"\n{more}\n'


def a_real_index() -> str:
    """Get the package index of this machine."""
    return read_sources(
        IndexOptions(), environ=os.environ, home=Path.home(), project=Path("/")
    ).indexes[-1]


def a_project(
    folder: Path,
    sources: str = "",
    dependencies: str = "",
    *,
    pdm: str = "",
    requires: str = "pdm-backend>=2",
) -> Path:
    """Make a project `app`, with code in `src`."""
    (folder / "src" / "app").mkdir(parents=True)
    (folder / "src" / "app" / "__init__.py").write_text("def handler(event, context): ...\n")
    head = '[project]\nname = "app"\nversion = "1.0"\nrequires-python = ">=3.11,<3.14"\n'
    (folder / "pyproject.toml").write_text(
        f"{head}{dependencies}\n[tool.pdm]\n{pdm}\n{sources}"
        f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "pdm.backend"\n'
    )
    return folder


def a_user(host: Host, folder: Path, *arguments: str, **options: str) -> User:
    """Make a user with a project of their own."""
    project = a_project(folder / "app", *arguments, **options)
    return User(pdm=host, project=project, home=a_home(folder))


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
                "numpy": "numpy-2.2.6-cp313-cp313-manylinux_2_28_aarch64.whl",
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
                "tomli": "tomli-2.2.1-py3-none-any.whl",
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
        pytest.param("--prod", MAIN, id="prod is the default"),
        pytest.param("-G dev", MAIN | {"pytest"}, id="dependency group"),
        pytest.param("-G fast", MAIN | {"orjson"}, id="optional dependencies"),
        pytest.param("-Gdev,fast", MAIN | {"pytest", "orjson"}, id="comma list"),
        pytest.param("-G dev --group docs", MAIN | {"pytest", "markdown"}, id="repeated"),
        pytest.param("--with dev", MAIN | {"pytest"}, id="with"),
        pytest.param("-G:all", MAIN | {"orjson", "uvloop"}, id="all optional"),
        pytest.param("--dev", MAIN | {"pytest", "markdown"}, id="all for development"),
        pytest.param("--no-default -G docs", {"markdown"}, id="no default"),
        pytest.param("--no-default", set(), id="no default alone"),
        pytest.param("--contents project", set(), id="project alone"),
    ],
)
def test_groups_mean_what_pdm_means(user: User, words: str, expected: set[str]) -> None:
    """PDM's own words choose among both kinds of its groups, and main alone is the default."""
    assert names(user.builds(*ARM, *words.split())) == expected


@WITH_BOTH
def test_group_adds_to_those_of_the_table(user: User) -> None:
    """Groups and extras in [tool.lambda-build] are the default that -G adds to."""
    pyproject = user.project / "pyproject.toml"
    table = '[tool.lambda-build]\ngroups = ["docs"]\nextras = ["loop"]\n'
    pyproject.write_text(pyproject.read_text() + table)

    assert names(user.builds(*ARM, "-G", "dev")) == MAIN | {"markdown", "pytest", "uvloop"}


def test_page_shows_the_build(user: User) -> None:
    """`--html` writes what the report says."""
    report = user.builds(*ARM, "--html", "page.html")

    (view,) = views_of(user.project / "page.html")
    assert view["size"] == report["size"]
    assert {row["name"] for row in view["packages"]} == names(report) | {"app"}


def test_artifacts_of_the_project(user: User) -> None:
    """Each artifact has its own groups, and `--artifact` chooses; targets may be several."""
    table = """
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"
[tool.lambda-build.artifacts.api]
groups = ["docs"]
provided-by = ["deps"]
[tool.lambda-build.artifacts.other]
"""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + table)

    words = ("--runtime", "python3.13", "--arch", "arm64", "--artifact", "api")
    reports = user.builds(*words, "--provided", "pydantic")["artifacts"]

    assert {report["name"]: names(report) for report in reports} == {
        "deps": {"numpy"},
        "api": {"markdown"},
    }


def test_newer_versions_on_the_index_do_not_ship(pdm: Host, tmp_path: Path) -> None:
    """The lock decides, and there is one dist-info of each distribution."""
    pinned = DEPENDENCIES.replace("pydantic>=2", "pydantic==2.12.5").replace(
        "numpy>=2.2", "numpy==2.2.6"
    )
    with FakeIndex((*WHEELS, *NEWER)) as index:
        user = a_user(pdm, tmp_path, a_source(index), pinned)
        user.locks()
        pyproject = user.project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace(pinned, DEPENDENCIES))
        user.locks("--update-reuse")  # keeps what is locked
        report = user.builds(*ARM)

    with zipfile.ZipFile(report["artifact"]) as archive:
        found = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    assert found == {
        "app-1.0.dist-info",
        "numpy-2.2.6.dist-info",
        "pydantic-2.12.5.dist-info",
        "pydantic_core-2.41.5.dist-info",
    }


def test_digest_that_is_not_the_locked_one_is_an_error(user: User) -> None:
    """A zeroed hash in the lock is never replaced by the one of the index."""
    lock = user.project / "pdm.lock"
    text = lock.read_text()
    right = re.search(r'file = "pydantic-2[^}]*hash = "(sha256:[0-9a-f]{64})"', text)
    assert right is not None
    lock.write_text(text.replace(right[1], "sha256:" + "0" * 64))

    ran = user.pdm_does("build", "--lambda", *ARM)

    assert (ran.returncode, ran.stdout) == (5, "")
    assert "pydantic-2.12.5-py3-none-any.whl" in ran.stderr
    assert right[1] in ran.stderr
    assert not (user.project / "dist").exists()


@WITH_BOTH
def test_both_doors_write_the_same_bytes(user: User) -> None:
    """`lambda-build` in the same project makes the same zip."""
    words = (*ARM, "-o", "one.zip")
    ran = user.pdm_does("build", "--lambda", *words)
    assert ran.returncode == 0, ran.stderr
    of_pdm = (user.project / "one.zip").read_bytes()
    (user.project / "one.zip").unlink()

    ran = user.of_lambda_build(*words)

    assert ran.returncode == 0, ran.stderr
    assert (user.project / "one.zip").read_bytes() == of_pdm


def test_nothing_is_left_behind_but_the_zip_and_the_cache(user: User) -> None:
    """No .venv, no .pdm-python, the lock as it was, no file outside of dist/ and the cache."""
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


def test_pylock_of_pdm_is_its_lock_too(newest: Host, tmp_path: Path) -> None:
    """Where `lock.format` says so, PDM's lock is a pylock.toml with PDM's own groups in it."""
    with FakeIndex(WHEELS) as index:
        user = a_user(newest, tmp_path, a_source(index), DEPENDENCIES)
        (user.project / "pdm.toml").write_text('[lock]\nformat = "pylock"\n')
        user.locks("-G:all")
        report = user.builds(*ARM, "-G", "dev,fast")

    assert report["lock"] == str(user.project / "pylock.toml")
    assert names(report) == MAIN | {"pytest", "orjson"}


def test_pylock_is_taken_where_there_is_no_pdm_lock(newest: Host, tmp_path: Path) -> None:
    """`lock.format` may be set where the lock was made, and not on this machine."""
    with FakeIndex(WHEELS) as index:
        user = a_user(newest, tmp_path, a_source(index), DEPENDENCIES)
        (user.project / "pdm.toml").write_text('[lock]\nformat = "pylock"\n')
        user.locks("-G:all")
        (user.project / "pdm.toml").unlink()
        report = user.builds(*ARM, "-G", "dev,fast")

    assert report["lock"] == str(user.project / "pylock.toml")
    assert names(report) == MAIN | {"pytest", "orjson"}


# --- `pdm build` as it was ------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "made"),
    [
        pytest.param([], {"app-1.0.tar.gz", "app-1.0-py3-none-any.whl"}, id="both"),
        pytest.param(["--no-sdist"], {"app-1.0-py3-none-any.whl"}, id="wheel"),
        pytest.param(["--no-wh"], {"app-1.0.tar.gz"}, id="abbreviation"),
        pytest.param(["--de", "dist"], {"app-1.0.tar.gz", "app-1.0-py3-none-any.whl"}, id="dest"),
        pytest.param(["--no-wheel", "--pro", "."], {"app-1.0.tar.gz"}, id="project"),
    ],
)
def test_plain_build_does_what_it_did(
    newest: Host, tmp_path: Path, words: list[str], made: set[str]
) -> None:
    """Without --lambda the command is PDM's own, abbreviations that PDM admits included."""
    user = a_user(newest, tmp_path)
    # There is no index here: what builds is the backend in PDM's own environment.
    environ = {"PDM_BUILD_ISOLATION": "false", "PDM_PYTHON": str(newest.python)}

    ran = user.pdm_does("build", *words, environ=environ)

    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in (user.project / "dist").iterdir()} == made


def test_help_of_build_adds_a_group_and_takes_nothing_away(newest: Host, tmp_path: Path) -> None:
    """`pdm build --help` lists PDM's own options as before, and ours after them."""
    plain = pdm_host(*WITH_BACKEND, with_plugin=False)
    theirs, both = (
        host.run("build", "--help", cwd=tmp_path, home=tmp_path).stdout for host in (plain, newest)
    )

    head, _, ours = both.partition("Lambda Options:")
    options = re.compile(r"^ +(-.*?)(?:  |$)", re.MULTILINE)
    assert options.findall(head) == options.findall(theirs)
    assert "--lambda" in options.findall(ours)


def test_our_options_alone_are_refused(newest: Host, tmp_path: Path) -> None:
    """An option of ours without --lambda builds nothing, as when PDM did not know it."""
    user = a_user(newest, tmp_path)

    ran = user.pdm_does("build", "--arch", "arm64")

    assert ran.returncode == 1
    assert "--arch is an option of `pdm build --lambda`" in ran.stderr
    assert not (user.project / "dist").exists()


# --- where and how it is called -------------------------------------------------------


@pytest.mark.parametrize(
    ("cwd", "words"),
    [
        pytest.param(".", [], id="in the project"),
        pytest.param("src/app", [], id="in a sub-folder"),
        pytest.param("..", ["-p", "app"], id="-p"),
        pytest.param(".", ["--no-sdist", "--no-clean"], id="options of the plain build"),
    ],
)
def test_zip_goes_to_dist_of_the_project(user: User, cwd: str, words: list[str]) -> None:
    """Wherever PDM is called, the project is PDM's."""
    (user.project / "dist").mkdir()
    (user.project / "dist" / "kept.txt").touch()
    ran = user.pdm_does(
        *("build", "--lambda", "--contents", "project", *ARM, *words),
        cwd=(user.project / cwd).resolve(),
    )

    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in (user.project / "dist").iterdir()} == {
        "app-1.0-function-python3.13-arm64.zip",
        "kept.txt",
    }


def test_dest_is_a_folder_of_the_project(newest: Host, tmp_path: Path) -> None:
    """-d means what it means to PDM; -o wins, and starts from where one is."""
    user = a_user(newest, tmp_path)
    words = ("build", "--lambda", "--contents", "project", *ARM, "-p", "app", "-d", "out")

    user.pdm_does(*words, cwd=tmp_path)
    user.pdm_does(*words, "-o", "here.zip", cwd=tmp_path)

    assert (user.project / "out" / "app-1.0-function-python3.13-arm64.zip").is_file()
    assert (tmp_path / "here.zip").is_file()


def test_options_of_pyproject_count(newest: Host, tmp_path: Path) -> None:
    """PDM puts [tool.pdm.options] before what is on the command line; so it does here."""
    options = 'options.build = ["--lambda", "--contents", "project", "--arch", "arm64"]'
    user = a_user(newest, tmp_path, pdm=options)

    ran = user.pdm_does("build", "--json")

    assert json.loads(ran.stdout)["architecture"] == "arm64"


def test_quiet_says_nothing(newest: Host, tmp_path: Path) -> None:
    """-q is PDM's option and means the same here."""
    ran = a_user(newest, tmp_path).pdm_does("build", "--lambda", "-q", "--contents", "project")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_verbose_says_that_the_wheel_is_built_in_process(newest: Host, tmp_path: Path) -> None:
    """With -v each step is told: pdm-backend, where it is installed, builds in process."""
    ran = a_user(newest, tmp_path).pdm_does("build", "--lambda", "-v", "--contents", "project")

    assert "building app with pdm-backend in this process" in ran.stderr


def test_without_pdm_backend_the_wheel_is_built_in_isolation(tmp_path: Path) -> None:
    """PDM does not bring its backend along; then the build is what any PEP 517 build is."""
    user = a_user(pdm_host(*NEWEST), tmp_path)
    # There is nothing to make an isolated environment of: the attempt is enough.
    offline = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    ran = user.pdm_does("build", "--lambda", "-v", "--contents", "project", environ=offline)

    assert "building app with pdm.backend in isolation" in ran.stderr


# --- what is refused ------------------------------------------------------------------


@WITH_BOTH
def test_stale_lock_is_refused(user: User) -> None:
    """After a change of the dependencies `pdm lock` is due, as PDM itself sees it."""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("pydantic>=2", "pydantic>=2.1"))

    ran = user.pdm_does("build", "--lambda", *ARM)

    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("error: the lock pdm.lock is out of date\n")
    assert "`pdm lock`" in ran.stderr


def test_change_of_version_leaves_the_lock_fresh(user: User) -> None:
    """What plays no part in locking makes no lock stale."""
    pyproject = user.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"1.0"', '"1.1"'))

    assert user.builds(*ARM)["artifact"].endswith("app-1.1-function-python3.13-arm64.zip")


def test_missing_lock_is_refused(user: User) -> None:
    """Nothing is resolved behind the user's back."""
    (user.project / "pdm.lock").unlink()

    ran = user.pdm_does("build", "--lambda", *ARM)

    assert (ran.returncode, ran.stdout) == (3, "")
    assert "`pdm lock`" in ran.stderr
    assert not (user.project / "pdm.lock").exists()


def test_other_lock_is_named_where_there_is_none_of_pdm(user: User) -> None:
    """Somebody who has another lock may mean that one."""
    (user.project / "pdm.lock").unlink()
    (user.project / "uv.lock").touch()

    ran = user.pdm_does("build", "--lambda", *ARM)

    assert "or use uv.lock with `--lock uv.lock`" in ran.stderr


def test_damaged_lock_is_refused(user: User) -> None:
    """A lock that is no TOML is named, without a traceback."""
    (user.project / "pdm.lock").write_text("<<<<<<< ours\n")

    ran = user.pdm_does("build", "--lambda", *ARM)

    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    assert not (user.project / "dist").exists()


def test_pdm_lock_comes_before_other_locks(user: User) -> None:
    """Another tool's lock beside it is not what a PDM user means."""
    (user.project / "uv.lock").write_text("this is no lock")

    assert user.builds(*ARM)["lock"] == str(user.project / "pdm.lock")


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


def test_lock_that_pdm_is_told_of_is_its_lock(newest: Host, tmp_path: Path) -> None:
    """PDM_LOCKFILE names the lock to all commands of the newest PDM, and so to this one."""
    with FakeIndex([OPEN]) as index:
        user = a_user(newest, tmp_path, a_source(index), 'dependencies = ["open"]\n')
        user.locks()
        (user.project / "locks").mkdir()
        moved = (user.project / "pdm.lock").rename(user.project / "locks" / "pdm.lock")
        report = user.builds(environ={"PDM_LOCKFILE": str(moved)})

    assert (report["lock"], names(report)) == (str(moved), {"open"})


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param("-G nope,dev", 2, "Group(s) not found: nope (via --group)", id="unknown"),
        pytest.param("--prod -G dev", 2, "--prod is not allowed with dev groups", id="prod"),
        pytest.param("--prod --dev", 2, "--prod", id="prod and dev"),
        pytest.param("-C a=b", 2, "without config settings", id="config settings"),
        pytest.param("--arch sparc", 2, "--arch: is `sparc`", id="wrong value"),
        pytest.param("--arch sparc", 2, "`pdm build --lambda --help`", id="words of PDM"),
    ],
)
def test_wrong_words_are_refused(user: User, words: str, code: int, said: str) -> None:
    """What cannot be meant builds nothing, and there is no traceback."""
    ran = user.pdm_does("build", "--lambda", *words.split())

    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_project_that_is_no_package_ships_as_it_lies(newest: Host, tmp_path: Path) -> None:
    """With `distribution = false` its files are in the zip, and no metadata of it."""
    user = a_user(newest, tmp_path, pdm="distribution = false")

    report = user.builds()

    assert [(item["source"], item["file"]) for item in report["packages"]] == [("local", "")]


def test_wheel_of_what_is_no_package(newest: Host, tmp_path: Path) -> None:
    """Who asks for a wheel of it is told how to go on."""
    user = a_user(newest, tmp_path, pdm="distribution = false")

    ran = user.pdm_does("build", "--lambda", "--project-as", "wheel")

    assert ran.returncode == 6
    assert "`distribution = false`" in ran.stderr
    assert "`--contents dependencies`" in ran.stderr


# --- sources --------------------------------------------------------------------------

PRIVATE = a_wheel("inhouse", "1.0")
OPEN = a_wheel("open", "1.0")
BOTH = 'dependencies = ["open", "inhouse"]\n'
TOKEN = base64.b64encode(f"me:{SECRET}".encode()).decode()


@contextmanager
def a_private_source(host: Host, folder: Path) -> Iterator[tuple[User, FakeIndex, FakeIndex]]:
    """Give a locked project with a package from a source whose password is in a variable."""
    with (
        FakeIndex([OPEN]) as public,
        FakeIndex([PRIVATE], auth=("me", SECRET)) as private,
    ):
        url = private.url.replace("://", "://${PRIVATE_USER}:${PRIVATE_PASSWORD}@")
        sources = a_source(public) + a_source(url, "private", 'include_packages = ["in*"]')
        user = a_user(host, folder, sources, BOTH)
        user.locks(environ=LOGIN)
        yield user, public, private


LOGIN = {"PRIVATE_USER": "me", "PRIVATE_PASSWORD": SECRET}


@WITH_BOTH
def test_private_source_opens_with_variables_in_its_url(pdm: Host, tmp_path: Path) -> None:
    """Credentials in variables go to their own origin only, and include_packages counts."""
    with a_private_source(pdm, tmp_path) as (user, public, private):
        locking = len(public.requests), len(private.requests)
        report = user.builds("-v", environ=LOGIN)
        asked = public.requests[locking[0] :], private.requests[locking[1] :]

    assert names(report) == {"open", "inhouse"}
    assert {request.headers.get("authorization") for request in asked[0]} == {None}
    assert {request.headers.get("authorization") for request in asked[1]} == {f"Basic {TOKEN}"}
    assert not any("inhouse" in request.path for request in asked[0])


def test_private_source_opens_with_the_configuration_of_pdm(newest: Host, tmp_path: Path) -> None:
    """What `pdm config pypi.NAME` has stored completes the source of that name, or adds one."""
    with (
        FakeIndex([OPEN]) as public,
        FakeIndex([PRIVATE], auth=("me", SECRET)) as private,
    ):
        user = a_user(newest, tmp_path, a_source(public), BOTH)
        for key, value in (("url", private.url), ("username", "me"), ("password", SECRET)):
            user.pdm_does("config", f"pypi.private.{key}", value)
        user.locks()

        assert names(user.builds()) == {"open", "inhouse"}


def test_private_source_opens_with_the_keyring(newest: Host, tmp_path: Path) -> None:
    """A login that the keyring has under PDM's name of the source is found, by PDM and by us."""
    (tmp_path / "keyring.py").write_text(
        "from types import SimpleNamespace\n"
        "def get_credential(service, username):\n"
        "    if service == 'pdm-pypi-private':\n"
        f"        return SimpleNamespace(username='me', password='{SECRET}')\n"
    )
    with (
        FakeIndex([OPEN]) as public,
        FakeIndex([PRIVATE], auth=("me", SECRET)) as private,
    ):
        sources = a_source(public) + a_source(private, "private", 'include_packages = ["inhouse"]')
        user = a_user(newest, tmp_path, sources, BOTH)
        environ = {"PYTHONPATH": str(tmp_path)}
        user.locks(environ=environ)

        assert names(user.builds(environ=environ)) == {"open", "inhouse"}


def test_keyring_is_not_asked_without_need(newest: Host, tmp_path: Path) -> None:
    """A build whose wheels are in the cache needs no login, so nobody has to unlock a keyring."""
    asked = tmp_path / "asked"
    (tmp_path / "keyring.py").write_text(
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "def get_credential(service, username):\n"
        f"    Path({str(asked)!r}).touch()\n"
        f"    return SimpleNamespace(username='me', password='{SECRET}')\n"
    )
    with FakeIndex([PRIVATE], auth=("me", SECRET)) as private:
        source = a_source(private, "private")
        user = a_user(newest, tmp_path, source, 'dependencies = ["inhouse"]\n')
        environ = {"PYTHONPATH": str(tmp_path)}
        user.locks(environ=environ)
        asked.unlink()
        user.builds(environ=environ)
        assert asked.exists()
        asked.unlink()

        assert names(user.builds(environ=environ)) == {"inhouse"}

    assert not asked.exists()


def test_default_index_is_the_one_that_pdm_has(newest: Host, tmp_path: Path) -> None:
    """PDM_PYPI_URL, like `pdm config pypi.url`, takes the place of the default index."""
    with FakeIndex([OPEN]) as index:
        user = a_user(newest, tmp_path, "", 'dependencies = ["open"]\n')
        environ = {"PDM_PYPI_URL": index.url}
        user.locks(environ=environ)

        assert names(user.builds(environ=environ)) == {"open"}


def test_excluded_packages_are_not_asked_for(newest: Host, tmp_path: Path) -> None:
    """A source with exclude_packages does not hear of them."""
    with FakeIndex([OPEN, PRIVATE]) as public, FakeIndex([PRIVATE]) as private:
        sources = a_source(private, "private", 'exclude_packages = ["op*"]') + a_source(
            public, more='exclude_packages = ["in_house", "inhouse"]'
        )
        user = a_user(newest, tmp_path, sources, BOTH)
        user.locks()
        before = len(public.requests), len(private.requests)
        user.builds()
        asked = public.requests[before[0] :], private.requests[before[1] :]

    assert not any("inhouse" in request.path for request in asked[0])
    assert not any("open" in request.path for request in asked[1])


def test_folder_of_files_is_a_source(newest: Host, tmp_path: Path) -> None:
    """A source of the type find_links may be a folder of the project."""
    with FakeIndex([OPEN]) as index:
        folder = a_source("file:///${PROJECT_ROOT}/wheels", "local", 'type = "find_links"')
        user = a_user(newest, tmp_path, a_source(index) + folder, BOTH)
        (user.project / "wheels").mkdir()
        (user.project / "wheels" / PRIVATE.filename).write_bytes(PRIVATE.content)
        user.locks()

        assert names(user.builds()) == {"open", "inhouse"}


def test_private_source_opens_to_lambda_build_too(newest: Host, tmp_path: Path) -> None:
    """The other door reads the sources of pyproject.toml, with the variables in their URLs."""
    with a_private_source(newest, tmp_path) as (user, public, _):
        before = len(public.requests)
        ran = user.of_lambda_build("--json", environ=LOGIN)
        asked = public.requests[before:]

    assert ran.returncode == 0, ran.stderr
    assert names(json.loads(ran.stdout)) == {"open", "inhouse"}
    assert not any("inhouse" in request.path for request in asked)


@pytest.mark.parametrize("verbosity", ["-q", "-v", "-vv"])
def test_wrong_password_names_the_source(newest: Host, tmp_path: Path, verbosity: str) -> None:
    """The error says which source refuses, and never what was tried."""
    wrong = {**LOGIN, "PRIVATE_PASSWORD": "wr0ng-guess"}
    with a_private_source(newest, tmp_path) as (user, _, private):
        ran = user.pdm_does("build", "--lambda", verbosity, environ=wrong)

        assert ran.returncode == 5
        assert f"error: the source private ({private.url}" in ran.stderr
        assert "wr0ng-guess" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param("url = 'https://index.example/simple/'", "'name'", id="no name"),
        pytest.param(
            "name = 'a'\nurl = 'https://me:guess@index.example:port/'",
            "the source a: `https://index.example:port/` is not a URL",
            id="no url",
        ),
        pytest.param("name = 'a'\nuri = 'https://index.example/'", "'uri'", id="no such key"),
    ],
)
def test_source_that_is_not_right_is_refused(
    newest: Host, tmp_path: Path, table: str, said: str
) -> None:
    """A mistake in [[tool.pdm.source]] is told without a traceback and without a password."""
    user = a_user(newest, tmp_path, f"[[tool.pdm.source]]\n{table}\n")

    ran = user.pdm_does("build", "--lambda")

    assert ran.returncode == 2
    assert said in ran.stderr
    assert "guess" not in ran.stderr


# --- in PDM's company -----------------------------------------------------------------


@WITH_BOTH
def test_pdm_starts_without_the_core(pdm: Host, tmp_path: Path) -> None:
    """Whatever PDM is asked, the entry module and the tables of options load, and no more."""
    program = textwrap.dedent(
        """\
        import atexit, sys
        atexit.register(lambda: print(
            *sorted(name for name in sys.modules if name.startswith("lambda_build_plugin"))
        ))
        from pdm.core import main
        main(["--version"])
        """
    )
    ran = pdm.run_python("-c", program, cwd=tmp_path, home=a_home(tmp_path))

    assert ran.stdout.splitlines()[1:] == [
        "lambda_build_plugin lambda_build_plugin.config lambda_build_plugin.config.options "
        "lambda_build_plugin.frontends lambda_build_plugin.frontends.options "
        "lambda_build_plugin.frontends.pdm "
        "lambda_build_plugin.lock lambda_build_plugin.lock.formats"
    ]


def test_interrupt_ends_the_build(newest: Host, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and one word, and leaves nothing."""
    user = a_user(newest, tmp_path)
    program = textwrap.dedent(
        """\
        import signal
        from lambda_build_plugin.pipeline import build
        from pdm.core import main
        build.build_all = lambda *_: signal.raise_signal(signal.SIGINT)
        main(["build", "--lambda"])
        """
    )
    ran = newest.run_python("-c", program, cwd=user.project, home=user.home)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")
    assert not (user.project / "dist").exists()


# --- how it is installed --------------------------------------------------------------


@contextmanager
def an_index_with_this_plugin(host: Host) -> Iterator[dict[str, str]]:
    """Serve our own wheel, and name both indexes to what PDM installs with."""
    wheel = our_wheel(beside=host)
    ours = FakeWheel(filename=wheel.name, content=wheel.read_bytes())
    kept = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    with FakeIndex([ours]) as index:
        yield {
            **{key: os.environ[key] for key in kept if key in os.environ},
            "PDM_PYPI_URL": a_real_index(),
            "PIP_INDEX_URL": a_real_index(),
            "PIP_EXTRA_INDEX_URL": index.url,
            "OURS": index.url,
        }


@pytest.fixture(
    params=[
        pytest.param(WITH_BACKEND, id="newest"),
        pytest.param(WITH_THE_OLDEST[0], id=WITH_THE_OLDEST[1], marks=pytest.mark.nightly),
    ]
)
def own_pdm(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Give a PDM without the plugin, of one's own to install it in."""
    folder = tmp_path / "own-pdm"
    host = pdm_host(*request.param, with_plugin=False)
    shutil.copytree(host.folder, folder, symlinks=True)
    return replace(host, folder=folder)


def test_self_add_installs_the_plugin(own_pdm: Host, tmp_path: Path) -> None:
    """`pdm self add lambda-build-plugin` is all that is needed."""
    user = a_user(own_pdm, tmp_path)
    with an_index_with_this_plugin(own_pdm) as environ:
        ran = user.pdm_does("self", "add", "lambda-build-plugin", environ=environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr

    assert files(user.builds("--contents", "project")) == {"app": "app-1.0-py3-none-any.whl"}


def test_project_may_ask_for_the_plugin(own_pdm: Host, tmp_path: Path) -> None:
    """With `plugins` in [tool.pdm], `pdm install --plugins` brings it beside what PDM has."""
    with an_index_with_this_plugin(own_pdm) as environ:
        user = a_user(
            own_pdm,
            tmp_path,
            a_source(environ["OURS"], "ours"),
            pdm='plugins = ["lambda-build-plugin"]',
        )
        ran = user.pdm_does("install", "--plugins", environ=environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr

    assert files(user.builds("--contents", "project")) == {"app": "app-1.0-py3-none-any.whl"}
