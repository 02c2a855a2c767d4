"""A build proves what it ships: wheels that contradict themselves, locks that lack something."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from fakes.elf import an_elf
from fakes.index import FakeIndex
from fakes.projects import Run, a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.wheels import FakeWheel

HINT_CODE = (
    "hint: use a version of the package that has a wheel for the target, or leave the file out "
    "if nothing loads it\n"
)


def build(
    folder: Path,
    *wheels: FakeWheel,
    options: tuple[str, ...] = (),
    dependencies: tuple[str, ...] = (),
    extra: str = "",
) -> Run:
    """Build a project that locks these wheels for python3.13 on arm64."""
    project = a_project(folder / "project", dependencies=dependencies, extra=extra)
    environ = quiet_environment(folder / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    with FakeIndex(wheels) as index:
        pins = (
            f"{wheel.project}=={wheel.filename.split('-')[1]} --hash=sha256:{wheel.sha256}\n"
            for wheel in wheels
        )
        lock = f"--index-url {index.url}\n{''.join(pins)}"
        (project / "requirements.txt").write_text(lock)
        return run_lambda_build("--arch", "arm64", *options, cwd=project, environ=environ)


def rebuilt(folder: Path) -> Run:
    """Build the same again with what the cache holds."""
    environ = quiet_environment(folder / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    return run_lambda_build("--arch", "arm64", "--offline", cwd=folder / "project", environ=environ)


FOREIGN = a_wheel("fast", "2.0", files={"fast/_fast.so": an_elf("x86_64")})
FOREIGN_TOLD = (
    "error: a file with machine code cannot load on python3.13 arm64\n"
    "  why: fast 2.0: `fast/_fast.so` is made for 64-bit x86_64, not for aarch64\n"
    f"\n{HINT_CODE}"
)


def test_wheel_whose_tag_lies(tmp_path: Path) -> None:
    """An x86_64 library in a wheel for any machine does not reach an arm64 function."""
    run = build(tmp_path, FOREIGN)

    assert (run.code, run.errors) == (8, FOREIGN_TOLD)
    assert not (tmp_path / "project" / "dist").exists()


def test_what_was_found_is_remembered(tmp_path: Path) -> None:
    """The next build, which only looks the wheel up, fails in the same way."""
    build(tmp_path, FOREIGN)

    assert rebuilt(tmp_path) == Run(code=8, output="", errors=FOREIGN_TOLD)


def test_fitting_wheel_passes_twice(tmp_path: Path) -> None:
    """What fits is built, from the index and from the cache, without a warning."""
    wheel = a_wheel("fast", "2.0", files={"fast/_fast.so": an_elf("aarch64")})

    runs = [build(tmp_path, wheel), rebuilt(tmp_path)]

    assert [(run.code, "warning" in run.output) for run in runs] == [(0, False), (0, False)]


def test_library_that_the_runtime_lacks_is_a_warning(tmp_path: Path) -> None:
    """The remedy is told; the zip is there."""
    elf = an_elf("aarch64", needed=["libc.so.6", "libGL.so.1"])

    run = build(tmp_path, a_wheel("view", "1.0", files={"view.abi3.so": elf}))

    assert run.code == 0
    assert (
        "warning: view 1.0: `view.abi3.so`: needs libGL.so.1, which neither the artifact nor the "
        "runtime contains: ship it at the root, in `lib/`, or in `lib/` of a layer\n"
    ) in run.output


def test_lock_that_lacks_a_dependency(tmp_path: Path) -> None:
    """A lock that was edited by hand, or made on another system, does not ship."""
    run = build(
        tmp_path,
        a_wheel("outer", "1.0", metadata=["Requires-Dist: inner>=2; sys_platform == 'linux'"]),
        dependencies=("outer",),
    )

    assert run.code == 8
    assert run.errors.startswith(
        "error: a requirement is not met by what ships\n"
        "  why: outer 1.0 requires inner>=2, which does not ship\n"
    )


def test_version_that_the_lock_overrides_is_a_warning(tmp_path: Path) -> None:
    """The lock has the last word about versions."""
    run = build(
        tmp_path,
        a_wheel("outer", "1.0", metadata=["Requires-Dist: inner<2"]),
        a_wheel("inner", "2.0"),
    )

    assert run.code == 0
    assert "warning: outer 1.0 requires inner<2, but 2.0 ships\n" in run.output


def test_what_a_uv_lock_overrides_is_not_missed(tmp_path: Path) -> None:
    """A dependency that the user has taken out by an override is left out by their word."""
    outer = a_wheel("outer", "1.0", metadata=["Requires-Dist: inner"])
    with FakeIndex([outer]) as index:
        table = "[tool.uv]\noverride-dependencies = [\"inner; sys_platform == 'never'\"]\n"
        project = a_project(tmp_path / "project", dependencies=("outer",), extra=table)
        (project / "uv.lock").write_text(
            f"""\
version = 1
revision = 3
requires-python = ">=3.10"

[manifest]
overrides = [{{ name = "inner", marker = "sys_platform == 'never'" }}]

[[package]]
name = "demo"
version = "1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "outer" }}]

[package.metadata]
requires-dist = [{{ name = "outer" }}]

[[package]]
name = "outer"
version = "1.0"
source = {{ registry = "{index.url}" }}
wheels = [
    {{ url = "{index.file_url(outer.filename)}", hash = "sha256:{outer.sha256}" }},
]
"""
        )
        environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")
        run = run_lambda_build(cwd=project, environ=environ)

    assert (run.code, run.errors) == (0, "")


def test_member_that_is_no_package_is_not_missed(tmp_path: Path) -> None:
    """What is required and has nothing to ship (uv: `package = false`) brings its needs alone."""
    inner = a_wheel("inner", "1.0")
    sources = "[tool.uv.sources]\nvirt = { workspace = true }\n"
    project = a_project(tmp_path / "project", dependencies=("virt",), extra=sources)
    with FakeIndex([inner]) as index:
        (project / "uv.lock").write_text(
            f"""\
version = 1
revision = 3
requires-python = ">=3.10"

[[package]]
name = "demo"
version = "1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "virt" }}]

[package.metadata]
requires-dist = [{{ name = "virt", virtual = "virt" }}]

[[package]]
name = "inner"
version = "1.0"
source = {{ registry = "{index.url}" }}
wheels = [
    {{ url = "{index.file_url(inner.filename)}", hash = "sha256:{inner.sha256}" }},
]

[[package]]
name = "virt"
version = "1.0"
source = {{ virtual = "virt" }}
dependencies = [{{ name = "inner" }}]
"""
        )
        environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")
        run = run_lambda_build("--strict", cwd=project, environ=environ)

    assert (run.code, run.errors) == (0, "")
    assert "inner 1.0" in run.output


OUTER = a_wheel("outer", "1.0", metadata=["Requires-Dist: inner>=2"])


@pytest.mark.parametrize(
    "table",
    [
        "[tool.uv]\noverride-dependencies = [\"inner; sys_platform == 'never'\"]\n",
        '[tool.uv]\nexclude-dependencies = ["Inner"]\n',
        '[[tool.uv.dependency-metadata]]\nname = "outer"\nrequires-dist = []\n',
        '[tool.pdm.resolution]\nexcludes = ["inner"]\n',
        '[tool.pdm.resolution.overrides]\ninner = "1"\n',
    ],
    ids=["uv-override", "uv-exclude", "uv-metadata", "pdm-exclude", "pdm-override"],
)
def test_exported_lock_of_a_project_with_overrides(tmp_path: Path, table: str) -> None:
    """What pyproject.toml takes out is not missed in a lock that does not tell of it."""
    assert build(tmp_path, OUTER, dependencies=("outer",), extra=table).code == 0


@pytest.mark.parametrize(
    "table",
    [
        '[tool.uv]\nexclude-dependencies = "inner"\noverride-dependencies = [1, "", "@"]\n',
        "[tool.pdm]\nresolution = [1]\n[[tool.uv.dependency-metadata]]\nname = 1\n",
    ],
    ids=["uv", "pdm"],
)
def test_overrides_that_are_none(tmp_path: Path, table: str) -> None:
    """Tables of other tools that hold something else override nothing, and harm nobody."""
    run = build(tmp_path, OUTER, dependencies=("outer",), extra=table)

    assert run.code == 8
    assert "why: outer 1.0 requires inner>=2, which does not ship\n" in run.errors


def test_provided_is_the_way_out(tmp_path: Path) -> None:
    """What was taken out of the lock on purpose is named as provided, without a warning."""
    options = ("--provided", "inner", "--strict")

    run = build(tmp_path, OUTER, dependencies=("outer",), options=options)

    assert (run.code, run.errors) == (0, "")


def test_provided_name_that_nobody_asks_for_is_a_warning(tmp_path: Path) -> None:
    """A misspelt name provides nothing."""
    run = build(tmp_path, a_wheel("outer", "1.0"), options=("--provided", "iner"))

    assert run.code == 0
    assert "warning: `provided` names iner, which is not in the lock\n" in run.output


def test_requirement_that_another_artifact_holds(tmp_path: Path) -> None:
    """A lock may lack what a layer has, if the layer is named."""
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr(
            "python/inner-2.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: inner\nVersion: 2.0\n",
        )

    options = ("--provided-by", str(layer))

    assert build(tmp_path, OUTER, dependencies=("outer",), options=options).code == 0


@pytest.mark.parametrize("operator", [">", "~="])
def test_requirement_that_cannot_be_evaluated_asks_for_nothing(
    tmp_path: Path, operator: str
) -> None:
    """A marker that compares what has no order is no failure, in any step that reads it."""
    line = f"Requires-Dist: inner; sys_platform {operator} 'linux'"
    odd = a_wheel("odd", "1.0", metadata=[line])

    run = build(tmp_path, odd, OUTER, options=("--provided", "inner"))

    assert (run.code, run.errors) == (0, "")


def test_dependencies_without_the_project(tmp_path: Path) -> None:
    """A plugin that requires the project does not miss it in a layer of dependencies."""
    run = build(
        tmp_path,
        a_wheel("plugin", "1.0", metadata=["Requires-Dist: demo"]),
        options=("--contents", "dependencies"),
    )

    assert run.code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param((), 0, id="not asked for"),
        pytest.param(("--extra", "more"), 8, id="asked for"),
    ],
)
def test_extra_of_the_project(tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    """What an extra requires has to ship when it is asked for."""
    extra = "[project.optional-dependencies]\nmore = ['inner']\n"

    project = a_project(tmp_path / "project", extra=extra)
    (project / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\nextras = ["more"]\npackages = []\n'
    )
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")

    assert run_lambda_build(*options, cwd=project, environ=environ).code == code


def test_project_alone_misses_nothing(tmp_path: Path) -> None:
    """With `--contents project` the dependencies are in a layer."""
    run = build(tmp_path, dependencies=("inner",), options=("--contents", "project"))

    assert run.code == 0


def test_handler_that_is_not_defined(tmp_path: Path) -> None:
    """The name has to be in the module, too."""
    run = build(tmp_path, options=("--handler", "demo.app.main"))

    assert (run.code, run.errors.splitlines()[:2]) == (
        8,
        [
            "error: the handler `demo.app.main` is not defined",
            "  why: nothing in `demo/app.py` defines `main`: the runtime answers "
            "Runtime.HandlerNotFound",
        ],
    )


def test_all_failures_are_told_together(tmp_path: Path) -> None:
    """One run tells everything that has to be mended."""
    run = build(tmp_path, FOREIGN, dependencies=("inner",), options=("--handler", "gone.handler"))

    assert (run.code, run.errors) == (
        8,
        "error: the artifact fails 3 checks\n"
        "  why: a requirement is not met by what ships:\n"
        "       demo 1.0 requires inner, which does not ship\n"
        "       a file with machine code cannot load on python3.13 arm64:\n"
        "       fast 2.0: `fast/_fast.so` is made for 64-bit x86_64, not for aarch64\n"
        "       the handler `gone.handler` is not in the artifact:\n"
        "       none of these files exists: gone.py, gone/__init__.py, gone.pyc\n"
        "\n"
        "hint: lock again so that the lock contains them for this target: a lock made for one "
        "machine, or by hand, may lack what another one needs; name the zips of layers that "
        "contain them (`provided-by`; `lambda-build inspect --layer`), and list what is left "
        "out on purpose in the setting `provided` (--provided NAME)\n"
        "      use a version of the package that has a wheel for the target, or leave the file "
        "out if nothing loads it\n"
        "      check the setting `handler` (--handler): `package.module.function`\n",
    )


def test_module_that_shadows_the_standard_library(tmp_path: Path) -> None:
    """The package that brings it is named."""
    run = build(tmp_path, a_wheel("enum34", "1.1", files={"enum/__init__.py": ""}))

    assert run.code == 0
    assert (
        "warning: `enum/__init__.py` (of enum34 1.1) shadows `enum` of the standard library\n"
    ) in run.output


LARGE = tuple(a_wheel(name, "1.0") for name in ("large", "larger"))


def a_large_world(folder: Path, index: FakeIndex) -> World:
    """Lock wheels of which the lock says that they are large."""
    world = World(folder)
    lock = pylock_of(LARGE, index.files_url)
    for size in (100_000_000, 200_000_000):
        lock = lock.replace("hashes = ", f"size = {size}\nhashes  = ", 1)
    world.lock(lock)
    return world


def test_wheels_that_can_never_fit_are_not_fetched(tmp_path: Path) -> None:
    """A lock that knows sizes tells before the download that it is in vain."""
    with FakeIndex(LARGE) as index:
        run = a_large_world(tmp_path, index).build()

        assert list(index.requests) == []
    assert (run.code, run.errors) == (
        8,
        "error: the artifact would be too large: its wheels have 286.1 MB before they "
        "are unzipped, and Lambda requires less than 250.0 MB afterwards\n"
        "  why: the largest are:\n"
        "       - larger 1.0: 190.7 MB\n"
        "       - large 1.0: 95.4 MB\n"
        "\nhint: leave out what the function does not need, or deploy a container image\n",
    )


def test_large_wheels_of_which_something_is_left_out(tmp_path: Path) -> None:
    """What is left of them is known when they are here."""
    with FakeIndex(LARGE) as index:
        run = a_large_world(tmp_path, index).build("--exclude", "/large/data/")

    assert (run.code, run.errors) == (0, "")


@pytest.mark.parametrize("spelling", ["hexadecimal", "padded", "standard base64"])
def test_record_in_another_spelling(tmp_path: Path, spelling: str) -> None:
    """A wheel of `uv_build<0.8.13` ships, and its RECORD becomes what the specification says."""
    content = b"x = 15\n"  # its digest has a slash in standard base64
    raw = hashlib.sha256(content).digest()
    assert b"/" in base64.b64encode(raw)
    spelled = {
        "hexadecimal": raw.hex(),
        "padded": base64.urlsafe_b64encode(raw).decode(),
        "standard base64": base64.b64encode(raw).decode().rstrip("="),
    }[spelling]
    record = f"old/__init__.py,sha256={spelled},{len(content)}\nold-1.0.dist-info/RECORD,,\n"
    wheel = a_wheel("old", files={"old/__init__.py": content}, record=record.encode())

    result = build(tmp_path, wheel)

    assert result.code == 0, result.errors
    right = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    (path,) = tmp_path.glob("project/dist/*.zip")
    with zipfile.ZipFile(path) as archive:
        rows = archive.read("old-1.0.dist-info/RECORD").decode()
    assert f"old/__init__.py,sha256={right},{len(content)}\n" in rows
    assert rebuilt(tmp_path).code == 0
