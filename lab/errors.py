"""Everything that can go wrong in the lab, as one small hierarchy."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked; the message says what failed, why, and what to do."""


class HostSetupError(LabError):
    """The machine lacks something the lab needs and cannot install."""


class ImageError(LabError):
    """A guest image could not be built."""


class ProcessError(LabError):
    """A process of the lab did not start, died, or did not stop."""


class NotReadyError(LabError):
    """Something was started and did not become ready before its deadline."""


class GuestError(LabError):
    """A guest is not running, or could not be reached."""


class CommandError(LabError):
    """A command inside a guest ended with an exit code other than 0."""
