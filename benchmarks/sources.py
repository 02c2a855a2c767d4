"""Compile packages that lack wheels for Lambda with zig, and write down what became of each.

In: the newest releases of `PACKAGES`, as the configured index has them. Out: the table in
docs/how-to/cross-compiling.md, with `--write`. A package that has wheels for all of the targets
below does not get into it. What is compiled for python3.11 on arm64 is also imported, by the
Python in `--python` (which tests/arm64/make_python.sh unpacks) under qemu. It needs the extra
`cross`, or a zig on PATH.

Results are kept in `.work/sources/results.json`, so that a run can be continued; a package that
is named on the command line is tried again. Like bench.py this is a report: a package that
cannot be compiled is a line of it, not a failure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from packaging.utils import canonicalize_name, parse_wheel_filename

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target

_HERE = Path(__file__).resolve().parent
_WORK = _HERE / ".work" / "sources"
_RESULTS = _WORK / "results.json"
_PAGE = _HERE.parent / "docs" / "how-to" / "cross-compiling.md"
_BEGIN, _END = "<!-- made by benchmarks/sources.py -->\n", "<!-- end -->\n"
_TIMEOUT = 900  # seconds
_USED = ("python3.11", "arm64")
"""What the Python that imports the modules is."""

_TARGETS = tuple(
    (runtime, architecture)
    for runtime in ("python3.13", "python3.14")
    for architecture in Architecture
)

PACKAGES = (
    *("annoy", "cbor", "chroma-hnswlib", "crcmod", "cx-oracle", "cyksuid", "datrie"),
    *("editdistance", "evdev", "fasttext", "gdal", "gssapi", "hnswlib", "jsonnet", "kerberos"),
    *("leveldb", "libsass", "m2crypto", "mysqlclient", "netifaces", "psycopg2"),
    *("py-ubjson", "pyaudio", "pycairo", "pycld2", "pycrypto", "pyfarmhash", "pyicu", "pyjq"),
    *("pylibmc", "pyminizip", "pyswisseph", "python-geohash", "python-ldap", "pytricia"),
    *("quickjs", "sasl", "systemd-python", "tgcrypto", "timelib", "uamqp", "uwsgi"),
    *("webrtcvad",),
)
"""Packages with C or C++ that much is downloaded, and that do not have wheels for everything."""


_CONSTRAINTS = {"cx-oracle": ["setuptools<81"], "uamqp": ["cmake<4"]}
"""What packages need besides, as the message of their failed builds says."""


def main() -> None:
    """Try the packages that have not been tried, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="packages to try again")
    parser.add_argument("--python", type=Path, help="an arm64 Python 3.11 in a folder of Debian's")
    parser.add_argument("--write", action="store_true", help="write the table into the page")
    options = parser.parse_args()
    results = json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.is_file() else {}
    for name in options.names or [each for each in PACKAGES if each not in results]:
        results[name] = _tried(name, options.python)
        _RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True), encoding="utf-8")
        print(name, json.dumps(results[name]), flush=True)
    if options.write:
        head, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
        tail = rest.partition(_END)[2]
        _PAGE.write_text(f"{head}{_BEGIN}\n{_table(results)}\n{_END}{tail}", encoding="utf-8")


def _tried(name: str, python: Path | None) -> dict[str, Any]:
    """Try a package: which wheels it lacks, whether it builds, and whether it is imported."""
    project = _WORK / name
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    package = _locked(name, project)
    if package is None:
        return {"error": "it could not be locked"}
    found: dict[str, Any] = {
        "day": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "version": package["version"],
        "lacking": _lacking([Path(each["url"]).name for each in package.get("wheels", ())]),
    }
    if "sdist" not in package or not found["lacking"]:
        return found
    architecture = found["lacking"][0].split()[1]
    begin = time.monotonic()
    found["target"] = f"python3.13 {architecture}"
    built = _built(name, project, "python3.13", architecture)
    found |= {"seconds": round(time.monotonic() - begin), **built}
    if "error" not in found and python is not None:
        used = _built(name, project, *_USED)
        found["imported"] = used.get("error") or _import_errors(name, project, python)
    return found


def _locked(name: str, project: Path) -> dict[str, Any] | None:
    """Lock a project that needs the package alone, and return the package's part of the lock."""
    text = (
        f'[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11,<3.15"\n'
        f'dependencies = ["{name}"]\n[tool.uv]\n'
        "environments = [\"sys_platform == 'linux' and implementation_name == 'cpython'\"]\n"
        f"build-constraint-dependencies = {_CONSTRAINTS.get(name, [])}\n"
    )
    # Some compute their metadata with programs that are not here, such as pg_config.
    given = f'[[tool.uv.dependency-metadata]]\nname = "{name}"\nrequires-dist = []\n'
    for more in ("", given):
        (project / "pyproject.toml").write_text(text + more, encoding="utf-8")
        command = [_program("uv"), "lock", "--quiet", "--project", str(project)]
        if not subprocess.run(command, capture_output=True, check=False).returncode:
            lock = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))
            packages: list[dict[str, Any]] = lock["package"]
            return next(each for each in packages if each["name"] == canonicalize_name(name))
    return None


def _lacking(filenames: list[str]) -> list[str]:
    """List the targets that load none of these wheels, arm64 first."""
    tags = [parse_wheel_filename(name)[3] for name in filenames]
    return [
        f"{runtime} {architecture.value}"
        for runtime, architecture in sorted(_TARGETS, key=lambda each: each[1].value)
        if not any(
            each.intersection(Target(runtime=RUNTIMES[runtime], architecture=architecture).tags)
            for each in tags
        )
    ]


def _built(name: str, project: Path, runtime: str, architecture: str) -> dict[str, str]:
    """Build the package for a target: what compiled it, or why that failed."""
    command = [
        *(_program("lambda-build"), str(project), "--json", "--contents", "dependencies"),
        *("--runtime", runtime, "--arch", architecture, "--no-binary", name),
        *("--cross-compile", "always", "--output", str(_zip(project, runtime))),
        *("--cache-dir", str(_WORK / "cache")),
    ]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"error": f"it is not built within {_TIMEOUT // 60} minutes"}
    (project / f"{runtime}.log").write_text(ran.stderr, encoding="utf-8")
    answer = json.loads(ran.stdout)
    if ran.returncode:
        return {"error": _cause(answer["error"])}
    (entry,) = [
        each for each in answer["packages"] if canonicalize_name(each["name"]) == name.lower()
    ]
    return {"built_by": entry.get("built_by", ""), "compiled_by": entry.get("compiled_by", "")}


def _cause(error: dict[str, str]) -> str:
    """Find the cause in the message of a failed build, after the wheels that do not fit."""
    lines = [line.strip() for line in error["why"].splitlines()]
    end = lines.index("…") if "…" in lines else len(lines)
    causes = [line for line in lines[:end] if line.startswith(("it ", "its build "))]
    others = [line for line in lines if re.match(r"(\w+Error|error): (?!command )", line)]
    return next(iter([*causes, *others, error["what"]]))


def _import_errors(name: str, project: Path, python: Path) -> str:
    """Import the extension modules of a package under qemu: what went wrong, or nothing."""
    folder = project / "unpacked"
    with zipfile.ZipFile(_zip(project, _USED[0])) as archive:
        archive.extractall(folder)
    spelled = re.sub(r"[-_.]+", "_", name)
    records = [
        path
        for path in folder.glob("*.dist-info/RECORD")
        if re.sub(r"[-_.]+", "_", path.parent.name.split("-")[0]).lower() == spelled
    ]
    paths = [line.split(",")[0] for path in records for line in path.read_text().splitlines()]
    modules = [path.partition(".")[0].replace("/", ".") for path in paths if path.endswith(".so")]
    if not modules:
        return "no extension module"
    sysroot = python.parents[2]
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    code += "".join(f"import {module}\n" for module in modules)
    ran = subprocess.run(
        ["qemu-aarch64-static", "-L", str(sysroot), str(python), "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    return ran.stderr.strip().rpartition("\n")[2]


def _zip(project: Path, runtime: str) -> Path:
    return project / f"{runtime}.zip"


def _program(name: str) -> str:
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which(name, path=beside)
    if program is None:
        sys.exit(f"there is no `{name}` beside {sys.executable}")
    return program


def _table(results: dict[str, dict[str, Any]]) -> str:
    """Write the table: first what is built, then what is not."""
    rows = {name: found for name, found in results.items() if "target" in found}
    lines = ["| package | no wheel for | compiled for python3.13 |", "|---|---|---|"]
    for name, found in sorted(rows.items(), key=lambda row: ("error" in row[1], row[0])):
        lines.append(f"| {name} {found['version']} | {_short(found)} | {_outcome(found)} |")
    built = sum("error" not in found for found in rows.values())
    days = sorted({found["day"] for found in rows.values()})
    head = f"Tried on {' and '.join(days)}: {built} of {len(rows)} packages are built."
    return "\n".join((head, "", *lines, ""))


def _short(found: dict[str, Any]) -> str:
    """Name the targets that lack a wheel in few words."""
    lacking = found["lacking"]
    if len(lacking) == len(_TARGETS):
        return "any target"
    return ", ".join(lacking)


def _outcome(found: dict[str, Any]) -> str:
    if "error" in found:
        # The same on all machines; and the page says once why a library cannot be found.
        cause = re.sub(r"(?<![\w.])/[^\s'`]+/", "…/", found["error"])
        cause = cause.replace(", and what this machine has installed is not the target's", "")
        return f"no: {cause}".replace("|", "\\|")
    by = found["built_by"].split(" ")[0]
    if not found["compiled_by"]:
        return f"needs no compiler ({by})"
    said = found.get("imported")
    used = {None: "", "": "; imported"}.get(said, f"; but for python3.11: {said}")
    return f"yes, with {by}{used}".replace("|", "\\|")


if __name__ == "__main__":
    main()
