"""What there is to build, as text, as JSON, and as the matrix of a CI service."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from lambda_build_plugin.errors import printable
from lambda_build_plugin.report import SCHEMA, json_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.projects.plan import Planned

__all__ = ["Listing", "ListingReport"]


class InputsReport(TypedDict):
    """What can change an artifact, beside what its lock selects."""

    folders: list[str]
    files: list[str]


class ListedReport(TypedDict):
    """One artifact that a build would make."""

    project: str
    folder: str
    artifact: str | None
    layout: str
    runtime: str
    architecture: str
    output: str
    lock: str | None
    inputs: InputsReport
    size: int
    """Bytes of the locked files, by which shards are balanced."""

    shard: int | None
    """The number of the shard, beginning with 1; null without `--shards`."""


class ListingReport(TypedDict):
    """Schema 1 of `lambda-build list`. All paths are relative to the current folder."""

    schema: int
    artifacts: list[ListedReport]
    removed: list[str]
    """Folders of projects that `--changed-since` finds removed; empty without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of artifacts, to be written in one of its forms."""

    cwd: Path
    """The folder that paths are relative to."""

    artifacts: Sequence[Planned]
    shards: Mapping[Path, int]
    """The shard of each project by its folder; empty without shards."""

    removed: Sequence[Path] = ()

    def as_json(self) -> str:
        """Write everything for programs."""
        report = ListingReport(
            schema=SCHEMA,
            artifacts=[self._report(each) for each in self.artifacts],
            removed=[self._shown(folder) for folder in self.removed],
        )
        return json_text(report)

    def as_text(self) -> str:
        """Write one line an artifact, in columns: folder, project, artifact, target."""
        rows = [self._row(each) for each in self.artifacts]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "".join(f"{printable(line.rstrip())}\n" for line in lines)

    def as_matrix(self, engine: str) -> str:
        """Write one line of JSON, as a CI service takes it.

        Args:
            engine: `github` for `strategy.matrix`, `gitlab` for `parallel:matrix`.
        """
        entries = self._matrix()
        if engine == "github":
            return _line({"include": entries})
        return _line([{key.upper(): value for key, value in entry.items()} for entry in entries])

    @property
    def jobs(self) -> int:
        """The number of jobs of the matrix."""
        return len(self._matrix())

    def _matrix(self) -> list[dict[str, str]]:
        return list(self._of_shards() if self.shards else self._of_artifacts())

    def _of_artifacts(self) -> Iterator[dict[str, str]]:
        """Yield a job for each artifact."""
        for each in self.artifacts:
            report = self._report(each)
            yield {
                "project": report["project"],
                "folder": report["folder"],
                "artifact": report["artifact"] or "",
                "runtime": report["runtime"],
                "architecture": report["architecture"],
                "output": report["output"],
            }

    def _of_shards(self) -> Iterator[dict[str, str]]:
        """Yield a job for each shard that is not empty, with the folders quoted for a shell."""
        folders = dict.fromkeys(each.project.folder for each in self.artifacts)
        for shard in sorted(set(self.shards.values())):
            own = [self._shown(folder) for folder in folders if self.shards[folder] == shard]
            yield {"shard": str(shard), "folders": shlex.join(own)}

    def _report(self, planned: Planned) -> ListedReport:
        settings, inputs = planned.settings, planned.all_inputs
        target = settings.target
        return ListedReport(
            project=settings.project.name,
            folder=self._shown(planned.project.folder),
            artifact=settings.artifact,
            layout=settings.layout.value,
            runtime=target.runtime.name,
            architecture=target.architecture.value,
            output=self._shown(planned.output),
            lock=self._shown(planned.lock.path) if planned.lock else None,
            inputs=InputsReport(
                folders=[self._shown(folder.path) for folder in inputs.folders],
                files=[self._shown(file) for file in inputs.files if file.is_file()],
            ),
            size=planned.selected.size,
            shard=self.shards.get(planned.project.folder),
        )

    def _row(self, planned: Planned) -> tuple[str, ...]:
        settings = planned.settings
        shard = self.shards.get(planned.project.folder)
        return (
            self._shown(planned.project.folder),
            settings.project.name,
            settings.artifact or "-",
            f"{settings.layout.value} for {settings.target}",
            *([] if shard is None else [f"shard {shard}"]),
        )

    def _shown(self, path: Path) -> str:
        """Spell a path from the current folder: other machines have it elsewhere."""
        try:
            return os.path.relpath(path, self.cwd).replace(os.sep, "/")
        except ValueError:  # on another drive
            return path.as_posix()


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"
