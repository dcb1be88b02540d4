from __future__ import annotations

import pytest

from mooring.errors import NeutronRefused
from mooring.neutron.model import EgressLimits
from mooring.neutron.parse import parse_egress_limits
from mooring.neutron.qos import to_mbps


@pytest.mark.parametrize(
    ("kbps", "mbps"),
    [(0, 0), (1, 1), (499, 1), (999, 1), (1000, 1), (1499, 1), (1500, 2), (2499, 2), (2500, 3), (10_000_000, 10_000)],
)
def test_a_rate_is_rounded_but_never_to_no_limit(kbps: int, mbps: int) -> None:
    assert to_mbps(kbps) == mbps


def limit(max_kbps: int, **more: object) -> dict[str, object]:
    return {"type": "bandwidth_limit", "max_kbps": max_kbps, "max_burst_kbps": 0, **more}


def guarantee(min_kbps: int, **more: object) -> dict[str, object]:
    return {"type": "minimum_bandwidth", "min_kbps": min_kbps, **more}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], (0, 0)),
        ([limit(5000, direction="egress")], (5000, 0)),
        ([limit(5000)], (5000, 0)),
        ([limit(5000, direction="ingress"), guarantee(7, direction="ingress")], (0, 0)),
        ([limit(5000), limit(3000), limit(0)], (3000, 0)),
        ([guarantee(10, direction="egress"), guarantee(20, direction="egress")], (0, 20)),
        ([{"type": "dscp_marking", "dscp_mark": 10}, {"type": "packet_rate_limit", "max_kpps": 1}], (0, 0)),
    ],
)
def test_what_counts_is_the_strictest_rule_for_the_way_out(
    rules: list[dict[str, object]], expected: tuple[int, int]
) -> None:
    limits = parse_egress_limits("reading", {"rules": rules, "revision_number": 3})

    assert limits == EgressLimits(max_kbps=expected[0], min_kbps=expected[1], revision=3)


def test_an_answer_that_is_no_policy_is_refused() -> None:
    with pytest.raises(NeutronRefused, match="without rules"):
        parse_egress_limits("reading", {"revision_number": 3})
