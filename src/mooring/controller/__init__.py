"""The service's core: containers' life cycle, their placement, and the claims on devices."""
