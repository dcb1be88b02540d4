"""Real, unmodified Neutron with Keystone and RabbitMQ, as plain processes beside the guests."""

from lab.neutron.cloud import NeutronCloud
from lab.neutron.facts import GUEST_VIEW_OF_HOST, CloudFacts

__all__ = ["GUEST_VIEW_OF_HOST", "CloudFacts", "NeutronCloud"]
