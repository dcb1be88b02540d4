"""What which role may do: oslo.policy, with Zun's names for the rules and defaults of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oslo_config import cfg
from oslo_policy.policy import Enforcer, InvalidDefinitionError, RuleDefault

from mooring.api.authentication import Identity
from mooring.errors import InvalidConfiguration, PolicyForbids

_ADMIN: Final = "rule:admin"
_MEMBER: Final = "rule:member"
_READER: Final = "rule:reader"

_ROLES: Final = {
    "admin": "role:admin",
    "member": "rule:admin or role:member",
    "reader": "rule:member or role:reader",
}

_RULES: Final = _ROLES | {
    **dict.fromkeys(
        (
            *("container:get_one", "container:get_all", "container:logs", "container:top", "container:stats"),
            *("container:network_list", "container:actions", "availability_zones:get_all"),
            *("quota:get", "quota:get_default"),
        ),
        _READER,
    ),
    **dict.fromkeys(
        (
            *("container:create", "container:delete", "container:update", "container:resize_container"),
            *("container:start", "container:stop", "container:reboot", "container:pause", "container:unpause"),
            *("container:kill", "container:rebuild", "container:commit", "container:resize", "container:execute"),
            *("container:get_archive", "container:put_archive", "container:network_attach", "container:network_detach"),
            "container:unsupported",
        ),
        _MEMBER,
    ),
    **dict.fromkeys(
        (
            *("container:get_one_all_projects", "container:get_all_all_projects", "container:delete_all_projects"),
            *("container:delete_force", "container:placement"),
            *("container:create:requested_destination", "container:create:runtime"),
            "container:create:image_pull_policy",
            *("host:get_all", "host:get", "host:devices", "image:get_all", "image:pull", "network:delete"),
            *("zun-service:get_all", "zun-service:enable", "zun-service:disable", "zun-service:force_down"),
            *("zun-service:delete", "quota:get_other", "quota:update", "quota:delete"),
        ),
        _ADMIN,
    ),
    "container:create:privileged": "!",
}
"""Every rule with its default. ``container:placement`` is to see, and filter by, where containers are and on what."""


class Policy:
    """Decides by role; whose container it is, the core decides."""

    def __init__(self, policy_file: Path | None) -> None:
        """Read the operator's rules, which replace the defaults of the same name; read them again when they change.

        Raises InvalidConfiguration when the file is not there, or is no policy.
        """
        if policy_file is not None and not policy_file.is_file():
            raise InvalidConfiguration(f"[oslo_policy] policy_file: there is no file {policy_file}")
        conf = cfg.ConfigOpts()
        conf(args=[], default_config_files=[], default_config_dirs=[])
        self._enforcer = Enforcer(conf, policy_file=str(policy_file or _NO_FILE))
        # Nor in a folder of its own choice.
        conf.set_override("policy_dirs", [], group="oslo_policy")
        self._enforcer.register_defaults([RuleDefault(name, check) for name, check in _RULES.items()])
        # A mistake in the file shows at the start, not at the first request.
        try:
            self._enforcer.load_rules()
            self._enforcer.check_rules(raise_on_violation=True)
        except (ValueError, AttributeError, TypeError, InvalidDefinitionError) as exc:
            # oslo.policy does not look whether the file is a mapping of texts.
            raise InvalidConfiguration(f"[oslo_policy] policy_file {policy_file}: {exc}") from exc

    def allows(self, rule: str, identity: Identity) -> bool:
        """Tell whether somebody may do what a rule is about."""
        who = {"user_id": identity.user_id, "project_id": identity.project_id, "roles": sorted(identity.roles)}
        allowed: bool = self._enforcer.authorize(rule, {"project_id": identity.project_id}, who)
        return allowed

    def check(self, rule: str, identity: Identity) -> None:
        """Raise PolicyForbids unless somebody may do what a rule is about."""
        if not self.allows(rule, identity):
            raise PolicyForbids(rule)


# oslo.policy looks for a file of its own choice where it is given none.
_NO_FILE: Final = Path("/nonexistent/mooring-policy.yaml")
