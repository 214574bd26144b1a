"""Runs in bulk: notebooks through papermill, and sweeps of many cells with one engine."""

from alkit.study.batch import cells

__all__ = ["cells"]
