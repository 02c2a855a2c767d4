from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lambda_build_plugin.fetch.index_pages import Link, Page, UnknownPageError
from lambda_build_plugin.system.hashes import Digest

URL = "https://index.example/simple/demo/"
NAME = "demo-1.0-py3-none-any.whl"
SHA256 = "a1" * 32
OTHER = "b2" * 32


def an_html_page(body: str, *, url: str = URL) -> Page:
    """Read a page of PEP 503."""
    return Page(f"<!DOCTYPE html>\n{body}".encode(), url=url, content_type="text/html")


def a_json_page(*files: object, version: str = "1.1") -> Page:
    """Read a page of PEP 691."""
    data = {"meta": {"api-version": version}, "name": "demo", "files": files}
    return Page(json.dumps(data).encode(), url=URL, content_type="application/json")


def a_digest(sha256: str = SHA256) -> Digest:
    """Spell a digest as locks do."""
    return Digest(f"sha256:{sha256}")


def a_link(
    url: str = f"https://index.example/files/{NAME}",
    *,
    filename: str = NAME,
    sha256: str | None = SHA256,
    yanked: bool = False,
) -> Link:
    """Make the link that most of these pages hold."""
    digests = () if sha256 is None else (a_digest(sha256),)
    return Link(filename=filename, url=url, digests=digests, yanked=yanked)


@pytest.mark.parametrize(
    ("anchor", "link"),
    [
        pytest.param(
            f'<a href="https://files.example/{NAME}#sha256={SHA256}">x</a>',
            a_link(f"https://files.example/{NAME}"),
            id="absolute",
        ),
        pytest.param(
            f'<a href="../../files/{NAME}#sha256={SHA256}">x</a>', a_link(), id="relative"
        ),
        pytest.param(f'<a href="/files/{NAME}#sha256={SHA256}">x</a>', a_link(), id="rooted"),
        pytest.param(
            f'<a href="//files.example/{NAME}#sha256={SHA256}">x</a>',
            a_link(f"https://files.example/{NAME}"),
            id="other-host-same-scheme",
        ),
        pytest.param(
            f"<a href='/files/{NAME}#sha256={SHA256}'>x</a>", a_link(), id="single-quotes"
        ),
        pytest.param(f"<a href=/files/{NAME}#sha256={SHA256}>x</a>", a_link(), id="no-quotes"),
        pytest.param(
            f'<A\nclass="f"  HREF = " /files/{NAME}#sha256={SHA256} ">x</A>',
            a_link(),
            id="upper-case-and-spaces",
        ),
        pytest.param(
            f'<a href="/files/{NAME}#sha256={SHA256.upper()}">x</a>',
            a_link(),
            id="upper-case-digest",
        ),
        pytest.param(
            f'<a href="/files/{NAME}#egg=demo&amp;sha256={SHA256}">x</a>',
            a_link(),
            id="entity-in-the-fragment",
        ),
        pytest.param(
            f'<a href="/files/{NAME}?token=a&amp;b=c#sha256={SHA256}">x</a>',
            a_link(f"https://index.example/files/{NAME}?token=a&b=c"),
            id="query",
        ),
        pytest.param(
            f'<a href="/files/{NAME}?token=a#sha256={SHA256}">x</a>'.replace("/files/", ""),
            a_link(f"{URL}{NAME}?token=a"),
            id="query-of-a-relative-address",
        ),
        pytest.param(
            f'<a href="/files/demo-1.0%2Bcpu-py3-none-any.whl#sha256={SHA256}">x</a>',
            a_link(
                "https://index.example/files/demo-1.0%2Bcpu-py3-none-any.whl",
                filename="demo-1.0+cpu-py3-none-any.whl",
            ),
            id="quoted-local-version",
        ),
        pytest.param(
            f'<a href="/files/demo-1.0+cpu-py3-none-any.whl#sha256={SHA256}">x</a>',
            a_link(
                "https://index.example/files/demo-1.0+cpu-py3-none-any.whl",
                filename="demo-1.0+cpu-py3-none-any.whl",
            ),
            id="plain-local-version",
        ),
        pytest.param(
            f'<a data-requires-python=">=3.8,<4" href="/files/{NAME}#sha256={SHA256}">x</a>',
            a_link(),
            id="unescaped-angle-brackets",
        ),
        pytest.param(
            f'<a data-href="/no.whl" title="href=/no.whl" href="/files/{NAME}#sha256={SHA256}">',
            a_link(),
            id="href-elsewhere-in-the-tag",
        ),
        pytest.param(
            f'<a href="/files/{NAME}#sha256={SHA256}" data-yanked="broken">x</a>',
            a_link(yanked=True),
            id="yanked",
        ),
        pytest.param(
            f'<a href="/files/{NAME}#sha256={SHA256}" data-yanked>x</a>',
            a_link(yanked=True),
            id="yanked-without-reason",
        ),
        pytest.param(
            f'<a href="/files/{NAME}#sha256={SHA256}" title="not data-yanked">x</a>',
            a_link(),
            id="yanked-as-a-word",
        ),
    ],
)
def test_anchor_is_read_in_each_spelling(anchor: str, link: Link) -> None:
    """An anchor gives one link, found by its digest and in the list alike."""
    page = an_html_page(f"<body>\n  {anchor}<br>\n</body>")
    assert ([*page.links()], page.by_digest(a_digest())) == ([link], link)


def test_anchor_may_have_no_digest() -> None:
    """A link without a digest is listed, and says that it has none."""
    page = an_html_page(f'<a href="/files/{NAME}">x</a>')
    assert [*page.links()] == [a_link(sha256=None)]


def test_base_moves_relative_links() -> None:
    """A page may say against what its links are relative."""
    page = an_html_page(
        f'<head><base target="_top" href="/mirror&#47;"></head><a href="{NAME}">x</a>'
    )
    assert [*page.links()] == [a_link(f"https://index.example/mirror/{NAME}", sha256=None)]


def test_metadata_digest_is_not_the_files() -> None:
    """The digest in `data-dist-info-metadata` belongs to another file (PEP 658)."""
    page = an_html_page(
        f'<a href="/files/{NAME}#sha256={OTHER}" data-dist-info-metadata="sha256={SHA256}">x</a>'
    )
    assert (page.by_digest(a_digest()), page.by_digest(a_digest(OTHER))) == (
        None,
        a_link(sha256=OTHER),
    )


def test_digest_outside_of_a_link_is_passed_over() -> None:
    """A digest in a comment or in text does not hide the link that comes later."""
    page = an_html_page(f'<!-- {SHA256} --><p>{SHA256}</p><a href="/files/{NAME}#sha256={SHA256}">')
    assert page.by_digest(a_digest()) == a_link()


@pytest.mark.parametrize(
    "href",
    [
        pytest.param("../", id="parent"),
        pytest.param("#top", id="fragment"),
        pytest.param("", id="empty"),
        pytest.param("http://[broken/x.whl", id="no-address"),
    ],
)
def test_anchor_of_no_file_is_no_link(href: str) -> None:
    """Navigation and broken addresses are passed over."""
    page = an_html_page(f'<a name="here">x</a><a href="{href}">x</a><a href="/files/{NAME}">x</a>')
    assert [*page.links()] == [a_link(sha256=None)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html><form action='/login'>Sign in</form></html>", id="login"),
        pytest.param(b"\xff\xfe\x00binary" * 9, id="binary"),
        pytest.param(b"<a href='" * 1000, id="unfinished"),
    ],
)
def test_page_that_is_none_holds_no_links(body: bytes) -> None:
    """What is no index page is read without complaint, and lists nothing."""
    page = Page(body, url=URL, content_type="text/html")
    assert ([*page.links()], page.by_digest(a_digest())) == ([], None)


def test_json_file_is_read() -> None:
    """A file of a JSON page gives a link, its digest in lower case (PEP 691)."""
    page = a_json_page(
        {"filename": NAME, "url": f"../../files/{NAME}", "hashes": {"sha256": SHA256.upper()}}
    )
    assert ([*page.links()], page.by_digest(a_digest())) == ([a_link()], a_link())


@pytest.mark.parametrize(
    ("entry", "link"),
    [
        pytest.param({"hashes": {}}, a_link(sha256=None), id="no-digest"),
        pytest.param({"hashes": {"md5": "00"}}, a_link(sha256=None), id="another-algorithm"),
        pytest.param({"hashes": {"sha256": SHA256}, "yanked": "bad"}, a_link(yanked=True), id="y"),
        pytest.param({"hashes": {"sha256": SHA256}, "yanked": False}, a_link(), id="not-yanked"),
        pytest.param(
            {"hashes": {}, "core-metadata": {"sha256": SHA256}},
            a_link(sha256=None),
            id="metadata-digest",
        ),
    ],
)
def test_json_keys(entry: dict[str, object], link: Link) -> None:
    """Digest and yank come from their own keys alone."""
    page = a_json_page({"filename": NAME, "url": f"/files/{NAME}", **entry})
    assert [*page.links()] == [link]


@pytest.mark.parametrize("padding", range(3, 403, 7))
def test_value_may_lie_across_two_windows(padding: int) -> None:
    """Where the reader of JSON cuts the text leaves no trace in what it reads."""
    data = {
        "meta": {"api-version": "1.1", "_last-serial": 1234567890},
        "name": "x" * ((1 << 20) - padding),
        "number": 1234567890,
        "files": [1234567890, {"filename": NAME, "url": NAME, "hashes": {"sha256": SHA256}}, 1.5],
    }
    page = Page(json.dumps(data).encode(), url=URL, content_type="application/json")
    assert [*page.links()] == [a_link(f"{URL}{NAME}")]


def test_json_may_have_its_version_at_the_end() -> None:
    """The members of the page may have any order, and blanks between them."""
    body = b' {\n"files" : [ ] , "name":"x",\t"meta":{"api-version":"1.0"}\r\n} '
    assert [*Page(body, url=URL, content_type="application/json").links()] == []


@pytest.mark.parametrize(
    "body",
    [
        '{"meta": {"api-version": "1.0"}, "files": []} x',
        '{"meta": {"api-version": "1.0"}, "files": [}',
        '{"meta": {"api-version": "1.0"}, "files": [,]}',
        '{"meta": {"api-version": "1.0"} "files": []}',
        '{"meta": {"api-version": "1.0"}, "files": []',
        '{"meta": "1.0", "files": []}',
        '{"meta" {"api-version": "1.0"}, "files": []}',
        '["files"]',
        "[" * 100_000,
        f'{{"meta": {{"api-version": "1.0"}}, "files": [{"[" * 100_000}]}}',
    ],
)
def test_damaged_json_is_an_error(body: str) -> None:
    """A page that is not JSON to its end is not read as an empty one."""
    with pytest.raises(UnknownPageError, match="it is not an index page"):
        Page(body.encode(), url=URL, content_type="application/json")


def test_json_entry_that_is_none_is_passed_over() -> None:
    """One broken entry does not take the others with it."""
    page = a_json_page(
        "x",
        {"filename": NAME},
        {"filename": 1, "url": "/files/1"},
        {"filename": NAME, "url": 1, "hashes": {"sha256": SHA256}},
        {"filename": NAME, "url": "http://[broken", "hashes": {"sha256": SHA256}},
        {"filename": NAME, "url": f"/files/{NAME}", "hashes": {"sha256": SHA256}},
    )
    assert ([*page.links()], page.by_digest(a_digest())) == ([a_link()], a_link())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param("{", "it is not an index page (PEP 691)", id="unfinished"),
        pytest.param("[]", "it is not an index page (PEP 691)", id="list"),
        pytest.param(
            '{"message": "hello"}', "it is not an index page (PEP 691)", id="other-service"
        ),
        pytest.param(
            '{"meta": {"api-version": "1.0"}, "files": {}}',
            "it is not an index page (PEP 691)",
            id="files-are-no-list",
        ),
        pytest.param(
            '{"meta": {"api-version": "2.0"}, "files": []}',
            "its API version is 2.0, not 1.x",
            id="version",
        ),
    ],
)
def test_unknown_json_is_an_error(body: str, message: str) -> None:
    """JSON that is no page of version 1 is refused, not read as empty."""
    with pytest.raises(UnknownPageError) as caught:
        Page(body.encode(), url=URL, content_type="application/vnd.pypi.simple.v1+json")
    assert str(caught.value) == message


def test_unknown_version_of_html_is_an_error() -> None:
    """An HTML page may state its version too, which is then checked (PEP 629)."""
    with pytest.raises(UnknownPageError) as caught:
        an_html_page('<meta name="pypi:repository-version" content="2.0">')
    assert str(caught.value) == "its API version is 2.0, not 1.x"


def test_known_version_of_html_is_read() -> None:
    """Version 1.x is the one that is known."""
    page = an_html_page(
        f'<meta name="pypi:repository-version" content="1.3"><a href="/files/{NAME}">x</a>'
    )
    assert [*page.links()] == [a_link(sha256=None)]


@pytest.mark.parametrize("form", ["html", "json"])
def test_every_file_of_a_huge_page_is_found_by_its_digest(form: str) -> None:
    """A page is parsed once, however many of its 20,000 files are looked up."""
    digests = [f"{number:064x}" for number in range(1, 20_001)]
    if form == "html":
        page = an_html_page(
            "".join(
                f'<a href="/files/{digest}/{NAME}#sha256={digest}" data-requires-python="&gt;=3.8"'
                f' data-core-metadata="sha256={digest[::-1]}">{NAME}</a><br>\n'
                for digest in digests
            )
        )
    else:
        page = a_json_page(
            *(
                {"filename": NAME, "url": f"/files/{digest}/{NAME}", "hashes": {"sha256": digest}}
                for digest in digests
            )
        )
    assert [page.by_digest(a_digest(digest)) for digest in digests] == [
        a_link(f"https://index.example/files/{digest}/{NAME}", sha256=digest) for digest in digests
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param("<!-- {} -->", id="comment"),
        pytest.param("<!--\n<p>\n{}\n</p> -->", id="comment-with-tags"),
        pytest.param("<script>'{}'</script>", id="script"),
        pytest.param("<style>{}</style>", id="style"),
        pytest.param("<p title='{}'>", id="attribute"),
    ],
)
def test_anchor_that_no_browser_shows_is_not_a_link(hidden: str) -> None:
    """What looks like an anchor inside of a comment, a script or an attribute does not count."""
    anchor = f'<a href="/old/{NAME}#sha256={SHA256}">x</a>'
    page = an_html_page(f'{hidden.format(anchor)}<a href="/files/{NAME}">x</a>')
    assert ([*page.links()], page.by_digest(a_digest())) == ([a_link(sha256=None)], None)


def test_commented_base_is_passed_over() -> None:
    """Only a `<base>` that a browser would use moves the links."""
    page = an_html_page(f'<!-- <base href="/mirror/"> --><a href="/files/{NAME}">x</a>')
    assert [*page.links()] == [a_link(sha256=None)]


def test_links_may_be_listed_after_one_was_looked_up() -> None:
    """A page that was parsed in part lists all of its links in order, as often as asked."""
    page = an_html_page(
        f'<a href="/files/a.whl">x</a><a href="/files/{NAME}#sha256={SHA256}">x</a>'
        f'<a href="/files/c.whl">x</a>'
    )
    page.by_digest(a_digest())
    names = ["a.whl", NAME, "c.whl"]
    assert [[link.filename for link in page.links()] for _ in range(2)] == [names, names]


@pytest.mark.parametrize("padding", range(0, 200, 7))
def test_anchor_may_lie_across_two_pieces(padding: int) -> None:
    """Where the parser pauses leaves no trace in what it reads."""
    anchor = (
        f'<a data-requires-python="&gt;=3.8" href="/files/{NAME}#sha256={SHA256}" data-yanked>x</a>'
    )
    text = f"<p>{'x' * ((1 << 16) - len('<!DOCTYPE html>  <p>') - padding)}</p>{anchor}"
    assert [*an_html_page(text).links()] == [a_link(yanked=True)]


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param('<a "', id="quote"),
        pytest.param("<a href='", id="unfinished-value"),
        pytest.param("<a x=='>", id="two-equals", marks=pytest.mark.nightly),
        pytest.param("<a ", id="unfinished-tag"),
        pytest.param("<a\0", id="nul", marks=pytest.mark.nightly),
        pytest.param("<a", id="name", marks=pytest.mark.nightly),
        pytest.param("x=\"' ", id="mixed-quotes", marks=pytest.mark.nightly),
        pytest.param("</", id="end-tag", marks=pytest.mark.nightly),
        pytest.param("<", id="angle-bracket", marks=pytest.mark.nightly),
        pytest.param("<!--", id="comment"),
        pytest.param("<!--->", id="short-comment", marks=pytest.mark.nightly),
        pytest.param("<!", id="declaration", marks=pytest.mark.nightly),
        pytest.param("<!doctype", id="doctype", marks=pytest.mark.nightly),
        pytest.param("<![CDATA[", id="cdata"),
        pytest.param("<![if ", id="marked-section", marks=pytest.mark.nightly),
        pytest.param("<?", id="processing-instruction"),
        pytest.param("<script></", id="script"),
        pytest.param("<textarea>", id="textarea", marks=pytest.mark.nightly),
        pytest.param("&#", id="reference"),
        pytest.param("9", id="digits", marks=pytest.mark.nightly),
        pytest.param(" ", id="spaces", marks=pytest.mark.nightly),
        pytest.param("=", id="equals", marks=pytest.mark.nightly),
    ],
)
def test_hostile_page_is_read_in_linear_time(unit: str) -> None:
    """A megabyte of unfinished markup does not hang a build.

    Quadratic time would be minutes here, of which nothing else in the process gets any;
    so another process reads the page, and is given more time than it can need.
    """
    program = (
        "from lambda_build_plugin.fetch.index_pages import Page\n"
        """for start in ("", "<a href=x ", "<a href='&#", "<!--", "&#"):\n"""
        f"    body = (start + {unit!r} * {1_000_000 // len(unit)}).encode()\n"
        f"    page = Page(body, url={URL!r}, content_type='text/html')\n"
        "    print(all(link.url for link in page.links()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert run.stdout == "True\n" * 5
