"""Which environment variables a build of somebody else's source does not get.

The backend of an sdist or of a commit is a program of its author. It needs the compiler and
the settings of the machine, but not what the user logs in with. The
page `docs/explanation/security.md` has this list for users.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["withheld_from_backend", "withheld_from_installer"]

_WORDS = (
    *("AUTH", "COOKIE", "CREDENTIAL", "CREDENTIALS", "CREDS", "DSN", "JWT", "KEY", "KEYS", "PASS"),
    *("PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS", "PAT", "PWD", "SECRET", "SECRETS"),
    *("TOKEN", "TOKENS", "WEBHOOK"),
)
"""Names with one of these words between underscores are withheld: `DB_PASSWORD`, `KEY_ID`."""

_CLOUDS_AND_FORGES = (
    *("ACTIONS", "ALIBABA", "AMAZON", "ARM", "AWS", "AZURE", "BITBUCKET", "BUILDKITE", "CDK"),
    *("CIRCLE", "CIRCLECI", "CLOUDFLARE", "CLOUDSDK", "CODEBUILD", "CODECOV", "CONSUL", "DATADOG"),
    *("DIGITALOCEAN", "DOCKER", "DRONE", "FLY", "GCLOUD", "GCP", "GH", "GITEA", "GITHUB"),
    *("GITLAB", "GOOGLE", "GPG", "HEROKU", "JENKINS", "KUBE", "KUBERNETES", "NETLIFY", "NOMAD"),
    *("NPM", "OCI", "PULUMI", "SAM", "SENTRY", "SERVERLESS", "SLACK", "SLS", "TERRAFORM", "TF"),
    *("TRAVIS", "TWINE", "VAULT", "VERCEL"),
)
"""Names that begin with one of these words and an underscore are withheld."""

_SECRETS = re.compile(
    rf"""
      (?: .*_ )? (?: {"|".join(_WORDS)} ) (?: _.* )?
    | .* (?: TOKEN | SECRET | PASSWORD | APIKEY ) .*
    | (?: {"|".join(_CLOUDS_AND_FORGES)} ) _ .*
    | .* (?: DATABASE | BROKER | MONGO\w* | POSTGRES\w* | REDIS | SQL ) _? (?: URL | URI )
    | CI_ (?: DEPENDENCY_PROXY | DEPLOY | JOB | REGISTRY | REPOSITORY ) .*
    | (?: HATCH_INDEX | PDM_PUBLISH | UV_PUBLISH ) _ .*
    | POETRY_ (?: HTTP_BASIC | PYPI | REPOSITORIES ) _ .*
    | KUBECONFIG | NETRC | SSH_AUTH_SOCK | (?: GIT | SSH )_ASKPASS
    | GIT_CONFIG_ (?: COUNT | KEY_ .* | PARAMETERS | VALUE_ .* )
    """,
    re.VERBOSE | re.IGNORECASE,
)

_ORDINARY = frozenset({"PWD", "OLDPWD"})
"""Names with a word that means something else here."""

_OF_INDEXES = re.compile(
    r"(?:UV|PIP|PDM|POETRY|PIPENV)_.*(?:INDEX|FIND_LINKS|PROXY|PYPI|KEYRING|CLIENT_CERT).*"
    r"|SSL_CLIENT_CERT|PIP_CONFIG_FILE|UV_CONFIG_FILE",
    re.IGNORECASE,
)
"""Where the installer finds indexes, whose URLs may contain a login."""

_OF_INSTALLERS = re.compile(r"(?:UV|PIP)_.*|NETRC|SSL_CLIENT_CERT", re.IGNORECASE)


def withheld_from_backend(names: Iterable[str], passed: Collection[str]) -> frozenset[str]:
    """Return the variables that the backend of somebody else's source does not get.

    Args:
        names: The names of all variables.
        passed: Names that the user passes on (`build-environment`).
    """
    return frozenset(
        name
        for name in names
        if name not in passed and (_is_secret(name) or _OF_INDEXES.fullmatch(name))
    )


def withheld_from_installer(names: Iterable[str], passed: Collection[str]) -> frozenset[str]:
    """Return the variables that uv or pip does not get, which may build requirements.

    It keeps its own, because it logs in to the indexes with them.
    """
    return frozenset(
        name
        for name in names
        if name not in passed and _is_secret(name) and not _OF_INSTALLERS.fullmatch(name)
    )


def _is_secret(name: str) -> bool:
    return _SECRETS.fullmatch(name) is not None and name not in _ORDINARY
