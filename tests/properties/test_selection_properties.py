"""Laws of the selection, whatever a lock offers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from lambda_build_plugin.lock.model import LockedFile, LockedPackage
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.wheel_choice import best_wheel
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

# Targets are made once: their tags are cached in them.
TARGETS = [
    Target(runtime=runtime, architecture=architecture)
    for runtime, architecture in product(RUNTIMES.values(), Architecture)
]

PYTHONS = st.sampled_from(
    ["cp39-abi3", "cp311-cp311", "cp312-abi3", "cp313-cp313", "cp313-cp313t", "py3-none"]
)
PLATFORMS = st.sampled_from(
    [
        "any",
        "linux_x86_64",
        "macosx_11_0_arm64",
        "manylinux1_x86_64",
        "manylinux2014_aarch64",
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "manylinux_2_26_aarch64",
        "manylinux_2_28_x86_64",
        "manylinux_2_35_x86_64",
        "musllinux_1_2_x86_64",
        "win_amd64",
    ]
)
VERSIONS = st.sampled_from(["1.0", "1.0+cpu", "2.0"])
BUILDS = st.sampled_from(["", "1-", "2-", "10-", "10b-"])
FILENAMES = st.builds("demo-{}-{}{}-{}.whl".format, VERSIONS, BUILDS, PYTHONS, PLATFORMS)
FILES = st.builds(
    lambda filename, digit: LockedFile(digest=Digest(f"sha256:{digit * 64}"), filename=filename),
    FILENAMES,
    st.sampled_from("01"),
)
WHEELS = st.lists(FILES, max_size=12)


def a_package(wheels: Sequence[LockedFile]) -> LockedPackage:
    """Make version 1.0 of a package that offers these wheels."""
    return LockedPackage(
        name=canonicalize_name("demo"), version=Version("1.0"), at="lock", wheels=tuple(wheels)
    )


@settings(max_examples=200, deadline=None)
@given(wheels=WHEELS, target=st.sampled_from(TARGETS), data=st.data())
def test_order_of_the_lock_does_not_matter(
    wheels: list[LockedFile], target: Target, data: st.DataObject
) -> None:
    """The same files in another order give the same choice."""
    shuffled = data.draw(st.permutations(wheels))

    one, other = (best_wheel(a_package(order), target) for order in (wheels, shuffled))

    assert (one and one.file) == (other and other.file)


@settings(max_examples=200, deadline=None)
@given(wheels=WHEELS, target=st.sampled_from(TARGETS))
def test_chosen_wheel_loads_in_the_target(wheels: list[LockedFile], target: Target) -> None:
    """What is chosen is of the locked version and has a tag of the target."""
    best = best_wheel(a_package(wheels), target)

    if best is not None:
        _, version, _, tags = parse_wheel_filename(best.filename)
        assert version.public == "1.0"
        assert not tags.isdisjoint(target.tags)


@settings(max_examples=200, deadline=None)
@given(wheels=WHEELS, target=st.sampled_from(TARGETS))
def test_nothing_that_loads_is_overlooked(wheels: list[LockedFile], target: Target) -> None:
    """Where nothing is chosen, no wheel of the version has a tag of the target."""
    best = best_wheel(a_package(wheels), target)

    if best is None:
        parsed = [parse_wheel_filename(wheel.filename or "") for wheel in wheels]
        own = [tags for _, version, _, tags in parsed if version.public == "1.0"]
        assert [tags for tags in own if not tags.isdisjoint(target.tags)] == []
