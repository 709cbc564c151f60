"""MiniMed 600-series pumps (620G to 670G), read over USB through their Contour Next Link 2.4."""

from bridge.readers.medtronic_600.reader import NAME, Medtronic600Reader
from bridge.readers.medtronic_600.settings import Medtronic600Settings

__all__ = ["NAME", "Medtronic600Reader", "Medtronic600Settings"]
