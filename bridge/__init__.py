"""glucobridge: diabetes data, carried by itself from CareLink and devices to Nightscout and Tidepool."""

__version__ = "0.1.0"
