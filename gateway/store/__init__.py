"""One SQLite file that is spool and archive."""

from gateway.store.reader import Reader
from gateway.store.retention import Budget
from gateway.store.schema import StoreError
from gateway.store.spool import Contents, LifeRow, Store

__all__ = ["Budget", "Contents", "LifeRow", "Reader", "Store", "StoreError"]
