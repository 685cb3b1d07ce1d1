"""Answers as others see them: pages for a browser, images, and traces for Perfetto."""

from ullage.report.perfetto import pass_trace, write_pass_trace
from ullage.report.source import load_timeline, read, save_timeline
from ullage.report.writing import write_report

__all__ = ["load_timeline", "pass_trace", "read", "save_timeline", "write_pass_trace", "write_report"]
