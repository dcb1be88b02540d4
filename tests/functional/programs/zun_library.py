"""Calls python-zunclient, as a program of an OpenStack user would: one JSON line in, one out.

Runs in the clients' environment, beside the tests. A line in is [manager, method, arguments]; a line out is
{"result": ...}, or {"error": class, "message": ...}.
"""

import json
import sys

from zunclient.client import Client
from zunclient.common.apiclient.exceptions import ClientException
from zunclient.common.base import Resource


def plain(value: object) -> object:
    """Return a result as JSON has it."""
    match value:
        case Resource():
            return value.to_dict()
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return value.decode()
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case str() | int() | float() | None:
            return value
        case _:
            return repr(value)  # a Response


def main() -> None:
    """Answer until the tests have no more to ask."""
    endpoint, token = sys.argv[1:]
    client = Client("1", endpoint_override=endpoint, auth_token=token)
    for line in sys.stdin:
        manager, method, arguments = json.loads(line)
        try:
            answer = {"result": plain(getattr(getattr(client, manager), method)(**arguments))}
        except ClientException as exc:
            answer = {"error": type(exc).__name__, "message": str(exc)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
