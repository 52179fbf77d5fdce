"""Tables of people as files: CSV, XLSX, JSON lines and vCard, read row by row and written row by row."""
