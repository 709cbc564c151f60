"""Tidepool: records as datums of one continuous data set."""

from adapters.tidepool.adapter import TidepoolAdapter
from adapters.tidepool.linking import TidepoolLinking
from adapters.tidepool.settings import TidepoolSettings

__all__ = ["TidepoolAdapter", "TidepoolLinking", "TidepoolSettings"]
