"""Instagram messaging: one professional account per channel account."""
