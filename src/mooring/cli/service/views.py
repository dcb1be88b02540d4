"""What a person is shown of the service's answers. Programs are shown the answers themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mooring.cli.output import Format, Listing, show, show_json
from mooring.cli.service.answers import Action, Answer, Attachment, Container, Device, Host, Image, Service

_Kind = TypeVar("_Kind", bound=Answer)
_Columns = Sequence[tuple[str, Callable[[_Kind], object]]]

CONTAINERS: _Columns[Container] = (
    ("UUID", lambda it: it.uuid),
    ("Name", lambda it: it.name),
    ("Image", lambda it: it.image),
    ("Status", lambda it: it.status),
    ("Task", lambda it: it.task_state),
    ("Addresses", lambda it: ", ".join(each.addr for some in (it.addresses or {}).values() for each in some)),
    ("Host", lambda it: it.host),
    ("Reason", lambda it: it.status_reason),
)
ATTACHMENTS: _Columns[Attachment] = (
    ("Port", lambda it: it.port_id),
    ("Network", lambda it: it.net_id),
    ("Addresses", lambda it: ", ".join(each.ip_address for each in it.fixed_ips)),
)
ACTIONS: _Columns[Action] = (
    ("Request", lambda it: it.request_id),
    ("Action", lambda it: it.action),
    ("Start", lambda it: it.start_time),
    ("Finish", lambda it: it.finish_time),
    ("Message", lambda it: it.message),
)
HOSTS: _Columns[Host] = (
    ("UUID", lambda it: it.uuid),
    ("Name", lambda it: it.hostname),
    ("CPUs", lambda it: f"{it.cpu_used:g} of {it.cpus:g}"),
    ("Memory (MiB)", lambda it: f"{it.mem_used} of {it.mem_total}"),
    ("Containers", lambda it: it.total_containers),
)
SERVICES: _Columns[Service] = (
    ("Host", lambda it: it.host),
    ("Binary", lambda it: it.binary),
    ("Zone", lambda it: it.availability_zone),
    ("State", lambda it: "forced down" if it.forced_down else it.state),
    ("Status", lambda it: "disabled" if it.disabled else "enabled"),
    ("Last seen", lambda it: it.last_seen_up),
    ("Reason", lambda it: it.disabled_reason),
)
_DEVICES: _Columns[Device] = (
    ("Address", lambda it: it.address),
    ("Type", lambda it: it.dev_type.removeprefix("type-")),
    ("PF", lambda it: it.parent),
    ("Physical network", lambda it: it.physical_network),
    ("NUMA", lambda it: it.numa_node),
    ("Status", lambda it: it.status),
    ("Container", lambda it: it.container),
    ("Port", lambda it: it.holder),
    ("Reason", lambda it: it.detail),
)
IMAGES: _Columns[Image] = (
    ("Image", lambda it: it.image_id),
    ("Repository", lambda it: it.repo),
    ("Tag", lambda it: it.tag),
    ("Size", lambda it: it.size),
    ("Host", lambda it: it.host),
)


def show_devices(found: Iterable[tuple[str, Device]], output_format: str) -> None:
    """Print devices, each with the name of its host."""
    if output_format == Format.JSON:
        show_json([{"host": host, **device.model_dump(mode="json")} for host, device in found])
        return
    rows = [(host, *(_cell(value(device)) for _, value in _DEVICES)) for host, device in found]
    headings = ("Host", *(heading for heading, _ in _DEVICES))
    show(Listing(headings=headings, rows=rows, empty="no host has a device that its device spec admits"), output_format)


def show_answers(answers: Iterable[_Kind], columns: _Columns[_Kind], output_format: str, *, empty: str) -> None:
    """Print answers below each other. A column that is empty in all of them (an administrator's) is left out."""
    listed = list(answers)
    if output_format == Format.JSON:
        show_json([answer.model_dump(mode="json", by_alias=True) for answer in listed])
        return
    rows = [[_cell(value(answer)) for _, value in columns] for answer in listed]
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    show(
        Listing(
            headings=tuple(columns[number][0] for number in kept),
            rows=[tuple(row[number] for number in kept) for row in rows],
            empty=empty,
        ),
        output_format,
    )


def show_answer(answer: Answer, output_format: str) -> None:
    """Print all that an answer says, one thing a line."""
    facts = answer.model_dump(mode="json", by_alias=True)
    if output_format == Format.JSON:
        show_json(facts)
        return
    rows = [(name, _cell(value)) for name, value in facts.items() if name != "links"]
    show(Listing(headings=("Field", "Value"), rows=rows, empty=""), output_format)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case dict() | list():
            return json.dumps(value) if value else ""
        case _:
            return str(value)
