"""Export, import and comparison of everything that decisions depend on."""

from .differences import compare
from .loading import Loader, Outcome, Status
from .reading import Row, TransferError, read_rows, read_uploads
from .records import export_mappings, export_records
from .writing import write_csv, write_json

__all__ = [
    "Loader",
    "Outcome",
    "Row",
    "Status",
    "TransferError",
    "compare",
    "export_mappings",
    "export_records",
    "read_rows",
    "read_uploads",
    "write_csv",
    "write_json",
]
