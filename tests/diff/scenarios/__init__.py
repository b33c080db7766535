"""Every scenario; the order is that of the report."""

from . import cluster, configs, groups, records, topics, wrong  # noqa: F401
