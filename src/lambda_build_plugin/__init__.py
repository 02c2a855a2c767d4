"""Turn a locked Python project into an AWS Lambda deployment package.

The package imports nothing here: its doors (`frontends/`) are loaded by hosts
at every start, and `lambda_build_plugin.pipeline.build.build` is the one entry to the
pipeline for everybody else.
"""

__version__ = "0.1.0"
