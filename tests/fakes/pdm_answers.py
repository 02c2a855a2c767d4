"""Ask a real PDM what it would install. Runs in PDM's environment, not in ours.

In comes a file that holds a JSON list of questions: the Python and the platform of a
target, in PDM's words, and groups. Out goes, for each, a list of `name version`: what PDM
would install there from the lock in the working directory, or null where it refuses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pdm.cli.actions import resolve_from_lockfile
from pdm.core import Core
from pdm.environments import BareEnvironment
from pdm.exceptions import PdmException
from pdm.models.markers import EnvSpec


def answer(question: dict[str, Any]) -> list[str] | None:
    """Resolve within the lock for one target."""
    project = Core().create_project(Path.cwd())
    project.environment = BareEnvironment(project)
    project.enable_write_lockfile = False  # else PDM looks for the digests on the index
    spec = EnvSpec.from_spec(question["python"], question["platform"], "cpython")
    groups = question["groups"]
    dependencies = project._resolve_dependencies(list(groups))  # noqa: SLF001 - as PDM's commands do
    asked = [each for group in groups for each in project.get_dependencies(group, dependencies)]
    try:
        packages = list(resolve_from_lockfile(project, asked, groups=groups, env_spec=spec))
    except PdmException as error:
        if "No compatible lock target" not in str(error):
            raise
        return None
    return sorted(
        f"{package.candidate.name} {package.candidate.version}"
        for package in packages
        if not package.candidate.req.extras  # these repeat the package itself
    )


if __name__ == "__main__":
    questions = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = [answer(question) for question in questions]
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")  # PDM prints, too
