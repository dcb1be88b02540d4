"""The guests' base image: a small Debian with Docker, Python and a kernel with SR-IOV drivers.

Everything in this package goes into the image and into its cache key; mooring itself does not.
"""

from lab.image.base import BaseImage, base_image
from lab.image.release import RELEASES, GuestRelease

__all__ = ["RELEASES", "BaseImage", "GuestRelease", "base_image"]
