"""CareLink cloud: what the phone's app uploads, read every five minutes."""

from bridge.readers.carelink_cloud.reader import CareLinkCloudReader

__all__ = ["CareLinkCloudReader"]
