"""Models and devices as published: data files with their sources, read when first asked for."""

from ullage.catalog.architecture_table import ArchitectureRow, Component, architecture, architectures
from ullage.catalog.device_table import Device, device, devices
from ullage.catalog.model_table import Document, Figure, ModelRow, Weights, model, models
from ullage.catalog.pool_rule import PoolAudit, audit_pool
from ullage.catalog.range import Range

__all__ = [
    "ArchitectureRow",
    "Component",
    "Device",
    "Document",
    "Figure",
    "ModelRow",
    "PoolAudit",
    "Range",
    "Weights",
    "architecture",
    "architectures",
    "audit_pool",
    "device",
    "devices",
    "model",
    "models",
]
