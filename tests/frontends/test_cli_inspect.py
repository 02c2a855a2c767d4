"""`lambda-build inspect`: the checks of a build for any zip, whoever made it."""

from __future__ import annotations

import datetime
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.artifacts import a_member, a_zip, metadata
from fakes.elf import an_elf
from fakes.projects import a_project, quiet_environment, run_lambda_build

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.frontends.cli import main
from lambda_build_plugin.runtime.target import RUNTIMES
from lambda_build_plugin.system.interpreters import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    Report = Callable[..., tuple[int, Any]]

HANDLER = "def handler(event, context): ...\n"
UNREADABLE = "Lambda cannot use this zip"


class ThatDay(datetime.datetime):
    """A clock that stands still on a day when the runtimes named here were supported."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        """Give the day."""
        return cls(2026, 11, 21, tzinfo=tz)


@pytest.fixture
def inspected(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Report:
    """Give the command: path and options → exit code and JSON report, as of that day."""
    monkeypatch.setattr(datetime, "datetime", ThatDay)

    def run(path: Path, *options: str) -> tuple[int, Any]:
        code = main(["inspect", str(path), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def failures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what fails and why."""
    return [(each["what"], each["why"]) for each in report["failures"]]


# --- what is told ---------------------------------------------------------------------


def test_own_artifact_passes(tmp_path: Path) -> None:
    """What a build wrote is inspected without a finding, as text."""
    project = a_project(tmp_path / "project")
    environ = quiet_environment(tmp_path / "home")
    built = run_lambda_build("--json", "--runtime", "python3.13", cwd=project, environ=environ)
    artifact = json.loads(built.output)["artifact"]

    run = run_lambda_build(
        "inspect", artifact, "--handler", "demo.app.handler", cwd=tmp_path, environ=environ
    )

    assert (run.code, run.errors) == (0, "")
    assert run.output.splitlines()[0] == f"Inspected {artifact}"
    assert run.output.splitlines()[-1] == "no problems found"


def test_report_of_a_function(tmp_path: Path, inspected: Report) -> None:
    """Sizes, digests and packages are told, and what was guessed."""
    files = {
        "demo.py": HANDLER,
        **metadata("demo-app", "1.0", "Requires-Python: <3.13"),
        "demo_app-1.0.dist-info/RECORD": "demo.py,,\ndemo_app-1.0.dist-info/METADATA,,\n",
    }
    path = a_zip(tmp_path / "a.zip", files)

    code, report = inspected(path)

    zipped = sum(info.compress_size for info in zipfile.ZipFile(path).infolist()[:2])
    assert code == 0
    assert report.pop("sha256")
    assert report.pop("code_sha256")
    assert report == {
        "schema": 1,
        "artifact": str(path),
        "layout": "function",
        "runtime": "python3.12",
        "runtime_reason": "guessed: the newest that all packages admit",
        "architecture": "x86_64",
        "architecture_reason": "guessed: it contains no machine code",
        "handler": None,
        "files": 3,
        "size": {
            "zipped": path.stat().st_size,
            "unzipped": sum(map(len, files.values())),
            "limit_zipped": 52_428_800,
            "limit_unzipped": 262_144_000,
        },
        "packages": [
            {
                "name": "demo-app",
                "version": "1.0",
                "files": 2,
                "unzipped": len(HANDLER) + len(files["demo_app-1.0.dist-info/METADATA"]),
                "zipped": zipped,
            }
        ],
        "failures": [],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("files", "runtime", "architecture", "layout"),
    [
        pytest.param(
            {"a.cpython-312-aarch64-linux-gnu.so": an_elf("aarch64")},
            "python3.12",
            "arm64",
            "function",
            id="extension module",
        ),
        pytest.param(
            {"python/lib/python3.11/site-packages/a.py": b""},
            "python3.11",
            "x86_64",
            "layer",
            id="folder of a layer",
        ),
        pytest.param({"python/a.py": b""}, "python3.14", "x86_64", "layer", id="layer"),
        pytest.param(
            {"python/a.py": b"", "app.py": b""}, "python3.14", "x86_64", "function", id="package"
        ),
    ],
)
def test_guesses(
    tmp_path: Path,
    inspected: Report,
    files: Mapping[str, bytes],
    runtime: str,
    architecture: str,
    layout: str,
) -> None:
    """What nobody says is guessed from what the zip holds."""
    code, report = inspected(a_zip(tmp_path / "a.zip", files))

    assert (code, report["runtime"], report["architecture"], report["layout"]) == (
        0,
        runtime,
        architecture,
        layout,
    )


def test_layers_tell_what_a_function_does_not(tmp_path: Path, inspected: Report) -> None:
    """What is compiled in a layer tells what the function runs on."""
    function = a_zip(tmp_path / "a.zip", {"app.py": ""})
    module = {"python/a.cpython-312-aarch64-linux-gnu.so": an_elf("aarch64")}
    layer = a_zip(tmp_path / "layer.zip", module)

    _, report = inspected(function, "--layer", str(layer))

    assert (report["runtime"], report["architecture"]) == ("python3.12", "arm64")


def test_options_win_over_guesses(tmp_path: Path, inspected: Report) -> None:
    """What is asked for is what the zip is held against."""
    path = a_zip(tmp_path / "a.zip", {"a.so": an_elf("aarch64")})

    code, report = inspected(path, "--arch", "x86_64", "--runtime", "python3.12")

    assert (code, failures(report)) == (
        8,
        [
            (
                "a file with machine code cannot load on python3.12 x86_64",
                "no distribution: `a.so` is made for 64-bit aarch64, not for x86_64",
            )
        ],
    )


def test_every_failure_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All checks run, whatever fails."""
    path = a_zip(
        tmp_path / "a.zip",
        {
            "app.py": HANDLER,
            "a.so": an_elf("aarch64"),
            **metadata("demo", "1.0", "Requires-Dist: six-like"),
            "__editable__.x.pth": "/home/me\n",
        },
    )

    code = main(["inspect", str(path), "--arch", "x86_64", "--handler", "app.main"])

    lines = capsys.readouterr().out.splitlines()
    assert (code, [line for line in lines if line.startswith("error: ")], lines[-1]) == (
        8,
        [
            "error: a requirement is not met by what ships",
            "error: a file with machine code cannot load on python3.14 x86_64",
            "error: the handler `app.main` is not defined",
            "error: the artifact contains an editable install instead of a package",
        ],
        "4 failures, 0 warnings",
    )


def test_warnings_fail_when_strict(tmp_path: Path, inspected: Report) -> None:
    """A warning leaves with 0, or with 8 where it is not wanted."""
    path = a_zip(tmp_path / "a.zip", {"logging.py": ""})

    assert [inspected(path)[0], inspected(path, "--strict")[0]] == [0, 8]


QUIET = [
    pytest.param({"app.py": HANDLER}, (), 0, "", id="good"),
    pytest.param({"logging.py": ""}, (), 0, "", id="warning"),
    pytest.param({"logging.py": ""}, ("--strict",), 8, "warning: ", id="strict"),
    pytest.param({"app.py": HANDLER}, ("--handler", "app.main"), 8, "error: ", id="failure"),
]


@pytest.mark.parametrize(("files", "options", "code", "start"), QUIET)
def test_quiet_prints_what_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: Mapping[str, str],
    options: Sequence[str],
    code: int,
    start: str,
) -> None:
    """With -q a script that checks many zips prints nothing about good ones."""
    path = a_zip(tmp_path / "a.zip", files)

    assert main(["inspect", str(path), "-q", "--runtime", "python3.13", *options]) == code

    output = capsys.readouterr()
    assert (output.out.partition(" ")[0].strip(), output.err) == (start.strip(), "")
    assert "Inspected" not in output.out
    assert "1 failure" not in output.out


def test_quiet_has_the_report_for_machines(tmp_path: Path, inspected: Report) -> None:
    """What `--json` prints is asked for, with -q too."""
    path = a_zip(tmp_path / "a.zip", {"logging.py": ""})

    assert inspected(path, "-q") == inspected(path)


def test_what_the_runtime_brings_is_a_warning(tmp_path: Path, inspected: Report) -> None:
    """A zip without boto3 runs, with some version of it."""
    path = a_zip(tmp_path / "a.zip", metadata("demo", "1.0", "Requires-Dist: boto3"))

    code, report = inspected(path)

    assert (code, len(report["warnings"])) == (0, 1)


def test_layers_take_part(tmp_path: Path, inspected: Report) -> None:
    """Layers bring requirements and the handler's module."""
    function = a_zip(tmp_path / "a.zip", {"x": "", **metadata("demo", "1.0", "Requires-Dist: own")})
    inside = {f"python/{name}": text for name, text in metadata("own").items()}
    layer = a_zip(tmp_path / "layer.zip", {"python/own.py": HANDLER, **inside})

    alone = inspected(function, "--handler", "own.handler")
    together = inspected(function, "--handler", "own.handler", "--layer", str(layer))

    assert (len(failures(alone[1])), together[0]) == (2, 0)


def test_layer_for_another_python(tmp_path: Path, inspected: Report) -> None:
    """The folder that a layer has for another Python brings nothing."""
    function = a_zip(tmp_path / "a.zip", {"x": "", **metadata("demo", "1.0", "Requires-Dist: own")})
    folder = "python/lib/python3.12/site-packages/"
    inside = {f"{folder}{name}": text for name, text in metadata("own").items()}
    layer = a_zip(tmp_path / "layer.zip", {f"{folder}own.py": HANDLER, **inside})
    options = ("--handler", "own.handler", "--layer", str(layer))

    fitting = inspected(function, *options, "--runtime", "python3.12")
    other = inspected(function, *options, "--runtime", "python3.13")

    assert (fitting[0], fitting[1]["warnings"]) == (0, [])
    assert (other[0], [what for what, _ in failures(other[1])], other[1]["warnings"]) == (
        8,
        [
            "a requirement is not met by what ships",
            "the handler `own.handler` is not in the artifact",
        ],
        [f"`{folder}` of a layer is for another Python: python3.13 imports nothing from it"],
    )


# --- zips that Lambda cannot use --------------------------------------------------------


@pytest.mark.parametrize(
    ("further", "why"),
    [
        pytest.param(
            [(a_member("b", compression=zipfile.ZIP_BZIP2), b"b")],
            "is compressed with bzip2: `b`",
            id="bzip2",
        ),
        pytest.param(
            [(a_member("b", compression=zipfile.ZIP_LZMA), b"b")],
            "is compressed with lzma: `b`",
            id="lzma",
        ),
        pytest.param(
            [(a_member("../b"), b"b"), (a_member("/c"), b"c")],
            "has a path that leaves the artifact or is not normalized: `../b`, `/c`",
            id="escape",
        ),
        pytest.param(
            [(a_member("a\\b"), b"b")],
            "has a path that leaves the artifact or is not normalized: `a\\b`",
            id="backslash",
        ),
        pytest.param(
            [(a_member("b", mode=0o100600), b"b")],
            "can only be read by its owner (mode 0600): `b`",
            id="owner alone",
        ),
        pytest.param(
            [(a_member("b", mode=0o010644), b"")], "is neither a file nor a folder: `b`", id="pipe"
        ),
        pytest.param(
            [(a_member("x"), b""), (a_member("x/y"), b"")],
            "is both a file and a folder: `x`",
            id="file and folder",
        ),
        pytest.param(
            [(a_member("b", mode=0o120777), b"/etc/passwd")],
            "is a symbolic link that leaves the artifact: `b`",
            id="link outside",
        ),
        pytest.param(
            [(a_member("b", mode=0o120777), b"gone")],
            "is a symbolic link to nothing: `b`",
            id="link to nothing",
        ),
    ],
)
def test_unusable_member(
    tmp_path: Path,
    inspected: Report,
    further: Sequence[tuple[zipfile.ZipInfo, bytes]],
    why: str,
) -> None:
    """A member that Lambda cannot unpack, or a function cannot read, is named."""
    code, report = inspected(a_zip(tmp_path / "a.zip", {"app.py": ""}, further=further))

    assert (code, failures(report)) == (8, [(UNREADABLE, why)])


def test_member_that_is_there_twice(tmp_path: Path, inspected: Report) -> None:
    """Which of the two would ship, nobody knows."""
    with pytest.warns(UserWarning, match="'b'"):
        path = a_zip(tmp_path / "a.zip", {"b": ""}, further=[(a_member("b"), b"b")])

    assert failures(inspected(path)[1]) == [(UNREADABLE, "is present more than once: `b`")]


@pytest.mark.parametrize(
    ("further", "warning"),
    [
        pytest.param(
            [(a_member("b", mode=0o120777), b"app.py")],
            "is a symbolic link, which not every deployment tool keeps: `b`",
            id="link",
        ),
        pytest.param(
            [(a_member("extensions/b"), b"")],
            "is in a folder for programs, but is not executable: `extensions/b`",
            id="extension that cannot start",
        ),
    ],
)
def test_doubtful_member(
    tmp_path: Path,
    inspected: Report,
    further: Sequence[tuple[zipfile.ZipInfo, bytes]],
    warning: str,
) -> None:
    """What works here and not there is a warning."""
    code, report = inspected(a_zip(tmp_path / "a.zip", {"app.py": ""}, further=further))

    assert (code, report["warnings"]) == (0, [warning])


def test_folders_pass(tmp_path: Path, inspected: Report) -> None:
    """Entries for folders are what most tools write."""
    further = [(a_member("pkg/", mode=0o040755), b""), (a_member("pkg/a.py"), b"")]

    code, report = inspected(a_zip(tmp_path / "a.zip", {"app.py": ""}, further=further))

    assert (code, report["files"], report["failures"]) == (0, 2, [])


def patched(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes of the directory of a zip: a place from its first entry."""
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + offset
    content[start : start + len(data)] = data
    path.write_bytes(content)
    return path


def test_member_without_mode(tmp_path: Path, inspected: Report) -> None:
    """A file with the mode 000 can be read by nobody."""
    path = patched(a_zip(tmp_path / "a.zip", {"b": ""}), 38, bytes(4))

    assert failures(inspected(path)[1]) == [
        (UNREADABLE, "can only be read by its owner (mode 0000): `b`")
    ]


def test_member_made_on_windows(tmp_path: Path, inspected: Report) -> None:
    """There are no modes on Windows; what Lambda makes of that is its own choice."""
    path = patched(a_zip(tmp_path / "a.zip", {"b": ""}), 38, bytes(4))
    patched(path, 5, b"\0")

    code, report = inspected(path)

    assert (code, report["warnings"]) == (
        0,
        ["has no permissions, so that Lambda chooses them: `b`"],
    )


def test_encrypted_member(tmp_path: Path, inspected: Report) -> None:
    """Nobody gives Lambda a password."""
    path = patched(a_zip(tmp_path / "a.zip", {"a.so": an_elf()}), 8, b"\x01\x00")

    assert failures(inspected(path)[1]) == [(UNREADABLE, "is encrypted: `a.so`")]


def test_member_without_a_name(tmp_path: Path, inspected: Report) -> None:
    """A name may begin with a NUL byte, where zipfile ends it."""
    path = patched(a_zip(tmp_path / "a.zip", {"b": ""}), 46, b"\0")

    code, report = inspected(path)

    assert (code, report["failures"][0]["what"]) == (8, UNREADABLE)


def test_oversize_that_is_only_said(tmp_path: Path, inspected: Report) -> None:
    """What a member says of its size counts, and what it does not hold is damage."""
    path = a_zip(tmp_path / "a.zip", {"a.bin": b"a"})
    patched(path, 24, struct.pack("<L", 262_144_000))

    damage, size = failures(inspected(path)[1])

    assert damage == (
        "the zip is damaged",
        "`a.bin` contains 1 bytes but declares 262,144,000\n`a.bin`: its local header has "
        "another size",
    )
    assert size[0] == (
        "the artifact is too large by 1 byte: Lambda requires less than 250.0 MB unzipped"
    )


def test_bomb_is_not_unpacked(tmp_path: Path, inspected: Report) -> None:
    """Machine code that is larger than it says is left after what it says."""
    path = a_zip(tmp_path / "a.zip", {"a.so": an_elf() + bytes(50_000_000)})
    patched(path, 24, struct.pack("<L", 1000))

    assert failures(inspected(path)[1]) == [
        (
            "the zip is damaged",
            "`a.so` contains more than the 1,000 bytes that it declares\n"
            "`a.so`: its local header has another size",
        )
    ]


def test_broken_member(tmp_path: Path, inspected: Report) -> None:
    """A member that cannot be inflated is named."""
    path = a_zip(tmp_path / "a.zip", {"a.so": an_elf() * 20})
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 20 + content[60:])

    ((what, why),) = failures(inspected(path)[1])

    assert (what, why.partition(":")[0]) == ("the zip is damaged", "`a.so`")


def test_broken_metadata(tmp_path: Path, inspected: Report) -> None:
    """Metadata that cannot be read is damage, not a crash."""
    path = a_zip(tmp_path / "a.zip", metadata("demo"))
    patched(path, 16, b"\0\0\0\0")

    ((what, why),) = failures(inspected(path)[1])

    assert what == "the zip is damaged"
    assert why.startswith("`demo-1.0.dist-info/METADATA` cannot be read: ")


def test_metadata_in_a_broken_rare_compression(tmp_path: Path, inspected: Report) -> None:
    """A decompressor that is not zlib has its own errors, which are damage as well."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, text in metadata("demo").items():
            archive.writestr(name, text * 20)
    content = bytearray(path.read_bytes())
    data = 30 + len("demo-1.0.dist-info/METADATA")
    content[data + 9 : data + 40] = b"\xff" * 31
    path.write_bytes(content)

    assert any(
        what == "the zip is damaged" and "`demo-1.0.dist-info/METADATA` cannot be read" in why
        for what, why in failures(inspected(path)[1])
    )


def test_empty_zip(tmp_path: Path, inspected: Report) -> None:
    """Lambda takes no empty zip."""
    code, report = inspected(a_zip(tmp_path / "a.zip", {}))

    assert (code, [what for what, _ in failures(report)]) == (8, ["the function would be empty"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no zip at all", id="text"),
        pytest.param(b"PK\x05\x06" + b"\xff" * 18, id="end alone"),
        pytest.param(b"PK\x03\x04" + b"\0" * 200, id="no directory"),
    ],
)
def test_no_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    """What is no zip is one error."""
    path = tmp_path / "a.zip"
    path.write_bytes(content)

    assert main(["inspect", str(path)]) == 8
    assert capsys.readouterr().err.startswith(f"error: {path} cannot be read as a zip\n")


def test_truncated_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a download ended, it is one error or a report, and never a traceback."""
    content = a_zip(tmp_path / "a.zip", {"a.so": an_elf(), **metadata("demo")}).read_bytes()
    path = tmp_path / "b.zip"
    codes = set()
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        codes.add(main(["inspect", str(path)]))
    capsys.readouterr()

    assert codes == {8}


def test_damaged_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever byte is wrong, it is a report or an error of ours."""
    content = a_zip(tmp_path / "a.zip", {"a.so": an_elf(), **metadata("demo")}).read_bytes()
    path = tmp_path / "b.zip"
    codes = set()
    for place in range(0, len(content), 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        codes.add(main(["inspect", str(path), "--handler", "a.b"]))
    capsys.readouterr()

    assert 8 in codes <= {0, 8}


# --- usage ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(("gone.zip",), "gone.zip: file not found", id="file"),
        pytest.param(("a.zip", "--layer", "gone.zip"), "gone.zip: file not found", id="layer"),
        pytest.param((".",), ".: is a folder: name a zip", id="folder"),
        pytest.param(("x" * 300,), f"{'x' * 300}: ", id="name too long"),
        pytest.param(("a.zip", "--arch", "mips"), "--arch: is `mips`", id="architecture"),
        pytest.param(("a.zip", "--runtime", "3.13"), "--runtime: is `3.13`", id="runtime"),
    ],
)
def test_usage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: Sequence[str],
    problem: str,
) -> None:
    """Wrong arguments are usage errors, and told together."""
    monkeypatch.chdir(tmp_path)
    a_zip(tmp_path / "a.zip", {"a.py": ""})

    assert main(["inspect", *options]) == 2
    assert problem in capsys.readouterr().err


# --- modules --------------------------------------------------------------------------


def a_distribution(name: str, files: Mapping[str, str], *lines: str) -> dict[str, str]:
    """Make the files of a distribution, with a RECORD."""
    found = {**files, **metadata(name, "1.0", *lines)}
    record = f"{name}-1.0.dist-info/RECORD"
    return {**found, record: "".join(f"{path},,\n" for path in (*found, record))}


def test_modules_of_another_tools_zip(tmp_path: Path, inspected: Report) -> None:
    """Files that belong to no distribution are the project's; others are not parsed."""
    files = {
        "app.py": f"import helper\n{HANDLER}",
        "helper.py": "import yaml\n",
        **a_distribution("other", {"other.py": "return", "more.py": "import gone"}),
    }
    path = a_zip(tmp_path / "a.zip", files)

    code, report = inspected(path, "--handler", "app.handler")
    assert code == 8
    assert failures(report) == [
        (
            "the handler cannot be imported: there is no module named `yaml`",
            "`helper.py`, line 1, imports `yaml`, but there is no `yaml` in the artifact",
        )
    ]
    code, report = inspected(path)
    assert (code, len(report["warnings"])) == (0, 1)


def test_modules_of_the_handlers_distribution(tmp_path: Path, inspected: Report) -> None:
    """The distribution that the handler is in is the project's, as in a zip of a build."""
    own = a_distribution("own", {"own/app.py": f"return\n{HANDLER}", "own/__init__.py": ""})
    path = a_zip(tmp_path / "a.zip", own)

    assert inspected(path, "--handler", "own.app.handler")[0] == 8
    assert inspected(path)[0] == 0


@pytest.mark.parametrize("layer", [{"python/yaml.py": ""}, {"python/other.py": ""}])
def test_modules_without_metadata(tmp_path: Path, inspected: Report, layer: dict[str, str]) -> None:
    """Where nothing has metadata, what lies next to the handler is the project's."""
    files = {"app/main.py": f"import yaml\n{HANDLER}", "vendored.py": "import gone"}
    path = a_zip(tmp_path / "a.zip", files)
    beside = a_zip(tmp_path / "layer.zip", layer)

    code, report = inspected(path, "--handler", "app.main.handler", "--layer", str(beside))

    assert code == (0 if "python/yaml.py" in layer else 8)
    assert "gone" not in str(report)


# --- structure ------------------------------------------------------------------------


def edited(path: Path, place: int, data: bytes) -> Path:
    """Overwrite bytes of a file; a negative place counts from its end."""
    content = bytearray(path.read_bytes())
    start = place if place >= 0 else len(content) + place
    content[start : start + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["b.py", "b.bin", "b.so"])
def test_wrong_crc(tmp_path: Path, inspected: Report, name: str, method: int) -> None:
    """Every member is held against its CRC, whatever it is."""
    further = [(a_member(name, compression=method), b"x = 1")]
    path = a_zip(tmp_path / "a.zip", {}, further=further)
    crc, right = b"\x01\x00\x00\x00", f"{zlib.crc32(b'x = 1'):08x}"
    patched(edited(path, 14, crc), 16, crc)

    code, report = inspected(path)

    assert (code, failures(report)) == (
        8,
        [
            (
                "the zip is damaged",
                f"`{name}`: its CRC is {right}, the directory says 00000001",
            )
        ],
    )


@pytest.mark.parametrize(
    ("place", "data", "why"),
    [
        (30, b"a", "`b`: its local header has another name"),
        (8, b"\x00", "`b`: its local header has another method of compression"),
        (14, b"\x01", "`b`: its local header has another CRC"),
        (18, b"\x63", "`b`: its local header has another size"),
        (22, b"\x63", "`b`: its local header has another size"),
        (0, b"X", "`b`: there is no local header where the directory says"),
    ],
)
def test_local_header_that_differs(
    tmp_path: Path, inspected: Report, place: int, data: bytes, why: str
) -> None:
    """Programs that read the headers in front of the data have to find the same."""
    path = edited(a_zip(tmp_path / "a.zip", {"b": "x = 1"}), place, data)

    code, report = inspected(path)

    assert (code, failures(report)) == (8, [("the zip is damaged", why)])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(lambda c: c + b"xyz", "3 bytes follow the end of the zip", id="behind"),
        pytest.param(
            lambda c: b"#!python\n" + c,
            "there are 9 bytes more than its records count",
            id="before",
        ),
        pytest.param(
            lambda c: c[:-14] + b"\x02\x00\x02\x00" + c[-10:],
            "the record at its end counts 2 members, and there is 1",
            id="count",
        ),
        pytest.param(
            lambda c: c[:-18] + b"\x01\x00" + c[-16:],
            "it is a part of a zip of several files",
            id="disks",
        ),
    ],
)
def test_end_that_differs(
    tmp_path: Path, inspected: Report, content: Callable[[bytes], bytes], why: str
) -> None:
    """The record at the end describes the whole file."""
    path = a_zip(tmp_path / "a.zip", {"b.py": "x = 1"})
    path.write_bytes(content(path.read_bytes()))

    code, report = inspected(path)

    assert (code, failures(report)) == (8, [("the zip is damaged", why)])


def test_comment_is_not_trailing(tmp_path: Path, inspected: Report) -> None:
    """A comment belongs to the zip, and so does a data descriptor."""
    path = tmp_path / "a.zip"
    with (tmp_path / "pipe").open("wb") as stream:
        pipe: Any = _Unseekable(stream)
        with zipfile.ZipFile(pipe, "w") as archive:
            archive.comment = b"made by hand"
            archive.writestr(a_member("a.py"), "x = 1")
    path.write_bytes((tmp_path / "pipe").read_bytes())

    assert failures(inspected(path)[1]) == []


class _Unseekable:
    """A stream that cannot seek, for which zipfile writes data descriptors."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.write = stream.write
        self.flush = stream.flush


def test_members_that_share_bytes(tmp_path: Path, inspected: Report) -> None:
    """Members that overlap unpack to more than the zip holds."""
    path = a_zip(tmp_path / "a.zip", {"a": "x" * 50, "b": "x" * 50})
    content = path.read_bytes()
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    edited(path, second + 42, bytes(4))

    code, report = inspected(path)

    assert code == 8
    assert "share bytes" in str(failures(report)) or "verlap" in str(failures(report))


@pytest.mark.parametrize("offset", [1 << 63, (1 << 64) - 1, 1 << 40, 10_000])
def test_offset_beyond_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset: int
) -> None:
    """A member that would lie beyond the end is a failure, not a traceback."""
    path = a_zip(tmp_path / "a.zip", {"app.py": HANDLER})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    entry, end = bytearray(content[start:-22]), bytearray(content[-22:])
    extra = struct.pack("<2HQ", 1, 8, offset)
    entry[42:46] = b"\xff" * 4
    entry[30:32] = struct.pack("<H", len(extra))
    end[12:16] = struct.pack("<L", len(entry) + len(extra))
    path.write_bytes(content[:start] + entry + extra + end)

    code = main(["inspect", str(path), "--handler", "app.handler", "-v"])

    output = capsys.readouterr()
    assert code == 8
    assert "Traceback" not in output.out + output.err


def test_damage_in_a_layer(tmp_path: Path, inspected: Report) -> None:
    """A layer is read like a function."""
    path = a_zip(tmp_path / "a.zip", {"app.py": ""})
    layer = edited(a_zip(tmp_path / "layer.zip", {"python/b.py": "x = 1"}), 14, b"\x01")

    assert failures(inspected(path, "--layer", str(layer))[1]) == [
        ("the zip is damaged", f"{layer}: `python/b.py`: its local header has another CRC")
    ]


def test_modules_for_several_pythons(tmp_path: Path, inspected: Report) -> None:
    """The runtime is the newest one that all extension modules serve, and nothing is wrong."""
    names = [
        *(f"pkg/_a.cpython-3{minor}-x86_64-linux-gnu.so" for minor in (9, 10, 11, 12, 13, 14)),
        *(f"pkg/_b.cpython-3{minor}-x86_64-linux-gnu.so" for minor in (10, 11, 12)),
        "pkg/_c.abi3.so",
    ]
    path = a_zip(tmp_path / "a.zip", {"pkg/__init__.py": "", **dict.fromkeys(names, an_elf())})

    code, report = inspected(path, "--strict")

    assert (code, report["runtime"]) == (0, "python3.12")
    assert report["runtime_reason"] == "guessed: the newest that everything is compiled for"


@pytest.mark.parametrize(
    ("files", "places"),
    [
        ({"requests/__init__.py": "", "idna.py": ""}, "`idna.py`, `requests/`"),
        ({"lib/python3.13/site-packages/a.py": "", "a/b.py": ""}, "`a/`, `lib/`"),
        ({"python/requests/__init__.py": "", "LICENSE": "", "tool.py": ""}, None),
        ({"python/lib/python3.13/site-packages/a.py": ""}, None),
        ({"bin/tool.py": "", "lib/libown.so": "", "extensions/x": ""}, None),
        ({"data.json": ""}, None),
    ],
)
def test_layer_without_modules(
    tmp_path: Path, inspected: Report, files: dict[str, str], places: str | None
) -> None:
    """A layer whose modules lie where nothing imports them is a warning."""
    function = a_zip(tmp_path / "a.zip", {"app.py": ""})
    layer = a_zip(tmp_path / "layer.zip", files)

    report = inspected(function, "--layer", str(layer), "--runtime", "python3.13")[1]

    found = [each for each in report["warnings"] if "can be imported" in each]
    assert found == (
        [
            f"nothing in the layer {layer} can be imported: functions look in `python/` and "
            "`python/lib/python3.13/site-packages/` of a layer, and its modules lie in "
            f"{places}"
        ]
        if places
        else []
    )


def test_root_of_a_layer_is_not_importable(tmp_path: Path, inspected: Report) -> None:
    """What lies at the root of a layer does not count."""
    function = a_zip(tmp_path / "a.zip", {"app.py": f"import tool\n{HANDLER}"})
    layer = a_zip(tmp_path / "layer.zip", {"tool.py": "", "python/other.py": ""})

    assert inspected(function, "--handler", "app.handler", "--layer", str(layer))[0] == 8


def test_target_s_own_python_judges_what_is_too_new(inspected: Report, tmp_path: Path) -> None:
    """Where the running Python is too old to tell, one of the runtime's version is asked."""
    runtime = RUNTIMES["python3.13"]
    try:
        find_interpreter(runtime.python, environ=os.environ, home=Path.home(), need="this test")
    except LambdaBuildError:
        pytest.skip("there is no Python 3.13 on this machine")
    code = "x = \n"  # no Python compiles this, but an older one cannot know that
    fine = "class A[T = int]: pass\n"
    results = [
        inspected(
            a_zip(tmp_path / f"{number}.zip", {"app.py": HANDLER + text}),
            *("--handler", "app.handler", "--runtime", runtime.name),
        )
        for number, text in enumerate((code, fine))
    ]

    (broken, first), (right, second) = results
    assert (broken, right) == (8, 0), results
    assert "`app.py`, line 2: " in failures(first)[0][1]
    assert [text for text in second["warnings"] if "cannot tell" in text] == []
