"""The documentation keeps its word: what it shows is accepted, what it lists is there."""

from __future__ import annotations

import datetime
import json
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from fakes.projects import a_project, quiet_environment
from fakes.wheels import a_wheel
from fakes.worlds import pylock_of
from jsonschema import Draft202012Validator

from lambda_build_plugin import errors
from lambda_build_plugin.commands.diff import Change, Difference, Field
from lambda_build_plugin.commands.inspection import (
    FailureReport,
    InspectedPackage,
    InspectionReport,
)
from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.config.sources import table_source
from lambda_build_plugin.frontends.cli import main
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.projects.report import BuiltProject, FailedProject, ProjectsReport
from lambda_build_plugin.report import (
    BuildReport,
    BuildReports,
    ExcludedReport,
    LayerFileReport,
    LeftBehindReport,
    LeftOutReport,
    PackageReport,
    SizeReport,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MAKE_REFERENCE = runpy.run_path(str(DOCS / "make_reference.py"))
MAKE_SCHEMAS = runpy.run_path(str(DOCS / "make_schemas.py"))


class Block(NamedTuple):
    """A block of code in a page."""

    page: str
    language: str
    text: str
    tested_by: str
    """The test that tries it, where it needs more than the project of these tests."""


def blocks(*languages: str) -> Iterator[Block]:
    """Find the blocks of these languages in all pages."""
    pattern = r"(?:<!-- tested by (\S+) -->\s+)?^```(\S+)\n(.*?)^```"
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL):
            if found[2] in languages:
                yield Block(page.relative_to(ROOT).as_posix(), found[2], found[3], found[1] or "")


def sessions() -> list[tuple[str, str]]:
    """Find the commands that are shown with what they print to standard error."""
    shown = [block.text for block in blocks("console") if not block.tested_by]
    return [(text.partition("\n")[0].removeprefix("$ "), text.partition("\n")[2]) for text in shown]


def commands(program: str) -> list[str]:
    """Find the lines that run a program, without prompts and comments."""
    shown = [block.text for block in blocks("sh") if not block.tested_by]
    lines = (line for text in shown for line in text.splitlines())
    found = (re.split(r"\s#\s", line)[0].strip() for line in lines)
    return sorted({line for line in found if line.split()[:1] == [program]})


def tables() -> list[str]:
    """Find the tables of settings that the pages show."""
    return sorted({block.text for block in blocks("toml") if not block.tested_by})


def test_tests_that_pages_name_are_there() -> None:
    """Where a page names the test of what it shows, there is such a file."""
    named = {block.tested_by for block in blocks("sh", "console", "toml", "python", "json", "yaml")}

    assert [name for name in named - {""} if not (ROOT / name).is_file()] == []


@pytest.fixture(scope="module")
def shown_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with a lock and a dependency, and the zips that the pages speak of."""
    folder = tmp_path_factory.mktemp("shown")
    project = a_project(folder / "my-project", name="my_project", dependencies=("demo",))
    members = '[tool.lambda-build.workspace]\nmembers = ["my-project/functions/*"]\n'
    (folder / "pyproject.toml").write_text(members)
    for name in ("orders", "payments"):
        a_project(project / "functions" / name, name=name, extra="[tool.lambda-build]\n")
    wheel = a_wheel("demo")
    (folder / wheel.filename).write_bytes(wheel.content)
    (project / "pylock.toml").write_text(pylock_of([wheel], f"{folder.as_uri()}/"))
    a_project(folder / "other-project", name="other")
    (project / "requirements.txt").write_text(f"demo==1.0 --hash=sha256:{wheel.sha256}\n")
    return project


@pytest.fixture
def _in_shown_project(shown_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shown_project)
    folder = shown_project.parent
    environ = quiet_environment(folder / "home", UV_FIND_LINKS=str(folder), UV_OFFLINE="1")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    # The lowest backends are not those of the locks; what is here builds, as the index is closed.
    monkeypatch.delenv("UV_BUILD_CONSTRAINT", raising=False)


@pytest.mark.usefixtures("_in_shown_project")
@pytest.mark.parametrize("command", commands("lambda-build"))
def test_shown_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `lambda-build` line in the documentation does what it is for."""
    arguments = command.split()[1:]
    for named in (argument for argument in arguments if argument.endswith(".zip")):
        is_layer = arguments[arguments.index(named) - 1] == "--layer"
        assert main(["--output", named, "--layout", "layer" if is_layer else "function"]) == 0

    code = main(arguments)

    assert code == 0, capsys.readouterr().err


@pytest.mark.usefixtures("_in_shown_project")
@pytest.mark.parametrize(("command", "printed"), sessions())
def test_shown_messages_are_real(
    command: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that is shown with its message prints this message."""
    main(command.split()[1:])

    assert capsys.readouterr().err == printed


@pytest.mark.parametrize("code", sorted({block.text for block in blocks("python")}))
def test_shown_python_is_valid(code: str) -> None:
    """Each Python block is a program, or a part of one."""
    compile(code, "<documentation>", "exec")


@pytest.mark.parametrize("command", [*commands("poetry"), *commands("pdm")])
def test_shown_commands_of_hosts_have_our_options(command: str) -> None:
    """Lines that build in Poetry or PDM use options that `lambda-build` has."""
    ours = {f"--{name}" for option in OPTIONS for name in option.names}
    used = re.findall(r"--[a-z-]+", command) if "lambda" in command else []

    assert set(used) - {"--lambda"} <= ours


@pytest.mark.parametrize("table", tables())
def test_shown_tables_are_accepted(table: str, tmp_path: Path) -> None:
    """Each table in the documentation is one that a build takes."""
    a_project(tmp_path, name="my_project", extra=table)
    host = Host(
        cwd=tmp_path,
        home=tmp_path,
        cache_dir=tmp_path / "cache",
        today=datetime.date(2026, 11, 1),
        environ={},
    )

    project = read_project(tmp_path)
    artifacts = read_artifacts(project, [table_source(project)], host)

    assert len(artifacts) >= 1


def test_the_readme_of_the_package_has_no_relative_links() -> None:
    """The package index shows the README, but has none of the files beside it."""
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    shown = hook["with_absolute_links"](PAGES[0].read_text(encoding="utf-8"))

    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
    assert "/raw/main/docs/session.svg" in shown


def test_the_readme_is_short() -> None:
    """A newcomer reads the README to its end."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("SETTINGS", "settings_page"),
        ("COMMAND_LINE", "command_line_page"),
        ("MESSAGES", "messages_page"),
        ("RUNTIMES_PAGE", "runtimes_page"),
    ],
)
def test_the_reference_is_what_the_code_says(page: str, made: str) -> None:
    """Settings, commands, errors and runtimes in the reference are those of the code."""
    text = MAKE_REFERENCE[page].read_text(encoding="utf-8")

    assert text == MAKE_REFERENCE[made](text), "run `make reference`"


def first_cells(text: str) -> list[str]:
    """Read the first cells of the tables in a text, without backticks."""
    lines = text.splitlines()
    cells = [line.split("|")[1].replace("`", "") for line in lines if line.startswith("|")]
    return [name.strip() for cell in cells[2:] for name in cell.split(",")]


@pytest.mark.parametrize(
    ("heading", "report", "parts"),
    [
        pytest.param(
            "## `lambda-build`\n",
            BuildReport,
            [
                BuildReports,
                SizeReport,
                PackageReport,
                LeftOutReport,
                ExcludedReport,
                LayerFileReport,
                LeftBehindReport,
            ],
            id="build",
        ),
        pytest.param(
            "## `lambda-build` with several projects\n",
            ProjectsReport,
            [BuiltProject, FailedProject],
            id="several projects",
        ),
        pytest.param(
            "## `lambda-build inspect`\n",
            InspectionReport,
            [InspectedPackage, FailureReport],
            id="inspect",
        ),
        pytest.param("## `lambda-build diff`\n", Difference, [Change, Field], id="diff"),
    ],
)
def test_every_field_of_the_reports_is_listed(
    heading: str, report: type, parts: list[type]
) -> None:
    """The page about JSON lists the fields of the code, those of parts of a report as well."""
    page = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")
    section = page.partition(heading)[2].partition("\n## ")[0]
    fields = [field for each in (report, *parts) for field in each.__annotations__]

    assert [field for field in fields if not re.search(rf"[`\"]{field}[`\"]", section)] == []
    assert set(first_cells(section)) <= set(report.__annotations__)


def test_the_schemas_are_what_the_code_says() -> None:
    """The JSON schemas describe the types of the code: `make reference` renews them."""
    written = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("schema/*")}

    assert written == MAKE_SCHEMAS["schemas"](), "run `make reference`"


@pytest.mark.usefixtures("_in_shown_project")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        pytest.param("build", ["--json"], id="one artifact"),
        pytest.param("build", ["--json", "--arch", "x86_64", "--arch", "arm64"], id="several"),
        pytest.param("build", ["--json", "--workspace"], id="several projects"),
        pytest.param(
            "build", ["--json", ".", "functions/orders", "--group", "lost"], id="a failure"
        ),
        pytest.param("inspect", ["inspect", "--json", "a.zip"], id="inspect"),
        pytest.param("diff", ["diff", "--json", "a.zip", "b.zip"], id="diff"),
        pytest.param("build", ["--json", ".", "missing"], id="several projects, one missing"),
        pytest.param("build", ["--json", "--lock", "missing.lock"], id="a build that fails"),
        pytest.param("inspect", ["inspect", "--json", "missing.zip"], id="no zip to inspect"),
        pytest.param("diff", ["diff", "--json", "a.zip", "missing.zip"], id="no zip to compare"),
    ],
)
def test_reports_follow_the_schemas(
    name: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed with `--json` is valid by the published schema."""
    schema = json.loads((DOCS / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert main(["--output", "a.zip", "--exclude", "demo/"]) == 0
    assert main(["--output", "b.zip"]) == 0
    capsys.readouterr()

    main(command)

    Draft202012Validator.check_schema(schema)
    report = json.loads(capsys.readouterr().out)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(report)] == []


def test_exit_codes_are_listed() -> None:
    """The page about exit codes lists those of all errors."""
    branches = errors.LambdaBuildError.__subclasses__()
    ours = {str(branch.exit_code) for branch in branches if branch.__module__ == errors.__name__}

    page = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert set(first_cells(page)) == ours | {"0", "1", "130"}


def anchors(page: Path) -> set[str]:
    """List what links into a page may name: headings as GitHub spells them, and labels."""
    flags = re.MULTILINE | re.DOTALL
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=flags)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return {*slugs, *re.findall(r"^\((.+)\)=$", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Each link to another page, or to a heading, leads to one that exists."""
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        other = page.parent / path if path else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(link)

    assert broken == []
