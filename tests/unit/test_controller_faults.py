"""Whatever fails, once and anywhere in a container's life: it ends Running or Error, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from controller_world import Crash, World

from mooring.container.states import Status
from mooring.controller.api import NetworkWish
from mooring.db.api import ContainerQuery
from mooring.errors import DatabaseUnavailable, MooringError
from mooring.neutron.model import Port

pytestmark = pytest.mark.exhaustive

Break = Callable[[World, int], None]

KINDS: dict[str, tuple[bool, type[BaseException] | None]] = {
    "refused": (False, None),
    "reply-lost": (True, None),
    "crash-before": (False, Crash),
    "crash-after": (True, Crash),
}


def a_world(*, refusal: str | None = None) -> tuple[World, Port]:
    world = World()
    world.add_host(vfs=1).refusal = refusal
    world.add_network("plain", project_id="demo", physical_network=None)
    return world, world.add_port(profile={"pci_slot": "0000:09:00.1", "note": "the user's"})


def live(world: World, port: Port) -> None:
    """Create a container with a port of its user's and one that is made, see what becomes of it, and delete it."""
    world.attempt(lambda: create(world, port))
    world.come_to_rest()
    # Who was not answered asks again.
    if not world.store.containers(ContainerQuery()):
        world.check_nothing_left(port)
        create(world, port)
        world.come_to_rest()
    (container,) = world.store.containers(ContainerQuery())
    assert container.status in (Status.RUNNING, Status.ERROR), container
    if container.status is Status.ERROR:
        assert container.status_reason
        world.check_nothing_left(port)
    else:
        assert len(world.claims()) == len(world.made_ports()) == 1
        assert world.neutron.now(port.id).device_id == container.uuid
    for _ in range(2):
        world.attempt(lambda: world.delete(container) if not world.is_gone(container) else None)
        world.come_to_rest()
    assert world.is_gone(container)
    assert all(node.containers == {} for node in world.nodes.all.values())
    world.check_nothing_left(port)


def create(world: World, port: Port) -> None:
    try:
        world.create(port, nets=[NetworkWish(network="plain")])
    except DatabaseUnavailable:
        raise
    except MooringError:
        return


def a_whole_life(*, refusal: str | None = None) -> World:
    world, port = a_world(refusal=refusal)
    world.neutron.calls.clear()
    world.store.writes.clear()
    live(world, port)
    return world


REFUSAL = "VF 0000:01:10.0 is not clean"
WHOLE, REFUSED = a_whole_life(), a_whole_life(refusal=REFUSAL)


def test_a_whole_life_costs_so_many_calls_of_neutron() -> None:
    assert WHOLE.neutron.calls == [
        # looking at what is asked for
        "show_port",
        "show_network",
        "list_subnets",
        "list_networks",
        "list_subnets",
        # reserving, making, binding
        "reserve_port",
        "list_ports",
        "create_port",
        "bind_port",
        "bind_port",
        # giving back
        "list_ports",
        "unbind_port",
        "delete_port",
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(1, len(WHOLE.neutron.calls) + 1))
def test_a_call_of_neutron_that_fails_is_made_good(number: int, kind: str) -> None:
    world, port = a_world()
    reply_lost, error = KINDS[kind]
    world.neutron.fail_call(number, reply_lost=reply_lost, error=error() if error else None)

    live(world, port)


@pytest.mark.parametrize("kind", ["refused", "crash-after"])
@pytest.mark.parametrize("number", range(1, len(WHOLE.store.writes) + 1))
def test_a_write_to_the_database_that_fails_is_made_good(number: int, kind: str) -> None:
    world, port = a_world()
    reply_lost, error = KINDS[kind]
    world.store.fail_write(number, reply_lost=reply_lost, error=error() if error else None)

    live(world, port)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(1, len(REFUSED.neutron.calls) + 1))
def test_a_call_of_neutron_that_fails_where_the_host_refuses_is_made_good(number: int, kind: str) -> None:
    world, port = a_world(refusal=REFUSAL)
    reply_lost, error = KINDS[kind]
    world.neutron.fail_call(number, reply_lost=reply_lost, error=error() if error else None)

    live(world, port)


@pytest.mark.parametrize("kind", ["refused", "crash-after"])
@pytest.mark.parametrize("number", range(1, len(REFUSED.store.writes) + 1))
def test_a_write_to_the_database_that_fails_where_the_host_refuses_is_made_good(number: int, kind: str) -> None:
    world, port = a_world(refusal=REFUSAL)
    reply_lost, error = KINDS[kind]
    world.store.fail_write(number, reply_lost=reply_lost, error=error() if error else None)

    live(world, port)
