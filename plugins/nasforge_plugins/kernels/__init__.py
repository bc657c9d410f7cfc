"""Operators that compute many modules of a network at once, with kernels in C where there are any.

Each operator is a function in a module of its own, which documents its contract. It has at most two
implementations: kernels in C, and one fallback in torch.

| Operator | Computes | Fallback |
|---|---|---|
| `bundle.bundle` | separable and dilated convolutions of the edges that leave a state (`darts`) | fused |
| `sum_cell.sum_cell` | a cell whose nodes are sums (`nasbench201`) | fused |
| `bottlenecks.narrow` | inverted bottlenecks of a block, up to their last norm (`chain`) | plain modules |
| `convolution.convolve` | a 3x3 convolution (zero-cost proxies) | plain modules |

A fused fallback is in the module of its operator. Plain modules are those of the caller.

`door.find_kernel` is the only way to the kernels in C. The folder ``c`` with their sources can be deleted:
everything still imports, and the fallbacks compute. Where ``runs_plainly`` of a network is true, as in
`torch.export`, it runs its plain modules instead of operators.

`depthwise`, `interleaving` and `folding` are steps that implementations share.
"""
