"""Under which names Contour meters are sold: by cable and over Bluetooth they tell a product number."""

from __future__ import annotations

import re

_NAMES = {
    "6200": "Contour Next Link", "6300": "Contour Next Link", "6210": "Contour Next Link 2.4",
    "7150": "Contour", "7220": "Contour", "7160": "Contour Next EZ", "7350": "Contour Next", "7390": "Contour USB",
    "7410": "Contour Next USB", "7600": "Contour Plus", "7800": "Contour Next One", "7900": "Contour Next",
    "7950": "Contour Plus Blue",
}  # fmt: skip
"""By product number; the Plus One says 7800 too."""
_PRODUCT = re.compile(r"(?:Bayer|Contour)([0-9]{4})", re.ASCII)


def sold_as(product: str) -> str:
    """The name of a product such as `Contour7800`; of an unknown one what it says itself."""
    found = _PRODUCT.fullmatch(product)
    return _NAMES.get(found[1], product) if found else product
