"""Targets and pictures, as in ``pytorch_grad_cam.utils``."""
