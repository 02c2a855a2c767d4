from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.words import NO_FILE

from lambda_build_plugin.config.indexes import IndexAccess, IndexOptions
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.fetch.configuration import DEFAULT_INDEX, HostIndexes, read_sources
from lambda_build_plugin.fetch.sources import Credentials, Login, Sources, Tls
from lambda_build_plugin.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PRIVATE = "https://private.example/simple/"
PUBLIC = "https://public.example/simple/"
OTHER = "https://other.example/simple/"
SECRET = "s3cr3t/wörd"
QUOTED = "s3cr3t%2Fw%C3%B6rd"


class Machine:
    """A folder with a home, a project and the machine's configuration; nothing else is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "home" / "code" / "project"
        self.project.mkdir(parents=True)

    def write(self, path: str, text: str) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        return place

    def sources(
        self,
        options: IndexOptions | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        hosts_own: tuple[IndexAccess, ...] | None = None,
    ) -> Sources:
        return read_sources(
            options or IndexOptions(),
            environ=environ or {},
            home=self.folder / "home",
            project=self.project,
            etc=self.folder / "etc",
            host=HostIndexes(access=hosts_own or (), are_all=hosts_own is not None),
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine without any configuration."""
    return Machine(tmp_path)


def a_credentials(*logins: tuple[str, str, str]) -> Credentials:
    """Keep a user and a password for the origin of each URL."""
    return Credentials(
        by_index={url: Login(username=user, password=word) for url, user, word in logins}
    )


def some_sources(
    *indexes: str,
    find_links: tuple[str, ...] = (),
    credentials: Credentials | None = None,
    tls: Tls | None = None,
    proxies: Mapping[str, str] | None = None,
    first_index: bool = False,
) -> Sources:
    """Make sources that have what is given, and nothing else."""
    return Sources(
        indexes=indexes,
        first_index=first_index,
        find_links=find_links,
        credentials=credentials or Credentials(),
        tls=tls or Tls(),
        proxies=proxies or {},
    )


def test_default_index_is_asked_where_none_is_configured(machine: Machine) -> None:
    """A machine without any configuration has one index, and nothing else."""
    assert machine.sources() == some_sources(DEFAULT_INDEX)


def test_extra_index_stands_beside_the_default_one(machine: Machine) -> None:
    """One extra index does not replace the default one, and is asked before it."""
    found = machine.sources(environ={"PIP_EXTRA_INDEX_URL": PRIVATE})
    assert found == some_sources(PRIVATE, DEFAULT_INDEX)


# --- the lock -------------------------------------------------------------------------


def test_lock_names_its_own_places(machine: Machine) -> None:
    """The options of the lock are read like those of the machine."""
    options = IndexOptions(
        index_url="https://user:word@public.example/simple",
        extra_index_urls=("https://private.example/simple",),
        find_links=("/wheels",),
    )
    assert machine.sources(options) == some_sources(
        PRIVATE,
        PUBLIC,
        find_links=("/wheels",),
        credentials=a_credentials((PUBLIC, "user", "word")),
    )


def test_index_of_the_lock_stands_alone(machine: Machine) -> None:
    """A lock that names its index does not mean those of the machine, whose logins still serve."""
    environ = {
        "PIP_INDEX_URL": "https://user:word@public.example/simple",
        "UV_INDEX": OTHER,
    }
    assert machine.sources(IndexOptions(index_url=PUBLIC), environ) == some_sources(
        PUBLIC, credentials=a_credentials((PUBLIC, "user", "word"))
    )


def test_extra_index_of_the_lock_comes_first(machine: Machine) -> None:
    """An extra index of the lock joins those of the machine."""
    environ = {"PIP_INDEX_URL": PUBLIC, "PIP_EXTRA_INDEX_URL": OTHER}
    assert machine.sources(IndexOptions(extra_index_urls=(PRIVATE,)), environ) == some_sources(
        PRIVATE, OTHER, PUBLIC
    )


# --- pip ------------------------------------------------------------------------------


def test_pip_conf_is_read(machine: Machine) -> None:
    """Every key of pip.conf that tells where files are is read."""
    machine.write(
        "home/.config/pip/pip.conf",
        "[global]\n"
        "index-url = https://user:word@public.example/simple\n"
        "extra-index-url =\n"
        "    https://private.example/simple\n"
        "    https://other.example/simple/\n"
        "find-links = /wheels https://links.example/all.html\n"
        "trusted-host = private.example\n"
        "cert = /etc/ca.pem\n"
        "client-cert = /etc/me.pem\n"
        "proxy = http://proxy.example:3128\n",
    )
    assert machine.sources(environ={"NO_PROXY": "private.example"}) == some_sources(
        PRIVATE,
        OTHER,
        PUBLIC,
        find_links=("/wheels", "https://links.example/all.html"),
        credentials=a_credentials((PUBLIC, "user", "word")),
        tls=Tls(
            ca_file="/etc/ca.pem",
            client_certificate="/etc/me.pem",
            trusted_hosts=frozenset({"private.example"}),
        ),
        proxies={"all": "http://proxy.example:3128", "no": "private.example"},
    )


def test_stronger_pip_file_wins(machine: Machine) -> None:
    """Machine, user, environment: what is nearer replaces what is farther, key by key."""
    layers = [
        "etc/xdg/pip/pip.conf",
        "etc/pip.conf",
        "home/.pip/pip.conf",
        "home/.config/pip/pip.conf",
        "venv/pip.conf",
    ]
    environ = {"VIRTUAL_ENV": str(machine.folder / "venv")}
    found: list[str] = []
    for number, layer in enumerate(layers):
        machine.write(layer, f"[global]\nindex_url = https://{number}.example/simple\n")
        found += machine.sources(environ=environ).indexes
    found += machine.sources(environ={**environ, "PIP_INDEX_URL": PRIVATE}).indexes
    assert found == [*(f"https://{number}.example/simple/" for number in range(5)), PRIVATE]


def test_section_of_the_command_wins(machine: Machine) -> None:
    """`[install]` wins over `[global]`, although the latter stands in a stronger file."""
    machine.write("etc/pip.conf", f"[install]\nindex-url = {PRIVATE}\n")
    machine.write("home/.config/pip/pip.conf", f"[global]\nindex-url = {PUBLIC}\n")
    assert machine.sources() == some_sources(PRIVATE)


def test_named_pip_file_replaces_the_users(machine: Machine) -> None:
    """With `PIP_CONFIG_FILE` pip reads that file and the machine's, not the user's."""
    machine.write("etc/pip.conf", f"[global]\nextra-index-url = {OTHER}\n")
    machine.write("home/.config/pip/pip.conf", "[global]\nno-index = true\n")
    named = machine.write("ci.conf", f"[global]\nindex-url = {PRIVATE}\n")
    found = machine.sources(environ={"PIP_CONFIG_FILE": str(named)})
    assert found == some_sources(OTHER, PRIVATE)


def test_null_device_turns_pip_files_off(machine: Machine) -> None:
    """`PIP_CONFIG_FILE=/dev/null` means no file of pip's at all."""
    machine.write("etc/pip.conf", f"[global]\nindex-url = {OTHER}\n")
    assert machine.sources(environ={"PIP_CONFIG_FILE": "/dev/null"}) == some_sources(DEFAULT_INDEX)


def test_no_index_leaves_find_links(machine: Machine) -> None:
    """`no-index` turns the indexes off, whoever named them, but no folder."""
    environ = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/wheels /more",
        "PIP_INDEX_URL": PUBLIC,
        "UV_INDEX": PRIVATE,
    }
    assert machine.sources(environ=environ) == some_sources(find_links=("/wheels", "/more"))


def test_broken_pip_conf_is_an_error(machine: Machine) -> None:
    """A pip.conf that cannot be read names itself."""
    path = machine.write("home/.config/pip/pip.conf", "index-url = x\n")
    with pytest.raises(SettingsError) as caught:
        machine.sources()
    assert caught.value.problems[0].startswith(f"{path}: ")


# --- uv -------------------------------------------------------------------------------


def test_uv_table_is_read(machine: Machine) -> None:
    """Every key of `[tool.uv]` that tells where files are is read."""
    machine.write(
        "home/code/project/pyproject.toml",
        """\
[[tool.uv.index]]
name = "main"
url = "https://public.example/simple"
default = true

[[tool.uv.index]]
url = "https://user:word@private.example/simple"

[[tool.uv.index]]
name = "only-torch"
url = "https://token@other.example/simple"
explicit = true

[[tool.uv.index]]
name = "flat"
url = "./wheels"
format = "flat"

[tool.uv]
extra-index-url = ["https://extra.example/simple"]
find-links = ["https://links.example/all.html"]
allow-insecure-host = ["private.example:443"]
""",
    )
    assert machine.sources() == some_sources(
        PRIVATE,
        "https://extra.example/simple/",
        PUBLIC,
        find_links=(f"{machine.project}/wheels", "https://links.example/all.html"),
        credentials=a_credentials((PRIVATE, "user", "word"), (OTHER, "token", "")),
        tls=Tls(trusted_hosts=frozenset({"private.example:443"})),
        first_index=True,
    )


def test_uv_variables_are_read(machine: Machine) -> None:
    """The variables of uv, the old ones too, with names in front of the URLs."""
    environ = {
        "UV_DEFAULT_INDEX": f"main={PUBLIC}",
        "UV_INDEX": f"private={PRIVATE} {OTHER}",
        "UV_EXTRA_INDEX_URL": "https://old.example/simple?a=b",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "private.example",
        "UV_INDEX_PRIVATE_USERNAME": "user",
        "UV_INDEX_PRIVATE_PASSWORD": SECRET,
    }
    assert machine.sources(environ=environ) == some_sources(
        PRIVATE,
        OTHER,
        "https://old.example/simple/?a=b",
        PUBLIC,
        find_links=("/wheels", "/more"),
        credentials=a_credentials((PRIVATE, "user", SECRET)),
        tls=Tls(trusted_hosts=frozenset({"private.example"})),
        first_index=True,
    )


def test_named_credentials_reach_an_index_of_a_file(machine: Machine) -> None:
    """`UV_INDEX_<NAME>_…` belong to the index of that name, and win over its URL."""
    machine.write(
        "home/code/project/uv.toml",
        '[[index]]\nname = "my-index.2"\nurl = "https://me:old@private.example/simple"\n'
        "explicit = true\n",
    )
    environ = {"UV_INDEX_MY_INDEX_2_USERNAME": "user", "UV_INDEX_MY_INDEX_2_PASSWORD": "word"}
    assert machine.sources(environ=environ) == some_sources(
        DEFAULT_INDEX, credentials=a_credentials((PRIVATE, "user", "word"))
    )


def test_uv_files_add_up(machine: Machine) -> None:
    """Project, user and machine each add their indexes, the nearest first."""
    for number, path in enumerate(
        ("home/code/uv.toml", "home/.config/uv/uv.toml", "etc/uv/uv.toml")
    ):
        machine.write(path, f'[[index]]\nurl = "https://{number}.example/"\n')
    assert machine.sources() == some_sources(
        "https://0.example/",
        "https://1.example/",
        "https://2.example/",
        DEFAULT_INDEX,
        first_index=True,
    )


def test_uv_toml_wins_over_pyproject(machine: Machine) -> None:
    """Where both lie in a folder, uv reads uv.toml alone; folders above do not count."""
    machine.write("home/code/project/uv.toml", f'index = [{{ url = "{PRIVATE}" }}]\n')
    machine.write(
        "home/code/project/pyproject.toml", f'[tool.uv]\nindex = [{{ url = "{PUBLIC}" }}]\n'
    )
    machine.write("home/code/uv.toml", f'index = [{{ url = "{OTHER}" }}]\n')
    assert machine.sources() == some_sources(PRIVATE, DEFAULT_INDEX, first_index=True)


def test_workspace_is_configured_at_its_root(machine: Machine) -> None:
    """A member's own tables do not hide the indexes of its workspace."""
    machine.write(
        "home/code/project/pyproject.toml", "[tool.uv.sources]\nlib = { workspace = true }\n"
    )
    machine.write(
        "home/code/pyproject.toml",
        f'[tool.uv]\nindex = [{{ url = "{PRIVATE}" }}]\nworkspace = {{ members = ["*"] }}\n',
    )
    machine.write("home/code/uv.lock", "")
    assert machine.sources() == some_sources(PRIVATE, DEFAULT_INDEX, first_index=True)


@pytest.mark.parametrize(
    ("variable", "indexes"),
    [
        pytest.param("UV_NO_CONFIG", (DEFAULT_INDEX,), id="none"),
        pytest.param("UV_CONFIG_FILE", (OTHER, DEFAULT_INDEX), id="another"),
    ],
)
def test_uv_files_can_be_replaced(
    machine: Machine, variable: str, indexes: tuple[str, ...]
) -> None:
    """`UV_NO_CONFIG` turns all files off, `UV_CONFIG_FILE` names the only one."""
    machine.write("home/code/project/uv.toml", f'index = [{{ url = "{PRIVATE}" }}]\n')
    named = machine.write("other.toml", f'index = [{{ url = "{OTHER}" }}]\n')
    value = str(named) if variable == "UV_CONFIG_FILE" else "1"
    expected = some_sources(*indexes, first_index=len(indexes) > 1)
    assert machine.sources(environ={variable: value}) == expected


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        pytest.param("uv.toml", "[", "{folder}/uv.toml: is not TOML", id="no-toml"),
        pytest.param(
            "pyproject.toml",
            'tool = "x"',
            "pyproject.toml: tool: must be a table",
            id="tool-is-no-table",
        ),
        pytest.param(
            "pyproject.toml",
            "[[tool.uv.index]]\nname = 'x'\n",
            "pyproject.toml: tool.uv.index[0]: the required key `url` is missing",
            id="index-without-url",
        ),
    ],
)
def test_broken_uv_file_is_an_error(machine: Machine, path: str, text: str, problem: str) -> None:
    """A configuration of uv's that cannot be read names its place."""
    machine.write(f"home/code/project/{path}", text)
    with pytest.raises(SettingsError) as caught:
        machine.sources()
    expected = problem.format(folder=machine.project)
    assert [found[: len(expected)] for found in caught.value.problems] == [expected]


def test_absent_uv_file_is_an_error(machine: Machine) -> None:
    """A file that a variable names has to be there."""
    with pytest.raises(SettingsError) as caught:
        machine.sources(environ={"UV_CONFIG_FILE": "/absent/uv.toml"})
    assert caught.value.problems == (f"/absent/uv.toml: {NO_FILE}",)


# --- URLs and paths -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("wheels", "{project}/wheels", id="relative"),
        pytest.param("../wheels", "{project}/../wheels", id="above"),
        pytest.param("~/wheels", "{home}/wheels", id="home"),
        pytest.param("/wheels", "/wheels", id="absolute"),
        pytest.param("file:///wheels", "file:///wheels", id="file-url"),
        pytest.param("https://links.example/a.html#x", "https://links.example/a.html", id="page"),
    ],
)
def test_find_links_location(machine: Machine, text: str, place: str) -> None:
    """A path becomes absolute; a page stays a page."""
    expected = place.format(project=machine.project, home=machine.folder / "home")
    assert machine.sources(environ={"PIP_FIND_LINKS": text}).find_links == (expected,)


def test_folder_as_an_index(machine: Machine) -> None:
    """An index may be a folder, by path or by URL."""
    environ = {"PIP_INDEX_URL": "simple", "PIP_EXTRA_INDEX_URL": "file:///srv/simple"}
    assert machine.sources(environ=environ).indexes == (
        "file:///srv/simple/",
        f"{machine.project}/simple",
    )


def test_one_index_under_two_names_is_asked_once(machine: Machine) -> None:
    """Two tools that name one index, with and without a slash, mean the same."""
    environ = {"PIP_INDEX_URL": PUBLIC, "UV_DEFAULT_INDEX": PUBLIC.rstrip("/")}
    assert machine.sources(environ=environ) == some_sources(PUBLIC)


def test_url_that_is_none_is_an_error(machine: Machine) -> None:
    """A mistake in a URL is told without the password in it."""
    with pytest.raises(SettingsError) as caught:
        machine.sources(environ={"PIP_INDEX_URL": f"https://user:{QUOTED}@host:port/simple"})
    assert caught.value.problems[0].startswith(
        "`https://host:port/simple` is not a valid index URL: "
    )
    assert QUOTED not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("https://u:p@host/a?token=t#f", "https://host/a", id="everything"),
        pytest.param("https://u:p@[broken/a?token=t", "https://[broken/a", id="no-address"),
        pytest.param("git+ssh://u:p@ss@host/a@v1#egg=a", "git+ssh://host/a@v1", id="at-sign"),
        pytest.param("https://u:p/a?s#s@host:1/a", "https://host:1/a", id="unquoted-password"),
        pytest.param("https://[::1]:8080/a@b", "https://[::1]:8080/a@b", id="port-of-an-ipv6"),
        pytest.param("https://u:p s@host/a", "https://host/a", id="space"),
        pytest.param("/odd #folder?/x", "/odd #folder?/x", id="path"),
    ],
)
def test_redacted(url: str, shown: str) -> None:
    """What may be secret in a URL is left out of messages, and nothing of a path."""
    assert redacted(url) == shown


# --- credentials ----------------------------------------------------------------------


def test_secrets_are_in_no_repr(machine: Machine) -> None:
    """Whoever prints the sources sees neither password nor token nor proxy login."""
    machine.write("home/.netrc", "machine files.example login tok-n password s3cr3t-netrc\n")
    found = machine.sources(
        environ={
            "PIP_INDEX_URL": f"https://tok-n:{QUOTED}@private.example/simple",
            "HTTPS_PROXY": "http://tok-n:s3cr3t@proxy.example",
        }
    )
    shown = f"{found!r} {found.credentials!r} {found.credentials.of(PRIVATE)!r}"
    assert [word for word in ("s3cr3t", "tok-n", "wörd") if word in shown] == []


@pytest.mark.parametrize(
    ("url", "login"),
    [
        pytest.param("https://host.example/a/b", "own", id="same"),
        pytest.param("HTTPS://HOST.example:443/", "own", id="same-spelled-otherwise"),
        pytest.param("https://host.example:8443/", None, id="other-port"),
        pytest.param("http://host.example/", None, id="other-scheme"),
        pytest.param("https://evil.example/", None, id="other-host"),
        pytest.param("https://host.example.evil.example/", None, id="longer-host"),
        pytest.param("https://host.example@evil.example/", None, id="host-as-user"),
    ],
)
def test_login_belongs_to_its_origin(url: str, login: str | None) -> None:
    """Scheme, host and port have to be those of the login."""
    found = a_credentials(("https://host.example/simple/", "own", "word")).of(url)
    assert (found.username if found else None) == login


@pytest.mark.parametrize("variable", [None, "NETRC"])
def test_netrc_is_read(machine: Machine, variable: str | None) -> None:
    """`~/.netrc`, or the file that `NETRC` names, has logins by host."""
    path = machine.write(
        "other" if variable else "home/.netrc",
        "machine private.example login user password word\n"
        "default login anonymous password me@example\n",
    )
    environ = {variable: str(path)} if variable else {}
    assert machine.sources(environ=environ) == some_sources(
        DEFAULT_INDEX,
        credentials=Credentials(
            by_host={"private.example": Login(username="user", password="word")}
        ),
    )


@pytest.mark.parametrize("content", [b"machine", b"\xff\xfe", b"nonsense here\n"])
def test_broken_netrc_is_passed_over(machine: Machine, content: bytes) -> None:
    """A netrc file that is none is no reason to fail."""
    machine.write("home/.netrc", "").write_bytes(content)
    assert machine.sources() == some_sources(DEFAULT_INDEX)


def test_netrc_login_goes_out_encrypted(machine: Machine) -> None:
    """A netrc knows hosts alone: without TLS only an index that is configured so hears of it."""
    machine.write("home/.netrc", "machine host.example login user password word\n")
    found = machine.sources(environ={"PIP_INDEX_URL": "http://host.example:8080/simple"})
    urls = (
        "https://host.example/",
        "http://host.example:8080/files/",
        "http://host.example/",
        "https://other.example/",
    )
    login = Login(username="user", password="word")
    assert [found.credentials.of(url) for url in urls] == [login, login, None, None]


def test_login_of_a_url_wins_for_its_origin() -> None:
    """A locked URL may bring its own login, for itself and nobody else."""
    before = a_credentials((PRIVATE, "user", "word"))
    after = before.with_login_of("https://me:own@private.example/files/a.whl")

    own, indexs = Login(username="me", password="own"), Login(username="user", password="word")
    assert after.of("https://private.example/files/a.whl") == own
    assert after.of(PRIVATE) == indexs
    assert before.with_login_of(PRIVATE) is before


def test_indexes_of_one_server_keep_their_logins() -> None:
    """Of two logins for one origin that of the nearer index counts, for its files as well."""
    one, two = Login(username="a", password="1"), Login(username="b", password="2")
    credentials = Credentials(
        by_index={
            "https://private.example/api/one/simple/": one,
            "https://private.example/api/two/simple/": two,
        }
    )

    urls = {
        "https://private.example/api/one/simple/demo/": one,
        "https://private.example/api/two/simple/demo/": two,
        "https://private.example/api/two/files/demo-1.0-py3-none-any.whl": two,
        "https://private.example:8443/api/two/simple/demo/": None,
    }
    assert {url: credentials.of(url) for url in urls} == urls


# --- proxies and certificates ---------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "proxies"),
    [
        pytest.param(
            {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:2", "NO_PROXY": "a,b"},
            {"https": "http://p:1", "all": "http://q:2", "no": "a,b"},
            id="upper-case",
        ),
        pytest.param(
            {"http_proxy": "p:1", "HTTP_PROXY": "q:2", "no_proxy": "a", "NO_PROXY": "b"},
            {"http": "p:1", "no": "a"},
            id="lower-case-wins",
        ),
        pytest.param({"http_proxy": "", "HTTP_PROXY": "q:2"}, {}, id="empty-is-off"),
        pytest.param({"HTTP_PROXY": "q:2", "REQUEST_METHOD": "GET"}, {}, id="cgi"),
    ],
)
def test_proxies(machine: Machine, environ: dict[str, str], proxies: dict[str, str]) -> None:
    """Proxies come from the environment, spelled as everywhere."""
    assert machine.sources(environ=environ) == some_sources(DEFAULT_INDEX, proxies=proxies)


@pytest.mark.parametrize(
    ("environ", "tls"),
    [
        pytest.param(
            {"SSL_CERT_FILE": "a", "PIP_CERT": "b", "REQUESTS_CA_BUNDLE": "c"},
            Tls(ca_file="a"),
            id="SSL_CERT_FILE",
        ),
        pytest.param({"PIP_CERT": "b", "REQUESTS_CA_BUNDLE": "c"}, Tls(ca_file="b"), id="PIP_CERT"),
        pytest.param(
            {"REQUESTS_CA_BUNDLE": "c", "CURL_CA_BUNDLE": "d"},
            Tls(ca_file="c"),
            id="REQUESTS_CA_BUNDLE",
        ),
        pytest.param({"CURL_CA_BUNDLE": "d"}, Tls(ca_file="d"), id="CURL_CA_BUNDLE"),
        pytest.param({"SSL_CERT_DIR": "e"}, Tls(ca_folder="e"), id="SSL_CERT_DIR"),
        pytest.param(
            {"SSL_CLIENT_CERT": "f", "PIP_CLIENT_CERT": "g"},
            Tls(client_certificate="f"),
            id="SSL_CLIENT_CERT",
        ),
    ],
)
def test_certificates(machine: Machine, environ: dict[str, str], tls: Tls) -> None:
    """The variables that OpenSSL, uv, pip and requests know, in this order."""
    assert machine.sources(environ=environ) == some_sources(DEFAULT_INDEX, tls=tls)


# --- indexes of a host ----------------------------------------------------------------


def test_hosts_own_indexes_stand_alone(machine: Machine) -> None:
    """What a host names takes the place of the lock's indexes and of pip's and uv's."""
    found = machine.sources(
        IndexOptions(index_url="https://lock.example/simple/"),
        {"UV_INDEX": OTHER, "PIP_INDEX_URL": OTHER},
        hosts_own=(
            IndexAccess(url="https://private.example/simple", username="user", password="word"),
            IndexAccess(url="https://links.example/all.html", flat=True),
            IndexAccess(url=PUBLIC),
        ),
    )
    assert found == some_sources(
        PRIVATE,
        PUBLIC,
        find_links=("https://links.example/all.html",),
        credentials=a_credentials((PRIVATE, "user", "word")),
    )


def test_host_without_an_index_has_none(machine: Machine) -> None:
    """No default index steps in where a host has nothing but a folder, or nothing."""
    folder = IndexAccess(url="wheels", flat=True)
    assert machine.sources(hosts_own=(folder,)) == some_sources(
        find_links=(f"{machine.project}/wheels",)
    )
    assert machine.sources(hosts_own=()) == some_sources()


def test_indexes_of_the_lock_bring_their_logins(machine: Machine) -> None:
    """What a lock knows of its indexes counts, and the machine's default one is asked last."""
    private = IndexAccess(url=PRIVATE, username="user", password="word", verify=False)
    found = machine.sources(IndexOptions.of([private], alone=False), {"PIP_INDEX_URL": PUBLIC})
    assert (found.indexes, found.credentials) == (
        (PRIVATE, PUBLIC),
        a_credentials((PRIVATE, "user", "word")),
    )
    assert found.tls_of(PRIVATE) == Tls(trusted_hosts=frozenset({"private.example"}))


def test_key_of_a_client_certificate_goes_with_it(machine: Machine) -> None:
    """A key in a file of its own belongs to the certificate of that index alone."""
    own = IndexAccess(url=PRIVATE, client_certificate="me.pem", client_key="me.key")
    found = machine.sources(hosts_own=(own, IndexAccess(url=PUBLIC)))
    assert found.tls_of(PRIVATE) == Tls(client_certificate="me.pem", client_key="me.key")
    assert found.tls_of(PUBLIC) == Tls()


@pytest.mark.parametrize(
    ("name", "places"),
    [
        pytest.param("requests", {"/wheels", PRIVATE, PUBLIC}, id="any that does not refuse"),
        pytest.param("acme-tools", {PRIVATE}, id="only the one that claims it"),
        pytest.param("acme", {PRIVATE, "/wheels"}, id="all that claim it"),
        pytest.param("secret-tools", {"/wheels", PRIVATE}, id="not the one that refuses"),
        pytest.param("acme-secret", {PRIVATE}, id="a claim wins over a refusal"),
    ],
)
def test_places_of_a_package(machine: Machine, name: str, places: set[str]) -> None:
    """`include` claims packages for an index, `exclude` keeps them from it, as in PDM."""
    found = machine.sources(
        hosts_own=(
            IndexAccess(url="/wheels", flat=True, include=("acme",)),
            IndexAccess(url=PRIVATE, include=("acme-*", "acme"), exclude=("acme-secret",)),
            IndexAccess(url=PUBLIC, exclude=("secret-*",)),
        )
    )
    assert found.places_of(name) == places


def test_index_that_is_named_twice_serves_what_either_admits(machine: Machine) -> None:
    """Two entries of one URL add up."""
    found = machine.sources(
        hosts_own=(
            IndexAccess(url=PRIVATE, include=("one",)),
            IndexAccess(url=PRIVATE, include=("two",), exclude=("*",)),
            IndexAccess(url=PUBLIC, exclude=("three",)),
        )
    )
    assert {name: found.places_of(name) for name in ("one", "two", "three")} == {
        "one": {PRIVATE},
        "two": {PRIVATE},
        "three": {PRIVATE},
    }
