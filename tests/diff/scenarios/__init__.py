"""Every scenario; the order is that of the report."""

from . import cluster, configs, frames, groups, records, rubbish, sessions, topics, wrong  # noqa: F401
from . import config_values, own_topics  # noqa: F401, isort: skip
from . import made_up  # noqa: F401, isort: skip
