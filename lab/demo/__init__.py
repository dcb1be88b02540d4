"""``make demo``: the SR-IOV guide of kuryr-libnetwork, followed step by step on real virtual functions."""

from lab.demo.walk import run_demo

__all__ = ["run_demo"]
