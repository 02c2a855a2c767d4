"""The user's own commands: before the project is built, and in the staged folder."""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.words import NO_FILE

if TYPE_CHECKING:
    from fakes.projects import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are of sh")

_FILES = {"dep/__init__.py": "A = 1\n" * 99, "dep/gone.py": "", "dep/words.txt": "old"}


def a_hooked_project(folder: Path, *, before: str = "[]", after: str = "[]") -> Path:
    """Write a project that needs the wheel `dep`, with commands as TOML lists."""
    hooks = f"[tool.lambda-build.hooks]\nbefore-build = {before}\nafter-stage = {after}\n"
    root = a_project(folder / "project", dependencies=("dep",), extra=hooks)
    wheel = a_wheel("dep", files=_FILES)
    wheel.write_to(folder / "wheelhouse")
    (root / "requirements.txt").write_text(
        f"--no-index\n--find-links {folder / 'wheelhouse'}\n"
        f"dep==1.0 --hash=sha256:{wheel.sha256}\n",
        encoding="utf-8",
    )
    return root


def run(root: Path, *options: str, **variables: str) -> Run:
    """Build with the console script, for arm64."""
    return run_lambda_build(
        *("--runtime", "python3.12", "--arch", "arm64", "-o", "../a.zip", *options),
        cwd=root,
        environ=quiet_environment(root.parent, **variables),
    )


def built(root: Path, *options: str) -> zipfile.ZipFile:
    """Build without a failure and open the zip."""
    result = run(root, "-q", *options)
    assert (result.code, result.errors) == (0, "")
    return zipfile.ZipFile(root.parent / "a.zip")


def recorded(archive: zipfile.ZipFile, path: str) -> dict[str, str]:
    """Get the sizes that a RECORD tells, by path."""
    rows = csv.reader(archive.read(path).decode().splitlines())
    return {row[0]: row[2] for row in rows}


def test_before_build(tmp_path: Path) -> None:
    """What a command writes into the project is in its wheel; commands run in their order."""
    commands = """['echo "A = 1" > src/demo/made.py', "echo B = 2 >> src/demo/made.py"]"""
    with built(a_hooked_project(tmp_path, before=commands)) as archive:
        assert archive.read("demo/made.py") == b"A = 1\nB = 2\n"


def test_before_build_of_source(tmp_path: Path) -> None:
    """A project that ships as source is read after its commands have run."""
    root = a_hooked_project(tmp_path, before='["echo > src/demo/made.py"]')
    with built(root, "--project-as", "source") as archive:
        assert "demo/made.py" in archive.namelist()


def test_before_build_without_project(tmp_path: Path) -> None:
    """Where the project does not ship, nothing is run for it."""
    root = a_hooked_project(tmp_path, before='["exit 1"]')
    with built(root, "--contents", "dependencies") as archive:
        assert "dep/__init__.py" in archive.namelist()


def test_list_is_run_without_shell(tmp_path: Path) -> None:
    """The words of a list reach the program as they are."""
    root = a_hooked_project(tmp_path, before='[["touch", "src/demo/$HOME x.py"]]')
    with built(root) as archive:
        assert "demo/$HOME x.py" in archive.namelist()


def test_variables(tmp_path: Path) -> None:
    """Commands are told the target and, after staging, the folder that they run in."""
    told = 'echo "$LAMBDA_BUILD_RUNTIME $LAMBDA_BUILD_ARCHITECTURE"'
    root = a_hooked_project(
        tmp_path,
        before=f"['{told} > src/demo/told.txt']",
        after=f"""['{told} > told.txt', 'test "$LAMBDA_BUILD_STAGE" -ef . && echo > here.txt']""",
    )
    with built(root) as archive:
        assert archive.read("demo/told.txt") == b"python3.12 arm64\n"
        assert archive.read("told.txt") == b"python3.12 arm64\n"
        assert "here.txt" in archive.namelist()


def test_nested_build_knows_the_variables(tmp_path: Path) -> None:
    """A build within a hook does not take the stage for a setting that nobody knows."""
    result = run(a_hooked_project(tmp_path), "-q", LAMBDA_BUILD_STAGE="stage")

    assert (result.code, result.errors) == (0, "")


def test_changes_in_the_stage(tmp_path: Path) -> None:
    """Changed, new and removed files are honoured, and each RECORD is true again."""
    root = a_hooked_project(
        tmp_path,
        after='["printf new-text > dep/words.txt", "rm dep/gone.py", "mkdir -p a; echo > a/b.txt"]',
    )
    with built(root) as archive:
        assert archive.read("dep/words.txt") == b"new-text"
        assert archive.namelist() == [
            "a/b.txt",
            *(f"demo-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
            "demo/__init__.py",
            "demo/app.py",
            *(f"dep-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
            "dep/__init__.py",
            "dep/words.txt",
        ]
        sizes = {info.filename: str(info.file_size) for info in archive.infolist()}
        for folder, own in (("dep", {"dep/__init__.py", "dep/words.txt"}), ("demo", {"a/b.txt"})):
            record = f"{folder}-1.0.dist-info/RECORD"
            rows = recorded(archive, record)
            assert rows.keys() >= own
            assert rows == {path: "" if path == record else sizes[path] for path in rows}


def test_untouched_members_are_the_same(tmp_path: Path) -> None:
    """What a command leaves alone is packed as without one."""
    (without := tmp_path / "without").mkdir()
    (within := tmp_path / "within").mkdir()
    with (
        built(a_hooked_project(without)) as one,
        built(a_hooked_project(within, after='["touch dep/__init__.py"]')) as other,
    ):
        assert Path(str(one.filename)).read_bytes() == Path(str(other.filename)).read_bytes()


def test_modes_in_the_stage(tmp_path: Path) -> None:
    """A command can make a file executable, and a new one keeps its mode."""
    root = a_hooked_project(
        tmp_path, after='["chmod +x dep/words.txt", "echo > run.sh; chmod 700 run.sh"]'
    )
    with built(root) as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}

    assert {path for path, mode in modes.items() if mode == 0o755} == {"dep/words.txt", "run.sh"}
    assert set(modes.values()) == {0o644, 0o755}


def test_removed_metadata(tmp_path: Path) -> None:
    """A command may take a metadata folder away."""
    with built(a_hooked_project(tmp_path, after='["rm -r dep-1.0.dist-info"]')) as archive:
        assert [name for name in archive.namelist() if name.startswith("dep-")] == []


def test_new_distribution(tmp_path: Path) -> None:
    """What a command installs by hand is no mistake of the build."""
    after = "['mkdir more-2.dist-info; echo Name: more > more-2.dist-info/METADATA']"
    with built(a_hooked_project(tmp_path, after=after)) as archive:
        assert "more-2.dist-info/METADATA" in archive.namelist()


def test_new_files_without_project(tmp_path: Path) -> None:
    """Where the project does not ship, it owns what a command adds all the same."""
    root = a_hooked_project(tmp_path, after='["printf abc > python/new.txt"]')
    result = run(root, "--json", "--layout", "layer", "--contents", "dependencies")

    packages = json.loads(result.output)["packages"]

    assert [(each["name"], each["files"]) for each in packages] == [("demo", 1), ("dep", 6)]


def test_links_in_the_stage(tmp_path: Path) -> None:
    """Links that a command makes within the stage become copies, and loops end."""
    root = a_hooked_project(tmp_path, after='["ln -s dep other; ln -s .. dep/up"]')
    with built(root) as archive:
        assert archive.read("other/words.txt") == b"old"
        assert not any("up" in name.split("/") for name in archive.namelist())


def test_link_out_of_the_stage(tmp_path: Path) -> None:
    """A link to the outside is refused: it would point to nothing on Lambda."""
    result = run(a_hooked_project(tmp_path, after='["ln -s /bin/sh shell"]'))

    assert result.code == 7
    assert result.errors.startswith("error: 'shell' cannot ship")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("hook", ["before", "after"])
def test_failing_command(tmp_path: Path, hook: str) -> None:
    """A command that fails ends the build with the end of its output and without an artifact."""
    command = "seq 100000; echo to https://u:secret@index.example/ >&2; exit 3; # long"
    result = run(a_hooked_project(tmp_path, **{hook: f"['{command}', 'touch ran']"}))

    name = {"before": "before-build", "after": "after-stage"}[hook]
    lines = result.errors.splitlines()
    assert result.code == 6
    assert f"error: the {name} command failed: `seq 100000;" in result.errors
    assert "secret" not in result.errors
    assert [line.strip() for line in lines[-4:]] == [
        "100000",
        "to https://index.example/",
        "",
        f"hint: run it on its own, and fix `{name}` in [tool.lambda-build.hooks]",
    ]
    assert len(result.errors) < 20_000
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param('"cat; exit 4"', "it exited with 4 and printed nothing", id="reads input"),
        pytest.param(
            '["no-such-program-at-all"]',
            f"it cannot be started: {NO_FILE}",
            id="not there",
        ),
    ],
)
def test_command_that_says_nothing(tmp_path: Path, command: str, why: str) -> None:
    """A command that asks meets the end of input at once; what cannot be started is named."""
    result = run(a_hooked_project(tmp_path, before=f"[{command}]"), "-q")

    assert result.code == 6
    assert f"  why: {why}\n" in result.errors


def test_doubled_links_have_a_limit(tmp_path: Path) -> None:
    """A command that makes links to the same folders again would fill the artifact."""
    command = (
        "import os\\n"
        "for n in range(25):\\n"
        "    os.makedirs(f'l{n}', exist_ok=True)\\n"
        "    os.symlink(f'../l{n + 1}', f'l{n}/a')\\n"
        "    os.symlink(f'../l{n + 1}', f'l{n}/b')\\n"
        "os.makedirs('l25')\\n"
    )
    root = a_hooked_project(tmp_path, after=f'[["{sys.executable}", "-c", "{command}"]]')

    result = run(root)

    assert result.code == 7
    assert "links lead to more than 5,000 folders" in result.errors
