from __future__ import annotations

import pytest

from mooring.host.events import concerns_a_device

# Linux 6.12, when igbvf was unbound.
UNBOUND = (
    b"unbind@/devices/pci0000:00/0000:00:02.0/0000:01:10.0\0ACTION=unbind\0"
    b"DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:10.0\0SUBSYSTEM=pci\0PCI_CLASS=20000\0PCI_ID=8086:10CA\0"
    b"PCI_SLOT_NAME=0000:01:10.0\0SEQNUM=2041\0"
)


@pytest.mark.parametrize(
    ("subsystem", "concerns"), [(b"pci", True), (b"net", True), (b"queues", False), (b"pci_bus", False)]
)
def test_uevents_of_pci_devices_and_of_interfaces_count(subsystem: bytes, *, concerns: bool) -> None:
    uevent = UNBOUND.replace(b"SUBSYSTEM=pci\0", b"SUBSYSTEM=" + subsystem + b"\0")
    assert concerns_a_device(uevent) == concerns
