"""The standalone folder: a network as readable code of torch alone, with weights, labels and a model card.

The code is made from the recorded operators of the network (`torch.export`), not from the sources of its
classes: so it works for spaces of anybody, contains only what the found architecture computes, and nothing
of nasforge. The operators are put back into the modules that called them: a layer of `torch.nn` becomes that
layer again, other modules become classes, and modules of equal shape share one class.

| Module | Does |
|---|---|
| `regions` | sorts recorded operators by the module that called them |
| `layers` | writes the constructor of a layer of `torch.nn` |
| `operators` | writes an operator as an expression |
| `naming` | short names for attributes and values |
| `blocks`, `building`, `statements` | turn a region into members and statements |
| `classes` | finds blocks of equal shape, and the arguments in which they differ |
| `code` | writes ``model.py`` |
| `card` | writes the model card |
| `folder` | the format: puts the files together, and runs them |
"""
