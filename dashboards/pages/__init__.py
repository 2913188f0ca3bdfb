"""The one definition of every page: pure functions from records to plain data.

The HTML file and the W&B workspaces and reports are drawn from what these return, so that all of
them show the same panels, under the same names, with the same explanations.
"""

from dashboards.pages.comparison import comparison
from dashboards.pages.monitor import monitor
from dashboards.pages.what_changed import what_changed
from dashboards.pages.workspace import workspace

__all__ = ["comparison", "monitor", "what_changed", "workspace"]
