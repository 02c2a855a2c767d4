"""`[[tool.pdm.source]]` → the indexes to ask, as PDM reads the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config.indexes import IndexAccess, IndexOptions
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock import pdm_sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONE, TWO = "https://one.example/simple/", "https://two.example/simple/"


def read(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> IndexOptions:
    """Read the sources of a project."""
    (folder / "pyproject.toml").write_text(f'[project]\nname = "demo"\n{text}')
    return pdm_sources.indexes(read_project(folder), environ or {})


def a_source(name: str, url: str | None, *lines: str) -> str:
    """Write the table of a source."""
    keys = [f'name = "{name}"', *([f'url = "{url}"'] if url else []), *lines]
    return "\n".join(["[[tool.pdm.source]]", *keys, ""])


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param([], IndexOptions(), id="none"),
        pytest.param(
            [a_source("one", ONE), a_source("two", TWO)],
            IndexOptions(
                extra_index_urls=(ONE, TWO),
                access=(IndexAccess(url=ONE, name="one"), IndexAccess(url=TWO, name="two")),
            ),
            id="beside the default index",
        ),
        pytest.param(
            [a_source("pypi", ONE), a_source("two", TWO)],
            IndexOptions(
                index_url=ONE,
                extra_index_urls=(TWO,),
                access=(IndexAccess(url=TWO, name="two"), IndexAccess(url=ONE, name="pypi")),
            ),
            id="in the place of the default index",
        ),
        pytest.param(
            [a_source("one", None)], IndexOptions(), id="its URL is in the configuration of PDM"
        ),
        pytest.param(
            [a_source("one", ONE), a_source("one", TWO)],
            IndexOptions(extra_index_urls=(TWO,), access=(IndexAccess(url=TWO, name="one"),)),
            id="the last of a name",
        ),
        pytest.param(
            [a_source("flat", "wheels", 'type = "find_links"')],
            IndexOptions(
                find_links=("wheels",), access=(IndexAccess(url="wheels", name="flat", flat=True),)
            ),
            id="find links",
        ),
    ],
)
def test_sources_are_asked_in_pdms_order(
    tmp_path: Path, sources: list[str], expected: IndexOptions
) -> None:
    """A source is asked beside the default index, unless it is named like it."""
    assert read(tmp_path, "".join(sources)) == expected


def test_all_keys_of_a_source_are_read(tmp_path: Path) -> None:
    """Login, certificates and patterns stand beside the URL; patterns are normalized."""
    text = a_source(
        "one",
        ONE,
        'username = "me"',
        'password = "word"',
        "verify_ssl = false",
        'ca_certs = "ca.pem"',
        'client_cert = "me.pem"',
        'client_key = "me.key"',
        'include_packages = ["Acme_*", "torch"]',
        'exclude_packages = ["Some.Thing", "[ab]?"]',
    )

    assert read(tmp_path, text).access == (
        IndexAccess(
            url=ONE,
            name="one",
            username="me",
            password="word",
            verify=False,
            ca_file="ca.pem",
            client_certificate="me.pem",
            client_key="me.key",
            include=("acme-*", "torch"),
            exclude=("some-thing", "[ab]?"),
        ),
    )


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        pytest.param(
            "https://me:a%2Fb@one.example/simple/",
            {},
            IndexAccess(url=ONE, name="one", username="me", password="a/b"),
            id="in the URL",
        ),
        pytest.param(
            "https://${USER_OF_ONE}:${WORD}@one.example/simple/",
            {"USER_OF_ONE": "me", "WORD": "a/b@c:d"},
            IndexAccess(url=ONE, name="one", username="me", password="a/b@c:d"),
            id="variables with letters that a URL would not hold",
        ),
        pytest.param(
            "https://${USER_OF_ONE}:${WORD}@one.example/simple/",
            {},
            IndexAccess(url=ONE, name="one"),
            id="variables that are not set",
        ),
        pytest.param(
            "https://${HOST}/simple/@v2/",
            {"HOST": "one.example"},
            IndexAccess(url="https://one.example/simple/@v2/", name="one"),
            id="variable and @ behind the login",
        ),
    ],
)
def test_login_of_a_url_is_taken_out_of_it(
    tmp_path: Path, url: str, environ: dict[str, str], expected: IndexAccess
) -> None:
    """Credentials leave the URL, and variables are filled in."""
    assert read(tmp_path, a_source("one", url), environ).access == (expected,)


def test_login_of_the_table_wins_over_the_urls(tmp_path: Path) -> None:
    """`username` and `password` stand above what the URL says."""
    url = "https://me:word@one.example/simple/"
    text = a_source("one", url, 'username = "you"', 'password = "other"')

    assert read(tmp_path, text).access == (
        IndexAccess(url=ONE, name="one", username="you", password="other"),
    )


def test_folder_of_the_project_is_found(tmp_path: Path) -> None:
    """`file:///${PROJECT_ROOT}` is PDM's word for the folder of the project."""
    text = a_source("flat", "file:///${PROJECT_ROOT}/wheels", 'type = "find_links"')

    assert read(tmp_path, text).find_links == (f"{tmp_path.as_uri()}/wheels",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            a_source("one", "https://me:word@one.example:port/"),
            r"source\[0\]\.url: `https://one\.example:port/` is not a URL",
            id="no URL",
        ),
        pytest.param(
            a_source("one", ONE, 'verify_ssl = "no"'), r"source\[0\]\.verify_ssl", id="no flag"
        ),
        pytest.param(f'[[tool.pdm.source]]\nurl = "{ONE}"\n', r"`name` is missing", id="no name"),
    ],
)
def test_what_is_no_source_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """A mistake is told with its place, and without the password."""
    with pytest.raises(TableError, match=problem) as caught:
        read(tmp_path, text)
    assert "word" not in str(caught.value)
