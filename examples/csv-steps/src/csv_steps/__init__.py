"""An observer for nasforge: every step as a row of a CSV file."""
