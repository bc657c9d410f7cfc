"""Files of a trained network that work without nasforge.

| Module | Writes |
|---|---|
| `program` | a program of `torch.export` (.pt2) |
| `onnx_file` | an ONNX file, with or without the normalisation of images inside |
| `quantized` | the ONNX file in 8-bit integers |
| `executorch_file` | a program for phones and boards (.pte) |
| `standalone` | a folder with a readable module of torch alone, its weights, labels and a model card |

`latency` times such files, for limits on networks that have not been trained.

Every other module has a `Format`. `writing.write_formats` writes several, and compares each with the
network that it was made from. `catalogue.FORMATS` lists them.
"""
