"""Every scenario; the order is that of the report."""

from . import cluster, configs, groups, made_up, records, rubbish, topics, wrong  # noqa: F401
