"""The pool in a server: refusals as HTTP, what it does as metrics.

`ullage.serving.fastapi` and `ullage.serving.starlette` lend models to requests, `ullage.serving.metrics` and
`ullage.serving.telemetry` show a pool to Prometheus and OpenTelemetry. Each needs an extra of the package, and none is
imported with it; `problem` and `snapshot`, which they share, need nothing.
"""
