"""``mooring controller``, killed right before or after a step of a container. Runs beside the guests, for tests.

CONTROLLER_ORDERS is a directory. A file in it has the name of a container and holds two words, such as
``after bind_port``; it is torn up as it is obeyed. Without the variable, the controller answers and listens as ever,
but leaves all work on containers to others.
"""

from __future__ import annotations

import os
import signal
from functools import wraps
from pathlib import Path

from mooring.cli.main import main
from mooring.container.model import Container
from mooring.controller.steps import Step, next_step
from mooring.controller.worker import Worker

VARIABLE = "CONTROLLER_ORDERS"


def die_as_ordered(orders: Path) -> None:
    """Have every worker of this process obey the orders."""
    step_done = Worker._step

    def obey(moment: str, step: Step, container: Container) -> None:
        order = orders / container.spec.name
        if order.exists() and order.read_text() == f"{moment} {step}":
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(step_done)
    def deadly(worker: Worker, container: Container) -> Container | None:
        step = next_step(container)
        obey("before", step, container)
        after = step_done(worker, container)
        obey("after", step, container)
        return after

    Worker._step = deadly  # type: ignore[method-assign]


def do_no_work(_: Worker) -> bool:
    """Find nothing to do."""
    return False


if __name__ == "__main__":
    if VARIABLE in os.environ:
        die_as_ordered(Path(os.environ[VARIABLE]))
    else:
        Worker.work = do_no_work  # type: ignore[method-assign]
    main()
