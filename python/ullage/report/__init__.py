"""Plans and passes in the forms that other tools show."""

from ullage.report.perfetto import pass_trace, write_pass_trace

__all__ = ["pass_trace", "write_pass_trace"]
