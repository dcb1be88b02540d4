"""Rates: Neutron's are kbit/s, a VF's are whole Mbit/s."""

from __future__ import annotations

from typing import Final

_KBIT: Final = 1000


def to_mbps(kbps: int) -> int:
    """Return a rate of a QoS policy as the kernel takes a VF's: rounded, but never down to 0, which is no limit.

    As neutron's agent does (neutron/plugins/ml2/drivers/mech_sriov/agent/eswitch_manager.py, set_device_rate).
    """
    return max(1, (kbps + _KBIT // 2) // _KBIT) if kbps else 0
