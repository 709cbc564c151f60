"""Contour meters over USB: all stored results, read only."""

from bridge.readers.contour_usb.allowed import permitted
from bridge.readers.contour_usb.decode import decode
from bridge.readers.contour_usb.reader import ContourUsbReader, ContourUsbSettings

__all__ = ["ContourUsbReader", "ContourUsbSettings", "decode", "permitted"]
