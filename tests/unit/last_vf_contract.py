"""Many clients of two controllers on one database, whichever it is, and one VF for all of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from api_world import Api
from controller_world import PROJECT, BreakingStore, World
from store_world import RIVALS, race

from mooring.api.app import create_app
from mooring.controller.worker import Worker
from mooring.db.store import SqlStore
from mooring.neutron.model import Port


class LastVfContract:
    """``stores`` are the controllers' own ways to the database, each with connections of its own."""

    def test_one_of_many_clients_gets_the_last_vf_and_the_others_are_told_why(self, stores: Sequence[SqlStore]) -> None:
        world = World(stores[0])
        world.add_host(vfs=1)
        ports = [world.add_port() for _ in range(RIVALS)]
        # Nobody claims before all have been offered the VF. The bound is for a test that fails.
        offered = threading.Barrier(RIVALS, timeout=60)
        controllers = [controller(world, store, offered) for store in stores]
        asked = {port.id: controllers[number % len(controllers)] for number, port in enumerate(ports)}

        accepted = race(*(partial(create_and_work, *asked[port.id], port) for port in ports))
        world.come_to_rest()

        assert accepted == [202] * RIVALS
        told = {port.id: asked[port.id][0].get(f"/v1/containers/{port.id}").json for port in ports}
        (won,) = (port for port in ports if told[port.id]["status"] == "Running")
        assert [device.container for device in world.claims()] == [told[won.id]["uuid"]]
        assert world.neutron.now(won.id).device_id == told[won.id]["uuid"]
        for port in ports:
            if port is not won:
                assert told[port.id]["status"] == "Error"
                assert "0 of 1 VFs free on physnet2" in told[port.id]["status_reason"]
                assert world.is_as_left(port)


def controller(world: World, store: SqlStore, offered: threading.Barrier) -> tuple[Api, Worker]:
    """Return a controller's API, and what works in it."""
    own = BreakingStore(store)
    own.before_write = lambda write: write == "claim" and offered.wait()
    parts = world.another_controller(own)
    app = create_app(
        lifecycle=parts.lifecycle, inside=parts.inside, store=store, settings=world.settings, clock=world.clock
    )
    return Api(app, token=f"alice:{PROJECT}"), parts.worker


def create_and_work(api: Api, worker: Worker, port: Port) -> int:
    """Create a container that is named after its port, and do the work for one, whoever's it is."""
    wanted = {"name": port.id, "image": "cirros", "nets": [{"port": port.id}]}
    response = api.post("/v1/containers?run=true", json=wanted)
    # Whoever found the first one locked may have found no other: it looks again. What was refused leaves no work.
    while response.status_code == HTTPStatus.ACCEPTED and not worker.work():
        pass
    return response.status_code
