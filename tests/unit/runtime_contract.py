"""What every Runtime does: Docker's, and the fake that stands for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from containers_world import IMAGE, SERVICE, UUID, VFS, World

from mooring.container.spec import ContainerSpec
from mooring.errors import EngineRefused
from mooring.libnetwork.bound_ports import BoundPort
from mooring.node.containers.runtime import Found, Link, Plan
from mooring.pci.address import PciAddress

SLEEP = ContainerSpec(name="web", image=IMAGE, command=("/bin/sleep", "600"), memory_mib=64)


def a_plan(link: Link | None = None, number: int = 1) -> Plan:
    return Plan(uuid=UUID, service=SERVICE, number=number, spec=SLEEP, link=link)


def a_link(world: World, name: str = "mooring-00-n1", device: PciAddress = VFS[0]) -> Link:
    """Return a port that the plugin knows of, on a network of Docker's that is there."""
    interface = world.interface(device=device)
    known = [*getattr(world, "told_ports", ()), interface]
    world.told_ports = known  # type: ignore[attr-defined]
    world.plugin.bound_ports.keep(
        BoundPort(port=item.port, network=item.network, subnets=item.subnets) for item in known
    )
    if name not in world.runtime.networks(SERVICE):
        world.runtime.create_network(name, interface.network.id, SERVICE)
    return Link(network=name, port_id=interface.port.id)


def there(world: World) -> Found:
    found = world.runtime.find(UUID)
    assert found is not None
    return found


class RuntimeContract:
    """Each test begins with an engine that has the image, and no container or network of the service's."""

    def test_a_container_that_was_made_is_found_and_listed(self, world: World) -> None:
        assert (world.runtime.find(UUID), world.runtime.containers()) == (None, ())

        world.runtime.create(a_plan(number=7))

        found = there(world)
        assert (found.uuid, found.service, found.number, found.state) == (UUID, SERVICE, 7, "created")
        assert (found.started_at, found.exit_code, found.links) == (None, None, ())
        assert [container.uuid for container in world.runtime.containers()] == [UUID]

    def test_a_name_is_had_once(self, world: World) -> None:
        world.runtime.create(a_plan())

        with pytest.raises(EngineRefused) as refused:
            world.runtime.create(a_plan())

        assert refused.value.status == 409

    def test_a_container_of_an_image_that_is_not_there_is_refused(self, world: World) -> None:
        assert not world.runtime.has_image("nowhere")
        plan = Plan(uuid=UUID, service=SERVICE, number=1, spec=ContainerSpec(name="web", image="nowhere"))

        with pytest.raises(EngineRefused) as refused:
            world.runtime.create(plan)

        assert refused.value.status == 404
        assert world.runtime.find(UUID) is None

    def test_it_starts_stops_and_starts_again_and_repeating_changes_nothing(self, world: World) -> None:
        world.runtime.create(a_plan())
        world.runtime.start(UUID)
        first = there(world)
        world.runtime.start(UUID)
        assert (first.state, there(world).started_at) == ("running", first.started_at)

        world.runtime.stop(UUID, 0)
        world.runtime.stop(UUID, 0)
        assert there(world).state == "exited"
        assert there(world).exit_code is not None

        world.runtime.start(UUID)
        assert there(world).started_at != first.started_at
        assert there(world).exit_code is None

    def test_it_is_paused_and_goes_on(self, world: World) -> None:
        world.runtime.create(a_plan())
        world.runtime.start(UUID)

        world.runtime.pause(UUID)
        assert (there(world).state, there(world).runs) == ("paused", True)
        world.runtime.unpause(UUID)
        assert there(world).state == "running"
        with pytest.raises(EngineRefused):
            world.runtime.unpause(UUID)

    def test_what_does_not_run_cannot_be_killed(self, world: World) -> None:
        world.runtime.create(a_plan())
        with pytest.raises(EngineRefused):
            world.runtime.kill(UUID, "SIGKILL")

        world.runtime.start(UUID)
        world.runtime.kill(UUID, "SIGKILL")

    def test_what_is_removed_is_gone_and_what_is_gone_is_no_fault(self, world: World) -> None:
        world.runtime.create(a_plan())
        world.runtime.start(UUID)

        world.runtime.remove(UUID)
        world.runtime.remove(UUID)

        assert world.runtime.find(UUID) is None
        with pytest.raises(EngineRefused) as refused:
            world.runtime.start(UUID)
        assert refused.value.status == 404

    def test_networks_of_the_service_are_listed_and_one_that_is_gone_is_no_fault(self, world: World) -> None:
        link = a_link(world)
        assert world.runtime.networks(SERVICE) == {link.network: world.host.network.id}
        assert world.runtime.networks("another") == {}
        with pytest.raises(EngineRefused):
            world.runtime.create_network(link.network, world.host.network.id, SERVICE)

        world.runtime.remove_network(link.network)
        world.runtime.remove_network(link.network)

        assert world.runtime.networks(SERVICE) == {}

    def test_a_port_is_leased_while_the_container_runs_and_a_network_in_use_stays(self, world: World) -> None:
        link = a_link(world)
        world.runtime.create(a_plan(link))
        assert (there(world).links, there(world).networks) == ((link,), (link.network,))
        assert world.host.core.journal.leases() == ()

        world.runtime.start(UUID)
        (lease,) = world.host.core.journal.leases()
        assert lease.port.id == link.port_id
        with pytest.raises(EngineRefused):
            world.runtime.remove_network(link.network)

        world.runtime.stop(UUID, 0)
        assert world.host.core.journal.leases() == ()
        assert there(world).links == (link,)

    def test_ports_come_and_go_down_to_none_and_the_container_can_be_started_after_that(self, world: World) -> None:
        first, second = a_link(world), a_link(world, "mooring-01-n1", VFS[1])
        world.runtime.create(a_plan())
        assert there(world).networks == ("none",)

        world.runtime.connect(UUID, second)
        assert there(world).networks == (second.network,)
        world.runtime.disconnect(UUID, second.network)
        world.runtime.disconnect(UUID, second.network)
        assert there(world).links == ()

        world.runtime.start(UUID)
        world.runtime.connect(UUID, first)
        (lease,) = world.host.core.journal.leases()
        assert (lease.port.id, there(world).links) == (first.port_id, (first,))
        with pytest.raises(EngineRefused):
            world.runtime.connect(UUID, first)
        world.runtime.disconnect(UUID, first.network)
        assert (world.host.core.journal.leases(), there(world).networks) == ((), ("none",))
        world.runtime.stop(UUID, 0)
        world.runtime.start(UUID)
        assert there(world).state == "running"

    def test_a_port_that_the_plugin_refuses_fails_the_start_and_the_connect_and_leaves_nothing(
        self, world: World
    ) -> None:
        link = a_link(world)
        world.host.core.journal.quarantine(VFS[0], "it did not come clean")
        world.runtime.create(a_plan(link))

        with pytest.raises(EngineRefused, match="it did not come clean"):
            world.runtime.start(UUID)

        assert (there(world).state, there(world).runs, there(world).started_at) == ("created", False, None)
        world.runtime.disconnect(UUID, link.network)
        world.runtime.start(UUID)
        with pytest.raises(EngineRefused, match="it did not come clean"):
            world.runtime.connect(UUID, link)
        assert (there(world).links, world.host.core.journal.leases()) == ((), ())
        world.host.core.journal.acquit(VFS[0])
        world.runtime.connect(UUID, link)
        assert there(world).links == (link,)

    def test_a_connection_that_failed_is_tried_again_at_the_next_start_unless_it_is_cut(self, world: World) -> None:
        link = a_link(world)
        world.runtime.create(a_plan())
        world.runtime.start(UUID)
        world.host.core.journal.quarantine(VFS[0], "it did not come clean")
        with pytest.raises(EngineRefused):
            world.runtime.connect(UUID, link)
        assert (there(world).links, there(world).failed) == ((), (link,))
        with pytest.raises(EngineRefused, match="is not connected"):
            world.runtime.disconnect(UUID, link.network)
        world.runtime.stop(UUID, 0)
        assert (there(world).links, there(world).failed) == ((link,), ())

        world.runtime.disconnect(UUID, link.network)

        world.runtime.start(UUID)
        assert there(world).links == ()

    def test_a_container_that_is_removed_when_it_ends_is_not_when_it_is_restarted(self, world: World) -> None:
        link = a_link(world)
        plan = a_plan(link)
        world.runtime.create(replace(plan, spec=plan.spec.model_copy(update={"auto_remove": True})))
        world.runtime.start(UUID)
        before = there(world)

        world.runtime.restart(UUID, 0)

        after = there(world)
        assert (after.state, after.links, after.runtime_id) == ("running", (link,), before.runtime_id)
        assert after.started_at != before.started_at
        (lease,) = world.host.core.journal.leases()
        assert lease.port.id == link.port_id

    def test_the_host_is_told(self, world: World) -> None:
        host = world.runtime.host()

        assert host.cpus > 0
        assert host.memory_mib > 0
        assert "runc" in host.runtimes
