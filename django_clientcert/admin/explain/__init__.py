"""The screen that explains a decision."""
