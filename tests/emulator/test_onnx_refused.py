# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""ONNX files that are refused: one clear message, with all reasons."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from axynq.emulator import load_model, reference
from axynq.emulator.errors import AxynqError, ModelError, ToolError
from axynq.emulator.file_formats import onnx_file
from axynq.emulator.file_formats.onnx_reader import parse_onnx_model
from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.frameworks.onnx_float import parse_float_onnx
from axynq.host.cli.tune import tune
from tests.emulator.onnx_networks import Array, Network, as_int8, channels_last, make, run


def reals(*sizes: int) -> Array:
    return np.random.default_rng(0).normal(size=sizes).astype(np.float32)


def network() -> Network:
    net = Network((1, 4, 6, 6))
    net.add("Conv", "x0", reals(4, 4, 3, 3), reals(4), pads=[1] * 4)
    net.add("Relu", net.last)
    return net


def refused(proto: Any, read: Callable[[bytes, str], object] = parse_onnx_model) -> str:
    with pytest.raises(ModelError) as caught:
        read(proto.SerializeToString(), "net.onnx")
    text = str(caught.value)
    assert text.startswith("'net.onnx'")
    assert "\n" not in text
    return text


def test_a_float_network_is_told_how_to_become_int8(tmp_path: Path) -> None:
    onnx.save(network().proto(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="'net.onnx': is a float network: .*`axynq quantise"):
        load_model(tmp_path / "net.onnx")


def test_a_quantised_network_is_not_quantised_again(tmp_path: Path) -> None:
    onnx.save(network().quantised(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="is quantised already"):
        load_float_network(tmp_path / "net.onnx")
    onnx.save(network().proto(), tmp_path / "net.onnx")
    assert load_float_network(tmp_path / "net.onnx").layers[0].name == "conv_0"


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(network().quantised(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ToolError, match=r"pip install 'axynq\[onnx\]'"):
        load_model(tmp_path / "net.onnx")


def test_all_reasons_in_one_message() -> None:
    net = network()
    net.add("LSTM", net.last, reals(1, 8, 6), reals(1, 8, 2), hidden_size=2)
    net.add("Resize", "y1", np.array([], np.float32), np.array([1, 1, 2, 2], np.float32),
            mode="cubic")  # fmt: skip
    net.add("MaxPool", "y1", kernel_shape=[2, 2], dilations=[2, 2])
    proto = network().quantised()
    proto.graph.initializer.extend(
        numpy_helper.from_array(v, k) for k, v in net.constants.items() if k not in ("c0", "c1")
    )
    for node in net.nodes[2:]:
        node.input[0] = "y1_dq"
        proto.graph.node.append(node)
        source = node.output[0]
        more = [f"{source}_q", "y1_scale", "y1_zero"]
        proto.graph.node.append(
            helper.make_node("QuantizeLinear", [source, *more[1:]], [f"{source}_q"])
        )
        proto.graph.node.append(helper.make_node("DequantizeLinear", more, [f"{source}_dq"]))
        proto.graph.output.append(
            helper.make_tensor_value_info(f"{source}_dq", TensorProto.FLOAT, None)
        )
    text = refused(proto)
    assert "is LSTM, which is not supported (recurrent networks" in text
    assert "(Resize): is in mode 'cubic'" in text
    assert "(MaxPool): has dilations" in text
    assert "Supported: " in text


@pytest.mark.parametrize("kind", ["AveragePool", "MaxPool"])
def test_pools_padded_as_wide_as_their_kernel(kind: str) -> None:
    """onnxruntime refuses them too: a window would see nothing of the map."""
    net = network()
    net.add(kind, net.last, kernel_shape=[2, 2], pads=[1, 0, 0, 0])
    proto = net.quantised()
    parse_onnx_model(proto.SerializeToString(), "net.onnx")
    (pads,) = [a for n in proto.graph.node if n.op_type == kind for a in n.attribute
               if a.name == "pads"]  # fmt: skip
    pads.ints[:] = [2, 0, 0, 0]
    assert "has pads as wide as its kernel, 2 by 2" in refused(proto)


def changed(change: Callable[[Any], Any]) -> Any:
    proto = network().quantised()
    change(proto)
    return proto


def set_constant(name: str, value: Array) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        for tensor in proto.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(value, name))

    return change


def drop(kind: str, output: str) -> Callable[[Any], None]:
    """Leave out an operator: its output is its first input."""

    def change(proto: Any) -> None:
        (node,) = [n for n in proto.graph.node if n.op_type == kind and n.output[0] == output]
        for other in proto.graph.node:
            other.input[:] = [node.input[0] if name == output else name for name in other.input]
        proto.graph.node.remove(node)

    return change


def add_node(*arguments: Any, **attributes: Any) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        proto.graph.node.insert(2, helper.make_node(*arguments, **attributes))

    return change


def input_shape(*sizes: int | str) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        name = proto.graph.input[0].name
        made = helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        proto.graph.input[0].CopyFrom(made)

    return change


def set_end(which: str, value: Any) -> Callable[[Any], None]:
    """Another input or output."""

    def change(proto: Any) -> None:
        end = getattr(proto.graph, which)[0]
        value.name = value.name or end.name
        end.CopyFrom(value)

    return change


def output(name: str) -> Callable[[Any], None]:
    return set_end("output", helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def input_type(number: int) -> Callable[[Any], None]:
    return set_end("input", helper.make_tensor_value_info("", number, [1, 4, 6, 6]))


def without_ends(which: str) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        if which == "input":
            proto.graph.initializer.append(numpy_helper.from_array(reals(1, 4, 6, 6), "x0"))
        proto.graph.ClearField(which)

    return change


def second_name(kind: str) -> Callable[[Any], None]:
    """One more output of an operator."""

    def change(proto: Any) -> None:
        next(node for node in proto.graph.node if node.op_type == kind).output.append("second")

    return change


def constant_node(**attributes: Any) -> Callable[[Any], None]:
    """The first convolution's weights come from a Constant."""

    def change(proto: Any) -> None:
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["given"], **attributes))
        layer = next(node for node in proto.graph.node if node.op_type == "Conv")
        layer.input[1] = "given"

    return change


def damaged_constant(change_of: Callable[[Any], None]) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        change_of(next(tensor for tensor in proto.graph.initializer if tensor.name == "c0_q"))

    return change


def sparse(proto: Any) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


def branch(proto: Any) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["y0"], ["inner"])], "inner", [], [
        helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])  # fmt: skip
    add_node("If", ["x0"], ["chosen"], then_branch=inner, else_branch=inner)(proto)


def attribute_of_a_function(proto: Any) -> None:
    attribute = proto.graph.node[0].attribute.add()
    attribute.name, attribute.ref_attr_name = "axis", "axis"


CALL = helper.make_node("Act", ["a"], ["b"], domain="own")
CALL_IN_BRANCHES = helper.make_node(
    "If", ["a"], ["b"],
    **dict.fromkeys(("then_branch", "else_branch"), helper.make_graph([CALL], "branch", [], [])),
)  # fmt: skip


def function(*inputs: str, body: Any) -> Callable[[Any], None]:
    """A call of a function of one input, whose body is one operator."""

    def change(proto: Any) -> None:
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        inner = helper.make_node(body, ["a"], ["b"]) if isinstance(body, str) else body
        proto.functions.append(helper.make_function("own", "Act", ["a"], ["b"], [inner], opsets))
        proto.opset_import.append(helper.make_opsetid("own", 1))
        proto.graph.node.append(helper.make_node("Act", inputs, ["z"], domain="own"))

    return change


def opset(number: int) -> Callable[[Any], None]:
    def change(proto: Any) -> None:
        proto.opset_import[0].version = number

    return change


WRONG: dict[str, tuple[Callable[[Any], None], str]] = {
    "weights that do not fit int8": (
        set_constant("c0_zero", np.full(4, 90, np.int8)), "symmetrically",
    ),
    "16-bit activations": (
        set_constant("y0_zero", np.uint16(3)), "quantises activations to uint16",
    ),
    "a scale of 0": (set_constant("y0_scale", np.float32(0)), "a scale of 0.0"),
    "a scale that is not finite": (set_constant("y0_scale", np.float32(np.inf)), "a scale of inf"),
    "scales for channels of an activation": (
        set_constant("y0_scale", np.ones(4, np.float32)), "a scale for each channel",
    ),
    "weights in real numbers": (drop("DequantizeLinear", "c0_dq"), "its weights are not quantised"),
    "integers where reals should be": (
        drop("DequantizeLinear", "x0_dq"), "takes integers where a DequantizeLinear",
    ),
    "dynamic quantisation": (
        add_node("DynamicQuantizeLinear", ["x0"], ["q", "s", "z"]), "is quantised dynamically",
    ),
    "integer convolutions": (
        add_node("ConvInteger", ["x0_q", "c0_q"], ["i"]), "is quantised dynamically (ConvInteger)",
    ),
    "an operator of another's": (
        add_node("Magic", ["x0_dq"], ["m"], domain="acme"), "acme.Magic, which is not supported",
    ),
    "several images": (input_shape(8, 4, 6, 6), "has 8 images; export the network for 1"),
    "open sizes": (input_shape("n", 4, "h", "w"), "[n, 4, h, w]; all but the first dimension"),
    "an old opset": (opset(6), "has opset 6; 7 is the oldest"),
    "a name that nothing computes": (
        add_node("Relu", ["nowhere"], ["r"]), "reads 'nowhere', which nothing computes",
    ),
    "no inputs": (without_ends("input"), "has no inputs"),
    "no outputs": (without_ends("output"), "has no outputs"),
    "an input of whole numbers": (
        input_type(TensorProto.INT64), "its input 'x0' is int64; float32, int8 and uint8 are",
    ),
    "an input of doubles": (input_type(TensorProto.DOUBLE), "its input 'x0' is float64; float32"),
    "an input of a type that is not known": (
        input_type(99), "its input 'x0' is of type 99; float32, int8 and uint8 are supported",
    ),
    "an input that is a list": (
        set_end("input", helper.make_tensor_sequence_value_info("x0", TensorProto.FLOAT, None)),
        "'x0' is no tensor, which is not supported",
    ),
    "an input without a shape": (
        set_end("input", helper.make_tensor_value_info("x0", TensorProto.FLOAT, None)),
        "its input 'x0' has shape []; all but the first dimension need a fixed size",
    ),
    "an input that is quantised in two ways": (
        add_node("QuantizeLinear", ["x0", "y0_scale", "y0_zero"], ["other"]),
        "quantises the input 'x0' in another way than before",
    ),
    "more outputs than an operator has": (second_name("Relu"), "(Relu): has 2 outputs"),
    "an output that nothing computes": (
        output("nowhere"), "is damaged: no operator computes the output 'nowhere'",
    ),
    "an output that is an input": (output("x0_dq"), "has an input that is its output as well"),
    "an output that is an input in reals": (
        output("x0"), "its output 'x0' is an input that nothing quantises",
    ),
    "an output that is a constant": (output("c0_q"), "its output 'c0_q' is a constant"),
    "text": (constant_node(value_string="text"), "(Constant): is no tensor of numbers"),
    "weights of a Constant": (
        constant_node(value=numpy_helper.from_array(reals(4, 4, 3, 3))),
        "its weights are not quantised",
    ),
    "sparse constants": (sparse, "has sparse constants, which are not supported"),
    "a negative dimension": (
        damaged_constant(lambda tensor: tensor.dims.append(-1)),
        "is damaged: constant 'c0_q' has a negative dimension",
    ),
    "fewer bytes than a shape needs": (
        damaged_constant(lambda tensor: tensor.dims.append(2)),
        "is damaged: constant 'c0_q' cannot be read (",
    ),
    "branches": (branch, "is If, which is not supported (networks with branches, loops or memory"),
    "an attribute of a function": (
        attribute_of_a_function, "is damaged: operator 0 (Cannot get value of reference attribute",
    ),
    "functions that call themselves": (
        function("y0_dq", body=CALL), "has functions that call themselves",
    ),
    "functions with branches that call them": (
        function("y0_dq", body=CALL_IN_BRANCHES), "has functions that call themselves",
    ),
    "functions that are given too much": (
        function("y0_dq", "y0_dq", body="Relu"), "has functions that cannot be opened (",
    ),
    "a tensor computed twice": (
        add_node("Relu", ["x0_dq"], ["x0_dq"]), "is there already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong(what: str) -> None:
    change, message = WRONG[what]
    assert message in refused(changed(change))


def test_a_result_that_is_not_quantised() -> None:
    net = network()
    net.add("Sigmoid", "y0")  # of the convolution's result, before it is quantised
    proto = network().quantised()
    sigmoid = helper.make_node("Sigmoid", ["y0"], ["s"])
    place = next(k for k, n in enumerate(proto.graph.node) if n.op_type == "Conv")
    proto.graph.node.insert(place + 1, sigmoid)
    assert "takes the result of operator" in refused(proto)
    unfinished = network().quantised()
    unfinished.graph.output[0].name = "y1"  # Relu of a quantised tensor, which needs no rounding
    assert parse_onnx_model(unfinished.SerializeToString()).operators[-1].name == "relu_1"
    unfinished.graph.output[0].name = "y0"  # the convolution's own result
    assert "a QuantizeLinear after it is missing" in refused(unfinished)


def test_vectors_whose_squares_leave_32_bits() -> None:
    net = Network((1, 2**15 + 1))
    net.add("LpNormalization", "x0", axis=1, p=2)
    assert "over 32769 values; 32768 at most" in refused(net.quantised())


def test_maps_that_are_too_large_with_their_padding() -> None:
    def pad(proto: Any) -> None:
        (node,) = [n for n in proto.graph.node if n.op_type == "Conv"]
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("pads", [6000] * 4))

    assert "12006 x 12006 x 4 values" in refused(changed(pad))


@pytest.mark.parametrize("kind", ["ArgMax", "Softmax", "Sigmoid", "NonZero"])
def test_an_end_in_other_numbers_is_left_out(kind: str) -> None:
    proto = network().quantised()
    more = {"axis": 1} if kind in ("ArgMax", "Softmax") else {}
    proto.graph.node.append(helper.make_node(kind, ["y1_dq"], ["end"], **more))
    proto.graph.output[0].name = "end"
    model = parse_onnx_model(proto.SerializeToString())
    assert model.notes == (
        f"The end of the file is not int8 and is left out: {kind} (1). The outputs are those int8 "
        "tensors that it begins from: 'y1_dq'.",
    )
    x = network().samples(2)["x0"]
    whole = network().quantised()
    mine = reference.run(model, model.input.batch(channels_last(x)))[model.output_index]
    theirs = as_int8(model.output, run(whole, {"x0": x})[0])
    assert np.abs(mine - theirs).max() <= 1


def test_constants_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network().quantised(), path, save_as_external_data=True, location="net.bin",
              size_threshold=0)  # fmt: skip
    content = path.read_bytes()
    with pytest.raises(ModelError, match=r"has its constants in another file \(net\.bin\)"):
        parse_onnx_model(content)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ModelError, match=r"constants in net\.bin, which cannot be read"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x08:\x00", "no graph"),
        (b"\x08\x08:\x7f", "is damaged or truncated"),
        (b"not a network at all", "not a TFLite model"),
    ],
)
def test_files_that_hold_no_network(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_constants_that_would_fill_the_memory() -> None:
    net = Network((1, 4))
    net.add("Add", "x0", np.ones(1, np.float32))
    proto = net.quantised()
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "big")
    proto.graph.initializer.append(shape)
    proto.graph.node.insert(0, helper.make_node("ConstantOfShape", ["big"], ["filled"]))
    assert "makes a constant of" in refused(proto)


BOTH = {
    "int8": (parse_onnx_model, network().quantised().SerializeToString()),
    "float": (parse_float_onnx, network().proto().SerializeToString()),
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(BOTH)),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=5),
    st.none() | st.integers(0, 2**20),
)
def test_damaged_files(kind: str, changes: list[tuple[int, int]], length: int | None) -> None:
    parse, content = BOTH[kind]
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    if length is not None:
        del damaged[length % len(damaged) :]
    with contextlib.suppress(AxynqError):  # nothing else
        parse(bytes(damaged), "net.onnx")


def test_the_package_is_found() -> None:
    assert onnx_file.package() is onnx


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    net = Network((1, 4))
    net.add("Softplus", "x0")
    net.add("Gemm", net.last, reals(3, 4), transB=1)
    onnx.save(net.quantised(), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=reals(8, 4), y=np.arange(8) % 3)
    with pytest.raises(ModelError, match="which a .tflite file cannot hold"):
        tune(tmp_path / "net.onnx", "roup:1,4", tmp_path / "data.npz", tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()


def test_a_map_resized_by_a_scale_that_gives_no_whole_size() -> None:
    net = network()
    net.add("Resize", net.last, "", np.float32([1, 1, 1.3, 1.3]), mode="linear")
    with pytest.raises(ModelError, match=r"a scale of 1.3 for 6 values, whose size is no whole"):
        parse_float_onnx(net.proto().SerializeToString())


# --- float networks ------------------------------------------------------------------------------

MAP, VALUES = (1, 4, 6, 6), (1, 12)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def one(kind: str, *more: Any, **attributes: Any) -> Callable[[Network], Any]:
    return lambda net: net.add(kind, "x0", *more, **attributes)


def resized(*scales: float, **attributes: Any) -> Callable[[Network], Any]:
    return one("Resize", "", np.float32(scales), **attributes)


def of_constants(kind: str, *more: Any, **attributes: Any) -> Callable[[Network], Any]:
    """An operator on a constant, and one on what is computed."""

    def build(net: Network) -> None:
        net.add("Relu", "x0")
        net.add(kind, reals(1, 4, 6, 6), *more, **attributes)

    return build


def erf(net: Network) -> None:
    net.add("Add", net.add("Erf", "x0"), "x1")


NORMALISATION = [np.ones(4, np.float32)] * 4

FLOATS: dict[str, tuple[Callable[[Network], Any], list[tuple[int, ...]], str]] = {
    "a part of GELU alone": (erf, [MAP, MAP], "a part of a function that int8 networks have"),
    "ELU with alpha": (one("Elu", alpha=0.5), [MAP], "another alpha than 1"),
    "a division by zero": (one("Div", np.float32([1, 0] * 6)), [VALUES], "divides by 0"),
    "a division by what is computed": (one("Div", "x1"), [MAP, MAP], "needs its divisor stored"),
    "a root": (one("Pow", np.float32(0.5)), [MAP], "the power of 0.5 is not supported"),
    "several powers": (one("Pow", np.float32([1, 2] * 6)), [VALUES], "has several exponents"),
    "numbers that do not fit": (
        one("Mul", reals(5, 1, 1)), [MAP], "pairs numbers [5, 1, 1] with [1, 4, 6, 6]",
    ),
    "a convolution of values": (
        one("Conv", reals(4, 4, 3, 3)), [VALUES], "input has shape [1, 12], not [1, channels,",
    ),
    "weights of a volume": (
        one("Conv", reals(4, 4, 3, 3, 3)), [MAP], "has weights of shape [4, 4, 3, 3, 3]",
    ),
    "weights of other channels": (
        one("Conv", reals(4, 3, 3, 3)), [MAP],
        "1 groups with 4 filters of 3 channels does not fit 4 channels",
    ),
    "weights that are computed": (
        one("Conv", "x1"), [MAP, (1, 4, 3, 3)], "needs its weights stored in the file",
    ),
    "inputs turned": (one("Gemm", reals(12, 5), transA=1), [VALUES], "has transA"),
    "a constant by a matrix": (
        lambda net: net.add("MatMul", reals(5, 6), "x0"), [MAP], "a constant by a computed matrix",
    ),
    "two matrices": (one("MatMul", "x1"), [MAP, MAP], "multiplies two computed matrices"),
    "a weight for each channel": (
        one("MatMul", reals(4, 6, 5)), [MAP], "weights of shape [4, 6, 5]; two dimensions",
    ),
    "weights of more inputs": (
        one("MatMul", reals(13, 5)), [VALUES], "expect 13 inputs, not [1, 12]",
    ),
    "a normalisation in training": (
        one("BatchNormalization", *NORMALISATION, training_mode=1), [MAP], "is in training mode",
    ),
    "a normalisation of other channels": (
        one("BatchNormalization", *NORMALISATION), [(1, 6, 4, 4)],
        "has 4 channels for [1, 6, 4, 4]",
    ),
    "places of maxima": (
        one("MaxPool", kernel_shape=[2, 2], outputs=2), [MAP], "gives the places of its maxima",
    ),
    "a dilated pooling": (
        one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), [MAP], "has dilations, which",
    ),
    "a mean of all": (one("ReduceMean"), [MAP], "is over all axes, images too"),
    "a mean of images": (one("ReduceMean", axes=[0, 2]), [MAP], "is over axis 0 of 4"),
    "other lengths": (one("LpNormalization", axis=1, p=1), [VALUES], "for p = 2 alone"),
    "a mask": (one("Dropout", outputs=2), [MAP], "gives its mask"),
    "half precision": (one("Cast", to=TensorProto.FLOAT16), [MAP], "to another type than float32"),
    "a pooling of constants": (
        of_constants("MaxPool", kernel_shape=[2, 2]), [MAP], "takes a constant where only",
    ),
    "a constant alone": (of_constants("Exp"), [MAP], "its output 'y1' is a constant"),
    "more outputs than there are": (one("Relu", outputs=2), [MAP], "has 2 outputs"),
    "images mixed": (
        one("Reshape", whole(-1, 6)), [MAP], "turns [1, 4, 6, 6] into [24, 6]: images must",
    ),
    "other values": (one("Reshape", whole(1, 5, 5)), [MAP], "[4, 6, 6] does not become [5, 5]"),
    "all axes of 1 left out": (one("Squeeze"), [(1, 4, 1, 6)], "name the axes"),
    "a longer axis left out": (one("Squeeze", whole(1)), [MAP], "leaves out axes [1] of [1, 4, 6"),
    "an axis before the images": (
        one("Unsqueeze", whole(0)), [MAP], "puts in axes [0] before the images",
    ),
    "images moved": (one("Transpose", perm=[1, 0, 2, 3]), [MAP], "has perm [1, 0, 2, 3]: the im"),
    "all axes turned": (one("Transpose"), [MAP], "has perm [3, 2, 1, 0]: the images must stay"),
    "a step of 0": (
        one("Slice", whole(0), whole(3), whole(2), whole(0)), [MAP], "axes [2] and steps [0]",
    ),
    "fewer ends than starts": (one("Slice", whole(0, 1), whole(3)), [MAP], "has starts [0, 1], en"),
    "no images": (one("Slice", whole(1), whole(2), whole(0)), [MAP], "takes images apart"),
    "no values": (one("Slice", whole(3), whole(3), whole(2)), [MAP], "leaves no values of [1, 4,"),
    "a table of indices": (
        one("Gather", whole(0, 1, 2, 3).reshape(2, 2), axis=1), [MAP], "indices of shape [2, 2]",
    ),
    "indices as they like": (
        one("Gather", whole(0, 1, 3), axis=1), [MAP], "do not lie at equal distances",
    ),
    "maps of other sizes joined": (
        one("Concat", "x1", axis=1), [MAP, (1, 4, 6, 5)], "joins [1, 4, 6, 6], [1, 4, 6, 5]",
    ),
    "a map mirrored": (
        one("Pad", whole(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), [MAP], "in mode 'reflect'",
    ),
    "amounts for other axes": (
        one("Pad", whole(1, 1, 1)), [MAP], "has amounts [1, 1, 1] for 4 axes",
    ),
    "more images": (one("Pad", whole(1, 0, 0, 0, 0, 0, 0, 0)), [MAP], "pads images"),
    "more channels by resizing": (
        resized(1, 2, 2, 2), [MAP], "resizes more than the rows and columns",
    ),
    "resizing by cubes": (resized(1, 1, 2, 2, mode="cubic"), [MAP], "is in mode 'cubic'; 'near"),
    "blocks that do not fit": (
        one("DepthToSpace", blocksize=3), [MAP], "has blocks of 3 for [1, 4, 6, 6]",
    ),
    "blocks in an order of their own": (
        one("DepthToSpace", blocksize=2, mode="RCD"), [MAP], "has mode 'RCD'",
    ),
    "blocks larger than the map": (
        one("SpaceToDepth", blocksize=4), [MAP], "has blocks of 4 for [1, 4, 6, 6]",
    ),
}  # fmt: skip


def refused_float(proto: Any) -> str:
    text = refused(proto, parse_float_onnx)
    assert text.startswith("'net.onnx': ")
    return text


@pytest.mark.parametrize("what", FLOATS)
def test_what_float_networks_may_not_have(what: str) -> None:
    build, shapes, message = FLOATS[what]
    net = Network(*shapes)
    build(net)
    assert message in refused_float(net.proto())


def test_a_float_softmax_of_several_axes() -> None:
    """Before opset 13 it is over all axes from one on."""
    net = Network(MAP, opset=12)
    net.add("Softmax", "x0", axis=1)
    assert "over several axes, as before opset 13" in refused_float(net.proto())


def test_float_inputs_of_other_types() -> None:
    net = Network(MAP)
    proto = make([helper.make_node("Relu", ["x0"], ["y"])], ["x0"], [MAP], ["y"], {},
                 input_type=TensorProto.FLOAT16)  # fmt: skip
    assert "its input 'x0' is float16; float32 is supported" in refused_float(proto)
    net.add("Relu", "x0")
    assert "no operator computes the output 'end'" in refused_float(net.proto("end"))
