"""Check sizes and the number of files against Lambda's limits.

Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
where MB means 1024 x 1024 bytes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.runtime.limits import MOST_ENTRIES, UNZIPPED_LIMIT, ZIPPED_LIMIT, size_text
from lambda_build_plugin.verify.findings import MOST_LISTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = [
    "EmptyArtifactError",
    "OversizeError",
    "OversizeWheelsError",
    "Saving",
    "TooManyEntriesError",
    "check_tree",
    "check_wheels",
    "doubtful_size",
    "is_large",
    "large_zip",
]

_DOUBTFUL = 0.95
_FEW = 1 << 10  # bytes


class Saving(NamedTuple):
    """A setting that leaves something out."""

    setting: str
    """As it is written in `pyproject.toml`."""

    size: int
    """Bytes, not compressed."""

    condition: str = ""
    """When it can be used, such as `if the function calls only S3`; empty if nothing is known
    that would speak against it."""


class OversizeError(VerificationError):
    """The artifact is larger than Lambda unpacks."""

    def __init__(
        self,
        size: int,
        biggest: Sequence[tuple[str, int]],
        beside: Mapping[str, int] | None = None,
        *,
        folders: Sequence[tuple[str, int]] = (),
        savings: Sequence[Saving] = (),
    ) -> None:
        """Describe what is too large.

        Args:
            size: Unzipped bytes of the artifact.
            biggest: The largest distributions, with their unzipped bytes.
            beside: Unzipped bytes of other artifacts that a function has, by their labels.
            folders: The largest folders of packages, with their unzipped bytes.
            savings: Settings that would make it smaller.
        """
        self.size, self.biggest, self.beside = size, tuple(biggest), dict(beside or {})
        over = size + sum(self.beside.values()) - UNZIPPED_LIMIT + 1
        together = " together with the other artifacts" * bool(self.beside)
        super().__init__(
            f"the artifact is too large by {_amount(over)}: Lambda requires less than "
            f"{size_text(UNZIPPED_LIMIT)} unzipped{together}",
            why=(
                f"it has {size_text(size)} ({size:,} bytes) unzipped",
                *(
                    f"{label}, which is used with it, has {size_text(other)}"
                    for label, other in self.beside.items()
                ),
                *_sizes_of("distributions", biggest),
                *_sizes_of("folders of packages", folders),
            ),
            hint=_remedies(over, savings),
        )


def _amount(size: int) -> str:
    """Write a number of bytes; small numbers are exact."""
    if size >= _FEW:
        return size_text(size)
    return f"{size} byte{'' if size == 1 else 's'}"


def _sizes_of(what: str, sizes: Sequence[tuple[str, int]]) -> Iterator[str]:
    if sizes:
        yield f"the largest {what} are:"
        yield from (f"- {name}: {size_text(size)}" for name, size in sizes)


def _remedies(over: int, savings: Sequence[Saving]) -> str:
    """Say what would bring an artifact under the limit, which includes layers."""
    further = (
        "leave out what the function does not need (`exclude`), or deploy a container image; "
        "layers do not help, because they count, too"
    )
    if not savings:
        return further
    listed = ", ".join(
        f"`{each.setting}` saves {size_text(each.size)}"
        + f" {each.condition}" * bool(each.condition)
        for each in savings
    )
    saved = sum(saving.size for saving in savings)
    if saved >= over:
        return f"{listed}: that is enough" + (" together" if len(savings) > 1 else "")
    return f"{listed}, which is not enough: {further}"


class OversizeWheelsError(VerificationError):
    """The wheels alone, compressed, are larger than what Lambda unpacks."""

    def __init__(self, size: int, biggest: Sequence[tuple[str, int]]) -> None:
        self.size, self.biggest = size, tuple(biggest)
        super().__init__(
            f"the artifact would be too large: its wheels have {size_text(size)} before they are "
            f"unzipped, and Lambda requires less than {size_text(UNZIPPED_LIMIT)} afterwards",
            why="\n".join(
                (
                    "the largest are:",
                    *(f"- {name}: {size_text(bytes_)}" for name, bytes_ in biggest),
                )
            ),
            hint="leave out what the function does not need, or deploy a container image",
        )


class TooManyEntriesError(VerificationError):
    """The artifact has more files than a zip without zip64 can count."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the artifact has {count:,} files",
            why="without zip64, which Lambda does not reliably read, a zip has at most "
            f"{MOST_ENTRIES:,}",
            hint="leave out what the function does not need, or split it into layers",
        )


class EmptyArtifactError(VerificationError):
    """The artifact would be empty, which Lambda does not accept."""

    def __init__(self, *, layer: bool) -> None:
        super().__init__(
            f"the {'layer' if layer else 'function'} would be empty",
            why="it contains no files",
            hint="add dependencies to the project, name extras or groups, or check `contents` and "
            "`exclude`",
        )


def check_tree(
    tree: StagedTree, *, layer: bool, beside: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Check a tree against Lambda's limits, and return warnings.

    Args:
        tree: What will be written.
        layer: Whether the artifact is a layer.
        beside: Unzipped bytes of other artifacts that a function has, by their labels.

    Raises:
        VerificationError: It breaks one.
    """
    if not tree.entries:
        raise EmptyArtifactError(layer=layer)
    if len(tree.entries) > MOST_ENTRIES:
        raise TooManyEntriesError(len(tree.entries))
    size = tree.size + sum((beside or {}).values())
    if size >= UNZIPPED_LIMIT:
        # Not loaded for an artifact that fits.
        from lambda_build_plugin.verify.folders import heavy_folders
        from lambda_build_plugin.verify.savings import possible_savings

        raise OversizeError(
            tree.size,
            biggest(tree)[:MOST_LISTED],
            beside,
            folders=heavy_folders(tree, MOST_LISTED),
            savings=possible_savings(tree),
        )
    return doubtful_size(size, together=bool(beside))


def check_wheels(sizes: Mapping[str, int]) -> None:
    """Refuse wheels that need not be fetched to know that they are too large.

    Args:
        sizes: Bytes of each wheel according to the lock, by the name to show.

    Raises:
        OversizeWheelsError: Together they are larger than the limit for unzipped files.
    """
    size = sum(sizes.values())
    if size >= UNZIPPED_LIMIT:
        ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        raise OversizeWheelsError(size, ordered[:MOST_LISTED])


def is_large(*, unzipped: int, zipped: int) -> bool:
    """Tell whether a zip takes more than half of what Lambda allows, in bytes."""
    return unzipped * 2 > UNZIPPED_LIMIT or zipped * 2 > ZIPPED_LIMIT


def doubtful_size(unzipped: int, *, together: bool = False) -> tuple[str, ...]:
    """Warn about a size in bytes that is close to the limit: layers count, too."""
    if unzipped > UNZIPPED_LIMIT * _DOUBTFUL:
        others = " together with the other artifacts" if together else ""
        return (f"unzipped size{others} is {unzipped / UNZIPPED_LIMIT:.1%} of Lambda's limit",)
    return ()


def large_zip(zipped: int) -> tuple[str, ...]:
    """Warn about a zip, in bytes, that is too large for a direct upload."""
    if zipped >= ZIPPED_LIMIT:
        return (
            f"the zip has {zipped:,} bytes; a zip of {ZIPPED_LIMIT:,} bytes or more must be "
            "uploaded through S3",
        )
    return ()


def biggest(tree: StagedTree) -> list[tuple[str, int]]:
    """List the distributions by unzipped size in bytes, the biggest first."""
    sizes: Counter[str] = Counter()
    for entry in tree.entries:
        sizes[entry.owner] += entry.size
    return sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
