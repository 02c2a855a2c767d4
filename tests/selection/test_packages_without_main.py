"""Asking for groups without the main dependencies, in a lock with edges."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.lock.model import Edge, Lock, LockedPackage, Roots
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.packages import reached

_DEV, _FAST = canonicalize_name("dev"), canonicalize_name("fast")


def a_graph() -> Lock:
    """Make a lock whose main dependencies, group and extra need one package each."""
    names = [canonicalize_name(name) for name in ("in-main", "in-dev", "in-fast")]
    packages = tuple(
        LockedPackage(name=name, version=Version("1.0"), at="package") for name in names
    )
    main, dev, fast = ((Edge(name=name, candidates=(i,)),) for i, name in enumerate(names))
    return Lock(
        path=Path("uv.lock"),
        kind="uv.lock",
        remedy="uv lock",
        packages=packages,
        extras=frozenset({_FAST}),
        groups=frozenset({_DEV}),
        roots=Roots(main=main, groups={_DEV: dev}, extras={_FAST: fast}),
    )


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        pytest.param(True, ["in-dev 1.0", "in-fast 1.0", "in-main 1.0"], id="beside-main"),
        pytest.param(False, ["in-dev 1.0", "in-fast 1.0"], id="without-main"),
    ],
)
def test_main_dependencies_can_be_left_out(main: bool, expected: list[str]) -> None:  # noqa: FBT001 - a row
    """Without `main` only what the named groups and extras need ships."""
    target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)

    found = reached(
        a_graph(), target, extras=frozenset({_FAST}), groups=frozenset({_DEV}), main=main
    )

    assert [str(package) for package in found.packages] == expected
