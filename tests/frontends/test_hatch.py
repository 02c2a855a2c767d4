"""`hatch build -t lambda` through the real Hatch, and the target through hatchling itself."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.hatch_hosts import OLDEST_HATCHLING, UNHELD, hatch_host, hatchling_host, indexes
from fakes.hosts import our_wheel
from fakes.index import FakeIndex
from fakes.pages import views_of
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from fakes.hosts import Host
    from fakes.wheels import FakeWheel

# Hatch itself comes from the package index; what the tests lock comes from the loopback.
pytestmark = pytest.mark.index

ARM = {"LAMBDA_BUILD_RUNTIME": "python3.13", "LAMBDA_BUILD_ARCHITECTURE": "arm64"}
X86 = {"LAMBDA_BUILD_RUNTIME": "python3.11", "LAMBDA_BUILD_ARCHITECTURE": "x86_64"}
CONSOLE_SCRIPT = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"

HERE = f"cp3{sys.version_info.minor}"
MACHINE = platform.machine()
OTHER = ("arm64", "aarch64") if MACHINE == "x86_64" else ("x86_64", "x86_64")
"""The architecture that this machine is not, as Lambda and as wheels spell it."""

LINUX_ONLY = pytest.mark.skipif(
    sys.platform != "linux", reason="the wheel for this machine is a Linux one"
)

WHEELS = (
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    a_wheel("numpy", "2.2.6", tag="cp311-cp311-win_amd64"),
    a_wheel("numpy", "2.5.5", tag="cp313-cp313-manylinux_2_28_aarch64"),
    a_wheel("numpy", "2.5.5", tag="cp313-cp313-manylinux_2_28_x86_64"),
    a_wheel("pydantic", "2.12.5", metadata=["Requires-Dist: pydantic-core==2.41.5"]),
    a_wheel("pydantic-core", "2.41.5", tag="cp311-cp311-manylinux_2_17_x86_64"),
    a_wheel("pydantic-core", "2.41.5", tag="cp313-cp313-manylinux_2_17_aarch64"),
    a_wheel("colorama", "0.4.6"),
    a_wheel("orjson", "3.11.0"),
    a_wheel("pytest", "8.4.2", metadata=["Requires-Dist: iniconfig>=1"]),
    a_wheel("iniconfig", "2.0.0"),
    a_wheel("native", "1.0", tag=f"{HERE}-{HERE}-manylinux_2_17_{MACHINE}"),
    a_wheel("native", "1.0", tag=f"{HERE}-{HERE}-manylinux_2_17_{OTHER[1]}"),
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
[dependency-groups]
dev = ["pytest>=8"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a Hatch or a hatchling, a home and a project."""

    host: Host
    project: Path
    home: Path
    environ: Mapping[str, str]

    def does(
        self, *words: str | Path, environ: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run the host in the project."""
        return self.host.run(
            *words, cwd=self.project, home=self.home, environ={**self.environ, **(environ or {})}
        )

    def builds(self, *words: str | Path, environ: Mapping[str, str] | None = None) -> str:
        """Run `build`, which has to succeed, and give what it says."""
        ran = self.does("build", *words, environ=environ)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def lambda_build(self, *words: str | Path) -> CompletedProcess[str]:
        """Run the console script beside the host."""
        environ = {**self.environ, "PATH": os.environ["PATH"]}
        return self.host.run_python(
            "-c", CONSOLE_SCRIPT, *words, cwd=self.project, home=self.home, environ=environ
        )

    def add(self, text: str) -> None:
        """Add to pyproject.toml."""
        pyproject = self.project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text() + textwrap.dedent(text))

    def zips(self) -> list[str]:
        """List what lies in dist."""
        return sorted(path.name for path in (self.project / "dist").iterdir())


def a_project(folder: Path, head: str = "", *, version: str = 'version = "1.0"') -> Path:
    """Make a project `app`, with code in `src`."""
    (folder / "src" / "app").mkdir(parents=True)
    (folder / "src" / "app" / "__init__.py").write_text("def handler(event, context): ...\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "app"\n{version}\nrequires-python = ">=3.10"\n{head}\n'
    )
    return folder


def a_user(host: Host, folder: Path, head: str = "", **options: str) -> User:
    """Make a user with a project of their own."""
    project = a_project(folder / "app", head, **options)
    return User(host=host, project=project, home=a_home(folder), environ={})


def a_home(folder: Path) -> Path:
    """Make a home in which nothing is configured."""
    home = folder / "home"
    home.mkdir()
    return home


def a_pylock(project: Path, *wheels: FakeWheel, name: str = "pylock.toml") -> None:
    """Write a lock of these wheels, as `hatch lock` would: it tells no group apart."""
    packages = "".join(
        f'[[packages]]\nname = "{wheel.project}"\nversion = "{wheel.filename.split("-")[1]}"\n'
        f'wheels = [{{ path = "{wheel.write_to(project / "wheels").relative_to(project)}", '
        f'hashes = {{ sha256 = "{wheel.sha256}" }} }}]\n'
        for wheel in wheels
    )
    (project / name).write_text(f'lock-version = "1.0"\ncreated-by = "uv"\n{packages}')


def shipped(path: Path) -> dict[str, str]:
    """Get each distribution in a zip with the first tag of its wheel."""
    with zipfile.ZipFile(path) as archive:
        return {
            name.rpartition(".dist-info/")[0].rpartition("/")[2]: re.findall(
                r"^Tag: (.*)$", archive.read(name).decode(), re.MULTILINE
            )[0]
            for name in archive.namelist()
            if name.endswith(".dist-info/WHEEL")
        }


# --- through the real Hatch -------------------------------------------------------------


@pytest.fixture(scope="module")
def hatch() -> Host:
    """Give the newest Hatch, in whose own environment the plugin is not."""
    return hatch_host()


@pytest.fixture(scope="module")
def locked(
    hatch: Host, hatchling: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[User]:
    """Give a project with a lock of each kind and a build environment; do not change it."""
    folder = tmp_path_factory.mktemp("hatch")
    with FakeIndex(WHEELS) as index:
        user = a_hatch_user(hatch, folder, index, DEPENDENCIES)
        only_fake = {"UV_DEFAULT_INDEX": index.url, "UV_INDEX": ""}
        for words in (
            ("-m", "uv", "lock"),
            ("-c", CONSOLE_SCRIPT, "lock", "--group", "dev"),
        ):
            ran = hatchling.run_python(
                *words, cwd=user.project, home=user.home, environ={**user.environ, **only_fake}
            )
            assert ran.returncode == 0, ran.stderr
        yield user


def a_hatch_user(hatch: Host, folder: Path, index: FakeIndex, head: str) -> User:
    """Make a project whose build environment gets this plugin from its wheel."""
    user = User(
        host=hatch,
        project=a_project(folder / "app", head),
        home=a_home(folder),
        # The table [tool.uv.pip] of the project is configuration, too.
        environ={**indexes(index), "UV_NO_CONFIG": "false"},
    )
    user.add(
        f"""
        [tool.hatch.build.targets.lambda]
        dependencies = ["lambda-build-plugin @ {our_wheel().as_uri()}"]
        """
    )
    return user


@pytest.mark.parametrize("lock", ["pylock.lambda.toml", "uv.lock"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(
            ARM,
            {
                "app-1.0": "py3-none-any",
                "numpy-2.5.5": "cp313-cp313-manylinux_2_28_aarch64",
                "pydantic-2.12.5": "py3-none-any",
                "pydantic_core-2.41.5": "cp313-cp313-manylinux_2_17_aarch64",
            },
            id="python3.13-arm64",
        ),
        pytest.param(
            X86,
            {
                "app-1.0": "py3-none-any",
                "numpy-2.2.6": "cp311-cp311-manylinux_2_17_x86_64",
                "pydantic-2.12.5": "py3-none-any",
                "pydantic_core-2.41.5": "cp311-cp311-manylinux_2_17_x86_64",
            },
            id="python3.11-x86_64",
        ),
    ],
)
def test_locked_versions_ship_in_the_files_of_the_target(
    locked: User, tmp_path: Path, lock: str, target: dict[str, str], expected: dict[str, str]
) -> None:
    """Markers and wheels are those of the target; other platforms, dev and extras stay out."""
    locked.builds("-t", "lambda", tmp_path, environ={**target, "LAMBDA_BUILD_LOCK": lock})

    (made,) = tmp_path.iterdir()
    assert shipped(made) == expected


def test_both_doors_write_the_same_bytes(locked: User, tmp_path: Path) -> None:
    """The console script in the build environment makes the same zip of the same project."""
    locked.builds("-t", "lambda", tmp_path / "hatch", environ=ARM)
    found = locked.does("env", "find", "hatch-build")
    script = next(Path(found.stdout.strip()).glob("*/lambda-build*"))
    environ = {**locked.environ, **ARM, "LAMBDA_BUILD_OUTPUT": f"{tmp_path}/script/"}

    ran = locked.host.run_python(
        "-c",
        "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))",
        script,
        cwd=locked.project,
        home=locked.home,
        environ=environ,
    )

    assert ran.returncode == 0, ran.stderr
    of_hatch, of_script = (next((tmp_path / name).iterdir()) for name in ("hatch", "script"))
    assert of_hatch.name == of_script.name
    assert of_hatch.read_bytes() == of_script.read_bytes()


def test_versions_are_layouts(locked: User, tmp_path: Path) -> None:
    """`-t lambda:function,layer` builds both, beside a wheel."""
    environ = {**ARM, "LAMBDA_BUILD_LOCK": "uv.lock"}
    locked.builds("-t", "wheel", "-t", "lambda:function,layer", tmp_path, environ=environ)

    assert {path.name for path in tmp_path.iterdir()} == {
        "app-1.0-function-python3.13-arm64.zip",
        "app-1.0-layer-python3.13-arm64.zip",
        "app-1.0-py3-none-any.whl",
    }
    with zipfile.ZipFile(tmp_path / "app-1.0-layer-python3.13-arm64.zip") as layer:
        assert {name.partition("/")[0] for name in layer.namelist()} == {"python"}


@pytest.mark.parametrize(
    ("target", "environ", "expected"),
    [
        pytest.param(
            "lambda:zip", {}, (2, "the target `lambda` has no version `zip`"), id="version"
        ),
        pytest.param(
            "lambda", {"LAMBDA_BUILD_RUNTIME": "node"}, (2, "is `node`: use one"), id="value"
        ),
        pytest.param("lambda", {"LAMBDA_BUILD_LOCK": "gone.toml"}, (3, "is not a file"), id="lock"),
    ],
)
def test_mistakes_are_named_without_a_traceback(
    locked: User, tmp_path: Path, target: str, environ: dict[str, str], expected: tuple[int, str]
) -> None:
    """Hatch passes on our message and our exit code; nothing is written."""
    ran = locked.does("build", "-t", target, tmp_path, environ=environ)

    code, said = expected
    shown = ran.stdout + ran.stderr
    assert (ran.returncode, said in shown, "Traceback" in shown) == (code, True, False), shown
    assert list(tmp_path.iterdir()) == []


@LINUX_ONLY
def test_lock_for_this_machine_alone_is_refused_with_a_remedy_that_works(
    hatch: Host, tmp_path: Path
) -> None:
    """A plain `hatch lock` cannot serve another machine; what the hint says can."""
    runtime = f"python3.{sys.version_info.minor}"
    environ = {"LAMBDA_BUILD_RUNTIME": runtime, "LAMBDA_BUILD_ARCHITECTURE": OTHER[0]}
    with FakeIndex(WHEELS) as index:
        user = a_hatch_user(hatch, tmp_path, index, 'dependencies = ["native"]')
        user.add('[tool.hatch.envs.default]\ninstaller = "uv"\nlocked = true\n')
        locking = user.does("lock", environ=UNHELD)
        assert locking.returncode == 0, locking.stderr

        refused = user.does("build", "-t", "lambda", environ=environ)
        hint = textwrap.dedent(refused.stderr.partition("hint: ")[2].partition("\n")[2])
        user.add(hint[hint.index("[tool.hatch.envs.lambda]") :])
        locking = user.does("-e", "lambda", "lock", environ=UNHELD)
        assert locking.returncode == 0, locking.stderr
        user.builds("-t", "lambda", environ=environ)

    assert refused.returncode == 3
    assert f"pylock.toml was made for a machine other than {runtime} {OTHER[0]}" in refused.stderr
    assert shipped(user.project / "dist" / user.zips()[0]) == {
        "app-1.0": "py3-none-any",
        "native-1.0": f"{HERE}-{HERE}-manylinux_2_17_{OTHER[1]}",
    }


def test_dependencies_of_the_environment_stay_out_and_are_listed(
    hatch: Host, tmp_path: Path
) -> None:
    """A lock of `hatch lock` that also holds pytest gives the project what it needs."""
    environ = {"LAMBDA_BUILD_RUNTIME": f"python3.{sys.version_info.minor}"}
    with FakeIndex(WHEELS) as index:
        user = a_hatch_user(hatch, tmp_path, index, 'dependencies = ["orjson"]')
        user.add(
            """
            [tool.hatch.envs.default]
            installer = "uv"
            locked = true
            dependencies = ["pytest"]
            [tool.uv.pip]
            universal = true
            """
        )
        locking = user.does("lock", environ=UNHELD)
        assert locking.returncode == 0, locking.stderr
        assert 'name = "pytest"' in (user.project / "pylock.toml").read_text()
        said = user.builds("-t", "lambda", environ=environ)

    assert set(shipped(user.project / "dist" / user.zips()[0])) == {"app-1.0", "orjson-3.11.0"}
    assert "Left out: iniconfig 2.0.0, pytest 8.4.2 (`-v` says why)\n" in said


def test_uv_runs_hatchling_with_the_plugin(hatchling: Host, tmp_path: Path) -> None:
    """`uvx --from hatchling --with lambda-build-plugin hatchling build` needs no Hatch."""
    user = a_user(hatchling, tmp_path)
    run = ("tool", "run", "--from", "hatchling", "--with", our_wheel())

    ran = user.host.run_python(
        *("-m", "uv", *run, "hatchling", "build", "-t", "lambda"),
        cwd=user.project,
        home=user.home,
        environ={**indexes(), **ARM},
    )

    assert (ran.returncode, user.zips()) == (0, ["app-1.0-function-python3.13-arm64.zip"])


# --- through hatchling itself -----------------------------------------------------------


@pytest.fixture(scope="module")
def hatchling() -> Host:
    """Give the newest hatchling with the plugin beside it, and uv."""
    return hatchling_host("hatchling", "uv>=0.8")


@pytest.fixture(
    params=[
        pytest.param(("hatchling", "uv>=0.8"), id="newest"),
        pytest.param(OLDEST_HATCHLING, id="oldest-with-packaging-24.2"),
    ]
)
def user(request: pytest.FixtureRequest, tmp_path: Path) -> User:
    """Give a project without dependencies to a user of each hatchling."""
    return a_user(hatchling_host(*request.param), tmp_path)


FUNCTION = "app-1.0-function-python3.13-arm64.zip"
LAYER = "app-1.0-layer-python3.13-arm64.zip"
TABLE = "\n[tool.hatch.build.targets.lambda]\n"


def test_project_without_dependencies_needs_no_lock(user: User) -> None:
    """Its own wheel is all that ships."""
    user.builds("-t", "lambda", environ=ARM)

    assert shipped(user.project / "dist" / FUNCTION) == {"app-1.0": "py3-none-any"}


def test_report_and_page_go_where_the_table_says(user: User) -> None:
    """Where others have flags, the table of the target has keys; hatchling takes no offence."""
    user.add(f'{TABLE}report = "out/report.json"\nhtml = "out/page.html"\n')

    user.builds("-t", "lambda", environ=ARM)

    report = json.loads((user.project / "out" / "report.json").read_text())
    (view,) = views_of(user.project / "out" / "page.html")
    assert view["title"] == Path(report["artifact"]).name == FUNCTION
    assert view["size"] == report["size"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("html = 1", "[tool.hatch.build.targets.lambda] html: must be a string"),
        ('html = "pyproject.toml"', "is one of the project's own files"),
        (
            'html = "a.html"\nreport = "a.json"\nversions = ["function", "layer"]',
            "`html` is a single file, but 2 versions are requested",
        ),
    ],
)
def test_page_has_to_be_a_file_of_its_own(user: User, table: str, said: str) -> None:
    """A mistake is told before anything is built."""
    user.add(f"{TABLE}{table}\n")

    ran = user.does("build", "-t", "lambda", environ=ARM)

    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert not list(user.project.rglob("*.zip"))


def test_default_version_is_the_configured_layout(user: User) -> None:
    """`-t lambda` alone builds what `layout` says."""
    user.add('[tool.lambda-build]\nlayout = "layer"\n')

    user.builds("-t", "lambda", environ=ARM)

    assert user.zips() == [LAYER]


def test_versions_of_the_table_are_built(user: User) -> None:
    """Hatchling's own key `versions` is heeded."""
    user.add(f'{TABLE}versions = ["function", "layer"]\n')

    user.builds("-t", "lambda", environ=ARM)

    assert user.zips() == [FUNCTION, LAYER]


@pytest.mark.parametrize(
    ("environ", "table", "expected"),
    [
        pytest.param({}, "", "python3.11", id="tool.lambda-build"),
        pytest.param({}, 'runtime = "python3.12"', "python3.12", id="table of the target"),
        pytest.param(
            {"LAMBDA_BUILD_RUNTIME": "python3.13"},
            'runtime = "python3.12"',
            "python3.13",
            id="environment",
        ),
    ],
)
def test_nearer_settings_win(
    user: User, environ: dict[str, str], table: str, expected: str
) -> None:
    """The environment stands over the table of the target, that over [tool.lambda-build]."""
    user.add(f'[tool.lambda-build]\nruntime = "python3.11"\n{TABLE}{table}\n')

    user.builds("-t", "lambda", environ=environ)

    assert user.zips() == [f"app-1.0-function-{expected}-x86_64.zip"]


def test_table_of_hatch_toml_counts(user: User) -> None:
    """Where hatch.toml has the target, hatchling takes it from there."""
    (user.project / "hatch.toml").write_text('[build.targets.lambda]\nruntime = "python3.12"\n')

    user.builds("-t", "lambda")

    assert user.zips() == ["app-1.0-function-python3.12-x86_64.zip"]


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        pytest.param(
            '[tool.lambda-build]\narchitecture = ["x86_64", "arm64"]\n',
            {},
            "[tool.lambda-build] architecture: has several values: `x86_64`, `arm64`; "
            "`hatch build -t lambda` builds for one",
            id="table for all",
        ),
        pytest.param(
            f'{TABLE}runtime = ["python3.12", "python3.13"]\n',
            {},
            "[tool.hatch.build.targets.lambda] runtime: has several values: `python3.12`, "
            "`python3.13`; `hatch build -t lambda` builds for one",
            id="table of the target",
        ),
        pytest.param(
            "",
            {"LAMBDA_BUILD_ARCHITECTURE": "arm64 x86_64"},
            "environment variable LAMBDA_BUILD_ARCHITECTURE: has several values: `arm64`, "
            "`x86_64`; `hatch build -t lambda` builds for one",
            id="environment",
        ),
        pytest.param(
            f"{TABLE}artifacts.api.contents = 'project'\n",
            {},
            "[tool.hatch.build.targets.lambda] artifacts: is a table, but hatchling's own key with "
            "that name is a list of patterns",
            id="artifacts of the target",
        ),
    ],
)
def test_several_zips_are_refused(
    user: User, text: str, environ: dict[str, str], said: str
) -> None:
    """A version is one zip; who asks for more hears that `lambda-build` builds it."""
    user.add(text)

    ran = user.does("build", "-t", "lambda", environ=environ)

    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert said in ran.stderr
    assert "`lambda-build`" in ran.stderr.partition("hint: ")[2]


def test_list_of_one_target(user: User) -> None:
    """A list of one architecture is that one, as for the other doors."""
    user.add('[tool.lambda-build]\nruntime = "python3.13"\narchitecture = ["arm64"]\n')

    user.builds("-t", "lambda")

    assert user.zips() == [FUNCTION]


def test_artifacts_are_passed_over_with_a_warning(user: User) -> None:
    """The tables of artifacts are for other doors; that none of them is built is told."""
    user.add('[tool.lambda-build.artifacts.api]\ncontents = "project"\n')

    said = user.builds("-t", "lambda", environ=ARM)

    assert user.zips() == [FUNCTION]
    assert said.count("[tool.lambda-build.artifacts] is ignored") == 1


def test_keys_of_hatchling_are_not_taken_for_settings(user: User) -> None:
    """A target's table has keys that are hatchling's own."""
    user.add(
        f"""{TABLE}dependencies = []
directory = "out"
include = ["src"]
require-runtime-dependencies = false
skip-excluded-dirs = true
"""
    )

    user.builds("-t", "lambda", environ=ARM)

    assert [path.name for path in (user.project / "out").iterdir()] == [FUNCTION]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], "named.zip", id="output"),
        pytest.param(["-d", "out"], f"out/{FUNCTION}", id="the folder on the command line wins"),
    ],
)
def test_output_is_heeded_unless_a_folder_is_given(
    user: User, words: list[str], expected: str
) -> None:
    """As everywhere, what stands on the command line wins over a table."""
    user.add('[tool.lambda-build]\noutput = "named.zip"\n')

    user.builds("-t", "lambda", *words, environ=ARM)

    assert [str(path.relative_to(user.project)) for path in user.project.rglob("*.zip")] == [
        expected
    ]


def test_clean_removes_earlier_zips_of_the_version(user: User) -> None:
    """`--clean` takes the project's own zips and nothing else."""
    user.builds("-t", "lambda:function,layer", environ=X86)
    (user.project / "dist" / "other-1.0-layer-python3.13-arm64.zip").write_bytes(b"")

    user.builds("--clean", "-t", "lambda:layer", environ=ARM)

    assert user.zips() == [
        "app-1.0-function-python3.11-x86_64.zip",
        LAYER,
        "other-1.0-layer-python3.13-arm64.zip",
    ]


def test_hooks_of_wheel_and_target_run(user: User) -> None:
    """The wheel's hook adds a file that ships; the target's own hook runs around it."""
    (user.project / "hatch_build.py").write_text(
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        with open(f'{self.root}/ran', 'a') as file:\n"
        "            file.write(f'{self.target_name} {version}\\n')\n"
        "        build_data['force_include']['extra.txt'] = 'app/extra.txt'\n"
    )
    (user.project / "extra.txt").write_text("of the hook\n")
    user.add("[tool.hatch.build.targets.wheel.hooks.custom]\n")
    user.add("[tool.hatch.build.targets.lambda.hooks.custom]\n")

    user.builds("-t", "lambda", environ=ARM)

    assert (user.project / "ran").read_text() == "lambda function\nwheel standard\n"
    with zipfile.ZipFile(user.project / "dist" / FUNCTION) as archive:
        assert archive.read("app/extra.txt") == b"of the hook\n"


def test_dynamic_version_is_in_the_name(user: User) -> None:
    """Hatchling knows the version when the wheel is there."""
    pyproject = user.project / "pyproject.toml"
    text = pyproject.read_text().replace('version = "1.0"', 'dynamic = ["version"]')
    pyproject.write_text(f'{text}[tool.hatch.version]\npath = "src/app/about.py"\n')
    (user.project / "src" / "app" / "about.py").write_text('__version__ = "7.1"\n')

    user.builds("-t", "lambda", environ=ARM)

    assert user.zips() == ["app-7.1-function-python3.13-arm64.zip"]


def test_dynamic_dependencies_cut_the_lock_of_an_environment(user: User) -> None:
    """What a metadata hook fills in stands in the wheel."""
    pyproject = user.project / "pyproject.toml"
    head, version = '[project]\nname = "app"\n', 'version = "1.0"\n'
    pyproject.write_text(
        pyproject.read_text().replace(
            head + version, f'{head}{version}dynamic = ["dependencies"]\n'
        )
        + "[tool.hatch.metadata.hooks.custom]\n"
    )
    (user.project / "hatch_build.py").write_text(
        "from hatchling.metadata.plugin.interface import MetadataHookInterface\n"
        "class Hook(MetadataHookInterface):\n"
        "    def update(self, metadata):\n"
        "        metadata['dependencies'] = ['orjson']\n"
    )
    a_pylock(user.project, a_wheel("orjson", "3.0"), a_wheel("pytest", "8.0"))

    user.builds("-t", "lambda", environ=ARM)

    assert set(shipped(user.project / "dist" / FUNCTION)) == {"app-1.0", "orjson-3.0"}


@pytest.mark.parametrize(
    ("table", "code", "said"),
    [
        pytest.param(
            'runtim = "python3.13"', 2, "is not a setting; did you mean `runtime`?", id="key"
        ),
        pytest.param(
            "jobs = 3",
            2,
            "[tool.hatch.build.targets.lambda] jobs: cannot be set in a table: "
            "use the flag `--jobs`",
            id="flag",
        ),
        pytest.param('versions = "layer"', 2, "lambda.versions", id="versions"),
        pytest.param('versions = ["zip"]', 2, "lambda.versions", id="unknown version"),
        pytest.param("[tool.hatch.build.targets.lambda.hooks.nope]", 2, "nope", id="hook"),
        pytest.param('contents = "dependencies"', 8, "would be empty", id="nothing to ship"),
        pytest.param(
            '[tool.hatch.build.targets.wheel.force-include]\n"gone" = "gone"',
            6,
            "building app failed in hatchling",
            id="wheel",
        ),
    ],
)
def test_mistakes_of_the_tables_are_named(user: User, table: str, code: int, said: str) -> None:
    """A message and the exit code of its branch; never a traceback."""
    user.add(f"{TABLE}{table}\n")

    ran = user.does("build", "-t", "lambda", environ=ARM)

    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (
        code,
        True,
        False,
    ), ran.stderr
    assert not list(user.project.rglob("*.zip"))


def test_long_list_of_mistakes_is_cut_unless_verbose(hatchling: Host, tmp_path: Path) -> None:
    """`hatch -v` shows what the short message leaves out."""
    user = a_user(hatchling, tmp_path)
    user.add(TABLE + "".join(f"wrong-{number:02} = 1\n" for number in range(12)))

    short, long = (
        user.does("build", "-t", "lambda", environ={**ARM, **more}).stderr
        for more in ({}, {"HATCH_VERBOSE": "1"})
    )

    assert ("wrong-11" in short, "and 2 more, `-v` lists all" in short) == (False, True), short
    assert ("wrong-11" in long, "lists all" in long) == (True, False), long


def test_target_that_is_no_table_is_named(user: User) -> None:
    """Hatchling's own complaint, without its traceback."""
    user.add("[tool.hatch.build.targets]\nlambda = 3\n")

    ran = user.does("build", "-t", "lambda")

    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr


def test_one_name_for_two_versions_is_refused(user: User) -> None:
    """The second zip would take the place of the first."""
    user.add('[tool.lambda-build]\noutput = "named.zip"\n')

    ran = user.does("build", "-t", "lambda:function,layer")

    assert (ran.returncode, "`output` is a single file" in ran.stderr) == (2, True), ran.stderr


def test_quiet_says_nothing(user: User) -> None:
    """HATCH_QUIET is heeded as for other targets."""
    assert user.builds("-t", "lambda", environ={**ARM, "HATCH_QUIET": "1"}) == ""


def test_other_targets_do_not_load_the_core(user: User) -> None:
    """A wheel costs what it cost before the plugin came."""
    program = (
        "import sys\nfrom hatchling.cli import hatchling\n"
        "sys.argv[1:] = ['build', '-t', 'wheel']\nhatchling()\n"
        "print([name for name in sys.modules if name.startswith('lambda_build_plugin')])"
    )

    ran = user.host.run_python("-c", program, cwd=user.project, home=user.home)

    assert ran.stdout.splitlines()[-1] == "[]", ran.stderr
