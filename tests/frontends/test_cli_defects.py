"""A lock with a defect ends the build with the one message that it deserves.

The locks lie in `fixtures/locks/`, named for their defects. Every build here is one of
the console script as a process of its own, in an environment of no one's.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

from lambda_build_plugin.runtime.target import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.projects import Run

LOCKS = Path(__file__).parents[2] / "fixtures" / "locks"
PINNED = a_wheel("pinned", "1.0")
NAMES = {"pylock": "pylock.toml", "requirements": "requirements.txt", "uv": "uv.lock"}
RUNTIME = RUNTIMES["python3.13"]


@pytest.fixture(scope="module")
def index() -> Iterator[FakeIndex]:
    """Serve the one wheel that the locks speak of."""
    with FakeIndex([PINNED]) as running:
        yield running


class Workplace:
    """A project that needs `pinned`, and everything that a build may touch."""

    def __init__(self, folder: Path, index_url: str, files_url: str) -> None:
        self.project = a_project(folder / "project", dependencies=("pinned",)).resolve()
        self.cache = folder / "cache"
        self._index_url, self._files_url = index_url, files_url
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        self._environ = quiet_environment(
            folder / "home",
            LAMBDA_BUILD_CACHE_DIR=str(self.cache),
            LAMBDA_BUILD_RUNTIME=RUNTIME.name,
            PIP_INDEX_URL=index_url,
            TMPDIR=str(self._temporary),
        )

    def put(self, fixture: str) -> None:
        """Place a lock from the fixtures under the name that tools give it."""
        text = (LOCKS / fixture).read_text(encoding="utf-8")
        for placeholder, value in (
            ("@INDEX@", self._index_url),
            ("@FILES@", self._files_url),
            ("@SHA256@", PINNED.sha256),
        ):
            text = text.replace(placeholder, value)
        (self.project / NAMES[fixture.partition(".")[0]]).write_text(text, encoding="utf-8")

    def build(self, *arguments: str) -> Run:
        """Build the project."""
        return run_lambda_build(*arguments, cwd=self.project, environ=self._environ)

    def refusal(self, *arguments: str) -> tuple[int, str]:
        """Build what cannot be built; nothing may be left of it but the cache."""
        before = self._files()
        run = self.build(*arguments)
        assert (run.output, self._files()) == ("", before)
        # What exactly the parser says differs between Pythons.
        return run.code, re.sub("(?<=is not TOML: ).*", "…", run.errors)

    def _files(self) -> list[Path]:
        return sorted([*self.project.rglob("*"), *self._temporary.rglob("*")])


@pytest.fixture
def workplace(tmp_path: Path, index: FakeIndex) -> Workplace:
    """Give a project whose index is the one of the tests."""
    return Workplace(tmp_path, index.url, index.files_url)


UV_EXPORT = "uv export --format pylock.toml --no-default-groups --no-emit-project -o pylock.toml"
COMPILE = "uv pip compile --universal --generate-hashes pyproject.toml -o requirements.txt"
NONE = "0" * 64


@pytest.mark.parametrize(
    ("fixture", "code", "message"),
    [
        pytest.param(
            "pylock.unreadable-toml.toml",
            3,
            """\
error: cannot read the lock pylock.toml
  why: pylock.toml: is not TOML: …

hint: make it again with the tool that wrote it; locks are not meant to be edited by hand
""",
            id="unreadable-toml",
        ),
        pytest.param(
            "pylock.requirements-inside.toml",
            3,
            f"""\
error: cannot read the lock pylock.toml
  why: pylock.toml: is not TOML: …

hint: this looks like a requirements file: give it a name that ends in .txt, such as \
requirements.txt, or make a real pylock.toml: `{UV_EXPORT}`
""",
            id="requirements-file-named-pylock",
        ),
        pytest.param(
            "pylock.unknown-version.toml",
            3,
            """\
error: cannot use the lock pylock.toml
  why: its lock-version is 2.0, but this version reads 1.x (PEP 751)

hint: update lambda-build-plugin, or lock with an older version of the tool
""",
            id="unknown-version",
        ),
        pytest.param(
            "pylock.missing-hash.toml",
            3,
            f"""\
error: the lock pylock.toml does not have a hash for every file
  why: pylock.toml: packages[0].wheels[0] (pinned-1.0-py3-none-any.whl): has no sha256 or \
stronger hash

hint: lock again with hashes: `{UV_EXPORT}`
""",
            id="missing-hash",
        ),
        pytest.param(
            "pylock.wrong-hash.toml",
            5,
            f"""\
error: pinned-1.0-py3-none-any.whl is not what was locked
  why: from @FILES@pinned-1.0-py3-none-any.whl
       locked:   sha256:{NONE}
       received: sha256:{PINNED.sha256}

hint: lock again if the file was meant to change; if not, do not ship it: find out who changed it
""",
            id="wrong-hash",
        ),
        pytest.param(
            "pylock.excludes-runtime.toml",
            3,
            f"""\
error: the lock pylock.toml does not cover python3.13 x86_64
  why: it requires Python `>=3.14`, but python3.13 has {RUNTIME.full_version}

hint: choose another runtime, or change the project to support this one and lock \
again: `{UV_EXPORT}`
""",
            id="excludes-the-runtime",
        ),
        pytest.param(
            "pylock.two-of-one-name.toml",
            3,
            f"""\
error: the lock pylock.toml has `pinned` more than once for python3.13 x86_64
  why: pinned 1.0: pylock.toml: packages[0] (pinned), marker: python_version >= '3.10'
       pinned 1.1: pylock.toml: packages[1] (Pinned), marker: sys_platform == 'linux'

hint: if extras or groups conflict, ask for only one of them; otherwise lock again, so that \
the markers exclude each other: `{UV_EXPORT}`
""",
            id="two-of-one-name",
        ),
        pytest.param(
            "pylock.gone.toml",
            5,
            """\
error: cannot find pinned-0.9-py3-none-any.whl
  why: @FILES@pinned-0.9-py3-none-any.whl: HTTP 404

hint: if it is on another index, add that index where your tool keeps its sources \
([[tool.poetry.source]], [[tool.pdm.source]], uv.toml, pip.conf, --extra-index-url in the \
requirements file); if it was deleted, lock again
""",
            id="gone-from-the-index",
        ),
        pytest.param(
            "requirements.unpinned.txt",
            3,
            f"""\
error: requirements.txt is not a lock: it does not pin every version
  why: requirements.txt, line 2: other>=1

hint: pin every line with `==`; a tool can do that, with hashes:
      {COMPILE}
""",
            id="unpinned-line",
        ),
        pytest.param(
            "requirements.mixed-hashes.txt",
            3,
            f"""\
error: the lock requirements.txt does not have a hash for every file
  why: requirements.txt, line 2: other==1.0: has no sha256 or stronger hash

hint: lock again with hashes: `{COMPILE}`
""",
            id="hashes-for-some-lines",
        ),
        pytest.param(
            "requirements.short-hash.txt",
            3,
            f"""\
error: cannot read the lock requirements.txt
  why: line 1: `abc123` is no sha256 digest

hint: lock again: `{COMPILE}`
""",
            id="half-a-hash",
        ),
        pytest.param(
            "requirements.no-requirement.txt",
            3,
            """\
error: cannot read the lock requirements.txt
  why: line 2: `pinned=1.0` is not a requirement (PEP 508)

hint: write `name==version`, followed by its hashes as `--hash=sha256:…`
""",
            id="no-requirement",
        ),
        pytest.param(
            "requirements.circle.txt",
            3,
            """\
error: cannot read the lock requirements.txt
  why: its -r and -c lines form a circle: requirements.txt → requirements.txt

hint: remove one of them
""",
            id="circle",
        ),
        pytest.param(
            "requirements.two-of-one-name.txt",
            3,
            f"""\
error: the lock requirements.txt has `pinned` more than once for python3.13 x86_64
  why: pinned 1.0: requirements.txt, line 1, marker: none
       pinned 1.1: requirements.txt, line 2, marker: sys_platform == "linux"

hint: if extras or groups conflict, ask for only one of them; otherwise lock again, so that \
the markers exclude each other: `{COMPILE}`
""",
            id="two-versions-in-requirements",
        ),
        pytest.param(
            "uv.stale.lock",
            3,
            """\
error: the lock uv.lock is out of date
  why: pyproject.toml and the lock differ:
       - pinned: not in the lock
       - pinned<1: only in the lock

hint: run `uv lock` and review the changes
""",
            id="stale",
        ),
        pytest.param(
            "uv.edited-by-hand.lock",
            3,
            """\
error: cannot read the lock uv.lock
  why: uv.lock: package[0].dependencies[0]: no package in the lock matches pinned

hint: make it again with `uv lock`; locks are not meant to be edited by hand
""",
            id="edited-by-hand",
        ),
    ],
)
def test_defect(
    workplace: Workplace, index: FakeIndex, fixture: str, code: int, message: str
) -> None:
    """What, why and a hint; no traceback, and the exit code of its kind."""
    workplace.put(fixture)

    assert workplace.refusal() == (code, message.replace("@FILES@", index.files_url))


def test_wrong_hash_in_requirements(workplace: Workplace) -> None:
    """The version is there with other digests: what helps most users is to lock again."""
    workplace.put("requirements.wrong-hash.txt")

    code, errors = workplace.refusal()

    what, why, _, hint = errors.splitlines()
    assert (code, what) == (5, "error: cannot find the locked files of pinned 1.0")
    assert why.endswith(": listed with other digests")
    assert hint.startswith("hint: lock again if its files were meant to change; if the locked ")


def test_no_lock_at_all(workplace: Workplace) -> None:
    """The hint says how each tool makes one."""
    assert workplace.refusal() == (
        3,
        f"""\
error: cannot find a lock in {workplace.project}
  why: none of these files exists: pylock.lambda.toml, pylock.toml, uv.lock, poetry.lock, \
pdm.lock, Pipfile.lock, requirements.lock, requirements.txt

hint: make one with the tool that the project uses:
      hatch:     lambda-build lock
      uv:        uv lock
      poetry:    poetry lock
      pdm:       pdm lock
      pipenv:    pipenv lock
      pip-tools: pip-compile --generate-hashes -o requirements.txt pyproject.toml (on Linux, \
because it locks only for the system that it runs on)
      or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)
""",
    )


@pytest.mark.parametrize(
    ("flag", "kind", "there"),
    [
        pytest.param("--extra", "extra", "fast", id="extra"),
        pytest.param("--group", "dependency group", "no dependency groups at all", id="group"),
    ],
)
def test_unknown_name(workplace: Workplace, flag: str, kind: str, there: str) -> None:
    """An extra or a group that the lock does not have is no silent nothing."""
    workplace.put("pylock.sound.toml")

    assert workplace.refusal(flag, "nope") == (
        3,
        f"""\
error: pylock.toml has no {kind} `nope`
  why: it has: {there}

hint: check the spelling, or lock again if the {kind} is new: `{UV_EXPORT}`
""",
    )


def test_no_index_in_reach(tmp_path: Path) -> None:
    """A server that is not there is named, with what the system says of it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        workplace = Workplace(tmp_path, f"{url}simple/", f"{url}files/")
        workplace.put("pylock.sound.toml")

        code, errors = workplace.refusal()

    assert code == 5
    assert errors.startswith(f"error: cannot reach {url}files/pinned-1.0-py3-none-any.whl\n  why: ")
    assert "Traceback" not in errors


def test_damaged_cache_is_mended(workplace: Workplace, index: FakeIndex) -> None:
    """What lies in the cache is checked again, and fetched again if it is not right."""
    workplace.put("pylock.sound.toml")
    assert workplace.build("--output", "first.zip").code == 0
    (cached,) = (
        path for path in workplace.cache.rglob("*") if path.is_file() and PINNED.sha256 in path.name
    )
    cached.write_bytes(bytes(len(PINNED.content)))
    asked_before = len(index.requests)

    assert workplace.build("--output", "second.zip").code == 0

    first, second = (workplace.project / name for name in ("first.zip", "second.zip"))
    assert second.read_bytes() == first.read_bytes()
    assert cached.read_bytes() == PINNED.content
    assert [request.path for request in index.requests[asked_before:]] == [
        f"/files/{PINNED.filename}"
    ]


def test_output_that_cannot_be_written(workplace: Workplace) -> None:
    """A place below a file is none, for root neither."""
    workplace.put("pylock.sound.toml")
    (workplace.project / "taken").touch()
    output = workplace.project / "taken" / "out.zip"

    code, errors = workplace.refusal("--output", "taken/out.zip")

    assert (code, errors.splitlines()[:2]) == (
        7,
        [f"error: cannot write {output}", f"  why: {output.parent} is not a folder"],
    )
