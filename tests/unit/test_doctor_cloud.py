"""mooring doctor on Neutron: each check, well and not; and how what it says is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attach_world import HOST, World
from keystoneauth1.access import AccessInfoV3
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session

from mooring.cli.doctor import cloud
from mooring.cli.doctor.checkup import told_by
from mooring.cli.doctor.verdicts import Verdict, show_verdicts, well, wrong
from mooring.errors import NeutronRefused
from mooring.neutron.account import roles_of
from mooring.testing.neutron import FakeNeutron

EXCLUDED = (
    "enp1s0:0000:01:10.0;0000:01:10.2;0000:01:10.4;0000:01:10.6;0000:01:11.0;0000:01:11.2;0000:01:11.4,"
    "enp2s0:0000:02:10.0;0000:02:10.2;0000:02:10.4"
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def neutron() -> FakeNeutron:
    return FakeNeutron()


class TestAnswers:
    def test_a_neutron_that_shows_all_is_well(self, neutron: FakeNeutron) -> None:
        neutron.add_port(neutron.add_network())

        assert all(verdict.is_well for verdict in cloud.answers(neutron, HOST))

    def test_a_cloud_without_networks_is_no_fault(self, neutron: FakeNeutron) -> None:
        assert all(verdict.is_well for verdict in cloud.answers(neutron, HOST))

    def test_a_neutron_that_is_away_is_told(self, neutron: FakeNeutron) -> None:
        neutron.unreachable = True

        (verdict,) = cloud.answers(neutron, HOST)
        assert "auth_url" in verdict.remedy

    def test_an_account_that_is_not_shown_bindings_is_told_the_roles(self, neutron: FakeNeutron) -> None:
        port = neutron.add_port(neutron.add_network())
        del neutron.server.tables["ports"][port.id]["binding:host_id"]

        _, verdict = cloud.answers(neutron, HOST)
        assert "binding:host_id" in verdict.told
        assert "openstack role add" in verdict.remedy

    def test_an_account_that_is_not_shown_segments_is_told_the_roles(self, neutron: FakeNeutron) -> None:
        network = neutron.add_network()
        del neutron.server.tables["networks"][network.id]["provider:network_type"]

        (verdict,) = cloud.answers(neutron, HOST)
        assert "openstack role add" in verdict.remedy


class TestRoles:
    def test_admin_and_service_are_enough(self) -> None:
        assert cloud.roles({"admin", "service", "member"}).is_well

    def test_without_keystone_there_are_none(self) -> None:
        assert cloud.roles(None).is_well

    def test_they_are_keystones_word_of_the_account(self) -> None:
        token = {"token": {"roles": [{"id": "1", "name": "admin"}, {"id": "2", "name": "service"}]}}

        class Password(BaseIdentityPlugin):  # type: ignore[misc]
            def get_auth_ref(self, session: Session) -> AccessInfoV3:
                del session
                return AccessInfoV3(body=token, auth_token="token")

        assert roles_of(Adapter(Session(auth=Password()))) == {"admin", "service"}
        assert roles_of(Adapter(Session(auth=NoAuth()))) is None

    @pytest.mark.parametrize("held", [{"admin"}, {"service"}, set()])
    def test_what_is_missing_is_told_with_the_command(self, held: set[str]) -> None:
        remedy = cloud.roles(held).remedy
        assert {role for role in ("admin", "service") if remedy.endswith(f" {role}") or f" {role};" in remedy} == {
            "admin",
            "service",
        } - held


class TestAgent:
    def look(self, world: World, *aliases: str) -> list[Verdict]:
        return list(cloud.agent(world.neutron, HOST, aliases, world.core.devices.pool))

    def test_our_own_row_that_maps_all_is_well(self, world: World) -> None:
        (verdict,) = self.look(world)
        assert verdict.told == "mooring's row of host host-a is alive and maps physnet1, physnet2"

    def test_no_row_is_told(self, world: World) -> None:
        world.neutron.server.tables["agents"].clear()

        (verdict,) = self.look(world)
        assert "transport_url" in verdict.remedy

    def test_a_row_under_another_name_of_the_host_is_told_with_the_option(self, world: World) -> None:
        world.neutron.server.tables["agents"].clear()
        world.neutron.report_agent("host-a.example.org", {}, started=True)

        (verdict,) = self.look(world, "host-a", "host-a.example.org")
        assert verdict.remedy == "set [DEFAULT] host = host-a.example.org"

    def test_a_row_that_is_not_alive_is_told(self, world: World) -> None:
        world.neutron.kill_agent(HOST)

        (verdict,) = self.look(world)
        assert "75 s" in verdict.remedy

    def test_a_row_that_does_not_map_a_network_is_told(self, world: World) -> None:
        world.neutron.report_agent(HOST, {"physnet1": ("enp1s0",)}, started=True)

        (verdict,) = self.look(world)
        assert verdict.told.endswith("does not map physnet2")
        assert verdict.remedy == "restart mooring-node"

    def test_a_real_agent_is_told_what_to_exclude(self, world: World) -> None:
        world.neutron.add_agent(HOST, {"physnet1": ["enp1s0"], "physnet2": ["enp2s0"]})

        row, excluded = self.look(world)
        assert row.told.startswith("neutron-sriov-nic-agent's row")
        assert excluded.told.endswith(f"exclude_devices = {EXCLUDED}")


class TestBus:
    def test_a_bus_that_answers_is_well_and_nothing_was_reported(self, neutron: FakeNeutron) -> None:
        assert cloud.bus_answers(neutron, HOST).is_well
        (report,) = neutron.device_reports
        assert (report.up, report.down) == ((), ())

    def test_a_bus_that_is_away_or_not_configured_is_told(self, neutron: FakeNeutron) -> None:
        neutron.bus_unreachable = True

        assert "transport_url" in cloud.bus_answers(neutron, HOST).remedy
        assert cloud.bus_answers(None, HOST).remedy.startswith("set [neutron] transport_url")


def test_a_check_that_fails_says_so_and_the_next_goes_on() -> None:
    def fail() -> Verdict:
        raise NeutronRefused("listing the agents", 403, "no")

    (verdict,) = told_by("agent", fail)
    assert (verdict.check, verdict.is_well) == ("agent", False)
    assert "403" in verdict.told
    assert verdict.remedy == "", "what there is to do, the error says"
    assert told_by("clock", lambda: well("clock", "kept")) == (well("clock", "kept"),)


def test_each_problem_is_shown_with_its_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = [well("clock", "kept in step"), wrong("agent", "not alive", "start it"), wrong("bus", "away; start it")]

    show_verdicts(verdicts, "table")

    assert capsys.readouterr().out.splitlines() == [
        "ok       clock  kept in step",
        "PROBLEM  agent  not alive",
        "                remedy: start it",
        "PROBLEM  bus    away; start it",
        "3 things looked at, 2 problems",
    ]
