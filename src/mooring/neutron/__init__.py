"""The Neutron edge: exact REST calls, and the L2 agent's duties on the message bus."""
