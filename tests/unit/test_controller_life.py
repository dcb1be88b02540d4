"""The life of a container from its creation to its end, as its user and Neutron see it."""

from __future__ import annotations

from controller_world import World

from mooring.container.states import Status
from mooring.neutron.model import UNBOUND


def test_a_container_gets_a_vf_on_the_ports_physical_network_and_gives_all_back(  # the whole way
) -> None:
    world = World()
    node = world.add_host()
    port = world.add_port(profile={"note": "the user's"})

    container = world.create(port)
    assert (container.status, container.task_state) == (Status.CREATING, "container_creating")
    assert world.neutron.now(port.id) == port
    world.settle()

    running, bound = world.now(container), world.neutron.now(port.id)
    assert (running.status, running.task_state, running.status_reason) == (Status.RUNNING, None, None)
    assert running.host == "host-1"
    assert (bound.device_id, bound.device_owner, bound.host) == (container.uuid, "compute:mooring", "host-1")
    assert bound.vif_type == "hw_veb"
    (device,) = running.devices
    assert bound.profile == {
        "note": "the user's",
        "pci_slot": str(device.address),
        "pci_vendor_info": "8086:10ca",
        "physical_network": "physnet2",
    }
    assert node.containers[container.uuid].ports == (port.id,)
    assert node.containers[container.uuid].devices == {device.address}
    assert [claimed.container for claimed in world.claims()] == [container.uuid]

    world.delete(container)
    assert world.now(container).status is Status.DELETING
    assert world.neutron.now(port.id).vif_type != UNBOUND
    world.settle()

    assert world.is_gone(container)
    assert node.containers == {}
    world.check_nothing_left(port)
