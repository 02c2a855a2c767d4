"""Where the dynamic linker of the runtime looks for shared libraries, and what it finds there.

It looks in the folders of LD_LIBRARY_PATH, which are the same in all runtimes, and in those
that the file itself, or a file that loads it, names in DT_RUNPATH or DT_RPATH (`man ld.so`).
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from typing import TYPE_CHECKING

from lambda_build_plugin.runtime.libraries import PRESENT_LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from lambda_build_plugin.verify.view import ArtifactView
    from lambda_build_plugin.wheel.elf import Elf

__all__ = ["LibraryFinder"]

_FUNCTION, _LAYERS = "/var/task", "/opt"
"""Where Lambda unpacks functions and layers."""

_LIBRARY_PATH = (_FUNCTION, f"{_FUNCTION}/lib", f"{_LAYERS}/lib")
"""The folders of LD_LIBRARY_PATH that users can put files in.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""


class LibraryFinder:
    """Finds libraries as the dynamic linker does, as far as that follows from names and folders."""

    def __init__(
        self, artifact: ArtifactView, beside: Sequence[ArtifactView], files: Mapping[str, Elf]
    ) -> None:
        """Look at what the files say.

        Args:
            artifact: What is checked.
            beside: The layers that are used with it.
            files: The ELF files of the artifact that can be loaded, by their paths.
        """
        self._mount = _mount(artifact)
        self._paths = [(f"{_mount(each)}/", each.sizes) for each in (artifact, *beside)]
        self._folders = self._searched_folders(files)

    def missing(self, path: str, elf: Elf) -> Iterator[tuple[str, str]]:
        """Yield the libraries that a file needs and the linker does not find.

        Each comes with a folder of the artifact that contains a file of that name, if there is one.
        """
        for name in elf.needed:
            if name in PRESENT_LIBRARIES or self._is_found(name, self._folders[path]):
                continue
            elsewhere = min(self._folders_with(name), default=None)
            yield (
                name,
                "" if elsewhere is None else elsewhere.removeprefix(self._mount).strip("/") + "/",
            )

    def _is_found(self, name: str, folders: AbstractSet[str]) -> bool:
        return any(self._exists(f"{folder}/{name}") for folder in (*_LIBRARY_PATH, *folders))

    def _exists(self, file: str) -> bool:
        return any(
            file.startswith(mount) and file[len(mount) :] in paths for mount, paths in self._paths
        )

    def _folders_with(self, name: str) -> Iterator[str]:
        for mount, paths in self._paths:
            for path in paths:
                folder, _, file = f"{mount}{path}".rpartition("/")
                if file == name:
                    yield folder

    def _searched_folders(self, files: Mapping[str, Elf]) -> dict[str, frozenset[str]]:
        """Collect the folders in which the libraries of each file are looked for.

        Those of the files that load it count as well: DT_RPATH is inherited, and a library
        that one of them has already loaded is not looked for again.
        """
        own = {path: frozenset(self._expanded(path, elf)) for path, elf in files.items()}
        needers: defaultdict[str, list[str]] = defaultdict(list)
        for path, elf in files.items():
            for name in elf.needed:
                needers[name].append(path)
        found: dict[str, frozenset[str]] = {}
        for path in files:
            seen, todo = {path}, [path]
            while todo:
                for needer in needers[posixpath.basename(todo.pop())]:
                    if needer not in seen:
                        seen.add(needer)
                        todo.append(needer)
            found[path] = frozenset().union(*(own[each] for each in seen))
        return found

    def _expanded(self, path: str, elf: Elf) -> Iterator[str]:
        origin = posixpath.dirname(f"{self._mount}/{path}")
        for folder in elf.search:
            expanded = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
            if expanded.startswith("/"):
                yield posixpath.normpath(expanded)


def _mount(artifact: ArtifactView) -> str:
    return _FUNCTION if "" in artifact.roots else _LAYERS
