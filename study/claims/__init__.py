"""The claims of the paper, one in each module."""
