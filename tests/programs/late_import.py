"""Import the package after MXNet has read its environment, and print the warnings."""

import warnings

import mxnet as mx

net = mx.gluon.nn.Dense(2)
net.initialize()
net.hybridize()
x = mx.nd.ones((1, 3))
with mx.autograd.record():
    y = net(x) + net(x)
y.backward()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import deeprect_gluon  # noqa: F401
print(*(str(w.message) for w in caught if w.category is RuntimeWarning))
