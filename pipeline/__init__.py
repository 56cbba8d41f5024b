"""A reproducible pipeline that reads handwritten digits, in strips, scenes and lines, and classifies CIFAR-10."""

import os

# Each of these packages reports usage to its maker unless its variable says otherwise when it is imported or first
# used. Processes started from here inherit the variables, whether or not `make` started this one.
os.environ.update(
    BENTOML_DO_NOT_TRACK="True",
    DVC_NO_ANALYTICS="1",
    GX_ANALYTICS_ENABLED="False",
    ORT_DISABLE_TELEMETRY="1",
    RAY_USAGE_STATS_ENABLED="0",
)
