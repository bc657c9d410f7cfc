"""Kernels in C: sources, compilation, and the operators of torch that call them.

``registration`` lists the operators of `nasforge_plugins.kernels` that are implemented here. This folder may
be deleted.
"""
