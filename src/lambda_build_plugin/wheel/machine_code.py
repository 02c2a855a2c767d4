"""Facts about the machine code in a file, found while its bytes pass by and noted as text.

With a cache, a wheel is decompressed only once (`integrity`). What its ELF files need is
found out at that moment and noted, so that later builds can compare it with their target
without reading the files again. `inspect` finds the same facts in the members of any zip.
"""

from __future__ import annotations

import io
import json
import tempfile
from typing import TYPE_CHECKING, cast

from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.elf import HEAD, Elf, Kind, UnreadableElfError, identify, read_elf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO, BinaryIO

    from typing_extensions import Self

__all__ = ["Examiner", "MachineCode", "as_note", "examined", "examined_content", "from_note"]

_IN_MEMORY = 1 << 21
"""Up to so many bytes of an ELF file are kept in memory; a larger one goes to the disk."""


@dataclass(frozen=True, kw_only=True)
class MachineCode:
    """The machine code in one file."""

    kind: Kind
    elf: Elf | None = None
    """For an ELF file that can be read."""

    trouble: str = ""
    """Why an ELF file cannot be read; empty if it can."""


class Examiner:
    """Takes the bytes of one file in their order, and tells what machine code it is.

    It is a context manager, which releases the bytes that it has kept.
    """

    def __init__(self) -> None:
        self._head = b""
        self._kind: Kind | None = None
        self._decided = False
        self._kept: _Kept | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the bytes that were kept."""
        if self._kept is not None:
            self._kept.close()

    def hear(self, block: bytes) -> None:
        """Take the next bytes, and keep them if they belong to an ELF file."""
        if not self._decided:
            self._head += block
            if len(self._head) < HEAD:
                return
            block = self._decide()
        if self._kept is not None:
            self._kept.write(block)

    @property
    def is_bored(self) -> bool:
        """Whether the remaining bytes make no difference."""
        return self._decided and self._kept is None

    def _decide(self) -> bytes:
        """Decide by the beginning of the file, and return it to be kept."""
        self._decided = True
        head, self._head = self._head, b""
        identity = identify(head[:HEAD])
        self._kind = identity.kind if identity else None
        if self._kind is Kind.ELF:
            self._kept = _Kept()
        return head

    def found(self) -> MachineCode | None:
        """Tell what the file is after its last byte; None if it is not machine code."""
        if not self._decided:
            head = self._decide()
            if self._kept is not None:
                self._kept.write(head)
        if self._kept is not None:
            return examined(self._kept.stream())
        return MachineCode(kind=self._kind) if self._kind else None


class _Kept:
    """The bytes of one file: in memory, or in a temporary file if there are many.

    `tempfile.SpooledTemporaryFile` copies them several times before it makes the file.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def write(self, block: bytes) -> None:
        self._blocks.append(block)
        self._size += len(block)
        if self._size > _IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close
            for each in self._blocks:
                _write_all(self._file, each)
            self._blocks.clear()

    def stream(self) -> IO[bytes]:
        """Get all bytes as a file."""
        return io.BytesIO(b"".join(self._blocks)) if self._file is None else self._file

    def close(self) -> None:
        self._blocks.clear()
        if self._file is not None:
            self._file.close()


def _write_all(file: IO[bytes], block: bytes) -> None:
    """Write a block to the end: an unbuffered file may take a part only."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


def examined(stream: IO[bytes]) -> MachineCode:
    """Read an ELF file; the stream must be seekable."""
    try:
        return MachineCode(kind=Kind.ELF, elf=read_elf(cast("BinaryIO", stream)))
    except UnreadableElfError as error:
        return MachineCode(kind=Kind.ELF, trouble=str(error))


def examined_content(content: bytes) -> MachineCode | None:
    """Tell what machine code a whole file is; None if it is not machine code."""
    identity = identify(content[:HEAD])
    if identity is None:
        return None
    if identity.kind is Kind.ELF:
        return examined(io.BytesIO(content))
    return MachineCode(kind=identity.kind)


def as_note(found: Mapping[str, MachineCode]) -> str:
    """Write the facts about the members of a wheel, by their names, as text."""
    return json.dumps(
        {
            name: [code.kind.value, code.trouble, _row(code.elf)]
            for name, code in sorted(found.items())
        }
    )


def _row(elf: Elf | None) -> list[object] | None:
    if elf is None:
        return None
    return [elf.machine, elf.bits, elf.needed, elf.versions, elf.musl, elf.search]


def from_note(text: str) -> dict[str, MachineCode]:
    """Read the facts from such a text.

    Raises:
        ValueError: The text is something else.
    """
    try:
        return dict(_facts(json.loads(text)))
    except (AttributeError, TypeError) as error:
        raise ValueError("it is not what was noted") from error


def _facts(
    rows: Mapping[str, tuple[str, str, list[object] | None]],
) -> Iterator[tuple[str, MachineCode]]:
    for name, (kind, trouble, row) in rows.items():
        elf = None
        if row is not None:
            machine, bits, needed, versions, musl, search = row
            elf = Elf(
                machine=str(machine),
                bits=int(str(bits)),
                needed=_texts(needed),
                versions=_texts(versions),
                search=_texts(search),
                musl=musl is True,
            )
        yield name, MachineCode(kind=Kind(kind), elf=elf, trouble=trouble)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(map(str, value))
