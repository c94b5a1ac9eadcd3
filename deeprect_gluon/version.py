"""The one place that states the version of the package and of its operator library."""

__version__ = "0.2.0"
