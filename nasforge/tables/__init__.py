"""Tables of results of trained architectures."""

from nasforge.tables.layout import TableLayout, TableMetric

__all__ = ["TableLayout", "TableMetric"]
