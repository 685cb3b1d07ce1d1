"""Memory traces of other tools, read into the `Timeline` that ledgers keep, so that one set of reports serves all."""

from ullage.tracking.chrome_trace import import_chrome_trace
from ullage.tracking.memray_file import import_memray
from ullage.tracking.recognise import import_trace
from ullage.tracking.torch_snapshot import import_torch_snapshot

__all__ = ["import_chrome_trace", "import_memray", "import_torch_snapshot", "import_trace"]
