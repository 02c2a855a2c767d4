"""Renew the locks beside this file: resolve what `environments.toml` asks for anew.

Each lock is universal (for every Python that the project supports, or that its table names,
on every platform), holds a hash for each file, and names no index. Locks that build on others
are made after those; all the rest at the same time, as most of it is waiting for the index.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
_PYPROJECT = _ROOT / "pyproject.toml"
_OLDEST_PYTHON = "3.10"
_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One lock and what it is made of."""

    name: str
    """Of the file, without `.txt` and with its folder below `locks`."""

    requires: tuple[str, ...] = ()
    project: dict[str, list[str]] | None = None
    """Extras and groups of the project; None where it is left out."""

    constraints: tuple[str, ...] = ()
    resolution: str = "highest"
    python: str = _OLDEST_PYTHON
    """The oldest Python that it is for."""

    folder: Path = _HERE

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self.folder / f"{self.name}.txt"

    def command(self, uv: str) -> list[str]:
        """Spell the resolution; the requirements come by standard input."""
        project = self.project or {}
        return [
            *(uv, "pip", "compile", "--quiet", "--upgrade", "--universal"),
            *("--python-version", self.python, "--resolution", self.resolution),
            *("--generate-hashes", "--no-header", "--no-annotate"),
            *("--no-emit-index-url", "--no-emit-find-links"),
            *(f"--extra={extra}" for extra in project.get("extras", ())),
            *(f"--group={group}" for group in project.get("groups", ())),
            *(f"--constraint={_HERE / name}" for name in self.constraints),
            *(["-"] if self.requires else []),
            *([str(_PYPROJECT)] if self.project is not None else []),
            f"--output-file={self.path}",
        ]


def locks(tables: dict[str, Any]) -> Iterator[Lock]:
    """List all locks, those that others build on first."""
    hosts = tables.pop("hosts")
    for name, table in tables.items():
        yield Lock(
            name=name,
            requires=tuple(table.get("requires", ())),
            project=table.get("project"),
            constraints=tuple(table.get("constraints", ())),
            resolution=table.get("resolution", "highest"),
            python=table.get("python", _OLDEST_PYTHON),
            folder=_ROOT / table["folder"] if "folder" in table else _HERE,
        )
    for name, table in hosts.items():
        alone = Lock(name=f"hosts/{name}", requires=tuple(table["requires"]))
        plugin = table.get("plugin")
        if plugin != "only":
            yield alone
        if plugin:
            yield Lock(
                name=f"{alone.name}-with-plugin",
                requires=alone.requires,
                project={},
                # What is in the host already stays as it is when the plugin is added.
                constraints=() if plugin == "only" else (f"{alone.name}.txt",),
            )


def renewed(lock: Lock) -> str | None:
    """Renew one lock and give what is wrong, if it cannot be made."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    lock.path.parent.mkdir(exist_ok=True)
    ran = subprocess.run(
        lock.command(uv),
        input="\n".join(lock.requires),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{lock.name}: {ran.stderr.strip()}" if ran.returncode else None


def main() -> int:
    """Renew all locks, or those that are named."""
    parser = argparse.ArgumentParser(description="Renew the locks beside this file.")
    parser.add_argument("names", nargs="*", help="of locks, such as `uv` or `hosts/poetry`")
    names = set(parser.parse_args().names)
    tables = tomllib.loads((_HERE / "environments.toml").read_text(encoding="utf-8"))
    wanted = [lock for lock in locks(tables) if not names or lock.name in names]
    if unknown := names - {lock.name for lock in wanted}:
        parser.error(f"no lock is called {', '.join(sorted(unknown))}")
    failures = []
    while wanted:
        waiting = {f"{lock.name}.txt" for lock in wanted}
        ready = [lock for lock in wanted if not waiting.intersection(lock.constraints)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            failures += [failure for failure in pool.map(renewed, ready) if failure]
        wanted = [lock for lock in wanted if lock not in ready]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
