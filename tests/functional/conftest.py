"""Fixtures that functional tests share."""

from __future__ import annotations

from neutron_cloud import cloud

__all__ = ["cloud"]
