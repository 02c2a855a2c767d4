"""The AWS SDK for Python, which Lambda's runtimes bring along."""

from __future__ import annotations

from packaging.utils import canonicalize_name

__all__ = ["RUNTIME_MODULES", "SDK", "SDK_HEADS"]

SDK = frozenset(
    map(
        canonicalize_name,
        ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "python-dateutil", "six"),
    )
)
"""The AWS SDK for Python and all that it requires: the managed runtimes have them.

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-dependencies
"""

SDK_HEADS = frozenset(map(canonicalize_name, ("boto3", "botocore")))

RUNTIME_MODULES = frozenset(
    {
        *("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six"),
        # The runtime itself, and what it requires.
        *("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client"),
        *("bootstrap", "lambda_runtime_client", "lambda_runtime_exception"),
        *("lambda_runtime_log_utils", "lambda_runtime_marshaller"),
        # In the folder of Python, although nobody promises that they stay there.
        *("pip", "setuptools", "pkg_resources", "_distutils_hack"),
    }
)
"""Names of top-level modules that a function can import although nothing ships them."""
