"""Credentials in URLs: nothing that is shown contains them, whatever characters they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_build_plugin.urls import (
    filename_of,
    origin_of,
    path_of,
    redacted,
    redacted_text,
    without_login,
    without_logins,
)

SECRET = "s3cr3t"

LOGINS = [
    pytest.param(f"me:{SECRET}", id="user and password"),
    pytest.param(SECRET, id="token"),
    pytest.param(f":{SECRET}", id="password alone"),
    pytest.param(f"{SECRET}:", id="empty password"),
    pytest.param(f"{SECRET}%40mail.example:{SECRET}%3A%2F%40", id="quoted"),
    *(
        pytest.param(f"me:{SECRET}{character}{SECRET}", id=f"password with {character!r}")
        for character in " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\té…"
    ),
    *(
        pytest.param(f"{SECRET}{character}{SECRET}:x", id=f"user with {character!r}")
        for character in " !\"$%&'()*+,-.:;<=>@[\\]^_`{|}~é"
    ),
    pytest.param(f"me:{SECRET}://{SECRET}", id="password like a URL"),
]
HOSTS = ["index.example", "index.example:8443", "127.0.0.1:3141", "[::1]", "[2001:db8::1]:443"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("login", LOGINS)
def test_login_is_removed(login: str, host: str) -> None:
    """Every spelling of a login goes, and the address stays."""
    url = f"https://{login}@{host}/simple/a.whl"

    bare = f"https://{host}/simple/a.whl"
    assert [each(url) for each in (redacted, redacted_text, without_login, without_logins)] == (
        [bare] * 4
    )


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "git+https", "ftp", "socks5h", "svn+ssh"])
def test_every_scheme(scheme: str) -> None:
    """The scheme makes no difference for what is shown."""
    assert redacted_text(f"x {scheme}://me:{SECRET}@a.example/b y") == f"x {scheme}://a.example/b y"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://index.example/@scope/pkg@1.0", id="@ in the path"),
        pytest.param("https://index.example:8443/a@b", id="@ after a port"),
        pytest.param("https://index.example:/a@b", id="@ after an empty port"),
        pytest.param("https://[::1]:8443/a@b", id="@ after IPv6"),
        pytest.param("https://[::1]/a:b@c", id="colon and @ in the path"),
        pytest.param("file:///home/me@work/a.whl", id="file"),
        pytest.param("../a@b/c.whl", id="path"),
        pytest.param("git@git.example:a/b.git", id="address as scp has it"),
        pytest.param("me@mail.example", id="mail address"),
    ],
)
def test_what_is_not_a_login_stays(url: str) -> None:
    """An `@` that ends no login is kept."""
    assert [each(url) for each in (redacted, redacted_text, without_login, without_logins)] == (
        [url] * 4
    )


@pytest.mark.parametrize(
    "url",
    [
        f"https://a.example/b?token={SECRET}",
        f"https://a.example/b#{SECRET}",
        f"https://a.example/b?x=https://me:{SECRET}@b.example/#y",
        f"https://me:{SECRET}?#@a.example/b?x=1",
    ],
)
def test_query_and_fragment_are_not_shown(url: str) -> None:
    """Both may carry tokens, such as those of signed addresses."""
    assert (redacted(url), redacted_text(f"({url} )")) == (
        "https://a.example/b",
        "(https://a.example/b )",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"a https://me:{SECRET}@a.example/x, http://{SECRET}@b.example/y",
            "a https://a.example/x, http://b.example/y",
            id="with spaces",
        ),
        pytest.param(
            f'["https://a.example","https://me:{SECRET}@b.example/y","c"]',
            '["https://a.example","https://b.example/y","c"]',
            id="JSON without spaces",
        ),
        pytest.param(
            f"https://a.example/x,https://me:{SECRET}@b.example/y",
            "https://a.example/x,https://b.example/y",
            id="commas",
        ),
        pytest.param(
            f"https://proxy.example/https://me:{SECRET}@b.example/y",
            "https://proxy.example/https://b.example/y",
            id="one in the path of another",
        ),
        pytest.param(
            f"-ihttps://me:{SECRET}@a.example/ 1https://{SECRET}@b.example",
            "-ihttps://a.example/ 1https://b.example",
            id="after other characters",
        ),
        pytest.param(
            f"url=https://me:{SECRET}@a.example/x\nurl=https://{SECRET}@b.example",
            "url=https://a.example/x\nurl=https://b.example",
            id="lines",
        ),
    ],
)
def test_several_urls(text: str, expected: str) -> None:
    """Each URL of a text loses its login, even where no space separates them."""
    assert (redacted_text(text), without_logins(text)) == (expected, expected)


def test_url_in_the_path_of_one_url() -> None:
    """The login of a URL that another one contains is not shown either."""
    url = f"https://proxy.example/https://me:{SECRET}@b.example/y"

    assert redacted(url) == "https://proxy.example/https://b.example/y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f'url = "https://me:{SECRET}@index.example/a.whl?x=1#y"',
            'url = "https://index.example/a.whl?x=1#y"',
            id="query and fragment stay",
        ),
        pytest.param(
            f"demo @ git+https://{SECRET}@git.example/a.git@main",
            "demo @ git+https://git.example/a.git@main",
            id="git over https",
        ),
        pytest.param(
            f"https://a.example/?next=https://me:{SECRET}@b.example/",
            "https://a.example/?next=https://b.example/",
            id="login in a query",
        ),
        pytest.param(
            'url = "ssh://git@git.example/a.git"',
            'url = "ssh://git@git.example/a.git"',
            id="user of ssh",
        ),
        pytest.param(
            "git+ssh://git@git.example/a.git", "git+ssh://git@git.example/a.git", id="git over ssh"
        ),
    ],
)
def test_text_without_logins(text: str, expected: str) -> None:
    """The logins of web addresses are removed, and nothing else is."""
    assert without_logins(text) == expected


@pytest.mark.parametrize(
    "part",
    ["a", "a+", "+a", "1a", "://", "a://", "a:b://", "x@", ":", "https://u:", "https://u:p@h "],
)
def test_long_lines(part: str) -> None:
    """A long line does not hold up a build; quadratic time would take minutes."""
    text = part * (250_000 // len(part))

    for each in (redacted, redacted_text, without_login, without_logins):
        assert "u:p@" not in each(text) or each is without_login


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Index.Example/simple/", ("https", "index.example", 443)),
        ("HTTP://index.example", ("http", "index.example", 80)),
        ("https://me:p@index.example:8443/x@y", ("https", "index.example", 8443)),
        ("https://[2001:DB8::1]:443/", ("https", "2001:db8::1", 443)),
        ("ssh://git@git.example/a", ("ssh", "git.example", 0)),
        ("file:///a", ("file", "", 0)),
    ],
)
def test_origin(url: str, origin: tuple[str, str, int]) -> None:
    """Scheme and host are lower-case, and default ports are filled in."""
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://a.example:port", "https://a.example:99999"]
)
def test_no_origin(url: str) -> None:
    """A URL without a valid host and port has no origin."""
    with pytest.raises(ValueError, match=r"."):
        origin_of(url)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (
            "https://a.example/b/demo-1.0%2Bcpu-py3-none-any.whl?x#y",
            "demo-1.0+cpu-py3-none-any.whl",
        ),
        ("wheels/demo%2B.whl", "demo%2B.whl"),
        ("https://a.example", ""),
    ],
)
def test_file_name(location: str, name: str) -> None:
    """The file name of a URL is unquoted, that of a path is taken as it is."""
    assert filename_of(location) == name


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@[::1/a.whl", f"https://me:{SECRET}@a.example/%00.whl"]
)
def test_broken_url_is_quoted_without_its_login(url: str) -> None:
    """Errors quote the URL, but not its login."""
    with pytest.raises(ValueError, match="https://") as caught:
        filename_of(url)

    assert SECRET not in str(caught.value)


def test_path_of_a_file_url() -> None:
    """Percent escapes are resolved."""
    assert path_of("file:///a%20b/c@d") == Path("/a b/c@d")
