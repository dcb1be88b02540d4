"""Nova's own check of PCI devices, for comparison: run by the Python of build/nova, prints JSON.

What is timed is what the scheduler's PciPassthroughFilter asks of each host, and no more: the pools are in memory, as
Nova has them after it has read its database and their JSON.
"""

import json
import statistics
import sys
import time

from nova import conf, objects  # type: ignore[import-not-found]
from nova.pci import stats, whitelist  # type: ignore[import-not-found]

CARDS, VFS, ROUNDS = 2, 32, 5


def main(sizes: list[int]) -> None:
    """Print milliseconds for one pass over each number of hosts."""
    conf.CONF([], project="nova", default_config_files=[])
    objects.register_all()
    conf.CONF.set_override("device_spec", ['{"vendor_id": "8086", "physical_network": "physnet1"}'], "pci")
    admitted = whitelist.Whitelist(conf.CONF.pci.device_spec)
    wanted = [
        objects.InstancePCIRequest(
            count=1,
            request_id="2f6f0ab6-6a3f-4a4b-9d2e-9b1f4f1e0a53",
            spec=[{"physical_network": "physnet1", "remote_managed": "False"}],
        )
    ]
    hosts = [_host(admitted) for _ in range(max(sizes))]
    print(json.dumps({size: _pass_ms(hosts[:size], wanted) for size in sizes}))


def _pass_ms(hosts: list, wanted: list) -> float:  # type: ignore[type-arg]
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        fit = sum(host.support_requests(wanted, {}) for host in hosts)
        times.append((time.perf_counter() - began) * 1000)
        assert fit == len(hosts)
    return statistics.median(times)


def _host(admitted: object) -> object:
    """Return what the scheduler knows of a host: one pool for each card."""
    pools = objects.PciDevicePoolList(
        objects=[
            objects.PciDevicePool(
                count=VFS,
                vendor_id="8086",
                product_id="154c",
                numa_node=card,
                tags={
                    "address": f"0000:{0x3B + 0x10 * card:02x}:00.0",
                    "dev_type": "type-VF",
                    "parent_ifname": f"ens{card}",
                    "physical_network": "physnet1",
                    "remote_managed": "false",
                },
            )
            for card in range(CARDS)
        ]
    )
    return stats.PciDeviceStats(objects.NUMATopology(cells=[]), pools, dev_filter=admitted)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
