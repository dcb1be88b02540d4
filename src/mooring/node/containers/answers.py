"""Docker's answers about a running container and about images, read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mooring.rpc.messages import Image, Usage


def ending_of(chunks: Iterable[bytes], most: int) -> str:
    """Return the last ``most`` bytes of a stream as text."""
    text = bytearray()
    for chunk in chunks:
        text += chunk
        if len(text) > 2 * most:
            del text[:-most]
    return bytes(text[-most:]).decode(errors="replace")


def gathered(chunks: Iterable[bytes], most: int) -> bytes | None:
    """Return a stream as a whole, None when it is longer than ``most`` bytes."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            return None
    return bytes(data)


def usage_of(stats: Mapping[str, Any]) -> Usage:
    """Read ``docker stats``: the processor's share is of the time since the reading before."""
    cpu, before, memory = stats["cpu_stats"], stats["precpu_stats"], stats["memory_stats"]
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = cpu.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    share = 100.0 * used / passed * cpu.get("online_cpus", 1) if passed > 0 and used > 0 else 0.0
    blocks = stats.get("blkio_stats", {}).get("io_service_bytes_recursive") or ()
    networks = (stats.get("networks") or {}).values()
    return Usage(
        cpu_percent=share,
        memory_bytes=memory.get("usage", 0),
        memory_limit_bytes=memory.get("limit", 0),
        block_read_bytes=sum(item["value"] for item in blocks if item["op"].lower() == "read"),
        block_write_bytes=sum(item["value"] for item in blocks if item["op"].lower() == "write"),
        received_bytes=sum(network["rx_bytes"] for network in networks),
        sent_bytes=sum(network["tx_bytes"] for network in networks),
    )


def images_of(listed: Iterable[Mapping[str, Any]]) -> Iterator[Image]:
    """Read ``docker images``: one with several names is told under each, and one without is not."""
    for item in listed:
        for name in item.get("RepoTags") or ():
            if name != "<none>:<none>":
                yield _image(item["Id"], name, item["Size"])


def image_of(details: Mapping[str, Any], name: str) -> Image:
    """Read ``docker image inspect`` of an image that was asked for by a name."""
    return _image(details["Id"], name, details["Size"])


def _image(identity: str, name: str, size: int) -> Image:
    repository, tag = name, "latest"
    head, _, last = name.rpartition("/")
    if ":" in last and "@" not in last:
        short, _, tag = last.partition(":")
        repository = f"{head}/{short}" if head else short
    return Image(id=identity, repository=repository, tag=tag, size_bytes=size)
