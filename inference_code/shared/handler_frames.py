"""The frames of a video as an answer: JSON, MP4, GIF, or all of them in one picture. PIL and av are imported where they are used.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import base64
import io
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handler_answer import as_json
from handler_request import JSON

if TYPE_CHECKING:
    from PIL.Image import Image

JPEG_QUALITY = 90
SHEET_WIDTH = 2048  # pixels that a contact sheet has at most
SAMPLED_WIDTH = 1024  # pixels of the frames side by side from which an animation gets its colours
GAP = 4  # pixels between two pictures of it
AV = "av==18.1.0"  # has wheels for the Python of the image, with libx264 in them
MP4, GIF, PNG = "video/mp4", "image/gif", "image/png"

# Called with the picture that the video was made from, the frames, and how many of them are shown in a second.
Encoder = Callable[["Image", Sequence["Image"], int], bytes]


def encoder(media_type: str) -> Encoder:
    """The function that makes an answer of a media type.

    A handler gets it before the frames are made: minutes of work must not end in an answer that cannot be written.

    Raises:
        ValueError: it takes a package that the image does not have.
    """
    if media_type == MP4:
        pyav()
    return ENCODERS[media_type]


def pyav() -> Any:
    """PyAV, which writes films.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise ValueError(
            f"{MP4} takes PyAV, which is not installed: add {AV} to code.requirements in the spec, or ask for {GIF}"
        ) from None
    return av


def frames_json(_still: Image, frames: Sequence[Image], _fps: int) -> bytes:
    """Each frame as base64 JPEG: `{"frames": ["...", ...]}`."""
    return as_json(
        {"frames": [base64.b64encode(_file(frame, "JPEG", quality=JPEG_QUALITY)).decode() for frame in frames]}
    )


def mp4(_still: Image, frames: Sequence[Image], fps: int) -> bytes:
    """A film that every browser and phone shows: H.264 in yuv420p, for which width and height must be even.

    Its index comes first (faststart), so that it plays while it loads. To put it there, the file is read again: it needs a name.
    """
    av = pyav()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
            stream = film.add_stream("libx264", rate=fps, options={"crf": "18"})  # 18: the eye sees no loss
            stream.width, stream.height = frames[0].size
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                film.mux(stream.encode(av.VideoFrame.from_image(frame)))
            film.mux(stream.encode())  # what the encoder has held back
        return path.read_bytes()


def gif(_still: Image, frames: Sequence[Image], fps: int) -> bytes:
    """An animation that repeats for ever, in 256 colours. GIF counts time in hundredths of a second.

    The colours are those of all frames together: a choice for each frame takes seconds a frame, and flickers.
    """
    from PIL import Image

    colours = _side_by_side(frames, SAMPLED_WIDTH).quantize()
    first, *rest = (frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames)
    return _file(first, "GIF", save_all=True, append_images=rest, duration=round(100 / fps) * 10, loop=0)


def contact_sheet(still: Image, frames: Sequence[Image], _fps: int) -> bytes:
    """The picture that the video was made from, then its frames, row by row in one PNG, smaller where they would be too wide."""
    return _file(_side_by_side((still, *frames), SHEET_WIDTH), "PNG")


def _side_by_side(images: Sequence[Image], most: int) -> Image:
    """Images of one size in rows, about as many as columns, on white.

    Args:
        images: the images.
        most: pixels that they may take in width; they become smaller where they would take more.
    """
    from PIL import Image

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width = min(images[0].width, (most - GAP * (columns + 1)) // columns)
    height = round(images[0].height * width / images[0].width)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet.paste(image.resize((width, height)), (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return sheet


def _file(image: Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


ENCODERS: dict[str, Encoder] = {JSON: frames_json, MP4: mp4, GIF: gif, PNG: contact_sheet}
