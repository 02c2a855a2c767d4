"""`lambda-build terraform`: the protocol of the data source `external`, through the door."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from fakes.projects import quiet_environment
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONSOLE = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
_ARTIFACTS = """
[tool.lambda-build]
runtime = "python3.12"
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"
[tool.lambda-build.artifacts.api]
handler = "index.handler"
provided-by = ["deps"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A Terraform module beside the folder of a function."""

    folder: Path
    environ: Mapping[str, str]

    def asks(self, query: object, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the program as Terraform does: in the module, with the query on stdin."""
        text = query if isinstance(query, str) else json.dumps(query)
        return subprocess.run(
            [sys.executable, "-c", _CONSOLE, "terraform", *words],
            cwd=self.folder / "module",
            env=dict(self.environ),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def gets(self, **query: str | None) -> dict[str, str]:
        """Ask for something that works, and give the result."""
        ran = self.asks(query)
        assert (ran.returncode, ran.stderr) == (0, "")
        result: dict[str, str] = json.loads(ran.stdout)
        return result

    def refusal(self, query: object) -> str:
        """Ask for something that does not work, and give what is on stderr."""
        ran = self.asks(query)
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Make a folder of scripts with one locked dependency."""
    project = tmp_path / "function"
    project.mkdir()
    (tmp_path / "module").mkdir()
    wheel = a_wheel("dep")
    wheel.write_to(tmp_path / "wheelhouse")
    (project / "requirements.txt").write_text(
        f"--no-index\n--find-links {tmp_path / 'wheelhouse'}\n"
        f"dep==1.0 --hash=sha256:{wheel.sha256}\n"
    )
    (project / "index.py").write_text("def handler(event, context): ...\n")
    return Workplace(folder=tmp_path, environ=quiet_environment(tmp_path / "home"))


def test_all_that_a_function_needs(workplace: Workplace) -> None:
    """The result is flat, of strings, and its path starts from the folder of the module."""
    result = workplace.gets(
        project="../function",
        runtime="python3.13",
        architecture="arm64",
        handler="index.handler",
        output="build/function.zip",
    )

    content = (workplace.folder / "module" / "build" / "function.zip").read_bytes()
    sha256 = hashlib.sha256(content)
    assert result == {
        "filename": "build/function.zip",
        "source_code_hash": base64.b64encode(sha256.digest()).decode(),
        "sha256": sha256.hexdigest(),
        "runtime": "python3.13",
        "architecture": "arm64",
        "handler": "index.handler",
        "size": str(len(content)),
    }


def test_the_same_answer_again(workplace: Workplace) -> None:
    """Terraform reads the data source at every plan: there is nothing to change."""
    query = {"project": "../function", "runtime": "python3.13"}

    assert workplace.gets(**query) == workplace.gets(**query)


def test_settings_are_strings(workplace: Workplace) -> None:
    """Lists have commas, booleans are words; `_` and `-` are the same; empty means not given."""
    result = workplace.gets(
        **{
            "project": "../function",
            "project_as": "source",
            "runtime": "python3.13",
            "exclude-presets": "tests,docs",
            "exclude": "dep/,notes.txt",
            "strict": "true",
            "handler": "",
            "groups": None,
            "cache_dir": "cache",
        }
    )

    assert (workplace.folder / "module" / "cache").is_dir()
    assert result["handler"] == ""
    with zipfile.ZipFile(workplace.folder / "module" / result["filename"]) as archive:
        assert "index.py" in archive.namelist()
        assert "dep/__init__.py" not in archive.namelist()


def test_warnings_are_not_in_the_answer(workplace: Workplace) -> None:
    """They are on stderr, where Terraform does not look after success."""
    project = workplace.folder / "function"
    text = (project / "requirements.txt").read_text(encoding="utf-8")
    (project / "requirements.txt").write_text(text.split(" --hash")[0], encoding="utf-8")

    query = {"project": "../function", "runtime": "python3.13"}
    ran, quiet = workplace.asks(query), workplace.asks(query, "-q")

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["runtime"] == "python3.13"
    assert ran.stderr.startswith("warning: ")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, ran.stdout, "")


def test_a_project_that_unpacks_can_be_planned_twice(workplace: Workplace) -> None:
    """A data source is read at each plan, and `unpacked` wants an empty folder each time."""
    (workplace.folder / "function" / "pyproject.toml").write_text(
        '[tool.lambda-build]\nunpacked = "files"\nruntime = "python3.13"\n', encoding="utf-8"
    )

    assert workplace.gets(project="../function") == workplace.gets(project="../function")
    assert not (workplace.folder / "function" / "files").exists()


def test_data_sources_are_read_at_once(workplace: Workplace) -> None:
    """Processes that write one zip at the same time all give its hash, and leave it whole."""
    query = {"project": "../function", "runtime": "python3.13"}
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda _: workplace.gets(**query), range(4))]

    zipped = workplace.folder / "module" / answers[0]["filename"]
    sha256 = hashlib.sha256(zipped.read_bytes()).hexdigest()
    assert [each["sha256"] for each in answers] == [sha256] * 4
    assert [path.name for path in zipped.parent.iterdir()] == [zipped.name]


def test_function_and_layer_of_one_project(workplace: Workplace) -> None:
    """A data source for each artifact; one that is provided for comes alone."""
    (workplace.folder / "function" / "pyproject.toml").write_text(_ARTIFACTS)

    layer, function = (
        workplace.gets(project="../function", artifact=name) for name in ("deps", "api")
    )

    assert (layer["runtime"], layer["handler"]) == ("python3.12", "")
    assert function["handler"] == "index.handler"
    assert layer["filename"] != function["filename"]
    with zipfile.ZipFile(workplace.folder / "module" / function["filename"]) as archive:
        assert [name for name in archive.namelist() if name.startswith("dep/")] == []


def test_several_artifacts_at_once(workplace: Workplace) -> None:
    """The result has room for one."""
    (workplace.folder / "function" / "pyproject.toml").write_text(_ARTIFACTS)

    assert workplace.refusal({"project": "../function"}) == (
        "error: the query means 2 artifacts: `deps` for python3.12 x86_64, "
        "`api` for python3.12 x86_64\n\n"
        "hint: choose one in the query with `artifact`, `runtime` and `architecture`, and write a "
        "data source for each\n"
    )


@pytest.mark.parametrize(
    ("query", "what"),
    [
        pytest.param("", "standard input is not JSON: ``", id="nothing"),
        pytest.param("{", "standard input is not JSON: `{`", id="no JSON"),
        pytest.param("[" * 100_000, "standard input is not JSON: `[[", id="deep"),
        pytest.param("[]", "standard input is not a JSON object: `[]`", id="list"),
        pytest.param({"strict": True}, "strict: must be a string", id="no string"),
        pytest.param({"groups": ["a"]}, "groups: must be a string", id="list of names"),
        pytest.param({"runtim": "x"}, "runtim: is not a setting; did you mean", id="unknown"),
        pytest.param({"environ": "x"}, "environ: cannot be set in a query", id="keyword of ours"),
        pytest.param({"unpacked": "x"}, "unpacked: cannot be set in a query", id="no zip"),
        pytest.param({"report": "-"}, "report: cannot be set in a query", id="another report"),
        pytest.param({"runtime": "python2.7"}, "runtime: is `python2.7`", id="runtime"),
        pytest.param({"project": "../none"}, "", id="no folder"),
        pytest.param(
            {"project": "../function", "handler": "index.main"},
            "the handler `index.main` is not defined",
            id="handler",
        ),
        pytest.param(
            {"project": "../function", "lock": "missing.txt"},
            "cannot read the lock missing.txt",
            id="no lock",
        ),
    ],
)
def test_mistakes(workplace: Workplace, query: object, what: str) -> None:
    """Terraform shows what is on stderr: our message, and no traceback."""
    message = workplace.refusal(query)

    assert message.startswith(f"error: {what}")
    assert "\nhint: " in message
    assert "Traceback" not in message


def test_help_shows_a_data_source(workplace: Workplace) -> None:
    """The help has the lines to copy."""
    ran = workplace.asks("", "--help")

    assert ran.returncode == 0
    assert 'program = ["lambda-build", "terraform"]' in ran.stdout
