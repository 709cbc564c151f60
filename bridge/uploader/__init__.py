"""The CareLink uploader: transports, and the read-back that alone may say that something was uploaded."""

from bridge.uploader.http import HttpTransport
from bridge.uploader.http_settings import HttpSettings
from bridge.uploader.observe import ObserveSettings, ObserveTransport
from bridge.uploader.vendor import DeviceLocks, VendorState, VendorTransport
from bridge.uploader.vendor_settings import VendorSettings
from bridge.uploader.verifier import CareLinkVerifier, ReadBackSettings

__all__ = [
    "CareLinkVerifier", "DeviceLocks", "HttpSettings", "HttpTransport", "ObserveSettings", "ObserveTransport",
    "ReadBackSettings", "VendorSettings", "VendorState", "VendorTransport",
]  # fmt: skip
