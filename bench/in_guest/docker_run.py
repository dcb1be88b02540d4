"""python3 -m bench.in_guest.docker_run ROUNDS NETWORK ADDRESS BRIDGE: ``docker run`` on a VF, on bridges, on nothing.

NETWORK leads to the port with ADDRESS; BRIDGE is a network of driver bridge that a user made: Docker's own lacks what
Docker does for every network of a user's, such as a name server in each container. The kinds take turns, and each round
begins with another one. Prints the samples as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.in_guest.clock import Stopwatch, at_rest

# What Docker, containerd and mooring still do when a command of theirs has returned must not meet the next sample.
PAUSE_S = 1.5
CONTAINER = "bench"


def measure(rounds: int, network: str, address: str, bridge: str) -> Stopwatch:
    """Start and remove a container of each kind in every round."""
    watch = Stopwatch()
    kinds = {
        "a VF": [f"--net={network}", f"--ip={address}"],
        "a bridge network": [f"--net={bridge}"],
        "Docker's own bridge": ["--net=bridge"],
        "no network": ["--net=none"],
    }
    order = list(kinds)
    for _ in range(rounds):
        for kind in order:
            _rest()
            with watch.timing(f"docker run on {kind}"):
                _docker("run", "--detach", "--name", CONTAINER, *kinds[kind], "ubuntu", "sleep", "600")
            _rest()
            with watch.timing(f"docker rm -f on {kind}"):
                _docker("rm", "--force", CONTAINER)
        order.append(order.pop(0))
    return watch


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, stdout=subprocess.DEVNULL)


def _rest() -> None:
    at_rest()
    time.sleep(PAUSE_S)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), *sys.argv[2:]).samples))
