"""Recordings in a request, as a pipeline of transformers takes them. numpy is imported where it is used.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import io
import wave
from typing import Any

from handler_files import encoded

SAMPLE_BYTES = 2  # 16 bits, as nearly every WAV file has


def recording(value: object, name: str) -> Any:
    """The samples of a WAV file of 16 bits, as one channel, with their rate; the bytes of any other file.

    The pipeline brings the samples to the rate of its model (with torchaudio, which the image has), and gives other files to
    ffmpeg, which the image has too.

    Raises:
        ValueError: it is missing, an address, not base64, or too large.
    """
    content = encoded(value, name, "recording")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return content
    try:
        with wave.open(io.BytesIO(content)) as file:
            if file.getsampwidth() != SAMPLE_BYTES:
                return content
            channels, rate, frames = file.getnchannels(), file.getframerate(), file.readframes(file.getnframes())
    except (wave.Error, EOFError):  # compressed, of floating-point numbers, or broken
        return content
    return {"raw": _mono(frames, channels), "sampling_rate": rate}


def _mono(frames: bytes, channels: int) -> Any:
    """Samples from -1 to 1, the mean of all channels."""
    import numpy as np

    whole = len(frames) // (SAMPLE_BYTES * channels) * SAMPLE_BYTES * channels
    samples = np.frombuffer(frames[:whole], dtype="<i2").astype(np.float32) / 32_768
    return samples.reshape(-1, channels).mean(axis=1)
