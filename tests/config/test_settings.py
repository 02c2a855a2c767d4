"""Flags, environment and tables as `Settings`, or all mistakes in them at once."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.options import KEYS
from lambda_build_plugin.config.project import Project, read_project
from lambda_build_plugin.config.read_settings import read_settings
from lambda_build_plugin.config.settings import (
    Contents,
    Form,
    Hooks,
    Host,
    LayerFiles,
    Layout,
    LocalDependencies,
    Preset,
    Settings,
)
from lambda_build_plugin.config.sources import SettingsSource, environment_source, table_source
from lambda_build_plugin.config.tables import Table
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT, CWD = Path("/project"), Path("/elsewhere")

THERE = (
    "python3.8 (Python 3.8.20), python3.9 (Python 3.9.25), python3.10 (Python 3.10.19), "
    "python3.11 (Python 3.11.14), python3.12 (Python 3.12.13), python3.13 (Python 3.13.12), "
    "python3.14 (Python 3.14.3)"
)


def a_project(
    *, requires_python: str | None = None, pinned: str | None = None, table: object = None
) -> Project:
    """Make a project whose `[tool.lambda-build]` holds this table."""
    return Project(
        root=ROOT,
        name=canonicalize_name("demo"),
        requires_python=None if requires_python is None else SpecifierSet(requires_python),
        pinned_python=pinned,
        tool=Table({} if table is None else {"lambda-build": table}, at="pyproject.toml: tool"),
    )


def a_host(**environ: str) -> Host:
    """Make a machine of which nothing is known but its environment variables."""
    return Host(
        cwd=CWD,
        home=Path("/home"),
        cache_dir=Path("/cache"),
        today=datetime.date(2026, 11, 21),
        environ=environ,
    )


def read(
    project: Project | None = None,
    *,
    flags: Mapping[str, object] | None = None,
    **environ: str,
) -> Settings:
    """Read settings as the console script does."""
    project, host = project or a_project(), a_host(**environ)
    of_flags = SettingsSource(values=flags or {}, spell=lambda key: f"--{key}", base=CWD)
    return read_settings(project, [of_flags, environment_source(host), table_source(project)], host)


def problems(
    project: Project | None = None, *, flags: Mapping[str, object] | None = None, **environ: str
) -> list[str]:
    """Read settings that are wrong and list what is said about them."""
    with pytest.raises(SettingsError) as caught:
        read(project, flags=flags, **environ)
    return list(caught.value.problems)


# --- what is right --------------------------------------------------------------------


def test_defaults() -> None:
    """Without any layer a function for x86_64 on the newest runtime is built."""
    project, host = a_project(), a_host()

    assert read_settings(project, [], host) == Settings(
        project=project,
        target=Target(runtime=RUNTIMES["python3.14"], architecture=Architecture.X86_64),
        runtime_reason="the newest; the project has no requires-python",
        runtime_is_default=True,
        layout=Layout.FUNCTION,
        layer_prefix="python",
        contents=Contents.ALL,
        extras=frozenset(),
        groups=frozenset(),
        exclude=(),
        include=(),
        exclude_presets=(),
        scripts=False,
        bytecode=False,
        bytecode_only=False,
        handler=None,
        lock=None,
        output=None,
        output_is_folder=False,
        unpacked=None,
        strict=False,
        epoch=None,
        offline=False,
        jobs=8,
        host=host,
    )


def test_every_key_in_a_table() -> None:
    """A table sets each key that has a place in one, in TOML's own kinds."""
    project = a_project(
        table={
            "runtime": "python3.13",
            "architecture": "arm64",
            "layout": "layer",
            "layer-prefix": "python/lib/python3.13/site-packages/",
            "layer-files": ["layer/", "run.sh"],
            "contents": "dependencies",
            "project": "source",
            "hooks": {
                "before-build": ["make code", ["touch", "a b"]],
                "after-stage": ["rm -r docs"],
            },
            "extras": ["Fast_JSON"],
            "groups": ["aws", "Web"],
            "local-dependencies": "skip",
            "include-local": ["../dist/a.whl", "b", "b"],
            "only-binary": True,
            "exclude": ["*.txt", "!a, b.txt"],
            "include": ["data/"],
            "exclude-presets": ["docs", "tests"],
            "scripts": True,
            "bytecode": True,
            "bytecode-only": True,
            "handler": "demo.app.handler",
            "lock": "locks/pylock.toml",
            "output": "out/demo.zip",
            "unpacked": "out/tree",
            "strict": True,
        }
    )
    host = a_host()

    assert read_settings(project, [table_source(project)], host) == Settings(
        project=project,
        target=Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64),
        runtime_reason="set by [tool.lambda-build] runtime",
        layout=Layout.LAYER,
        layer_prefix="python/lib/python3.13/site-packages",
        layer_files=(
            LayerFiles(path=ROOT / "layer", contents_only=True),
            LayerFiles(path=ROOT / "run.sh"),
        ),
        contents=Contents.DEPENDENCIES,
        form=Form.SOURCE,
        hooks=Hooks(before_build=("make code", ("touch", "a b")), after_stage=("rm -r docs",)),
        extras=frozenset({canonicalize_name("fast-json")}),
        groups=frozenset(map(canonicalize_name, ("aws", "web"))),
        local_dependencies=LocalDependencies.SKIP,
        include_local=(ROOT / "../dist/a.whl", ROOT / "b"),
        only_binary=True,
        exclude=("*.txt", "!a, b.txt"),
        include=("data/",),
        exclude_presets=(Preset.TESTS, Preset.DOCS),
        scripts=True,
        bytecode=True,
        bytecode_only=True,
        handler="demo.app.handler",
        lock=ROOT / "locks/pylock.toml",
        output=ROOT / "out/demo.zip",
        unpacked=ROOT / "out/tree",
        strict=True,
        host=host,
    )


def test_every_key_in_the_environment() -> None:
    """A variable sets each key, in text alone."""
    project = a_project()
    host = a_host(
        LAMBDA_BUILD_RUNTIME="python3.12",
        LAMBDA_BUILD_ARCHITECTURE="arm64",
        LAMBDA_BUILD_LAYOUT="layer",
        LAMBDA_BUILD_LAYER_PREFIX="python",
        LAMBDA_BUILD_LAYER_FILES="run it.sh\nlayer/",
        LAMBDA_BUILD_CONTENTS="project",
        LAMBDA_BUILD_PROJECT="source",
        LAMBDA_BUILD_EXTRAS="fast, slow",
        LAMBDA_BUILD_GROUPS="aws web",
        LAMBDA_BUILD_LOCAL_DEPENDENCIES="skip",
        LAMBDA_BUILD_INCLUDE_LOCAL="a b.whl\nc",
        LAMBDA_BUILD_ONLY_BINARY="1",
        LAMBDA_BUILD_EXCLUDE="*.txt, !a.txt",
        LAMBDA_BUILD_INCLUDE="data/\na b",
        LAMBDA_BUILD_EXCLUDE_PRESETS="stubs tests",
        LAMBDA_BUILD_SCRIPTS="1",
        LAMBDA_BUILD_BYTECODE="1",
        LAMBDA_BUILD_BYTECODE_ONLY="0",
        LAMBDA_BUILD_HANDLER="demo/app.handler",
        LAMBDA_BUILD_LOCK="uv.lock",
        LAMBDA_BUILD_OUTPUT="out/",
        LAMBDA_BUILD_UNPACKED="tree",
        LAMBDA_BUILD_STRICT="yes",
        LAMBDA_BUILD_OFFLINE="1",
        LAMBDA_BUILD_JOBS="3",
    )

    assert read_settings(project, [environment_source(host)], host) == Settings(
        project=project,
        target=Target(runtime=RUNTIMES["python3.12"], architecture=Architecture.ARM64),
        runtime_reason="set by environment variable LAMBDA_BUILD_RUNTIME",
        layout=Layout.LAYER,
        layer_files=(
            LayerFiles(path=CWD / "run it.sh"),
            LayerFiles(path=CWD / "layer", contents_only=True),
        ),
        contents=Contents.PROJECT,
        form=Form.SOURCE,
        extras=frozenset(map(canonicalize_name, ("fast", "slow"))),
        groups=frozenset(map(canonicalize_name, ("aws", "web"))),
        local_dependencies=LocalDependencies.SKIP,
        include_local=(CWD / "a b.whl", CWD / "c"),
        only_binary=True,
        exclude=("*.txt", "!a.txt"),
        include=("data/", "a b"),
        exclude_presets=(Preset.TESTS, Preset.STUBS),
        scripts=True,
        bytecode=True,
        handler="demo/app.handler",
        lock=CWD / "uv.lock",
        output=CWD / "out",
        output_is_folder=True,
        unpacked=CWD / "tree",
        strict=True,
        offline=True,
        jobs=3,
        host=host,
    )


def test_environment_knows_every_key() -> None:
    """No key is without a variable."""
    variables = {f"LAMBDA_BUILD_{key.upper().replace('-', '_')}": key for key in KEYS}

    layer = environment_source(a_host(**variables))

    assert dict(layer.values) == {key: key for key in KEYS}


@pytest.mark.parametrize(
    ("flags", "environ", "architecture"),
    [
        pytest.param({"architecture": "arm64"}, "x86_64", "arm64", id="flag-first"),
        pytest.param({"architecture": None}, "arm64", "arm64", id="then-the-environment"),
        pytest.param({}, "", "arm64", id="then-the-table"),
    ],
)
def test_precedence(flags: dict[str, object], environ: str, architecture: str) -> None:
    """Flag, environment, table; what is None or an empty variable is not given."""
    table = "x86_64" if environ else "arm64"
    project = a_project(table={"architecture": table})

    settings = read(project, flags=flags, LAMBDA_BUILD_ARCHITECTURE=environ)

    assert settings.target.architecture is Architecture(architecture)


def test_form_of_what_is_no_package() -> None:
    """What is no package ships as source, unless a wheel is asked for."""
    project = replace(a_project(), is_package=False)

    assert read(project).form is Form.SOURCE
    assert read(project, flags={"project": "wheel"}).form is Form.WHEEL


def test_stronger_list_replaces_the_weaker() -> None:
    """Names of several layers are not added up."""
    project = a_project(table={"extras": ["fast"]})

    assert read(project, flags={"extras": ["slow"]}).extras == {"slow"}


def test_bytecode_only_is_bytecode() -> None:
    """Who wants bytecode alone need not ask for bytecode, too."""
    assert read(flags={"bytecode-only": True}).bytecode


def test_presets_of_a_flag() -> None:
    """A flag may be given again, and may list several."""
    settings = read(flags={"exclude-presets": ["docs", "tests,stubs"]})

    assert settings.exclude_presets == (Preset.TESTS, Preset.STUBS, Preset.DOCS)


def test_stronger_layer_can_switch_off() -> None:
    """A flag that is false in the environment wins over the table."""
    assert not read(a_project(table={"strict": True}), LAMBDA_BUILD_STRICT="False").strict


@pytest.mark.parametrize(
    ("flags", "environ", "base"),
    [
        pytest.param({"lock": "a/uv.lock"}, "", CWD, id="flag"),
        pytest.param({}, "a/uv.lock", CWD, id="environment"),
        pytest.param({}, "", ROOT, id="table"),
    ],
)
def test_relative_path_starts_where_it_was_written(
    flags: dict[str, object], environ: str, base: Path
) -> None:
    """A path in a table is relative to the project, any other to the working directory."""
    project = a_project(table={"lock": "a/uv.lock"})

    assert read(project, flags=flags, LAMBDA_BUILD_LOCK=environ).lock == base / "a/uv.lock"


def test_absolute_path_stays() -> None:
    """An absolute path is not moved below a base."""
    path = Path("/anywhere/uv.lock").absolute()

    assert read(a_project(table={"lock": str(path)})).lock == path


@pytest.mark.parametrize(
    ("output", "is_folder"),
    [
        pytest.param("out", False, id="file"),
        pytest.param("out/", True, id="folder"),
        pytest.param("out\\", True, id="windows-folder"),
    ],
)
def test_output_that_is_a_folder(output: str, *, is_folder: bool) -> None:
    """A slash at the end asks for the default name inside of a folder."""
    assert read(flags={"output": output}).output_is_folder is is_folder


@pytest.mark.parametrize(
    ("flags", "prefix"),
    [
        pytest.param({}, "", id="function"),
        pytest.param({"layout": "layer"}, "python/", id="layer"),
        pytest.param(
            {
                "layout": "layer",
                "runtime": "python3.12",
                "layer-prefix": "python/lib/python3.12/site-packages",
            },
            "python/lib/python3.12/site-packages/",
            id="layer-for-one-version",
        ),
    ],
)
def test_prefix_of_the_importable_files(flags: dict[str, object], prefix: str) -> None:
    """A function's files lie at the root, a layer's below its prefix."""
    assert read(flags=flags).prefix == prefix


@pytest.mark.parametrize(
    ("value", "epoch"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("1700000000", 1_700_000_000, id="seconds"),
        pytest.param("", None, id="empty"),
    ],
)
def test_source_date_epoch(value: str, epoch: int | None) -> None:
    """The date of the entries comes from the standard variable."""
    assert read(SOURCE_DATE_EPOCH=value).epoch == epoch


def test_settings_show_no_environment() -> None:
    """Credentials in the environment reach no message and no log."""
    assert "secret" not in repr(read(UV_INDEX_PASSWORD="secret"))


# --- the runtime and its reason -------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "flags", "runtime", "reason"),
    [
        pytest.param(
            a_project(requires_python=">=3.10", pinned="3.12"),
            {"runtime": "python3.11"},
            "python3.11",
            "set by --runtime",
            id="setting",
        ),
        pytest.param(
            a_project(requires_python=">=3.10", pinned="3.12"),
            {},
            "python3.12",
            "named in .python-version (3.12)",
            id="python-version-file",
        ),
        pytest.param(
            a_project(requires_python=">=3.10,<3.14", pinned="3.7"),
            {},
            "python3.13",
            "the newest that requires-python `<3.14,>=3.10` admits",
            id="requires-python",
        ),
        pytest.param(
            a_project(),
            {},
            "python3.14",
            "the newest; the project has no requires-python",
            id="nothing",
        ),
        pytest.param(
            a_project(),
            {"runtime": "python3.8"},
            "python3.8",
            "set by --runtime",
            id="deprecated-is-not-refused",
        ),
        pytest.param(
            a_project(requires_python=">=3.15"),
            {"runtime": "python3.15"},
            "python3.15",
            "set by --runtime",
            id="preview-is-not-refused",
        ),
    ],
)
def test_runtime_and_why(
    project: Project, flags: dict[str, object], runtime: str, reason: str
) -> None:
    """The runtime is set, else pinned, else the newest that the project admits."""
    settings = read(project, flags=flags)

    assert (settings.target.runtime.name, settings.runtime_reason) == (runtime, reason)


@pytest.mark.parametrize(
    ("project", "flags", "expected"),
    [
        pytest.param(
            a_project(requires_python=">=3.13.99"),
            {"runtime": "python3.13"},
            "runtime python3.13 (set by --runtime) has Python 3.13.12, "
            "but the project's requires-python is `>=3.13.99`",
            id="set-but-excluded",
        ),
        pytest.param(
            a_project(requires_python=">=3.12", pinned="3.11"),
            {},
            "runtime python3.11 (named in .python-version (3.11)) has Python 3.11.14, "
            "but the project's requires-python is `>=3.12`",
            id="pinned-but-excluded",
        ),
        pytest.param(
            a_project(requires_python=">=3.15"),
            {},
            "requires-python `>=3.15` of demo admits no Lambda runtime that is out of preview; "
            f"available are {THERE}",
            id="none-admitted",
        ),
    ],
)
def test_runtime_that_the_project_excludes(
    project: Project, flags: dict[str, object], expected: str
) -> None:
    """A runtime against the project's own requires-python is a mistake with its reason."""
    assert problems(project, flags=flags) == [expected]


# --- what is wrong --------------------------------------------------------------------

RUNTIME_NAMES = ", ".join(f"`{name}`" for name in RUNTIMES)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(
            {"runtime": "3.13"}, ["runtime: is `3.13`; did you mean `python3.13`?"], id="runtime"
        ),
        pytest.param({"runtime": 3.13}, ["runtime: must be a string"], id="runtime-number"),
        pytest.param({"handler": ""}, ["handler: must not be empty"], id="empty"),
        pytest.param(
            {"architecture": "aarch64"},
            ["architecture: is `aarch64`; did you mean `arm64`?"],
            id="architecture",
        ),
        pytest.param(
            {"layout": "flat"}, ["layout: is `flat`: use one of `function`, `layer`"], id="layout"
        ),
        pytest.param(
            {"contents": "none"},
            ["contents: is `none`: use one of `all`, `dependencies`, `project`"],
            id="contents",
        ),
        pytest.param(
            {"runtime": "python3.12", "layer-prefix": "python/lib/python3.11/site-packages"},
            [
                "layer-prefix: is `python/lib/python3.11/site-packages`: "
                "use `python` or `python/lib/python3.12/site-packages`"
            ],
            id="layer-prefix-of-another-runtime",
        ),
        pytest.param(
            {"runtime": "python3", "layer-prefix": "python/lib/python3.11/site-packages"},
            [f"runtime: is `python3`: use one of {RUNTIME_NAMES}"],
            id="layer-prefix-without-a-runtime",
        ),
        pytest.param(
            {"runtime": "python3", "layer-prefix": "lib"},
            [
                f"runtime: is `python3`: use one of {RUNTIME_NAMES}",
                "layer-prefix: is `lib`: use `python` or `python/lib/python3.X/site-packages`",
            ],
            id="layer-prefix-wrong-for-every-runtime",
        ),
        pytest.param({"extras": 0}, ["extras: must be a list of names"], id="extras-number"),
        pytest.param({"groups": ["a", 1]}, ["groups: must be a list of names"], id="groups-item"),
        pytest.param(
            {"provided": ["boto3>=1"]},
            ["provided: contains `boto3>=1`, which is not a name: versions come from the lock"],
            id="provided-version",
        ),
        pytest.param({"exclude": 1}, ["exclude: must be a list of strings"], id="exclude"),
        pytest.param(
            {"exclude": ["a", 1]}, ["exclude: must be a list of strings"], id="exclude-item"
        ),
        pytest.param(
            {"exclude": ["../a", "!"]},
            [
                "exclude: `../a` contains a part `.` or `..`, which no path in the archive has",
                "exclude: `!` matches nothing",
            ],
            id="exclude-patterns",
        ),
        pytest.param(
            {"include": ["!a"]},
            ["include: `!a` would leave files out: move it to `exclude`, without the `!`"],
            id="include-negated",
        ),
        pytest.param(
            {"exclude-presets": ["docs", "test"]},
            ["exclude-presets: contains `test`; did you mean `tests`?"],
            id="exclude-presets",
        ),
        pytest.param({"scripts": "all"}, ["scripts: must be true or false"], id="scripts"),
        pytest.param({"bytecode": 1}, ["bytecode: must be true or false"], id="bytecode"),
        pytest.param(
            {"bytecode-only": 1}, ["bytecode-only: must be true or false"], id="bytecode-only"
        ),
        pytest.param({"strict": "maybe"}, ["strict: must be true or false"], id="strict"),
        pytest.param({"strict": 1}, ["strict: must be true or false"], id="strict-number"),
        pytest.param({"output": 1}, ["output: must be a string"], id="output-once"),
        pytest.param({"lock": ["a"]}, ["lock: must be a string"], id="lock"),
        pytest.param({"unpacked": True}, ["unpacked: must be a string"], id="unpacked"),
        pytest.param(
            {"json": True}, ["json: cannot be set in a table: use the flag `--json`"], id="report"
        ),
        pytest.param(
            {"offline": True},
            ["offline: cannot be set in a table: use the flag `--offline`"],
            id="flag",
        ),
        pytest.param(
            {"project": "sdist"}, ["project: is `sdist`: use one of `wheel`, `source`"], id="form"
        ),
        pytest.param({"include": 1}, ["include: must be a list of strings"], id="include"),
        pytest.param(
            {"exclude": ["*.txt", "!", "../x"]},
            [
                "exclude: `!` matches nothing",
                "exclude: `../x` contains a part `.` or `..`, which no path in the archive has",
            ],
            id="patterns",
        ),
        pytest.param({"hooks": ["make"]}, ["hooks: must be a table"], id="hooks"),
        pytest.param(
            {"hooks": {"after": []}},
            ["hooks: `after` is not a hook: use one of `before-build`, `after-stage`"],
            id="unknown-hook",
        ),
        *(
            pytest.param(
                {"hooks": {"after-stage": commands}},
                [
                    "hooks: `after-stage` must be a list of commands: strings, or lists of strings",
                ],
                id=f"hook-{name}",
            )
            for name, commands in {
                "text": "make",
                "empty": [""],
                "no-words": [[]],
                "number": [["make", 1]],
                "NUL": ["make \0"],
            }.items()
        ),
        pytest.param(
            {"arch": "arm64"},
            ["arch: is not a setting; did you mean `architecture`?"],
            id="short-key",
        ),
        pytest.param(
            {"layer_prefix": "python"},
            ["layer_prefix: is not a setting; did you mean `layer-prefix`?"],
            id="underscore",
        ),
        pytest.param(
            {"grups": []}, ["grups: is not a setting; did you mean `groups`?"], id="misspelt"
        ),
        pytest.param({"zip": "a"}, ["zip: is not a setting"], id="unknown-key"),
        pytest.param(
            {"include-local": [1]}, ["include-local: must be a list of paths"], id="no-paths"
        ),
        pytest.param(
            {"include-local": ["a\0"]}, ["include-local: contains a NUL byte"], id="nul-in-a-path"
        ),
    ],
)
def test_mistake_in_a_table(table: dict[str, object], expected: list[str]) -> None:
    """Each mistake is one message that begins with the full key."""
    found = problems(a_project(table=table))

    assert found == [f"[tool.lambda-build] {message}" for message in expected]


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param("handler", id="no-module"),
        pytest.param("app.", id="no-function"),
        pytest.param(".app.handler", id="relative"),
        pytest.param("/app.handler", id="absolute"),
        pytest.param("demo//app.handler", id="empty-part"),
        pytest.param("my app.handler", id="space"),
        pytest.param("app." + "x" * 125, id="too-long"),
    ],
)
def test_handler_that_lambda_would_not_find(handler: str) -> None:
    """A handler is a dotted or slashed module and a function, as Lambda splits them."""
    assert problems(flags={"handler": handler}) == [
        f"--handler: is `{handler}`: write `package.module.function`, "
        "at most 128 characters without spaces"
    ]


@pytest.mark.parametrize("handler", ["app.handler", "a.b.c", "a/b.c", "app." + "x" * 124])
def test_handler_that_lambda_takes(handler: str) -> None:
    """Packages may be parted by dots or slashes, and 128 characters are not too many."""
    assert read(flags={"handler": handler}).handler == handler


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {"LAMBDA_BUILD_JOBS": "many"},
            "environment variable LAMBDA_BUILD_JOBS: must be a whole number",
            id="jobs",
        ),
        pytest.param(
            {"LAMBDA_BUILD_JOBS": "9" * 5000},
            "environment variable LAMBDA_BUILD_JOBS: must be a whole number",
            id="endless-jobs",
        ),
        pytest.param(
            {"LAMBDA_BUILD_JOBS": "0"},
            "environment variable LAMBDA_BUILD_JOBS: must be at least 1",
            id="no-jobs",
        ),
        pytest.param(
            {"LAMBDA_BUILD_HOOKS": "make"},
            "environment variable LAMBDA_BUILD_HOOKS: cannot be set in the environment: "
            "use a table in a file",
            id="hooks",
        ),
        pytest.param(
            {"LAMBDA_BUILD_REPORT": "report.json"},
            "environment variable LAMBDA_BUILD_REPORT: cannot be set in the environment: "
            "use the flag `--report`",
            id="report",
        ),
        pytest.param(
            {"SOURCE_DATE_EPOCH": "now"},
            "environment variable SOURCE_DATE_EPOCH: is `now`: expected a whole number of seconds",
            id="epoch",
        ),
        pytest.param(
            {"SOURCE_DATE_EPOCH": "-1"},
            "environment variable SOURCE_DATE_EPOCH: is `-1`: expected a whole number of seconds",
            id="negative-epoch",
        ),
        pytest.param(
            {"SOURCE_DATE_EPOCH": "1" * 5000},
            f"environment variable SOURCE_DATE_EPOCH: is `{'1' * 5000}`: "
            "expected a whole number of seconds",
            id="endless-epoch",
        ),
    ],
)
def test_mistake_in_the_environment(environ: dict[str, Any], expected: str) -> None:
    """A wrong variable is told by its name."""
    assert problems(**environ) == [expected]


def test_all_mistakes_of_all_layers_are_in_one_error() -> None:
    """Nobody has to run the build again to hear of the next mistake."""
    found = problems(
        a_project(table={"handlr": "a.b", "contents": "none", "jobs": 2}),
        flags={"runtime": "3.13", "output": 1},
        LAMBDA_BUILD_LAYOUT="flat",
        LAMBDA_BUILD_STRICT="maybe",
        SOURCE_DATE_EPOCH="now",
    )

    assert found == [
        "[tool.lambda-build] handlr: is not a setting; did you mean `handler`?",
        "[tool.lambda-build] jobs: cannot be set in a table: use the flag `--jobs`",
        "--runtime: is `3.13`; did you mean `python3.13`?",
        "environment variable LAMBDA_BUILD_LAYOUT: is `flat`: use one of `function`, `layer`",
        "[tool.lambda-build] contents: is `none`: use one of `all`, `dependencies`, `project`",
        "--output: must be a string",
        "environment variable LAMBDA_BUILD_STRICT: must be true or false",
        "environment variable SOURCE_DATE_EPOCH: is `now`: expected a whole number of seconds",
    ]


def test_tool_table_that_is_no_table() -> None:
    """`lambda-build = …` below `[tool]` is a mistake like any other."""
    assert problems(a_project(table="python3.13")) == [
        "pyproject.toml: tool.lambda-build: must be a table"
    ]


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (("tool", "lambda_build"), "tool.lambda_build"),
        (("tool", "lambda"), "tool.lambda"),
        (("tool", "lambda-build-plugin"), "tool.lambda-build-plugin"),
        (("tool", "lamda-build"), "tool.lamda-build"),
        (("lambda-build",), "lambda-build"),
        (("lambda_build",), "lambda_build"),
    ],
)
def test_misnamed_table_is_not_ignored(place: tuple[str, ...], shown: str) -> None:
    """Its settings would have no effect, and nobody would notice."""
    data: dict[str, Any] = {"layout": "layer"}
    for key in reversed(place):
        data = {key: data}
    pyproject = Table(data, at="pyproject.toml")
    project = replace(a_project(), pyproject=pyproject, tool=pyproject.table("tool"))

    assert problems(project) == [
        f"[{shown}] is not a table of any tool; did you mean [tool.lambda-build]?"
    ]


@pytest.mark.parametrize("name", ["black", "language", "lambda-test", "lambdas"])
def test_tables_of_other_tools_are_ignored(name: str) -> None:
    """A name that is only a little like ours belongs to somebody else."""
    project = replace(a_project(), tool=Table({name: {"x": 1}}, at="pyproject.toml: tool"))

    assert read(project).layout is Layout.FUNCTION


@pytest.mark.parametrize("key", ["exclude", "include"])
def test_comments_and_blank_lines_among_patterns_do_not_count(key: str) -> None:
    """`.gitignore` ignores them, so lines can be copied from there."""
    settings = read(a_project(table={key: ["# big", "", "*.tmp", "  ", "\\#a"]}))

    assert getattr(settings, key) == ("*.tmp", "\\#a")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"strict": "yes"}, "strict: must be true or false, without quotes"),
        ({"bytecode": "true"}, "bytecode: must be true or false, without quotes"),
    ],
)
def test_words_for_booleans_are_for_the_environment_only(
    table: dict[str, object], problem: str
) -> None:
    """In a file there are real booleans."""
    with pytest.raises(SettingsError) as caught:
        read(a_project(table=table))

    assert caught.value.problems == (f"[tool.lambda-build] {problem}",)
    assert read(LAMBDA_BUILD_STRICT="yes").strict


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("architecture", "aarch64", "arm64"),
        ("architecture", "ARM64", "arm64"),
        ("architecture", "amd64", "x86_64"),
        ("architecture", "x64", "x86_64"),
        ("architecture", "x86-64", "x86_64"),
        ("runtime", "3.13", "python3.13"),
        ("runtime", "py313", "python3.13"),
        ("runtime", "python313", "python3.13"),
        ("runtime", "cp310", "python3.10"),
        ("runtime", "Python3.9", "python3.9"),
        ("runtime", "3.12.4", "python3.12"),
        ("layout", "functions", "function"),
        ("contents", "dependency", "dependencies"),
    ],
)
def test_other_spelling_of_a_value(key: str, value: str, meant: str) -> None:
    """Other tools have other names for the same thing."""
    found = problems(a_project(table={key: value}))

    assert found == [f"[tool.lambda-build] {key}: is `{value}`; did you mean `{meant}`?"]


def test_python_version_above_that_the_project_excludes() -> None:
    """A file for several projects is no order to one that cannot follow it."""
    project = a_project(requires_python=">=3.10", pinned="3.9")

    assert read(replace(project, pinned_in="../.python-version")).runtime_is_default


@pytest.mark.parametrize(
    ("handler", "advice"),
    [
        ("app:handler", "write a dot instead of the colon: `app.handler`"),
        ("my_app.app:handler", "write a dot instead of the colon: `my_app.app.handler`"),
        ("my_app/app.py:handler", "write a dot instead of the colon: `my_app/app.handler`"),
        ("app.py::handler", "write a dot instead of the colon: `app.handler`"),
        ("./app.handler", "did you mean `app.handler`?"),
        ("app.handler()", "did you mean `app.handler`?"),
    ],
)
def test_handler_in_the_syntax_of_others(handler: str, advice: str) -> None:
    """Entry points have a colon between module and function, and Lambda has a dot."""
    found = problems(a_project(table={"handler": handler}))

    assert found == [f"[tool.lambda-build] handler: is `{handler}`; {advice}"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "Pipfile",
            '[requires]\npython_version = "3.7"\n',
            "python_version of the Pipfile",
        ),
        (
            "pyproject.toml",
            '[tool.poetry]\nname = "demo"\n[tool.poetry.dependencies]\npython = "~3.7"\n',
            "python of [tool.poetry.dependencies]",
        ),
    ],
)
def test_python_is_called_what_its_file_calls_it(
    tmp_path: Path, file: str, text: str, said: str
) -> None:
    """A Pipfile has no requires-python."""
    (tmp_path / file).write_text(text)

    (found,) = problems(read_project(tmp_path))

    assert said in found
    assert "requires-python" not in found
