"""Published nets: names to trained weights, checked whenever they are loaded."""

from .pretrained import get_model, list_models, model_info

__all__ = ["get_model", "list_models", "model_info"]
