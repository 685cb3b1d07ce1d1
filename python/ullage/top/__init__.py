"""A running pool as a terminal shows it."""

from ullage.top.snapshot import Account, Decision, Model, Snapshot

__all__ = ["Account", "Decision", "Model", "Snapshot"]
