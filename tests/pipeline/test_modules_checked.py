"""A build finds what its own code would fail on when Lambda imports it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.index import FakeIndex
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.projects import Run

HANDLER = "def handler(event, context): ...\n"


def build(project: Path, *options: str, runtime: str = "python3.13") -> Run:
    """Build a project."""
    environ = quiet_environment(project.parent / "home", LAMBDA_BUILD_RUNTIME=runtime)
    return run_lambda_build("--arch", "arm64", *options, cwd=project, environ=environ)


def a_project_with(folder: Path, app: str, **options: Any) -> Path:
    """Write a project without requirements, whose handler is in `demo/app.py`."""
    project = a_project(folder / "project", **options)
    (project / "src/demo/app.py").write_text(app + HANDLER, encoding="utf-8")
    return project


def reason(run: Run) -> str:
    """Get the reason of a failure on one line."""
    text = run.errors.partition("  why: ")[2].partition("\n\nhint:")[0]
    return " ".join(text.split())


@pytest.mark.parametrize("options", [(), ("--handler", "demo.app.handler")])
def test_syntax_error(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Code that cannot be compiled does not ship, with or without a handler."""
    project = a_project_with(tmp_path, "x = 1\nreturn x\n")

    result = build(project, *options)

    assert result.code == 8
    assert reason(result) == "`demo/app.py`, line 2: 'return' outside function"
    assert not list(project.rglob("*.zip"))


def test_syntax_that_is_too_new(tmp_path: Path) -> None:
    """What the running Python accepts may be too new for the runtime."""
    project = a_project_with(tmp_path, "try: pass\nexcept* OSError: pass\n")

    result = build(project, runtime="python3.10")

    assert result.code == 8
    assert reason(result).startswith("`demo/app.py`, line 3: ")
    assert build(project, runtime="python3.11").code == 0


def test_missing_module(tmp_path: Path) -> None:
    """A module that nothing brings fails the build if the handler needs it."""
    project = a_project_with(tmp_path, "import yaml\n")

    without = build(project)
    result = build(project, "--handler", "demo.app.handler")

    text = "`demo/app.py`, line 1, imports `yaml`, but there is no `yaml` in the artifact"
    assert without.code == 0
    assert f"warning: {text}\n" in without.output
    assert (result.code, reason(result)) == (8, text)


def test_module_that_is_excluded(tmp_path: Path) -> None:
    """The message names the file that a pattern has left out."""
    project = a_project_with(tmp_path, "from demo.lib import tool\n")
    (project / "src/demo/lib").mkdir()
    (project / "src/demo/lib/__init__.py").write_text("tool = 1\n")

    result = build(project, "--handler", "demo.app.handler", "--exclude", "lib/")

    assert result.code == 8
    assert reason(result).endswith(
        "`demo/lib/__init__.py` of demo is left out by `exclude` or by a preset; `include` "
        "brings it back"
    )


def test_folder_that_is_ignored(tmp_path: Path) -> None:
    """The message names a folder of a source project that `.gitignore` leaves out."""
    project = tmp_path / "project"
    (project / "lib").mkdir(parents=True)
    (project / "lib/tool.py").write_text("")
    (project / "app.py").write_text(f"import lib.tool\n{HANDLER}")
    (project / ".gitignore").write_text("lib/\n")
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\n')

    result = build(project, "--project-as", "source", "--handler", "app.handler")

    assert result.code == 8, result.output
    assert "the folder `lib/` of the project does not ship: a line of `.gitignore`" in reason(
        result
    )


def test_package_of_another_group(tmp_path: Path) -> None:
    """The message names the locked package that has the module, and why it does not ship."""
    yaml = a_wheel("PyYAML", "6.0", files={"yaml/__init__.py": "", "_yaml/__init__.py": ""})
    project = a_project_with(
        tmp_path, "import yaml\n", extra='\n[dependency-groups]\ndev = ["pyyaml"]\n'
    )
    with FakeIndex([yaml]) as index:
        (project / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "a test"\ndependency-groups = ["dev"]\n'
            '[[packages]]\nname = "pyyaml"\nversion = "6.0"\nmarker = "\'dev\' in '
            'dependency_groups"\n[[packages.wheels]]\n'
            f'name = "{yaml.filename}"\nurl = "{index.files_url}{yaml.filename}"\n'
            f'hashes = {{ sha256 = "{yaml.sha256}" }}\n'
        )
        unknown = build(project, "--handler", "demo.app.handler")
        assert build(project, "--group", "dev", "--handler", "demo.app.handler").code == 0
    result = build(project, "--handler", "demo.app.handler")

    assert (unknown.code, result.code) == (8, 8)
    assert "pyyaml" not in reason(unknown)  # nothing says that it contains `yaml`
    assert "pyyaml 6.0 contains it; " in reason(result)


@pytest.mark.parametrize("options", [("--provided", "tool-kit"), ("--contents", "project")])
def test_package_that_is_provided(tmp_path: Path, options: tuple[str, ...]) -> None:
    """What a layer brings is not missing."""
    wheel = a_wheel("tool-kit", "1.0", files={"tool/__init__.py": ""})
    project = a_project_with(tmp_path, "import tool\n", dependencies=("tool-kit",))
    with FakeIndex([wheel]) as index:
        (project / "requirements.txt").write_text(
            f"--index-url {index.url}\ntool-kit==1.0 --hash=sha256:{wheel.sha256}\n"
        )
        result = build(project, "--handler", "demo.app.handler", *options)

    assert result.code == 0, result.errors
    assert "imports" not in result.output


def test_notes_of_earlier_builds(tmp_path: Path) -> None:
    """What was found in a module is remembered, as long as it is the same."""
    project = a_project_with(tmp_path, f"import yaml\n# {'x' * 300}\n")
    first = build(project, "--json")
    (note,) = (tmp_path / "home").rglob("modules/*.note")
    before = note.stat().st_mtime_ns
    again = build(project, "--json")

    assert json.loads(first.output)["warnings"] == json.loads(again.output)["warnings"] != []
    assert note.stat().st_mtime_ns == before

    (project / "src/demo/app.py").write_text(f"import json\n# {'y' * 300}\n{HANDLER}")
    assert json.loads(build(project, "--json").output)["warnings"] == []


@pytest.mark.parametrize("forged", [b"", b"[null, [false, []]]", None])
def test_forged_notes(tmp_path: Path, forged: bytes | None) -> None:
    """A note that was changed is not believed, and changes nothing in the artifact."""
    project = a_project_with(tmp_path, f"import yaml\n# {'x' * 300}\n")
    first = build(project, "--json")
    (path,) = project.rglob("*.zip")
    content = path.read_bytes()
    (note,) = (tmp_path / "home").rglob("modules/*.note")
    note.write_bytes(note.read_bytes().replace(b"yaml", b"json") if forged is None else forged)

    result = build(project, "--json")

    assert json.loads(result.output)["warnings"] == json.loads(first.output)["warnings"] != []
    assert path.read_bytes() == content


def test_notes_with_verbose(tmp_path: Path) -> None:
    """An import that may fail is a note for those who ask."""
    project = a_project_with(tmp_path, "try:\n    import yaml\nexcept ImportError: pass\n")

    assert "yaml" not in "".join((build(project)).output)
    result = build(project, "-v")
    assert "`demo/app.py`, line 2, imports `yaml`, which does not ship" in (
        result.output + result.errors
    )


@pytest.mark.parametrize("code", ["", "x = 1\n"])
def test_project_whose_code_is_in_a_group(tmp_path: Path, code: str) -> None:
    """A zip with nothing but empty modules names the local package that was left out."""
    project = a_project(tmp_path / "project")
    (project / "src/demo/app.py").write_text(code)
    a_project(project / "inner", name="inner")
    (project / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "a test"\ndependency-groups = ["code"]\n'
        '[[packages]]\nname = "inner"\nversion = "1.0"\n'
        "marker = \"'code' in dependency_groups\"\n"
        '[packages.directory]\npath = "inner"\n'
    )

    result = build(project)
    assert result.code == 0, result.errors
    assert (
        "warning: the project ships no code of its own, only empty modules, and its local package "
        "inner 1.0 does not ship: `--group NAME` ships the dependencies of a group, and `--extra "
        "NAME` those of an extra\n" in result.output
    ) is not bool(code)
    assert "no code of its own" not in build(project, "--group", "code").output


def test_artifact_without_modules(tmp_path: Path) -> None:
    """An artifact that contains no module has no imports to check."""
    project = a_project_with(tmp_path, "import json\n")
    (project / "src/demo/table.csv").write_text("a,b\n")

    result = build(project, "--exclude", "*.py")

    assert result.code == 0, result.errors
