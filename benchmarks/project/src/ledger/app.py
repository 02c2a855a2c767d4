# mypy: ignore-errors
# What it imports is locked for the target and not installed here.
"""A web service behind a Lambda function."""

from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()
handler = Mangum(app)


class Health(BaseModel):
    """The answer of a service that is well."""

    status: str = "ok"


@app.get("/health")
def health() -> Health:
    """Say that the service is well."""
    return Health()
