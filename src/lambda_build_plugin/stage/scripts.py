"""The commands of the distributions → `bin/`, for Lambda's interpreter.

Staging leaves them out, since functions rarely call them. Here they are taken from the wheels: what
`console_scripts` declare (entry points specification), and the files in `.data/scripts` and
`.data/data/bin`. In a layer they are at the top of the zip: Lambda has `/opt/bin` on its PATH
(https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html).
"""

from __future__ import annotations

import io
import posixpath
from configparser import Error as FormatError
from dataclasses import replace
from typing import TYPE_CHECKING

from installer.utils import fix_shebang, parse_entrypoints

from lambda_build_plugin.stage.records import with_entries
from lambda_build_plugin.stage.tree import Dispute, Entry, check_folders
from lambda_build_plugin.system.hashes import digest_of
from lambda_build_plugin.wheel.file import members, opened
from lambda_build_plugin.wheel.members import member_of

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.runtime.target import Runtime
    from lambda_build_plugin.stage.tree import Distribution, StagedTree

__all__ = ["with_scripts"]

_FOLDER = "bin/"
_PYTHON = "#!python"  # also `#!pythonw`, which is replaced, too (wheel specification)
_BROKEN = (AssertionError, FormatError, UnicodeDecodeError, ValueError)
"""What installer raises if `entry_points.txt` is invalid."""

# Our own, because the text of installer's differs between its versions.
_TEMPLATE = """\
#!{interpreter}
import sys
from os.path import abspath, dirname, join

# Lambda looks for packages there; a process that a function starts does not.
sys.path.insert(0, abspath(join(dirname(abspath(__file__)), "{root}")))

from {module} import {name}

if __name__ == "__main__":
    sys.exit({call}())
"""


def with_scripts(tree: StagedTree, runtime: Runtime) -> StagedTree:
    """Add the scripts of all distributions, as executable files.

    If two have the same path, the one whose distribution sorts later wins, as elsewhere.

    Raises:
        StageError: A wheel cannot be read, or a script has the path of a folder.
    """
    interpreter = f"/var/lang/bin/{runtime.name}"
    entries = {entry.path: entry for entry in tree.entries}
    disputes = list(tree.disputes)
    for distribution in tree.distributions:
        try:
            scripts = dict(_scripts(distribution, tree.prefix, interpreter))
        except _UnreadableError as error:
            text = (
                f"{distribution.wheel.filename} ships no commands, because its entry_points.txt "
                f"cannot be read ({error})"
            )
            disputes.append(Dispute(text=text))
            continue
        for path, script in scripts.items():
            other = entries.get(path, script)
            winner = max(other, script, key=lambda entry: entry.owner)
            entries[path] = winner
            if other.digest != script.digest:
                text = (
                    f"`{path}` comes from {other.owner} and from {script.owner} with "
                    f"different content: the one from {winner.owner} ships"
                )
                disputes.append(Dispute(text=text, paths=(path,)))
    check_folders(entries)
    return with_entries(replace(tree, disputes=tuple(disputes)), entries.values())


class _UnreadableError(Exception):
    """`entry_points.txt` is not what the specification says."""


def _scripts(
    distribution: Distribution, prefix: str, interpreter: str
) -> Iterator[tuple[str, Entry]]:
    """Yield path and entry of each script; one that is declared wins over a file."""
    wheel = distribution.wheel
    with opened(wheel) as archive:
        found = members(archive)
        for name, info in found.items():
            if path := _place(name):
                yield path, _file(distribution, archive, info, path, interpreter)
        listed = found.get(f"{distribution.dist_info}/entry_points.txt")
        declared = b"" if listed is None else archive.read(listed)
    for path, script in _declared(declared, prefix, interpreter).items():
        content = script.encode()
        yield path, Entry(path, wheel.name, content, digest_of(content), len(content), True)  # noqa: FBT003


def _place(name: str) -> str:
    """Say where a member of a wheel belongs in `bin/`; empty where it does not."""
    head, _, rest = name.partition("/")
    if head.endswith(".data"):
        for kind in ("scripts/", "data/bin/"):
            if rest.startswith(kind) and "__pycache__" not in rest.split("/"):
                return _FOLDER + rest.removeprefix(kind)
    return ""


def _file(
    distribution: Distribution,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    path: str,
    interpreter: str,
) -> Entry:
    """Take a script as it is, except for a first line that asks for Python."""
    wheel, content = distribution.wheel, archive.read(info)
    if not content.startswith(_PYTHON.encode()):
        data = member_of(wheel.path, info)
        return Entry(path, wheel.name, data, digest_of(content), len(content), True)  # noqa: FBT003
    with fix_shebang(io.BytesIO(content), interpreter) as stream:
        content = stream.read()
    return Entry(path, wheel.name, content, digest_of(content), len(content), True)  # noqa: FBT003


def _declared(text: bytes, prefix: str, interpreter: str) -> Mapping[str, str]:
    """Write the script of each entry point; those for desktops are of no use here."""
    scripts = {}
    try:
        for name, module, attribute, section in parse_entrypoints(text.decode("utf-8")):
            if section != "console":
                continue
            path = _FOLDER + name
            scripts[path] = _TEMPLATE.format(
                interpreter=interpreter,
                root=posixpath.relpath(prefix or ".", posixpath.dirname(path)),
                module=module,
                name=attribute.partition(".")[0],
                call=attribute,
            )
    except _BROKEN as error:
        raise _UnreadableError(str(error).partition("\n")[0] or type(error).__name__) from error
    return scripts
