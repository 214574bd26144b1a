"""The explorer's page for the pools of the study, from what their runs left on disk."""

from alkit.study.explore.benchmark_page import buyers, hidden, write_benchmark

__all__ = ["buyers", "hidden", "write_benchmark"]
