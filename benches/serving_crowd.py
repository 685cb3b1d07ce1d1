"""Which models the benches of serving ask for, and how often: the same crowd for every server."""

import random

REAL = "all-minilm-l6-v2"
NAMES = (
    REAL,
    "whisper-tiny",
    "all-mpnet-base-v2",
    "clip-vit-base-patch32-image",
    "jina-embeddings-v2-base-en",
    "efficientnet-v2-s",
    "ssdlite-320-mobilenet-v3-large",
)
"""Models of the catalog, the most popular first; sizes are those of the real ones."""
SEED = 1998


def requests(count: int) -> list[str]:
    """Give which models are asked for, the popular ones more often (Zipf's law)."""
    randomness = random.Random(SEED)  # noqa: S311 - a repeatable crowd, not a secret
    return randomness.choices(NAMES, [1 / rank for rank in range(1, len(NAMES) + 1)], k=count)
