"""The shared base for the small pair of real models; made by :mod:`llink_ray.tools.shared_base`."""
