"""Interfaces of pytorch-grad-cam and torchcam: their maps and pictures, stored by compat_golden/make_answers.py."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import msdcam
from msdcam.compat import pytorch_grad_cam, torchcam
from msdcam.compat.pytorch_grad_cam.utils import image
from msdcam.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from msdcam.compat.torchcam import methods as extractors

GOLDEN = Path(__file__).parent / "compat_golden"
FILES = ("small_scopes.onnx", "small_metadata.onnx")
ANSWERS = dict(np.load(GOLDEN / "answers.npz"))
X = ANSWERS["x"]
CLASSES = [4, 1]
TARGETS = {
    "predicted": None,
    "classes": [ClassifierOutputTarget(c) for c in CLASSES],
    "probability": [ClassifierOutputSoftmaxTarget(c) for c in CLASSES],
    "mixed": [ClassifierOutputTarget(4), ClassifierOutputSoftmaxTarget(1)],
}


@pytest.fixture(params=FILES)
def model(request):
    return msdcam.compat.load(GOLDEN / request.param, device="cpu", threads=1)


@pytest.fixture
def network():
    return msdcam.compat.load(GOLDEN / FILES[0], device="cpu", threads=1)


def assert_close(found, stored, tolerance=1e-4):
    found = np.asarray(found)
    assert found.shape == stored.shape
    difference = np.abs(np.float64(found) - np.float64(stored)).max()
    assert difference <= tolerance, difference  # also fails on NaN


def layers(model, name):
    return {
        "last": [model.layer2[-1]],
        "first": [model.layer1[0]],
        "both": [model.layer1[0], model.layer2[-1]],
    }[name]


def cases(package):
    return [name for name in ANSWERS if name.startswith(package + "/")]


# pytorch-grad-cam


@pytest.mark.parametrize("case", [c for c in cases("pytorch_grad_cam") if c.count("/") >= 3 and "Refine" not in c])
def test_cam_classes_give_the_maps_of_pytorch_grad_cam(model, case):
    _, method, layer, target, *options = case.split("/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with getattr(pytorch_grad_cam, method)(model=model, target_layers=layers(model, layer)) as cam:
            maps = cam(input_tensor=X, targets=TARGETS[target], **dict.fromkeys(options, True))
    assert maps.dtype == np.float32
    assert_close(maps, ANSWERS[case])


def test_outputs_are_the_logits_of_the_call(model):
    cam = pytorch_grad_cam.GradCAM(model, [model.layer2])
    cam(X)
    assert_close(cam.outputs, ANSWERS["logits"], 1e-5)
    assert_close(model(X), ANSWERS["logits"], 1e-5)


def test_refine_cam_multiplies_the_maps_of_layers(model):
    cam = pytorch_grad_cam.RefineCAM(model, layers(model, "both"))
    assert_close(cam(X, TARGETS["classes"]), ANSWERS["pytorch_grad_cam/RefineCAM/both/classes"])


def test_guided_backpropagation_explains_the_first_image(model):
    guided = pytorch_grad_cam.GuidedBackpropReLUModel(model=model, device="cpu")
    stored = ANSWERS["pytorch_grad_cam/GuidedBackpropReLUModel"]
    assert_close(guided(X, 1), stored, 1e-4 * np.abs(stored).max())


def test_without_layers_the_map_is_at_the_exits_own_tap(network):
    cam = pytorch_grad_cam.GradCAM(network)
    assert_close(cam(X, TARGETS["classes"]), ANSWERS["pytorch_grad_cam/GradCAM/last/classes"])


def test_a_model_of_msdcam_load_will_do(network):
    cam = msdcam.compat.GradCAM(model=msdcam.load(GOLDEN / FILES[0], device="cpu"))
    assert np.array_equal(cam(input_tensor=X), pytorch_grad_cam.GradCAM(network)(X))


def test_targets_of_pytorch_grad_cam_itself_will_do(network):
    foreign = type("ClassifierOutputTarget", (), {"category": 4})()
    cam = pytorch_grad_cam.GradCAM(network)
    assert np.array_equal(cam(X[:1], [foreign]), cam(X[:1], TARGETS["classes"][:1]))


def test_no_images_give_no_maps(network):
    assert pytorch_grad_cam.GradCAM(network)(X[:0]).shape == (0, 16, 20)


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        ([ClassifierOutputTarget(1)], ValueError, "targets: 1 for 2 images, expected one for each"),
        ([ClassifierOutputTarget(5)] * 2, IndexError, "class 5"),
        ([ClassifierOutputTarget(-1)] * 2, IndexError, "class -1"),
        ([lambda x: x] * 2, NotImplementedError, "function; msdcam explains the score of one class"),
        ([ClassifierOutputTarget("cat")] * 2, TypeError, "class 'cat', expected the index of a class"),
        ([ClassifierOutputTarget("3")] * 2, TypeError, "class '3', expected the index of a class"),
        ([ClassifierOutputTarget(2.7)] * 2, TypeError, r"targets\[0\]: class 2.7, expected the index of a class"),
        ([ClassifierOutputTarget(True)] * 2, TypeError, "class True, expected the index of a class"),
    ],
)
def test_targets_that_msdcam_cannot_explain_are_errors(network, targets, error, text):
    with pytest.raises(error, match=text):
        pytorch_grad_cam.GradCAM(network)(X, targets)


@pytest.mark.parametrize("x", [X[0], X[:, :, :-1], np.uint8(X)])
def test_images_of_another_shape_or_type_are_errors(network, x):
    with pytest.raises((ValueError, TypeError)):
        pytorch_grad_cam.GradCAM(network)(x)


@pytest.mark.parametrize("name", ["FullGrad", "ShapleyCAM", "FinerCAM", "KPCA_CAM", "RandomCAM", "SESS"])
def test_methods_without_equivalent_can_be_imported_but_not_made(network, name):
    with pytest.raises(NotImplementedError, match=name):
        getattr(pytorch_grad_cam, name)(model=network, target_layers=[network.layer2])


def test_options_without_equivalent_are_errors(network):
    with pytest.raises(NotImplementedError, match="eigen_smooth"):
        pytorch_grad_cam.GradCAM(network)(X, eigen_smooth=True)
    with pytest.raises(NotImplementedError, match="reshape_transform"):
        pytorch_grad_cam.GradCAM(network, reshape_transform=lambda x: x)
    with pytest.raises(NotImplementedError, match="AblationCAM"):
        pytorch_grad_cam.AblationCAM(network, ratio_channels_to_ablate=0.5)


def test_what_may_differ_is_a_warning(network):
    with pytest.warns(UserWarning, match="sign of a principal component"):
        pytorch_grad_cam.EigenCAM(network)
    with pytest.warns(UserWarning, match="negative values"):
        pytorch_grad_cam.AblationCAM(network, [network.layer2[0].downsample])
    with pytest.warns(UserWarning, match="followed by Relu"):
        pytorch_grad_cam.GradCAM(network, [network.stem[0]])


# Layers


def test_layers_are_found_by_module_path_and_by_tap(model):
    own = model._tap(model.layer2[-1], "layer")
    assert own == model._tap("layer2", "layer") == model._tap("layer2.1", "layer") == model._tap(own, "layer")
    assert model._tap(model.layer2[-2], "layer") == model._tap(model.layer2[0], "layer") != own
    assert "layer2.1" in repr(model.layer2[-1])


@pytest.mark.parametrize(
    ("layer", "error", "text"),
    [
        (lambda m: m.layer9, AttributeError, "no operators of a module 'layer9'"),
        (lambda m: m.layer2[2], IndexError, "module 'layer2' at 2"),
        (lambda m: "layer9", ValueError, "neither a module nor a tap 'layer9'"),
        (lambda m: m.classifier, ValueError, "not a feature map of exit 1"),
        (lambda m: 3, TypeError, "int is not a layer of this model"),
    ],
)
def test_layers_that_do_not_exist_are_errors(model, layer, error, text):
    with pytest.raises(error, match=text):
        pytorch_grad_cam.GradCAM(model, [layer(model)])
    with pytest.raises(ValueError, match="empty list"):
        pytorch_grad_cam.GradCAM(model, [])


def test_a_convolution_that_contains_its_batch_norm_is_an_error(network):
    with pytest.raises(ValueError, match="together with its batch norm"):
        pytorch_grad_cam.GradCAM(network, [network.layer2[0].conv2])


def test_the_built_in_network_has_taps_but_no_modules():
    model = msdcam.compat.load(device="cpu", exit=3)
    x = np.zeros((1, 3, 32, 32), np.float32)
    assert pytorch_grad_cam.GradCAM(model, ["exit3"])(x).shape == (1, 32, 32)
    assert model(x).shape == (1, 10)
    with pytest.raises(AttributeError, match="built-in network"):
        _ = model.layer4
    with pytest.raises(IndexError, match="exit 11"):
        msdcam.compat.load(device="cpu", exit=11)


def test_a_pytorch_module_is_not_a_model():
    with pytest.raises(TypeError, match=r"torch\.onnx\.export"):
        pytorch_grad_cam.GradCAM(object())


def test_a_network_stays_in_evaluation_mode_and_on_its_device(network):
    assert network.eval() is network is network.to("cpu")
    with pytest.raises(ValueError, match="the model is on cpu"):
        network.to("cuda:0")


def test_a_module_that_is_called_twice_is_an_error(model):
    for layer in (model.layer2[0].relu, "layer2.1.relu"):
        with pytest.raises(ValueError, match="is called several times; name a tap"):
            pytorch_grad_cam.GradCAM(model, [layer])


def test_a_network_can_be_pickled(network):
    again = pickle.loads(pickle.dumps(network))
    assert np.array_equal(again(X), network(X)) and again.exit == network.exit


def test_a_damaged_onnx_file_has_no_modules(tmp_path):
    from msdcam.compat.modules import read_nodes

    data = (GOLDEN / FILES[1]).read_bytes()
    for size in range(0, len(data), 997):
        (tmp_path / "cut.onnx").write_bytes(data[:size])
        assert isinstance(read_nodes(tmp_path / "cut.onnx"), list)
    assert read_nodes(tmp_path / "missing.onnx") == []


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length."""
    length, size = len(content), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


@pytest.mark.parametrize(
    ("scopes", "modules"),
    [
        ("['', 'layer4', 'layer4.1', 'relu_16']", ("layer4", "layer4.1")),
        ('["", "it\'s", \'a\\\\b\', ""]', ("it's", "a\\b")),
        ("['', 'a', ]", ()),
        ("[]", ()),
        ("5", None),
        ("'abc'", None),
        ("['a', 5]", None),
        ("['a' 'b']", None),
        ("[['a']]", None),
        ("-" * 3000 + "1", None),
        ("[" * 100_000, None),
        ("(" * 300 + ")" * 300, None),
        ("['\\N{no}']", None),
        ("", None),
    ],
)
def test_name_scopes_are_a_list_of_texts_or_there_are_no_nodes(tmp_path, scopes, modules):
    from msdcam.compat.modules import read_nodes

    entry = field(1, b"pkg.torch.onnx.name_scopes") + field(2, scopes.encode())
    node = field(2, b"out") + field(4, b"Relu") + field(9, entry)
    (tmp_path / "scopes.onnx").write_bytes(field(7, field(1, node)))
    found = read_nodes(tmp_path / "scopes.onnx")
    assert [node.modules for node in found] == ([] if modules is None else [modules])


# torchcam


@pytest.mark.parametrize("case", sorted({c.rsplit("/", 1)[0] for c in cases("torchcam")}))
def test_extractors_give_the_maps_of_torchcam(model, case):
    _, method, layer, kind, scaled = case.split("/")
    chosen = {"default": None, "both": ["layer1", "layer2"]}.get(layer, layer)
    with getattr(extractors, method)(model, chosen) as extractor:
        out = model(X)
        maps = extractor(3 if kind == "one" else CLASSES, out, normalized=scaled == "scaled")
    stored = [ANSWERS[f"{case}/{i}"] for i in range(len(maps))]
    for found, expected in zip(maps, stored):
        assert_close(found, expected, 1e-4 * max(1, np.abs(expected).max()))
    assert f"{case}/{len(maps)}" not in ANSWERS
    if f"{case}/fused" in ANSWERS:
        assert_close(extractor.fuse_cams(maps), ANSWERS[f"{case}/fused"])


def test_without_a_layer_extractors_take_the_one_that_torchcam_takes():
    model = msdcam.compat.load(GOLDEN / "convolutional_head.onnx", device="cpu", threads=1)
    for method in ("GradCAM", "LayerCAM"):
        with getattr(extractors, method)(model) as extractor:
            out = model(X)
            assert extractor.target_names == ["classifier/classifier.1/Relu"]
            maps = extractor(out[0].argmax().item(), out)
        assert_close(maps[0], ANSWERS[f"convolutional_head/torchcam/{method}"])
        cam = getattr(pytorch_grad_cam, method)(model, [model.features[-1]])
        assert_close(cam(X), ANSWERS[f"convolutional_head/pytorch_grad_cam/{method}"])


def test_an_extractor_watches_calls_until_its_with_ends(network):
    with extractors.GradCAM(network) as extractor:
        with pytest.raises(RuntimeError, match="call the model"):
            extractor(0)
        network(X)
        assert extractor(0)[0].shape == (2, 8, 10)
        extractor.disable_hooks()
        network(X[:1])
        assert extractor(0)[0].shape == (2, 8, 10)
        extractor.enable_hooks()
        network(X[:1])
        assert extractor(0)[0].shape == (1, 8, 10)
    network(X)
    with pytest.raises(RuntimeError, match="call the model"):
        extractor(0)


def test_an_extractor_explains_what_the_model_was_called_with(network):
    batch = X.copy()
    with extractors.GradCAM(network) as extractor:
        network(batch)
        expected = extractor(1)[0].copy()
        # The next batch is read into the same memory.
        batch[:] = X[::-1]
        assert np.array_equal(extractor(1)[0], expected)


def test_guided_backpropagation_of_what_is_no_class_is_an_error(network):
    guided = pytorch_grad_cam.GuidedBackpropReLUModel(network)
    assert np.array_equal(guided(X, 2), guided(X, np.array(2)))
    for category in (2.9, "2", [2]):
        with pytest.raises(TypeError, match="target_category: class .* expected the index of a class"):
            guided(X, category)
    with pytest.raises(IndexError, match="class -1"):
        guided(X, -1)


def test_wrong_classes_of_an_extractor_are_errors(network):
    extractor = extractors.LayerCAM(network)
    network(X)
    for index, error in ((None, ValueError), ([1], ValueError), (-1, IndexError), (5, IndexError)):
        with pytest.raises(error):
            extractor(index)
    for index in (2.9, [2.9, 1.0], "3", "12", b"12", {1, 2}, [[1], [2]], True, np.array([1.0, 2.0]), np.ones((2, 2), int)):
        with pytest.raises(TypeError, match="class_idx: class .* expected the index of a class") as caught:
            extractor(index)
        assert "\n" not in str(caught.value)
    given = extractor([1, 2])[0]
    for index in ((1, 2), np.array([1, 2]), range(1, 3), [np.array(1), np.int64(2)]):
        assert np.array_equal(extractor(index)[0], given)
    assert np.array_equal(extractor(np.array(1))[0], extractor(1)[0])
    with pytest.raises(NotImplementedError, match="targets"):
        extractor(targets=lambda x: x)
    with pytest.raises(TypeError, match=r"compat\.load"):
        extractors.LayerCAM(network.msdcam)


@pytest.mark.parametrize("name", ["GradCAMpp", "ScoreCAM", "CAM", "SmoothGradCAMpp", "SSCAM", "ISCAM", "LeGrad"])
def test_extractors_without_equivalent_can_be_imported_but_not_made(network, name):
    with pytest.raises(NotImplementedError, match=name):
        getattr(torchcam.methods, name)(network)


# Pictures


def test_pictures_are_those_of_pytorch_grad_cam_to_the_pixel():
    photo, mask = ANSWERS["photo"], ANSWERS["pytorch_grad_cam/GradCAM/last/classes"][0]
    show = image.show_cam_on_image
    assert np.array_equal(show(photo, mask, use_rgb=True), ANSWERS["show_cam_on_image/rgb"])
    assert np.array_equal(show(photo, mask, image_weight=0.3), ANSWERS["show_cam_on_image/bgr"])
    ramp = np.float32(np.arange(256).reshape(1, 256) / 255)
    drawn = show(np.zeros((1, 256, 3), np.float32), ramp, use_rgb=True, image_weight=0.0)
    assert np.array_equal(drawn, ANSWERS["show_cam_on_image/ramp"])
    guided = ANSWERS["pytorch_grad_cam/GuidedBackpropReLUModel"]
    assert np.array_equal(image.deprocess_image(guided), ANSWERS["deprocess_image"])


def test_images_are_prepared_as_pytorch_grad_cam_does():
    photo = ANSWERS["photo"]
    found = image.preprocess_image(photo, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    assert_close(found, ANSWERS["preprocess_image/float"], 1e-6)
    assert_close(image.preprocess_image(np.uint8(255 * photo)), ANSWERS["preprocess_image/uint8"], 1e-6)


def test_wrong_pictures_are_errors():
    photo, mask = ANSWERS["photo"], np.zeros((16, 20), np.float32)
    for img, heat, weight in ((255 * photo, mask, 0.5), (photo, mask[1:], 0.5), (photo, mask, 1.5)):
        with pytest.raises(ValueError):
            image.show_cam_on_image(img, heat, image_weight=weight)
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\)"):
        image.preprocess_image(mask)


# With PyTorch


def test_tensors_give_tensors_and_the_maps_of_the_packages_themselves(network):
    torch = pytest.importorskip("torch", reason="skipped: tensors in msdcam.compat: PyTorch is not installed")
    x = torch.from_numpy(X).requires_grad_()
    cam = pytorch_grad_cam.GradCAM(network, [network.layer2])
    assert np.array_equal(cam(x, TARGETS["classes"]), pytorch_grad_cam.GradCAM(network)(X, TARGETS["classes"]))
    assert isinstance(cam.outputs, torch.Tensor) and isinstance(network(x), torch.Tensor)
    with extractors.GradCAM(network) as extractor:
        out = network(x)
        (found,) = extractor(out[0].argmax().item(), out)
    assert isinstance(found, torch.Tensor) and found.shape == (2, 8, 10)
    assert isinstance(image.preprocess_image(ANSWERS["photo"]), torch.Tensor)


def test_overlays_are_those_of_torchcam():
    why = "skipped: overlays of msdcam.compat beside torchcam's: torchcam is not installed"
    originals = pytest.importorskip("torchcam.utils", reason=why)
    from PIL import Image

    from msdcam.compat.torchcam.utils import overlay_mask

    photo = Image.fromarray(np.uint8(255 * ANSWERS["photo"]))
    mask = Image.fromarray(ANSWERS["torchcam/GradCAM/default/each/scaled/0"][0])
    for alpha in (0.5, 0.7):
        assert overlay_mask(photo, mask, alpha=alpha) == originals.overlay_mask(photo, mask, alpha=alpha)
    with pytest.raises(ValueError, match="alpha: 1"):
        overlay_mask(photo, mask, alpha=1)
