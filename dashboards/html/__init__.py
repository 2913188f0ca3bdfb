"""Pages as one HTML file each, which works from `file://` and asks no other host for anything."""

from dashboards.html.file import CannotWrite, write
from dashboards.html.render import render

__all__ = ["CannotWrite", "render", "write"]
