"""What data are worth: faults that checks find, and what is kept of a source."""
