"""The AWS SDK for Python, which Lambda's runtimes bring along."""

from __future__ import annotations

from packaging.utils import canonicalize_name

__all__ = ["SDK", "SDK_HEADS"]

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
