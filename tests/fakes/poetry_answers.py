"""Ask a real Poetry what it would install. Runs in Poetry's environment, not in ours.

In comes a file that holds a JSON list of questions: the marker environment of a target,
the groups, the extras. Out goes, for each, a list of `name version`: what Poetry's own
installer would install there from the lock in the working directory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cleo.io.null_io import NullIO
from packaging.utils import canonicalize_name
from poetry.factory import Factory
from poetry.installation.executor import Executor
from poetry.installation.installer import Installer
from poetry.repositories.installed_repository import InstalledRepository
from poetry.utils.env.mock_env import MockEnv


class _Listing(Executor):  # type: ignore[misc] # Poetry is not there for mypy
    """Notes what it is told to install, and installs nothing."""

    def execute(self, operations: list[Any]) -> int:
        """Take the place of the installation."""
        self.listed = sorted(
            f"{operation.package.name} {operation.package.version}"
            for operation in operations
            if not operation.skipped
        )
        return 0


def answer(question: dict[str, Any]) -> list[str]:
    """Run the installer for one target."""
    markers = question["environment"]
    version = tuple(map(int, markers["python_full_version"].split(".")))
    env = MockEnv(
        version_info=(*version, "final", 0),
        platform=markers["sys_platform"],
        platform_machine=markers["platform_machine"],
        marker_env={**markers, "interpreter_name": "cp", "version_info": version},
    )
    poetry = Factory().create_poetry(Path.cwd())
    listing = _Listing(env, poetry.pool, poetry.config, NullIO())
    installer = Installer(
        NullIO(),
        env,
        poetry.package,
        poetry.locker,
        poetry.pool,
        poetry.config,
        installed=InstalledRepository(),
        executor=listing,
    )
    groups = poetry.package.dependency_group_names(include_optional=True)
    # Poetry 1 knows a group by its own spelling alone.
    installer.only_groups(
        [name for name in groups if canonicalize_name(name) in question["groups"]]
    )
    installer.extras(question["extras"])
    code = installer.run()
    if code != 0:
        raise SystemExit(code)
    return listing.listed


if __name__ == "__main__":
    questions = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    json.dump([answer(question) for question in questions], sys.stdout)
