"""Load trained networks by name; every load checks the weights against their published digest."""

from .pretrained import get_model, list_models, model_info

__all__ = ["get_model", "list_models", "model_info"]
