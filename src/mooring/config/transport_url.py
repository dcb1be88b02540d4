"""The address of Neutron's message bus: what is wrong with it, said without showing it."""

from __future__ import annotations

from urllib.parse import urlsplit


def find_problem(url: str) -> str | None:
    """Tell why oslo.messaging could not read a URL, or would read it otherwise than it was meant, or None.

    What is told quotes no part of the URL, which holds a password. The form is
    scheme://user:password@host:port[,user:password@host:port]/virtual_host (oslo_messaging.transport.TransportURL).
    """
    try:
        parts = urlsplit(url)
        for host in parts.netloc.split(","):
            # Reading the port is what checks it.
            _ = urlsplit(f"//{host}").port
    except ValueError:
        readable = False
    else:
        readable = bool(parts.scheme) and url.startswith(f"{parts.scheme}://")
    # A / ? or # in a password ends the hosts, and the rest of it becomes a path.
    if not readable or "@" in parts.path + parts.query + parts.fragment:
        return (
            "it is not of the form scheme://user:password@host:port/virtual_host; write / ? # @ : , and % in a user's "
            "name or password as %2F %3F %23 %40 %3A %2C and %25"
        )
    return None
