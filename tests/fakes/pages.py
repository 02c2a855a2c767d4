"""What a page of `--html` says, and zips that it has to stand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fakes.artifacts import a_zip, metadata

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HOSTILE", "a_hostile_zip", "a_large_zip", "as_shown", "sizes_by_group", "views_of"]

HOSTILE = (
    "</script><script>window.broken = 1</script>.py",
    "<img src=x onerror='window.broken = 1'>.py",
    "&lt;b&gt; ${window.broken = 1} \"quoted\" 'name'.py",
    "line\u2028and\u2029paragraph.py",
    "\u202egnp.py",
    "<!--.py",
)
"""Names of files that would do harm in markup, or in a script."""


def as_shown(name: str) -> str:
    """Spell a name as the page does."""
    return re.sub("[\u2028\u2029\u202e]", lambda found: f"\\u{ord(found[0]):04x}", name)


def a_hostile_zip(path: Path) -> Path:
    """Write a zip whose names, versions and licences try to be markup."""
    files: dict[str, str | bytes] = dict.fromkeys(HOSTILE, "x = 1\n")
    files |= metadata("evil", "1.0", "License: <script>window.broken = 1</script>")
    return a_zip(path, files)


def a_large_zip(path: Path, *, packages: int = 50, modules: int = 96) -> Path:
    """Write a zip of packages, of which each has a needle beside its modules."""
    files: dict[str, str | bytes] = {}
    for number in range(packages):
        name = f"package{number:02}"
        own = {
            f"{name}/part{module % 8}/module{module}.py": "x = 1\n" * (module + number + 1)
            for module in range(modules)
        }
        own[f"{name}/needle{number}.py"] = "found = True\n"
        own |= metadata(name, "1.0", *([f"Requires-Dist: package{number + 1:02}"] * (number < 3)))
        record = f"{name}-1.0.dist-info/RECORD"
        files |= own
        files[record] = "".join(f"{each},,\n" for each in (*own, record))
    files |= {f"own{number}.py": "" for number in range(50)}
    return a_zip(path, files)


def views_of(page: Path) -> list[dict[str, Any]]:
    """Read the data of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    (data,) = found
    views: list[dict[str, Any]] = json.loads(data)
    return views


def sizes_by_group(view: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Add up the sizes of the files in each group, such as a package; those in none are ""."""
    folders = view["tree"]["folders"]

    def group(number: int) -> str:
        while folders[number][1] > 0:
            number = folders[number][1]
        return str(folders[number][0])

    found: dict[str, tuple[int, ...]] = {}
    for _, folder, sizes in view["tree"]["files"]:
        name = group(folder)
        before = found.get(name, (0,) * len(sizes))
        found[name] = tuple(one + other for one, other in zip(before, sizes, strict=True))
    return found
