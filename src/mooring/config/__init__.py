"""Configuration: every option declared once, read once, and handed down as frozen typed values."""
