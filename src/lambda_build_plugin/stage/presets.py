"""What tests, stubs and documentation look like: the sets of files that a preset leaves out."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Preset
from lambda_build_plugin.stage.contents import contents

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["READER_OF_STUBS", "Rule", "preset_rules"]

READER_OF_STUBS = "lazy-loader"
"""The distribution that reads `__init__.pyi` at run time, so that presets keep these files."""

_TEST_FOLDERS = frozenset({"test", "tests"})

_FOR_TESTS = _TEST_FOLDERS | {"_test", "_tests", "selftest"}
"""What modules in such folders import, in any case of letters, is for tests alone."""

_DOC_FOLDERS = frozenset({"doc", "docs", "examples"})

_TEST_MODULE = re.compile(r"test_.*\.py|.*_test\.py|conftest\.py")

_TEST_HELPER = re.compile(r"test_(util|helper|case|support).*\.py")
"""Modules that have names like tests but are imported by others."""

_IN_EVERY_TEST_NAME = (b"test_", b"_test")
"""One of these is in each name that `_TEST_MODULE` matches, except `conftest`."""

_MODULES = (".py", ".so")

_DOC = re.compile(
    r"(readme|changes?|changelog|history|news|release(_?notes)?|authors?|contributors|contributing"
    r"|credits|thanks|todo|install(ation|ing)?|upgrading|migrat(ion|ing)|security|code_of_conduct)"
    r"([-_.].*)?\.(md|rst)",
    re.IGNORECASE,
)
"""Names of documents for people. Others are data: scikit-learn reads `iris.rst`."""

_PACKAGE_FILE = re.compile(r"__init__\.(py|pyc|.*\.so)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One reason to leave files out, or to keep them."""

    kind: str
    text: str
    leaves_out: bool
    matches: Callable[[str], bool]
    names_metadata: bool = False


def preset_rules(
    presets: Sequence[Preset], tree: StagedTree, paths: Sequence[str], names: Collection[str]
) -> Iterator[Rule]:
    """Find the files that each preset leaves out of a tree.

    Args:
        presets: Those of the user.
        tree: What ships without them.
        paths: The path of each of its entries below the import root.
        names: The distributions that ship, also those that are not in the tree.
    """
    for preset in presets:
        if preset is Preset.TESTS:
            matches = _tests(tree, paths)
        elif preset is Preset.STUBS:
            matches = _stubs(names)
        else:
            matches = _docs(paths)
        yield Rule(kind="preset", text=preset.value, leaves_out=True, matches=matches)


def _tests(tree: StagedTree, paths: Sequence[str]) -> Callable[[str], bool]:
    """Match tests below the top level: modules by their name, and the data of suites.

    A suite is a folder `test` or `tests` that directly contains test modules: `django/test`, which
    contains none, is a part of Django that applications import. Everything in a suite is left out
    except modules that are not tests: `numpy.testing` imports one of `numpy/_core/tests`. Outside
    of suites a name may be misleading: `scipy.stats` imports its `_bws_test`, which is a
    statistical test. So modules that others name stay there. The top level is left alone, because
    it contains the names by which a distribution is imported.
    """
    suites = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        above, _, last = folder.rpartition("/")
        if above and last in _TEST_FOLDERS and _is_test(name):
            suites.add(folder)

    @cache  # most folders have many files
    def in_suite(folder: str) -> bool:
        return any(each in suites for each in _and_above(folder))

    doubtful = {
        path
        for path in paths
        if (parts := path.rpartition("/"))[0] and _is_test(parts[2]) and not in_suite(parts[0])
    }
    used = _used(tree, paths, doubtful)

    def matches(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if not folder:
            return False
        if name.endswith(_MODULES):
            return _is_test(name) and path not in used
        return in_suite(folder)

    return matches


def _used(tree: StagedTree, paths: Sequence[str], doubtful: AbstractSet[str]) -> AbstractSet[str]:
    """Find the doubtful modules that other modules of their distribution name.

    Only modules that stay, and are not in folders of tests, are searched for these names. A word
    counts wherever it is, since names of modules to import also occur in strings. pytest alone
    loads a `conftest.py`.
    """
    by_path = dict(zip(paths, tree.entries, strict=True))
    waiting: defaultdict[str, set[str]] = defaultdict(set)
    for path in doubtful:
        if _stem(path) != "conftest":
            waiting[by_path[path].owner].add(path)
    speakers = [
        path
        for path, entry in by_path.items()
        if entry.owner in waiting and _speaks_for_itself(path)
    ]
    used: set[str] = set()
    while speakers:
        found: set[str] = set()
        entries = [by_path[path] for path in speakers]
        for entry, text in zip(entries, contents(entries), strict=True):
            if not any(map(text.__contains__, _IN_EVERY_TEST_NAME)):
                continue
            found |= {path for path in waiting[entry.owner] if _speaks_of(_stem(path), text)}
            waiting[entry.owner] -= found
        used |= found
        speakers = sorted(found)
    return used


def _speaks_for_itself(path: str) -> bool:
    """Check whether a file is a module that is neither a test nor among tests."""
    *folders, name = path.split("/")
    return (
        name.endswith(".py")
        and not _is_test(name)
        and _FOR_TESTS.isdisjoint(folder.lower() for folder in folders)
    )


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".py")


def _speaks_of(name: str, text: bytes) -> bool:
    """Check whether a word occurs in a source; most do not even contain its letters."""
    word = name.encode()
    return word in text and bool(re.search(rb"\b%b\b" % re.escape(word), text))


def _is_test(name: str) -> bool:
    return bool(_TEST_MODULE.fullmatch(name)) and not _TEST_HELPER.fullmatch(name)


def _and_above(folder: str) -> Iterator[str]:
    """Yield a folder and its parents."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _stubs(names: Collection[str]) -> Callable[[str], bool]:
    """Match type stubs (PEP 561): `*.pyi`, and whole packages named `*-stubs`.

    `py.typed` stays: it is empty. If lazy-loader ships, `__init__.pyi` files stay: its
    `attach_stub` reads them at run time to find out what a package contains.
    """
    read_later = READER_OF_STUBS in names

    def matches(path: str) -> bool:
        name = path.rpartition("/")[2]
        if path.partition("/")[0].endswith("-stubs"):
            return True
        return name.endswith(".pyi") and not (read_later and name == "__init__.pyi")

    return matches


def _docs(paths: Sequence[str]) -> Callable[[str], bool]:
    """Match documents that no program reads.

    These are the folders `doc`, `docs` and `examples` below the top level without a package in them
    (`botocore/docs` is one), and readmes, changelogs and the like (`*.md`, `*.rst`) at the root or
    directly in a package. Licences stay, and so do documents in folders of data: they may be
    templates.
    """
    packages = {
        folder
        for folder, _, name in (path.rpartition("/") for path in paths)
        if _PACKAGE_FILE.fullmatch(name)
    }
    around_packages = {above for folder in packages for above in _and_above(folder)}

    @cache  # most folders have many files
    def in_documentation(folder: str) -> bool:
        return any(
            "/" in each and each.rpartition("/")[2] in _DOC_FOLDERS and each not in around_packages
            for each in _and_above(folder)
        )

    def matches(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if _DOC.fullmatch(name) and (not folder or folder in packages):
            return True
        return in_documentation(folder)

    return matches
