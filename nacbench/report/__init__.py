"""What a reader of results sees: tables, curves, reports."""
