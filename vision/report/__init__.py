"""Results become things that people look at: rows, tables, overlays, contact sheets, one HTML page."""
