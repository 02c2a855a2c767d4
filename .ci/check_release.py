"""Check that a tag may be released: it names the version, which the changelog tells of.

`make release TAG=v1.2.0` runs this first, and so does the workflow of releases.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r'^__version__ = "(?P<version>.+)"$', re.MULTILINE)


def problems(tag: str, root: Path = _ROOT) -> list[str]:
    """List what speaks against a release.

    Args:
        tag: Such as `v1.2.0`.
        root: Of the repository.
    """
    module = (root / "src/lambda_build_plugin/__init__.py").read_text(encoding="utf-8")
    found = _VERSION.search(module)
    version = found["version"] if found else "?"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    listed = []
    if tag != f"v{version}":
        listed.append(f"the tag is `{tag}`, but the version in src is {version}")
    if not re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$\n+### ", changelog, re.MULTILINE
    ):
        listed.append(
            f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD`, or nothing in it: "
            "rename `## Unreleased`"
        )
    return listed


def main() -> int:
    """Print what speaks against the release of a tag."""
    listed = problems(sys.argv[1])
    for problem in listed:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if listed else 0


if __name__ == "__main__":
    sys.exit(main())
