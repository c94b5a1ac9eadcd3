"""Loading: right answers from whole files, one sentence for damaged and for malicious ones."""

import hashlib
import json
import shutil

import mxnet as mx
import numpy as np
import onnx
import pytest

from deeprect_gluon.export import export, export_int8, export_onnx, load_export

FORMS = {
    "operator": lambda net, path, x: export(net, path),
    "operator-inference": lambda net, path, x: export(net, path, inference=True),
    "operator-half": lambda net, path, x: export(net, path, inference=True, half=True),
    "portable": lambda net, path, x: export(net, path, portable=True),
    "portable-inference": lambda net, path, x: export(net, path, portable=True, inference=True),
    "portable-half": lambda net, path, x: export(net, path, True, True, True),
    "onnx": lambda net, path, x: export_onnx(net, path),
    "onnx-external": lambda net, path, x: export_onnx(net, path, inline_limit=10_000),
    "onnx-half": lambda net, path, x: export_onnx(net, path, half=True),
    "onnx-int8": lambda net, path, x: export_int8(net, path, [x]),
}
TOLERANCE = {"half": 5e-3, "int8": 0.2}


@pytest.fixture(scope="module", params=FORMS)
def exported(request, net, inputs, tmp_path_factory):
    """The name of a form and the path of an export that no test may change."""
    path = tmp_path_factory.mktemp("exported") / "net"
    FORMS[request.param](net, path, inputs(net, 8))
    return request.param, path


def copied(path, folder):
    """Copy an export to a folder of its own, to be changed at will."""
    shutil.copytree(path.parent, folder, dirs_exist_ok=True)
    return folder / path.name


def refused(path, message=""):
    with pytest.raises(ValueError, match=message) as error:
        load_export(path)
    assert "\n" not in str(error.value)


def sign(path):
    """Make the sidecar's digests those of the files as they are now, as a forger would."""
    sidecar = path.with_name(f"{path.name}.json")
    content = json.loads(sidecar.read_text())
    for file in content["files"]:
        data = (path.parent / file["file"]).read_bytes()
        file.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    sidecar.write_text(json.dumps(content))


def test_a_loaded_export_is_the_net(exported, net, inputs, difference):
    form, path = exported
    loaded = load_export(path)
    for batch in (1, 5):
        x = inputs(net, batch, seed=batch)
        tolerance = TOLERANCE.get(form.rpartition("-")[2], 1e-5)
        assert difference(loaded(x), net(mx.nd.array(x)).asnumpy()) < tolerance
    assert loaded.sidecar.classes == net.classes
    with pytest.raises(ValueError, match=r"inputs have shape \(2, 1, 27, 28\); the net takes"):
        loaded(np.zeros((2, 1, 27, 28)))


def test_any_file_of_an_export_names_it(exported, inputs, net):
    _, path = exported
    x = inputs(net, 1)
    for file in path.parent.iterdir():
        np.testing.assert_array_equal(load_export(file)(x), load_export(path)(x))


def test_any_damage_to_any_file_is_refused(exported, tmp_path):
    _, path = exported
    random = np.random.default_rng(7)
    for original in path.parent.iterdir():
        if original.suffix == ".json" and original.stem == "net":
            continue  # test_sidecar.py has this one
        for how in ("flip", "cut", "grow", "empty", "remove"):
            damaged = copied(path, tmp_path / f"{original.name}-{how}")
            file = damaged.parent / original.name
            content = bytearray(file.read_bytes())
            if how == "flip":
                content[random.integers(len(content))] ^= 1 << random.integers(8)
            elif how == "cut":
                del content[random.integers(1, len(content)) :]
            elif how == "grow":
                content += b"\0"
            else:
                content.clear()
            file.write_bytes(content)
            if how == "remove":
                file.unlink()
                with pytest.raises(FileNotFoundError, match=original.name):
                    load_export(damaged)
                continue
            refused(damaged, f"{original.name} is not the exported file")


# A form for each parser.
@pytest.mark.parametrize("exported", ["operator", "onnx", "onnx-external"], indirect=True)
def test_a_forger_s_damage_is_refused_or_harmless(exported, inputs, net, tmp_path):
    """With right digests the parsers meet the damage; they refuse it or load a valid net."""
    _, path = exported
    random, x = np.random.default_rng(11), inputs(net, 1)
    damaged = copied(path, tmp_path / "damaged")
    files = [f for f in sorted(path.parent.iterdir()) if f.name != "net.json"]
    outcomes = set()
    for number in range(24):
        original = files[number % len(files)]
        content = bytearray(original.read_bytes())
        # Near the beginning, where the structure is, rather than in the weights.
        reach = min(len(content), 2000)
        if number % 4 == 3:
            del content[random.integers(reach) :]
        else:
            for _ in range(random.integers(1, 4)):
                content[random.integers(reach)] = random.integers(256)
        (damaged.parent / original.name).write_bytes(content or b"\0")
        sign(damaged)
        try:
            loaded = load_export(damaged)
        except ValueError:
            outcomes.add("refused")
        else:
            assert loaded(x).shape == (1, 5)
        shutil.copy(original, damaged.parent)
    assert "refused" in outcomes


@pytest.fixture
def portable(net, tmp_path):
    export(net, tmp_path / "net", portable=True)
    return tmp_path / "net"


def edit_symbol(path, change):
    file = path.with_name("net-symbol.json")
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    sign(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # The operator that calls the function whose address its attribute says.
        (lambda c: c["nodes"][3].update(op="_Native"), "operator '_Native', which no export has"),
        (lambda c: c["nodes"][3].update(op="Custom"), "operator 'Custom'"),
        (lambda c: c["nodes"][3].update(inputs=[[9999, 0, 0]]), "which is not before it"),
        (lambda c: c["nodes"][3].update(inputs=[[-1, 0, 0]]), "which is not before it"),
        (lambda c: c["nodes"][3].update(inputs=[[3, 0, 0]]), "which is not before it"),
        (lambda c: c["nodes"][3]["attrs"].update(kernel=[7, 7]), "attributes other than texts"),
        (lambda c: c["nodes"][3]["attrs"].update(num_filter="99"), "do not fit"),
        (lambda c: c["nodes"][3]["attrs"].update(pad="(-1, 3)"), "has pad="),
        (lambda c: c["nodes"][3]["attrs"].update(kernel="?"), "is no symbol"),
        (lambda c: c["nodes"][3].update(subgraphs=[{}]), "graph of its own"),
        (lambda c: c["nodes"][1].update(name="other"), "do not both have"),
        (lambda c: c.update(heads=[[99999, 0, 0]]), "a head takes output 0 of node 99999"),
        (lambda c: c["heads"][0].__setitem__(1, 1), "a head takes output 1 of node"),
        (lambda c: c["nodes"][3].update(op="Flatten", attrs={}), "Flatten"),
        (lambda c: c["nodes"][3].update(op="deeprect_max_pool", inputs=[], attrs={}), "max_pool"),
        (lambda c: c["nodes"][3]["inputs"].append([0, 0, 0]), "requires 3, provided 4"),
        (lambda c: c["nodes"][3]["inputs"].pop(), "has 2 inputs; it takes 3"),
        (lambda c: c["nodes"][3]["inputs"][0].__setitem__(1, 7), "takes output 7 of node 0"),
        (lambda c: c.pop("nodes"), "is no symbol"),
    ],
)
def test_a_forged_symbol_is_refused(portable, change, message):
    edit_symbol(portable, change)
    refused(portable, message)


def test_parameters_of_other_shapes_are_refused(portable):
    file = portable.with_name("net-0000.params")
    arrays = mx.nd.load(str(file))
    name = next(name for name in arrays if name.endswith("conv1_1_weight"))
    arrays[name] = arrays[name][:, :, :5]
    mx.nd.save(str(file), arrays)
    sign(portable)
    refused(portable, "the parameters do not fit")


def forge(path, change):
    model = onnx.load(str(path.with_name("net.onnx")), load_external_data=False)
    change(model)
    path.with_name("net.onnx").write_bytes(model.SerializeToString())
    sign(path)


def set_external(model, key, value):
    tensor = next(t for t in model.graph.initializer if t.external_data)
    next(entry for entry in tensor.external_data if entry.key == key).value = value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: set_external(m, "location", "../secret"), "'../secret', which is no file of"),
        (lambda m: set_external(m, "location", "/etc/passwd"), "'/etc/passwd', which is no file"),
        (lambda m: set_external(m, "location", "net.onnx"), "'net.onnx', which is no file of the"),
        (lambda m: set_external(m, "offset", "999999999"), "ends beyond net.onnx.data"),
        (lambda m: set_external(m, "offset", "-4"), "ends beyond"),
        (lambda m: set_external(m, "length", "8"), "has 8 bytes"),
        (lambda m: set_external(m, "length", "many"), "invalid literal"),
        (lambda m: setattr(m.graph.node[0], "op_type", "If"), "operator 'If'"),
        (lambda m: setattr(m.graph.node[0], "domain", "evil"), "which no export has"),
        (lambda m: m.functions.add(name="f", domain="d"), "functions"),
        (lambda m: m.graph.input.add(name="more"), "must have the input"),
        (lambda m: m.graph.node[0].attribute.add(name="x").tensors.add(), "in its attributes"),
        (lambda m: m.graph.node[0].attribute[0].ints.__setitem__(0, 99), "no ONNX export: "),
        (lambda m: m.graph.node[0].attribute[0].ints.__setitem__(0, -1), "negative extent"),
    ],
)
def test_a_forged_onnx_file_is_refused(net, tmp_path, change, message):
    (tmp_path / "secret").write_bytes(b"\0" * 1_000_000)
    (tmp_path / "place").mkdir()
    path = tmp_path / "place" / "net"
    export_onnx(net, path, inline_limit=10_000)
    forge(path, change)
    refused(path, message)


@pytest.mark.parametrize("form", ["portable", "onnx"])
def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path, form):
    net = mx.gluon.nn.HybridSequential()
    side = 4 + 2 * 20_000
    net.add(mx.gluon.nn.Conv2D(1, 1, padding=20_000, in_channels=1), mx.gluon.nn.MaxPool2D(side))
    net.initialize()
    if form == "onnx":
        export_onnx(net, tmp_path / "net", input_shape=(1, 4, 4))
    else:
        export(net, tmp_path / "net", portable=True, input_shape=(1, 4, 4))
    refused(tmp_path / "net", f"arrays of {side * side:,} values")
    export(net, tmp_path / "net", portable=True, input_shape=(1, 60_000, 60_000))
    refused(tmp_path / "net", "asks for inputs of")


@pytest.mark.parametrize("form", ["portable", "onnx"])
@pytest.mark.parametrize(
    ("layers", "side", "message"),
    [
        (12 * [mx.gluon.nn.Activation("relu")], 8192, "it makes arrays of"),
        ([mx.gluon.nn.AvgPool2D(1999, 1)], 4000, "it takes .* multiply-adds"),
    ],
)
def test_a_small_file_that_asks_for_all_memory_or_hours_is_refused(
    tmp_path, form, layers, side, message
):
    net = mx.gluon.nn.HybridSequential()
    net.add(*layers)
    if form == "onnx":
        export_onnx(net, tmp_path / "net", input_shape=(1, side, side))
    else:
        export(net, tmp_path / "net", portable=True, input_shape=(1, side, side))
    refused(tmp_path / "net", message)


@pytest.mark.parametrize("portable", [False, True])
def test_a_net_without_parameters(tmp_path, portable):
    net = mx.gluon.nn.MaxPool2D(2)
    export(net, tmp_path / "net", portable, input_shape=(1, 4, 4))
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(load_export(tmp_path / "net")(x)[0, 0], [[5, 7], [13, 15]])


def test_an_export_of_unknown_input_cannot_be_checked(tmp_path):
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize()
    export(net, tmp_path / "net")
    refused(tmp_path / "net", "has no input_shape; give input_shape when exporting")
    export(net, tmp_path / "net", input_shape=(3,))
    assert load_export(tmp_path / "net")(np.ones((4, 3))).shape == (4, 2)
