"""Models and devices as published: data files with their sources, read when first asked for."""

from ullage.catalog.architecture_table import ArchitectureRow, Component, architecture, architectures
from ullage.catalog.device_lookup import device, devices
from ullage.catalog.device_table import Device
from ullage.catalog.model_lookup import figures, model, models, revisions
from ullage.catalog.model_table import Document, Figure, FigureKey, ModelRow, PublishedFile, Weights
from ullage.catalog.own import add_device, add_model, remove
from ullage.catalog.pool_rule import PoolAudit, PoolRow, RuleCheck, audit_pool
from ullage.catalog.range import Range

__all__ = [
    "ArchitectureRow",
    "Component",
    "Device",
    "Document",
    "Figure",
    "FigureKey",
    "ModelRow",
    "PoolAudit",
    "PoolRow",
    "PublishedFile",
    "Range",
    "RuleCheck",
    "Weights",
    "add_device",
    "add_model",
    "architecture",
    "architectures",
    "audit_pool",
    "device",
    "devices",
    "figures",
    "model",
    "models",
    "remove",
    "revisions",
]
