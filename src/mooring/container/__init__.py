"""Containers as users ask for them and the service keeps them: pure values and rules."""
