"""Print whether eight consumers' gradients are right in a static graph, then the warnings."""

import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import deeprect_gluon as dg

import mxnet as mx  # isort: skip


class Fan(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.alpha = self.params.get("alpha", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, alpha):
        return F.add_n(*[dg.prelu(x, alpha) for _ in range(8)])


net = Fan()
net.initialize()
net.hybridize(static_alloc=True)
with mx.autograd.record():
    y = net(mx.nd.full((1, 1), -1))
y.backward()
print(net.alpha.grad().asscalar() == -8)
for warning in caught:
    if warning.category is RuntimeWarning:
        print(warning.message)
