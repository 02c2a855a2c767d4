"""What pip finds on a page, we find, and nothing else."""

from __future__ import annotations

import importlib
from html import escape
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from lambda_build_plugin.fetch.index_pages import Page

URL = "http://index.example/simple/demo/"
FILE = "demo-1.0-py3-none-any.whl"
HTTP_SERVER = f"""\
<!DOCTYPE HTML>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Directory listing for /demo/</title>
</head>
<body>
<h1>Directory listing for /demo/</h1>
<hr>
<ul>
<li><a href="{FILE}">{FILE}</a></li>
<li><a href="demo-1.0%2Bcpu-py3-none-any.whl">demo-1.0+cpu-py3-none-any.whl</a></li>
<li><a href="gr%C3%B6%C3%9Fe-1.0.tar.gz">größe-1.0.tar.gz</a></li>
<li><a href="older/">older/</a></li>
</ul>
<hr>
</body>
</html>
"""
NGINX = f"""\
<html>
<head><title>Index of /demo/</title></head>
<body>
<h1>Index of /demo/</h1><hr><pre><a href="../">../</a>
<a href="{FILE}">{FILE[:20]}..&gt;</a>   01-Jan-2024 00:00   12345
</pre><hr></body>
</html>
"""
APACHE = f"""\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /demo</title></head><body><h1>Index of /demo</h1>
<table><tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>
<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/">Parent Directory</a></td></tr>
<tr><td><a href="{FILE}">{FILE}</a></td><td>2024-01-01</td></tr></table></body></html>
"""
PAGES = {
    "http.server": HTTP_SERVER,
    "nginx": NGINX,
    "apache": APACHE,
    "comment": f'<!-- <a href="old-1.0.zip">x</a> --><a href="{FILE}">x</a>',
    "comment-with-dashes": f'<!-- a -- b > <a href="old-1.0.zip"> --><a href="{FILE}">x</a>',
    "conditional-comment": f'<!--[if IE]><a href="old-1.0.zip"><![endif]--><a href="{FILE}">',
    "comment-in-the-middle": f'<a href="a.zip">x</a><!-- <a href="{FILE}"> --><a href="{FILE}">',
    "unfinished-comment": f'<a href="{FILE}">x</a><!-- <a href="old-1.0.zip">x</a>',
    "empty-comments": f'<!----><!-- --><a href="{FILE}">x</a><!-->-->',
    "base": f'<head><base href="http://files.example/all/"></head><a href="{FILE}">x</a>',
    "base-with-target": f'<base target="_top"><base href="http://a.example/"><a href="{FILE}">',
    "two-bases": f'<base href="http://a.example/"><base href="http://b.example/"><a href="{FILE}">',
    "base-after-links": f'<a href="{FILE}">x</a><base href="http://a.example/">',
    "base-in-a-comment": f'<!-- <base href="http://a.example/"> --><a href="{FILE}">x</a>',
    "base-upper-case": f'<BASE HREF="http://a.example/"><A HREF="{FILE}">x</A>',
    "base-and-absolute": f'<base href="http://a.example/"><a href="http://b.example/{FILE}">',
    "base-and-rooted": f'<base href="http://a.example/all/"><a href="/other/{FILE}">x</a>',
    "script": f"""<script>document.write('<a href="old-1.0.zip">')</script><a href="{FILE}">""",
    "style": f'<style><a href="old-1.0.zip"></style><a href="{FILE}">x</a>',
    "title": f'<title>&lt;a href="old-1.0.zip"&gt;</title><a href="{FILE}">x</a>',
    "attribute": f"""<p title='<a href="old-1.0.zip">'><a href="{FILE}">x</a>""",
    "no-quotes": f"<a href={FILE}>x</a>",
    "single-quotes": f"<a href='{FILE}'>x</a>",
    "several-lines": f'<a\n  class="x"\n  href="{FILE}"\n  data-requires-python="&gt;=3.8"\n>x</a>',
    "unescaped": f'<a data-requires-python=">=3.8" href="{FILE}">x</a>',
    "entities": f'<a href="{escape(FILE)}?a=1&amp;b=2#egg=x&amp;sha256={"0" * 64}">x</a>',
    "numeric-entities": f'<a href="&#100;emo-1.0&#x2e;zip">x</a><a href="{FILE}">x</a>',
    "space": f'<a href="a demo-1.0.zip">x</a><a href="{FILE}">x</a>',
    "no-href": f'<a name="top">x</a><a href="{FILE}">x</a>',
    "empty-href": f'<a href="">x</a><a href>x</a><a href="{FILE}">x</a>',
    "fragment-alone": f'<a href="#top">x</a><a href="{FILE}">x</a>',
    "yanked": f'<a href="{FILE}" data-yanked="">x</a><a href="b-1.0.zip" data-yanked="y">x</a>',
    "other-tags": f'<area href="a-1.0.zip"><link href="b-1.0.zip"><a href="{FILE}">x</a>',
    "similar-tags": f'<abbr href="a-1.0.zip"><a-b href="b-1.0.zip"><a href="{FILE}">x</a>',
    "no-end-tag": f'<a href="{FILE}"><a href="b-1.0.zip">',
    "xml": f'<?xml version="1.0"?><a href="{FILE}" /><a href="b-1.0.zip"/>',
    "cdata": f'<![CDATA[<a href="old-1.0.zip">]]><a href="{FILE}">x</a>',
    "other-scheme": f'<a href="https://a.example/{FILE}">x</a><a href="//b.example/{FILE}">x</a>',
    "dots": f'<a href="../../files/./x/../{FILE}">x</a>',
    "md5": f'<a href="{FILE}#md5={"0" * 32}">x</a>',
    "not-ascii": f'<a href="größe-1.0.zip">x</a><a href="{FILE}">x</a>',
}

Found = set[tuple[str, str, bool]]


def found_by_pip(page: str) -> Found:
    """Ask pip, and leave folders and the page itself out."""
    collector: Any = pytest.importorskip("pip._internal.index.collector")
    importlib.import_module("pip._internal.index.package_finder")
    content = collector.IndexContent(
        page.encode(), "text/html", "utf-8", URL, cache_link_parsing=False
    )
    return {
        (unquote(link.url_without_fragment), link.filename, link.is_yanked)
        for link in collector.parse_links(content)
        if not urlsplit(link.url).path.endswith("/")
    }


def found_by_us(page: str) -> Found:
    """Ask our own reader."""
    links = Page(page.encode(), url=URL, content_type="text/html").links()
    return {(unquote(link.url), link.filename, link.yanked) for link in links}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_same_links(page: str) -> None:
    """Both find the same files, at the same addresses."""
    found = found_by_us(page)
    assert found == found_by_pip(page)
    assert FILE in {filename for _, filename, _ in found}
