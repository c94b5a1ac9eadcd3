"""Shared by all tests: imports the package first, so that it prepares MXNet's environment."""

import deeprect_gluon  # noqa: F401
