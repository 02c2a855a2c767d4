"""Tables of artifacts and lists of targets as settings, or all mistakes in them at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import Project
from lambda_build_plugin.config.settings import Contents, Host
from lambda_build_plugin.config.sources import SettingsSource, environment_source, table_source
from lambda_build_plugin.config.tables import Table
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.config.settings import Settings

ROOT, CWD = Path("/project"), Path("/elsewhere")


def read(
    table: object,
    *,
    flags: Mapping[str, object] | None = None,
    wanted: Sequence[str] = (),
    **environ: str,
) -> tuple[Settings, ...]:
    """Read artifacts of a project with this `[tool.lambda-build]`, as the console script does."""
    project = Project(
        root=ROOT,
        name=canonicalize_name("demo"),
        version="1.0",
        tool=Table({"lambda-build": table}, at="pyproject.toml: tool"),
    )
    host = Host(
        cwd=CWD,
        home=Path("/home"),
        cache_dir=Path("/cache"),
        today=datetime.date(2026, 11, 21),
        environ=environ,
    )
    of_flags = SettingsSource(values=flags or {}, spell=lambda key: f"--{key}", base=CWD)
    layers = [of_flags, environment_source(host), table_source(project)]
    return read_artifacts(project, layers, host, wanted=wanted)


def names(
    table: object,
    *,
    flags: Mapping[str, object] | None = None,
    wanted: Sequence[str] = (),
    **environ: str,
) -> list[str]:
    """List the zips by name in the order in which they are built."""
    found = read(table, flags=flags, wanted=wanted, **environ)
    return [settings.zip_path("1.0").name for settings in found]


def problems(
    table: object, *, flags: Mapping[str, object] | None = None, wanted: Sequence[str] = ()
) -> list[str]:
    """Read tables that are wrong and list what is said about them."""
    with pytest.raises(SettingsError) as caught:
        read(table, flags=flags, wanted=wanted)
    return list(caught.value.problems)


PATTERN = {
    "runtime": "python3.13",
    "artifacts": {
        "api": {"contents": "project", "provided-by": ["deps"], "handler": "demo.api.run"},
        "deps": {"layout": "layer", "contents": "dependencies"},
        "worker": {"contents": "project", "provided-by": ["deps"]},
    },
}


# --- what is right --------------------------------------------------------------------


def test_a_project_without_artifacts() -> None:
    """It has one, which has no name."""
    assert names({"runtime": "python3.13"}) == ["demo-1.0-function-python3.13-x86_64.zip"]


def test_what_provides_comes_first() -> None:
    """Artifacts come in the order of their tables, after what provides for them."""
    assert names(PATTERN) == [
        "demo-1.0-deps-layer-python3.13-x86_64.zip",
        "demo-1.0-api-function-python3.13-x86_64.zip",
        "demo-1.0-worker-function-python3.13-x86_64.zip",
    ]


def test_keys_of_an_artifact() -> None:
    """Its table is stronger than that for all; what it does not say, that one says."""
    deps, api, _ = read(PATTERN)

    assert (deps.contents, deps.handler, deps.provided_by) == (Contents.DEPENDENCIES, None, ())
    assert (api.contents, api.handler, api.provided_by, api.runtime_reason) == (
        Contents.PROJECT,
        "demo.api.run",
        ("deps",),
        "set by [tool.lambda-build] runtime",
    )


@pytest.mark.parametrize(
    ("flags", "environ", "runtime"),
    [
        pytest.param({}, {}, "python3.12", id="its table"),
        pytest.param({}, {"LAMBDA_BUILD_RUNTIME": "python3.13"}, "python3.13", id="environment"),
        pytest.param(
            {"runtime": "python3.14"}, {"LAMBDA_BUILD_RUNTIME": "-"}, "python3.14", id="flag"
        ),
    ],
)
def test_precedence(flags: dict[str, object], environ: dict[str, str], runtime: str) -> None:
    """Flags and environment are stronger than an artifact's table, that than the one for all."""
    table = {"runtime": "python3.11", "artifacts": {"api": {"runtime": "python3.12"}}}

    (api,) = read(table, flags=flags, **environ)

    assert api.target.runtime.name == runtime


@pytest.mark.parametrize(
    ("wanted", "built"),
    [
        pytest.param(["deps"], ["deps"], id="one"),
        pytest.param(["worker"], ["deps", "worker"], id="with the other artifacts"),
        pytest.param(["worker", "api", "api"], ["deps", "api", "worker"], id="several"),
    ],
)
def test_wanted(wanted: list[str], built: list[str]) -> None:
    """Names choose artifacts, in whatever order they are given."""
    assert [settings.artifact for settings in read(PATTERN, wanted=wanted)] == built


@pytest.mark.parametrize(
    ("table", "flags", "environ"),
    [
        pytest.param({"architecture": ["x86_64", "arm64", "x86_64"]}, {}, {}, id="a table"),
        pytest.param({}, {"architecture": ["x86_64", "arm64"]}, {}, id="flags"),
        pytest.param({}, {}, {"LAMBDA_BUILD_ARCHITECTURE": "x86_64 arm64"}, id="blanks"),
        pytest.param({}, {}, {"LAMBDA_BUILD_ARCHITECTURE": "x86_64,arm64"}, id="commas"),
    ],
)
def test_several_targets(
    table: dict[str, object], flags: dict[str, object], environ: dict[str, str]
) -> None:
    """A list of architectures makes a zip for each, with each runtime of a list."""
    table["runtime"] = ["python3.12", "python3.13"]

    assert names(table, flags=flags, **environ) == [
        "demo-1.0-function-python3.12-x86_64.zip",
        "demo-1.0-function-python3.12-arm64.zip",
        "demo-1.0-function-python3.13-x86_64.zip",
        "demo-1.0-function-python3.13-arm64.zip",
    ]


def test_zips_that_provide() -> None:
    """What is no artifact's name is a path, which starts from the folder of its table."""
    (api,) = read({"artifacts": {"api": {"provided-by": ["../deps.zip"]}}})

    assert api.provided_by == (ROOT / "../deps.zip",)


def test_provided_by_in_the_environment() -> None:
    """It has one name or path a line."""
    api, deps = read(
        {"artifacts": {"deps": {"provided-by": []}, "api": {}}},
        wanted=["deps", "api"],
        LAMBDA_BUILD_PROVIDED_BY="a b.zip\nc.zip",
    )

    assert api.provided_by == deps.provided_by == (CWD / "a b.zip", CWD / "c.zip")


# --- mistakes -------------------------------------------------------------------------

A = "[tool.lambda-build.artifacts.a]"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(
            {"a": {"architectur": "arm64"}},
            f"{A} architectur: is not a setting; did you mean `architecture`?",
            id="unknown key",
        ),
        pytest.param(
            {"a": {"offline": True}},
            f"{A} offline: cannot be set in a table: use the flag `--offline`",
            id="flag",
        ),
        pytest.param(
            {"a": {"architecture": ["arm64", "mips"]}},
            f"{A} architecture: is `mips`: use one of `x86_64`, `arm64`",
            id="one of a list",
        ),
        pytest.param(
            {"a": {"architecture": []}}, f"{A} architecture: must be a string", id="empty list"
        ),
        pytest.param(
            {"a": 1},
            "pyproject.toml: tool.lambda-build.artifacts.a: must be a table",
            id="no table",
        ),
        pytest.param(
            {"a/b": {}},
            "[tool.lambda-build.artifacts] a/b: is not a valid artifact name: use letters, "
            "digits, `.`, `_` and `-`, and begin with a letter or digit",
            id="name",
        ),
        pytest.param(
            {"a": {"provided-by": "x"}, "b": {"provided-by": 3}},
            "[tool.lambda-build.artifacts.b] provided-by: must be a list of names and paths",
            id="no list",
        ),
        pytest.param(
            {"a": {"provided-by": ["a"]}},
            f"{A} provided-by: an artifact cannot provide itself: `a` → `a`",
            id="itself",
        ),
        pytest.param(
            {"a": {"provided-by": ["b"]}, "b": {"provided-by": ["a"]}},
            f"{A} provided-by: an artifact cannot provide itself: `a` → `b` → `a`",
            id="a circle",
        ),
        pytest.param(
            {"a": {"output": "a.zip", "provided-by": ["a.zip"]}},
            f"{A} provided-by: an artifact cannot provide itself: /project/a.zip is its own zip",
            id="its own zip",
        ),
        pytest.param(
            {"a": {"provided-by": ["b.zip"]}, "b": {"output": "b.zip"}},
            f"{A} provided-by: /project/b.zip is the zip of `b` for python3.14 x86_64: "
            "use its name instead",
            id="the zip of another one",
        ),
        pytest.param(
            {"a": {"provided-by": ["dep"]}, "deps": {}},
            f"{A} provided-by: `dep` is neither an artifact nor a zip; "
            "the artifacts are `a`, `deps`",
            id="unknown name",
        ),
        pytest.param(
            {"a": {"provided-by": ["b"]}, "b": {"architecture": "arm64"}},
            f"{A} provided-by: `b` is not built for python3.14 x86_64",
            id="other targets",
        ),
        pytest.param(
            {"a": {"output": "x.zip"}, "b": {"output": "./x.zip"}},
            f"{A} output, [tool.lambda-build.artifacts.b] output: /project/x.zip would be "
            "written by `a` for python3.14 x86_64 and by `b` for python3.14 x86_64",
            id="one output",
        ),
        pytest.param(
            {"a": {"output": "dist/demo-1.0-b-function-python3.14-x86_64.zip"}, "b": {}},
            f"{A} output, [tool.lambda-build.artifacts.b] output (by default): "
            "/project/dist/demo-1.0-b-function-python3.14-x86_64.zip would be written by "
            "`a` for python3.14 x86_64 and by `b` for python3.14 x86_64",
            id="the default of another one",
        ),
        pytest.param(
            {"a": {"unpacked": "x"}, "b": {"unpacked": "x"}},
            f"{A} unpacked, [tool.lambda-build.artifacts.b] unpacked: /project/x would be "
            "written by `a` for python3.14 x86_64 and by `b` for python3.14 x86_64",
            id="one folder",
        ),
        pytest.param(
            {"a": {"unpacked": "x"}, "b": {"output": "x/b.zip"}},
            "[tool.lambda-build.artifacts.b] output, [tool.lambda-build.artifacts.a] unpacked: "
            "/project/x/b.zip would be written by `b` for python3.14 x86_64, inside of what "
            "`a` for python3.14 x86_64 writes",
            id="a zip in the folder of another one",
        ),
        pytest.param(
            {"a": {"unpacked": "x/y/z"}, "b": {"unpacked": "x"}},
            f"{A} unpacked, [tool.lambda-build.artifacts.b] unpacked: "
            "/project/x/y/z would be written by `a` for python3.14 x86_64, inside of what "
            "`b` for python3.14 x86_64 writes",
            id="a folder in the folder of another one",
        ),
    ],
)
def test_mistake(table: dict[str, object], message: str) -> None:
    """Each mistake is told once, with the full name of its key."""
    assert problems({"artifacts": table}) == [message]


def test_one_output_for_all_targets() -> None:
    """A file cannot be the place of a zip for each architecture."""
    assert problems({"architecture": ["arm64", "x86_64"]}, flags={"output": "x.zip"}) == [
        "--output: /elsewhere/x.zip would be written by python3.14 arm64 and by python3.14 x86_64"
    ]


def test_all_mistakes_at_once() -> None:
    """Mistakes of all artifacts are told together; one in the table for all is told once."""
    table = {
        "jobs": 1,
        "artifacts": {"a": {"layout": "zip"}, "b": {"contents": "none"}, "c": {"runtime": "java"}},
    }

    assert [problem.partition(": ")[0] for problem in problems(table)] == [
        "[tool.lambda-build] jobs",
        f"{A} layout",
        "[tool.lambda-build.artifacts.b] contents",
        "[tool.lambda-build.artifacts.c] runtime",
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(
            PATTERN,
            "there is no artifact `ap`, `x`; the artifacts are `api`, `deps`, `worker`",
            id="others are there",
        ),
        pytest.param(
            {},
            "there is no artifact `ap`, `x`; the project has no [tool.lambda-build.artifacts]",
            id="none is there",
        ),
    ],
)
def test_unknown_artifact(table: dict[str, object], message: str) -> None:
    """A name that no table has is refused, and the right ones are listed."""
    assert problems(table, wanted=["ap", "x"]) == [message]
