"""Figures: the pictures of a study as text inside a page, with a sentence for those who cannot see them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

EFFORT = 4  # of the compression, 0 to 6; beyond 4 it gains little and takes long


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture as a data URI, its size in pixels and in bytes, and its alternative text."""

    name: str
    uri: str
    width: int
    height: int
    size: int
    alt: str


def figure(path: Path, alt: str) -> Figure:
    """A PNG file, compressed anew without loss of a pixel: as WebP it takes a third of the space.

    What the file itself says in its field Description or Title is preferred to `alt`.

    Raises
    ------
    OSError, ValueError
        If the file is no picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            said = picture.info.get("Description") or picture.info.get("Title") or alt
            width, height = picture.size
            packed = io.BytesIO()
            _flat(picture).save(packed, "WEBP", lossless=True, exact=True, method=EFFORT)
    except (UnidentifiedImageError, SyntaxError) as error:  # Pillow's words for a broken file
        raise ValueError(str(error)) from error
    uri = f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"
    return Figure(path.name, uri, width, height, packed.tell(), " ".join(str(said).split()))


def _flat(picture: Image.Image) -> Image.Image:
    """Without the channel of opacity where all is opaque."""
    whole = picture.convert("RGBA")
    return whole.convert("RGB") if whole.getchannel("A").getextrema() == (255, 255) else whole
