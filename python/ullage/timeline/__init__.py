"""Who held how many bytes when: a history of reservations as one array of events, and what can be read out of it.

The same `Timeline` comes from a ledger and from the files that `ullage.tracking` reads, so that one set of reports
serves all. A *position* counts the events that have happened: 0 is the state before the first, `len(events)` the end.
"""

from ullage.timeline.layout import EVENT, LIFETIME
from ullage.timeline.peak import Peak
from ullage.timeline.timeline import Timeline

__all__ = ["EVENT", "LIFETIME", "Peak", "Timeline"]
