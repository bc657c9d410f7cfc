"""The DARTS cell space: a normal and a reduction cell, stacked into networks for CIFAR and ImageNet."""
