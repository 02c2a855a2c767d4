"""Valid inputs of every parser, which are changed in places that hypothesis chooses."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from fakes.elf import an_elf
from fakes.wheels import a_wheel, an_sdist

__all__ = ["JSON_PAGE", "LOCKS", "PAGE", "SEEDS", "SHA256", "WORDS"]

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "locks"

SHA256 = "ab" * 32

_UV = """\
version = 1
revision = 3
requires-python = ">=3.10"
resolution-markers = ["python_full_version >= '3.12'", "python_full_version < '3.12'"]

[[package]]
name = "demo"
version = "1.0"
source = { editable = "." }
dependencies = [
    { name = "pinned", marker = "sys_platform == 'linux'" },
]

[package.metadata]
requires-dist = [{ name = "pinned", marker = "sys_platform == 'linux'" }]

[[package]]
name = "pinned"
version = "1.0"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/pinned-1.0.tar.gz", hash = "sha256:@NONE@", size = 3 }
wheels = [
    { url = "https://index.example/pinned-1.0-py3-none-any.whl", hash = "sha256:@NONE@" },
]
""".replace("@NONE@", "0" * 64)

_REQUIREMENTS = f"""\
--index-url https://user:word@index.example/simple/
--extra-index-url https://other.example/simple/
pinned[extra]==1.0 ; python_version >= "3.10" \\
    --hash=sha256:{"0" * 64}
other @ git+https://host.example/other.git@{"a" * 40}#subdirectory=here
third @ https://host.example/third-2.0-py3-none-any.whl#sha256={"1" * 64}
./wheels/fourth-1.0-py3-none-any.whl --hash=sha256:{"2" * 64}
-e ./fifth
"""

_PDM = f"""\
[metadata]
groups = ["default", "dev"]
strategy = ["inherit_metadata"]
lock_version = "4.5.0"
content_hash = "sha256:{"0" * 64}"

[[metadata.targets]]
requires_python = ">=3.10"

[[package]]
name = "pinned"
version = "1.0"
extras = ["extra"]
requires_python = ">=3.8"
summary = "about"
groups = ["default"]
marker = "sys_platform == 'linux'"
dependencies = ["other>=1; python_version < '3.14'"]
files = [
    {{file = "pinned-1.0-py3-none-any.whl", hash = "sha256:{"0" * 64}"}},
]

[[package]]
name = "other"
version = "2.0"
git = "https://host.example/other.git"
ref = "main"
revision = "{"a" * 40}"
groups = ["default", "dev"]
"""

_PIPFILE = f"""\
{{
    "_meta": {{
        "hash": {{"sha256": "{"0" * 64}"}},
        "pipfile-spec": 6,
        "requires": {{"python_version": "3.13"}},
        "sources": [
            {{"name": "own", "url": "https://user:word@index.example/simple", "verify_ssl": true}}
        ]
    }},
    "default": {{
        "pinned": {{
            "extras": ["extra"],
            "hashes": ["sha256:{"0" * 64}"],
            "index": "own",
            "markers": "sys_platform == 'linux'",
            "version": "==1.0"
        }},
        "other": {{"git": "https://host.example/other.git", "ref": "{"a" * 40}"}},
        "fourth": {{"path": "./fourth", "editable": true}}
    }},
    "develop": {{}}
}}
"""

LOCKS = {
    "pylock.toml": (_FIXTURES / "pylock.spec-example.toml").read_text(encoding="utf-8"),
    "uv.lock": _UV,
    "pdm.lock": _PDM,
    "Pipfile.lock": _PIPFILE,
    "poetry.lock": (_FIXTURES / "poetry.v2-1.lock").read_text(encoding="utf-8"),
    "requirements.txt": _REQUIREMENTS,
    "requirements.lock": _REQUIREMENTS,
}
"""A valid lock of each format, by its file name."""

PAGE = f"""\
<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0">
<base href="https://files.example/"></head><body>
<a href="pinned-1.0.tar.gz#sha256={SHA256}" data-requires-python="&gt;=3.8">pinned-1.0.tar.gz</a>
<a href='../p-1.0-py3-none-any.whl#sha256={SHA256}' data-yanked>p-1.0-py3-none-any.whl</a>
</body></html>
"""

JSON_PAGE = f"""\
{{"meta": {{"api-version": "1.0"}}, "name": "pinned", "files": [{{
"filename": "pinned-1.0.tar.gz", "url": "../pinned-1.0.tar.gz", "yanked": false,
"hashes": {{"sha256": "{SHA256}"}}}}]}}
"""

_PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "demo"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["pinned; sys_platform == 'linux'"]
optional-dependencies = { extra = ["other>=1"] }

[dependency-groups]
dev = ["third", { include-group = "more" }]
more = []

[tool.lambda-build]
runtime = "python3.13"
architecture = ["arm64", "x86_64"]
exclude = ["*.md", "!kept.md"]
bytecode = true

[tool.lambda-build.artifacts.one]
handler = "demo.app.handler"

[tool.poetry.dependencies]
python = "^3.10"
pinned = { version = "^1.0", markers = "sys_platform == 'linux'" }

[tool.uv.sources]
pinned = { git = "https://host.example/pinned.git", rev = "abc" }
"""

_METADATA = """\
Metadata-Version: 2.4
Name: pinned
Version: 1.0
Requires-Python: >=3.8
Provides-Extra: extra
Requires-Dist: other[more]>=1,<2; python_version >= "3.8" and extra == "extra"

Name: the description
"""

_RECORD = """\
pinned/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
"pinned/a,b.py",,
pinned-1.0.dist-info/RECORD,,
"""

_MARKER = (
    '("group" in dependency_groups or extra == "a") and python_full_version >= "3.10.0" '
    'and platform_machine not in "x86_64 aarch64"'
)

_WHEEL = a_wheel(
    "pinned",
    "1.0",
    files={
        "pinned/a.py": b"x = 1\n" * 50,
        "pinned/_b.so": an_elf(versions={"libc.so.6": ["GLIBC_2.17"]}),
        "pinned-1.0.data/data/d": b"data",
    },
    entry_points="[console_scripts]\npinned = pinned.a:main\n",
).content


def _a_zip64() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("demo/app.py", "w", force_zip64=True) as file:
            file.write(b"x = 1\n" * 50)
        archive.writestr("demo/data.bin", bytes(100), zipfile.ZIP_STORED)
    return buffer.getvalue()


def _a_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in (
            ("pinned-1.0", tarfile.DIRTYPE),
            ("pinned-1.0/setup.py", tarfile.REGTYPE),
            (f"pinned-1.0/{'long' * 40}.py", tarfile.REGTYPE),
            ("pinned-1.0/link.py", tarfile.SYMTYPE),
            ("pinned-1.0/hard.py", tarfile.LNKTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = {
                tarfile.SYMTYPE: "setup.py",
                tarfile.LNKTYPE: "pinned-1.0/setup.py",
            }.get(kind, "")
            archive.addfile(info)
    return buffer.getvalue().rstrip(b"\0") + bytes(1024)


SEEDS: dict[str, tuple[bytes, ...]] = {
    **{name: (text.encode(),) for name, text in LOCKS.items()},
    "html-page": (PAGE.encode(),),
    "json-page": (JSON_PAGE.encode(),),
    "marker": (_MARKER.encode(),),
    "metadata": (_METADATA.encode(),),
    "pattern": (b"!/demo/**/data[a-z]*/\\#x?.py\ndemo/long/data1/#xy.py",),
    "poetry-constraint": (b"^1.2 || ~2.0 || >=1!3.0,<4 || 5.* || !=6", b"^3.10"),
    "pyproject": (_PROJECT.encode(),),
    "record": (_RECORD.encode(),),
    "elf": (
        an_elf(needed=("libc.so.6", "libm.so.6"), versions={"libc.so.6": ["GLIBC_2.17"]}),
        an_elf("aarch64", interpreter="/lib/ld-musl-aarch64.so.1"),
    ),
    "sdist": (_a_tar(), an_sdist("pinned", "1.0").content),
    "wheel": (_WHEEL,),
    "zip": (_WHEEL, _a_zip64()),
}
"""Valid inputs by the name of the parser's target."""

_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, 1 << 63)

WORDS = tuple(
    word.encode("utf-8", "surrogatepass")
    for word in (
        *"[]{}()=,.;:#@\"'\\/-_*~^<>!| \n\t\r\0",
        *("name", "version", "marker", "hash", "sha256:", "url", "path", "git", "extra", "-r"),
        *("-e", "[[package]]", "[[packages]]", "true", "-1", "1e999", "nan", "1979-05-27"),
        *("{}", "[]", "://", "file:///", "https://[", "../", "%00", "9" * 5000, "and", "or"),
        *("in", "python_version", "\ud7ff", "\ufeff", "\x85", "\u2028", "\u0663", "${HOME}"),
        *("==", "===", "1!2.0+local", "<a ", "href", "||", "**/", "[!a-z]", " " * 3000),
        *(('<a "' * 500), "a*" * 20, "[" * 500, "(" * 500),
    )
) + tuple(
    number.to_bytes(size, "little")
    for number in _NUMBERS
    for size in (2, 4, 8)
    if number < 1 << (8 * size)
)
"""What the formats are made of, and what parsers stumble over; numbers as zips have them."""
