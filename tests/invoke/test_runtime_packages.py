"""How the runtime's packages are installed: as locked, apart, and believed only if unchanged."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.projects import quiet_environment
from fakes.wheels import a_wheel

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.invoke import runtime_packages
from lambda_build_plugin.invoke.feasible import Python
from lambda_build_plugin.invoke.runtime_packages import (
    CLIENT,
    SDK,
    Installer,
    NotInstalledError,
    OfflineError,
    RuntimePackages,
)
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.interpreters import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = a_wheel("client", "1.0", files={"client.py": "number = 1\n"})
TARGET = Target(
    runtime=RUNTIMES[f"python3.{sys.version_info.minor}"], architecture=Architecture.X86_64
)


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Give an index with the wheel."""
    with FakeIndex([WHEEL]) as index:
        yield index


@pytest.fixture
def packages(tmp_path: Path) -> RuntimePackages:
    """Give packages that are locked to the wheel, for this Python; others for an older one."""
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"client==1.0 ; python_full_version >= '3.10' \\\n    --hash=sha256:{WHEEL.sha256}\n"
        f"client==0.9 ; python_full_version < '3.10' \\\n    --hash=sha256:{'0' * 64}\n"
    )
    return RuntimePackages(name="the client", lock=lock)


@pytest.fixture
def installer(tmp_path: Path, index: FakeIndex) -> Installer:
    """Give an installer that is configured with the index, for uv and for pip."""
    return Installer(
        cache=Cache(tmp_path / "cache", key=b"key"),
        environ=quiet_environment(
            tmp_path / "home",
            UV_DEFAULT_INDEX=index.url,
            PIP_INDEX_URL=index.url,
            UV_CONSTRAINT=str(tmp_path / "none"),
            PIP_CONSTRAINT=str(tmp_path / "none"),
        ),
        cwd=tmp_path,
        python=Python(interpreter=Interpreter.running()),
        target=TARGET,
        offline=False,
    )


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip do it."""
    monkeypatch.setattr(runtime_packages, "uv_of", lambda _: None)
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip")


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_installed_as_locked_and_used_again_offline(
    installer: Installer, packages: RuntimePackages, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """The packages are installed once, with their bytecode; then the cache has them."""
    if tool == "pip":
        without_uv(monkeypatch)

    folder = installer.folder(packages)

    assert (folder / "client.py").read_text() == "number = 1\n"
    assert list(folder.rglob("client.*.pyc"))
    assert replace(installer, offline=True).folder(packages) == folder


def test_other_file_than_locked_is_refused(installer: Installer, packages: RuntimePackages) -> None:
    """A file with another hash is not installed, and nothing of it stays."""
    packages.lock.write_text(f"client==1.0 --hash=sha256:{'0' * 64}\n")

    with pytest.raises(NotInstalledError) as caught:
        installer.folder(packages)

    assert "hash" in caught.value.why.lower()
    assert not list(installer.cwd.rglob("client.py"))


def test_changed_folder_is_made_anew(installer: Installer, packages: RuntimePackages) -> None:
    """Whatever changed the folder in the cache, its code is not run."""
    folder = installer.folder(packages)
    (folder / "client.py").write_text("number = 2\n")

    with pytest.raises(OfflineError):
        replace(installer, offline=True).folder(packages)

    assert (installer.folder(packages) / "client.py").read_text() == "number = 1\n"


def test_folder_without_a_signed_note_is_made_anew(
    installer: Installer, packages: RuntimePackages, tmp_path: Path
) -> None:
    """A folder that another user has signed for is not believed."""
    folder = installer.folder(packages)
    other = replace(installer, cache=Cache(tmp_path / "cache", key=b"other"), offline=True)

    assert folder.is_dir()
    with pytest.raises(OfflineError):
        other.folder(packages)


def test_login_of_the_index_is_not_shown(
    installer: Installer, packages: RuntimePackages, index: FakeIndex
) -> None:
    """What the installer says about an index appears without its password."""
    url = index.url.replace("://", "://user:sesame@").replace("/simple", "/none")
    environ = {**installer.environ, "UV_DEFAULT_INDEX": url}

    with pytest.raises(FetchError) as caught:
        replace(installer, environ=environ).folder(packages)

    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_our_locks_have_one_version_for_each_runtime(runtime: object) -> None:
    """For every Python of Lambda's there are awslambdaric and boto3, with hashes."""
    target = Target(
        runtime=next(each for each in RUNTIMES.values() if each is runtime),
        architecture=Architecture.ARM64,
    )
    for packages, name in ((CLIENT, "awslambdaric"), (SDK, "boto3")):
        found = packages.requirements(target)
        names = [line.partition("==")[0] for line in found]
        assert names.count(name) == 1
        assert len(names) == len(set(names))
        assert all(" --hash=sha256:" in line and ";" not in line for line in found)


@pytest.mark.index
def test_sdk_is_provided_if_it_is_imported(installer: Installer, tmp_path: Path) -> None:
    """boto3 comes from the index of the user, as locked, and can be imported."""
    real = replace(installer, environ=dict(os.environ))

    folder = real.folder(SDK)

    assert (folder / "boto3" / "__init__.py").is_file()
    assert (folder / "botocore" / "__init__.py").is_file()
