"""The HTTP interface: images in, classes out as JSON, and a page to drop an image on."""

# No "from __future__ import annotations": FastAPI reads the handlers' annotations at run time.
import asyncio
import contextlib
import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from ..images.isolated import Isolated
from ..images.prediction import likeliest
from ..native import physical_cores
from ..version import __version__
from .batching import Batcher, BusyError
from .classifier import Classifier, UnknownFormatError

PAGE = Path(__file__).with_name("page.html")
# The page is one file, and loads nothing from elsewhere.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'"
)


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Parameters
    ----------
    max_bytes : int
        Of an image file.
    body_timeout : float
        Seconds in which a request's body must arrive.
    decode_timeout : float
        Seconds of the processor's time for decoding an image.
    answer_timeout : float
        Seconds from the end of a request's body to its answer, waiting included.
    max_batch, max_wait, max_queue
        See `Batcher`.

    Raises
    ------
    ValueError
        If one of them would allow nothing.
    """

    max_bytes: int = 10 << 20
    body_timeout: float = 10
    decode_timeout: float = 10
    answer_timeout: float = 60
    max_batch: int = 16
    max_wait: float = 0.005
    max_queue: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            smallest = 0 if name == "max_wait" else 1 if isinstance(value, int) else 1e-3
            if value < smallest:
                raise ValueError(f"{name}={value} is too little; give {smallest} or more")


class ClassProbability(BaseModel):
    index: int
    name: str
    probability: float


class Answer(BaseModel):
    """The likeliest classes, the likeliest first."""

    classes: List[ClassProbability]


class Health(BaseModel):
    status: str
    requests: int


class Metadata(BaseModel):
    """The net and its input."""

    name: str
    form: str
    precision: str
    classes: Optional[List[str]]
    channels: int
    size: int
    max_bytes: int
    max_pixels: int
    card: Optional[str]


class Problem(BaseModel):
    """The error, in one sentence."""

    detail: str


async def read_body(request: Request, limits: Limits) -> memoryview:
    """Return a request's body if it is neither too large nor too slow.

    The rest of a body that is too large is read too, within the same time, and dropped. A client
    that reads no answer before it has sent everything would otherwise never see the answer.

    Returns
    -------
    memoryview
        Of memory that goes back to the system when it is let go.

    Raises
    ------
    HTTPException
        413 or 408, and the connection ends; 400 if the client has ended it.
    """
    too_large = HTTPException(
        413,
        f"the image file has more than {limits.max_bytes:,} bytes; send a smaller one",
        {"Connection": "close"},
    )
    declared = int(request.headers.get("content-length", 0))
    if declared > limits.max_bytes and "expect" in request.headers:
        raise too_large  # with "Expect" the client has sent nothing yet
    # Pages come into being when they are written.
    content, size = mmap.mmap(-1, limits.max_bytes), 0

    async def read() -> None:
        nonlocal size
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limits.max_bytes:
                content.write(chunk)

    try:
        await asyncio.wait_for(read(), limits.body_timeout)
        if size > limits.max_bytes:
            raise too_large
        return memoryview(content)[:size]
    except BaseException as error:
        content.close()  # the error's traceback would keep it
        if isinstance(error, ClientDisconnect):
            raise HTTPException(400, "the connection ended before the body did") from error
        if not isinstance(error, asyncio.TimeoutError):
            raise
        if size > limits.max_bytes:
            raise too_large from error
        sentence = f"the body did not come within {limits.body_timeout:g} seconds"
        raise HTTPException(408, sentence, {"Connection": "close"}) from error


def create_app(classifier: Classifier, limits: Optional[Limits] = None) -> FastAPI:
    """Make the web application; uvicorn or any ASGI server runs it.

    Parameters
    ----------
    classifier : Classifier
    limits : Limits, optional
    """
    limits = limits or Limits()
    batcher = Batcher(classifier, limits.max_batch, limits.max_wait, limits.max_queue)
    # Decoding takes much memory: decode as many images at a time as there are cores.
    decoder = Isolated(classifier.prepare, physical_cores(), limits.decode_timeout)
    decoding = ThreadPoolExecutor(physical_cores(), "decoding")

    async def compute(content: memoryview) -> np.ndarray:
        loop = asyncio.get_running_loop()
        return await batcher(await loop.run_in_executor(decoding, decoder, content))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI):
        decoder.start()
        await batcher.start()
        yield
        decoder.close()
        decoding.shutdown()
        await batcher.stop()

    # The interactive documentation would load its scripts from elsewhere.
    app = FastAPI(
        title="deeprect_gluon",
        description=f"Classifies images with the net {classifier.name}.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would go to whatever host the request names
    )

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=headers)

    @app.get("/health")
    async def health() -> Health:
        """Say that the server runs; `requests` is the number of those in work."""
        return Health(status="ok", requests=batcher.admitted)

    @app.get("/metadata")
    async def metadata() -> Metadata:
        """Describe the net: its classes, its input, its card (Markdown)."""
        sidecar = classifier.sidecar
        rule = classifier.preprocess
        return Metadata(
            name=classifier.name,
            form=sidecar.form,
            precision=sidecar.precision,
            classes=list(sidecar.classes) if sidecar.classes else None,
            channels=len(rule.mean),
            size=rule.size,
            max_bytes=limits.max_bytes,
            max_pixels=classifier.max_pixels,
            card=sidecar.card,
        )

    image_body = {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
    problems: Dict[Union[int, str], Dict[str, Any]] = {
        status: {"model": Problem} for status in (408, 413, 415, 422, 503)
    }

    @app.post("/classify", openapi_extra={"requestBody": image_body}, responses=problems)
    async def classify(request: Request, top: int = Query(5, ge=1)) -> Answer:
        """Classify an image file; the body is the file itself."""
        try:
            # Admit it before its body takes memory.
            with batcher.admission():
                content = await read_body(request, limits)
                probabilities = await asyncio.wait_for(compute(content), limits.answer_timeout)
        except (BusyError, asyncio.TimeoutError) as error:
            reason = str(error) or f"no answer within {limits.answer_timeout:g} seconds"
            raise HTTPException(503, reason, {"Retry-After": "1"}) from error
        except asyncio.CancelledError as error:
            raise HTTPException(503, "the server is stopping") from error
        except UnknownFormatError as error:
            raise HTTPException(415, str(error)) from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        guesses = likeliest(probabilities, classifier.sidecar.classes, top)
        return Answer(classes=[ClassProbability(**asdict(guess)) for guess in guesses])

    return app
