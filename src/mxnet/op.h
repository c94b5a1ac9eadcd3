// The kit that registers an operator with MXNet from a statement of its name, inputs and
// attributes.
//
// An operator is a struct that is made from its attributes:
//
//   struct Scale : Operator {
//     static constexpr const char* kName = "deeprect_scale";
//     static constexpr const char* kInputs[] = {"data"};
//     float factor;
//     explicit Scale(AttributeReader& read) : factor(read.number("factor")) {}
//     Shape infer_shape(std::vector<Shape>& inputs) const;
//     void forward(Tensors& inputs, Tensors& outputs, const OpResource&) const;
//     void backward(Tensors& inputs, Tensors& outputs, const OpResource&) const;
//   };
//   auto& scale = register_operator<Scale>().setBackward(run_backward<&Scale::backward>, "cpu");
//
// All outputs of an operator have one shape and type. The inputs of a backward are the gradient of
// the only output, the inputs and the output. An operator reports an error by fail(); the kit puts
// the operator's name before the message.
//
// The kit counts the tensors and compares their shapes with those that infer_shape gives, before
// any method runs: graphs come from strangers, and outside its NumPy mode MXNet takes an array of
// no elements for one whose shape is to be inferred.
#ifndef DEEPRECT_MXNET_OP_H_
#define DEEPRECT_MXNET_OP_H_

#include <mxnet/lib_api.h>

#include <initializer_list>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/threads.h"

static_assert(MX_LIBRARY_VERSION == 11,
              "deeprect_gluon is written for the lib_api.h of MXNet 1.9.1 (library version 11)");

namespace deeprect {

using mxnet::ext::MXReturnValue;
using mxnet::ext::MXTensor;
using mxnet::ext::OpResource;

using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;
using Tensors = std::vector<MXTensor>;

// ---- errors ----

// Throw what MXNet turns into an MXNetError. lib_api has a list of messages of its own, but that is
// not thread-safe and is never emptied.
[[noreturn]] void fail(const std::string& message);

// An unknown extent is written "?".
template <typename Dims>
std::string to_string(const Dims& dims) {
  std::string text = "(";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + (dims[i] == -1u ? "?" : std::to_string(dims[i]));
  }
  return text + (dims.size() == 1 ? ",)" : ")");
}

// Return the name of one of MXNet's types.
std::string type_name(int type);

// ---- attributes ----

// Reads an operator's attributes, and refuses those that it was not asked for. `must_be` completes
// the sentence "it must be ..." of the error.
class AttributeReader {
 public:
  explicit AttributeReader(const Attributes& attributes) : attributes_(attributes) {}

  struct Range {
    int least, most;
  };
  // An attribute without a default is required.
  int integer(const char* name, Range range, const char* must_be,
              std::optional<int> by_default = std::nullopt);
  float number(const char* name);
  // Return the index of the value in `choices`, the first of which is the default.
  int choice(const char* name, std::initializer_list<const char*> choices, const char* must_be);

  // Fail if there are attributes that were not read. The `count` inputs are for the message. Names
  // that begin with __ are MXNet's own.
  void refuse_others(const char* const* inputs, int count) const;

 private:
  // Return the attribute's text, or null.
  const std::string* find(const char* name);

  const Attributes& attributes_;
  std::vector<const char*> read_;
};

// Return whether the weight is also an operator's last input, of gradient 0. MXNet never tells an
// external operator whether to write a gradient or to add to it. It adds up the gradients of the
// two inputs by an operator of its own, which knows.
bool reads_weight_twice(AttributeReader& read);

// ---- types and shapes ----

// What most operators have in common: all tensors are float32, every input is required, and there
// is one output.
struct Operator {
  static constexpr int kOutputs = 1;
  // Complete the types of the inputs, -1 being unknown, and return that of the output.
  static int infer_types(const char* const* names, std::vector<int>& types);
  // How many of the last inputs are absent.
  int absent_inputs() const { return 0; }
};

// What MXNet writes for an unknown extent, in inference; 0 is that of an array without elements.
constexpr unsigned int kUnknown = -1;

// Return whether a shape is that of a vector of `length` elements, or of one element if `shared`,
// or of a row of as many. Complete one that is deferred: it has no axes, or an unknown length.
bool infer_vector(unsigned int length, bool shared, Shape* shape);

// The same; fail if it is not, and name the items that have an element each, and what all of them
// may share.
void infer_vector(const char* name, unsigned int length, const char* item, Shape* shape,
                  const char* shared = nullptr);

// Write zeros, in all threads.
void fill_zeros(MXTensor& tensor);

// Fail unless an operator that takes `count` of the inputs `names` was given as many.
void check_count(const char* const* names, size_t count, size_t given);

// Fail if an extent of the first input is unknown: lib_api cannot say so of the output.
void check_known(const char* name, const Shape& shape);

// Fail unless a tensor has the inferred shape.
void check_shape(const char* name, const MXTensor& tensor, const Shape& inferred);

// ---- registration ----

// Call f; put the operator's name before the message of an error.
template <typename Op, typename F>
MXReturnValue guarded(F&& f) {
  try {
    f();
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string(Op::kName) + ": " + error.what());
  }
  return mxnet::ext::MX_SUCCESS;
}

template <typename Op>
Op read_attributes(const Attributes& attributes) {
  AttributeReader reader(attributes);
  return Op(reader);
}

template <typename Op>
size_t count_inputs(const Op& op) {
  return std::size(Op::kInputs) - op.absent_inputs();
}

template <typename Op>
MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  return guarded<Op>([&] {
    AttributeReader reader(attributes);
    *num_inputs = static_cast<int>(count_inputs(Op(reader)));
    *num_outputs = Op::kOutputs;
    reader.refuse_others(Op::kInputs, *num_inputs);
  });
}

template <typename Op>
MXReturnValue infer_types(const Attributes& attributes, std::vector<int>* in,
                          std::vector<int>* out) {
  return guarded<Op>([&] {
    check_count(Op::kInputs, count_inputs(read_attributes<Op>(attributes)), in->size());
    out->assign(out->size(), Op::infer_types(Op::kInputs, *in));
  });
}

template <typename Op>
MXReturnValue infer_shape(const Attributes& attributes, std::vector<Shape>* in,
                          std::vector<Shape>* out) {
  return guarded<Op>([&] {
    const Op op = read_attributes<Op>(attributes);
    check_count(Op::kInputs, count_inputs(op), in->size());
    check_known(Op::kInputs[0], in->front());
    out->assign(out->size(), op.infer_shape(*in));
  });
}

// Check what a forward, or a backward, is given.
template <typename Op>
void check_tensors(const Op& op, const Tensors& in, const Tensors& out, bool backward) {
  const size_t count = count_inputs(op);
  check_count(Op::kInputs, count, in.size() - (backward ? 2 : 0));
  const auto first = in.begin() + backward;
  std::vector<Shape> shapes;
  for (auto input = first; input != first + count; ++input) {
    shapes.emplace_back(input->shape.begin(), input->shape.end());
  }
  const Shape result = op.infer_shape(shapes);
  for (size_t i = 0; i < count; ++i) check_shape(Op::kInputs[i], first[i], shapes[i]);
  if (backward) {
    check_shape("the gradient", in.front(), result);
    check_shape("the output", in.back(), result);
  }
  for (size_t i = 0; i < out.size(); ++i) {
    check_shape("a result", out[i], backward ? shapes.at(i) : result);
  }
}

// Run a method of an operator: its forward or backward.
template <auto method, bool backward>
struct Method;
template <typename Op, void (Op::*method)(Tensors&, Tensors&, const OpResource&) const,
          bool backward>
struct Method<method, backward> {
  static MXReturnValue run(const Attributes& attributes, Tensors* in, Tensors* out,
                           const OpResource& resource) {
    return guarded<Op>([&] {
      const Op op = read_attributes<Op>(attributes);
      check_tensors(op, *in, *out, backward);
      apply_wanted_threads();
      (op.*method)(*in, *out, resource);
    });
  }
};
template <auto method>
constexpr auto run_forward = Method<method, false>::run;
template <auto method>
constexpr auto run_backward = Method<method, true>::run;

// The backward of an operator for inference: Gluon wants one in every hybridized net.
template <typename Op>
MXReturnValue refuse_backward(const Attributes&, Tensors*, Tensors*, const OpResource&) {
  return guarded<Op>(
      [] { fail("it is for inference and has no gradient; train the net that was accelerated"); });
}

// Register an operator with its forward on the CPU; add what else it has to the result.
template <typename Op>
mxnet::ext::CustomOp& register_operator() {
  return mxnet::ext::Registry<mxnet::ext::CustomOp>::get()
      ->add(Op::kName)
      .setParseAttrs(parse_attributes<Op>)
      .setInferType(infer_types<Op>)
      .setInferShape(infer_shape<Op>)
      .setForward(run_forward<&Op::forward>, "cpu");
}

}  // namespace deeprect

#endif  // DEEPRECT_MXNET_OP_H_
