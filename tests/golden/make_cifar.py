"""Writes cifar/: batches of two images in the Python version of CIFAR, as every version of pickle writes them.

Usage: python make_cifar.py, and again with Python 2.7, whose pickles the files of the University of Toronto are. Plane
byte p of image i is (7 p + 31 i) % 251. Made with Python 3.11.7 and NumPy 2.4.6, and with Python 2.7.18, for which there is
no NumPy any more: the few names of it that are pickled are made here.
"""
import os
import pickle
import sys
import types

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cifar")
planes = bytearray((7 * p + 31 * i) % 251 for i in range(2) for p in range(3072))


def write(name, content):
    folder = os.path.dirname(os.path.join(here, name))
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(os.path.join(here, name), "wb") as file:
        file.write(content)


def ten(data):
    return {"batch_label": "testing batch 1 of 1", "labels": [3, 9], "data": data, "filenames": ["a.png", "b.png"]}


def hundred(data):
    return {"filenames": ["a.png", "b.png"], "batch_label": "testing batch 1 of 1", "fine_labels": [0, 99],
            "coarse_labels": [4, 19], "data": data}


if sys.version_info[0] == 2:
    import cPickle

    for name in ["numpy", "numpy.core", "numpy.core.multiarray"]:
        sys.modules[name] = types.ModuleType(name)
    numpy, multiarray = sys.modules["numpy"], sys.modules["numpy.core.multiarray"]
    numpy.core, numpy.core.multiarray = sys.modules["numpy.core"], multiarray

    def _reconstruct():
        pass

    _reconstruct.__module__ = "numpy.core.multiarray"
    multiarray._reconstruct = _reconstruct

    class dtype(object):
        def __reduce__(self):
            return dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)

    class ndarray(object):
        def __reduce__(self):
            return _reconstruct, (ndarray, (0,), "b"), (1, (2, 3072), dtype(), False, bytes(planes))

    for kind in (dtype, ndarray):
        kind.__module__ = "numpy"
        setattr(numpy, kind.__name__, kind)
    write("cifar-10-batches-py/test_batch", cPickle.dumps(ten(ndarray()), 2))
    write("cifar-10-batches-py/data_batch_1", cPickle.dumps(ten(ndarray()), 2))
    write("cifar-100-python/test", cPickle.dumps(hundred(ndarray()), 2))
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    meta = {"num_cases_per_batch": 2, "label_names": names, "num_vis": 3072}
    write("cifar-10-batches-py/batches.meta", cPickle.dumps(meta, 0))
    for protocol in (0, 1):
        write("python2_protocol%d" % protocol, cPickle.dumps(ten(ndarray()), protocol))
else:
    import numpy as np

    data = np.frombuffer(bytes(planes), np.uint8).reshape(2, 3072).copy()
    for protocol in range(6):
        write("protocol%d" % protocol, pickle.dumps(ten(data), protocol))
    # Keys and texts in bytes, as after `pickle.load(file, encoding="bytes")`.
    by_bytes = {key.encode(): value for key, value in ten(data).items()}
    by_bytes[b"filenames"] = [b"a.png", b"a.png"]
    write("keys_of_bytes", pickle.dumps(by_bytes, 2))
    write("fortran", pickle.dumps(ten(np.asfortranarray(data)), 4))
    write("numpy1", pickle.dumps(ten(data), 3).replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    write("floats", pickle.dumps(ten(data.astype(np.float32)), 4))
