// The graph pass "deeprect", for inference. optimize_for(x, backend="deeprect") replaces every
// convolution and the rectifier after it by deeprect_conv_prelu, replaces every fully-connected
// layer by deeprect_dense, and removes dropout.
#include <mxnet/lib_api.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using mxnet::ext::Graph;
using mxnet::ext::MXReturnValue;
using mxnet::ext::Node;
using mxnet::ext::NodeEntry;

bool has(const Node& node, const char* name, const char* value, bool by_default) {
  const auto found = node.attrs.find(name);
  return found == node.attrs.end() ? by_default : found->second == value;
}

// Return whether our operators take a parameter: a variable, behind copies at most; a vector also
// as a row. If its value is known, it must be float32, on the CPU, and have as many axes.
bool takes(const NodeEntry& input, size_t axes) {
  const Node* node = input.node;
  const auto passes = [&] {
    return node->op == "_copy" || (axes == 1 && node->op == "expand_dims");
  };
  while (passes() && !node->inputs.empty()) node = node->inputs[0].node;
  const mxnet::ext::MXTensor* const value = node->tensor;
  return node->op == "null" &&
         (!value || (value->dtype == mxnet::ext::kFloat32 && value->ctx.dev_type != "gpu" &&
                     value->shape.size() == axes));
}

// Return the pad of a convolution that the operator can compute, or -1.
int fusable_pad(const Node& node) {
  const bool plain = node.op == "Convolution" && node.inputs.size() == 3 &&
                     has(node, "stride", "(1, 1)", true) && has(node, "dilate", "(1, 1)", true) &&
                     has(node, "num_group", "1", true) && has(node, "no_bias", "False", true) &&
                     (has(node, "layout", "NCHW", true) || has(node, "layout", "None", true));
  if (!plain || !takes(node.inputs[1], 4) || !takes(node.inputs[2], 1)) return -1;
  const bool of_3 = has(node, "kernel", "(3, 3)", false);
  if (!of_3 && !has(node, "kernel", "(2, 2)", false)) return -1;
  if (has(node, "pad", "(0, 0)", true)) return 0;
  if (has(node, "pad", "(1, 1)", false)) return 1;
  return of_3 && has(node, "pad", "(2, 2)", false) ? 2 : -1;
}

bool is_prelu(const Node& node) {
  return (node.op == "LeakyReLU" && has(node, "act_type", "prelu", false)) ||
         (node.op == "deeprect_prelu" && has(node, "axis", "1", true));
}

bool is_relu(const Node& node) {
  return node.op == "relu" || (node.op == "Activation" && has(node, "act_type", "relu", false));
}

bool is_head(const Graph& graph, const Node* node) {
  return std::any_of(graph.outputs.begin(), graph.outputs.end(),
                     [&](const NodeEntry& head) { return head.node == node; });
}

// Make an output the input `index` of a consumer.
void connect(const NodeEntry& from, Node* consumer, int index) {
  consumer->inputs[index] = from;
  from.node->outputs.push_back({consumer, index});
}

// Make one more output an input of our operator, a variable by a copy. MXNet never tells an
// external operator whether to write a gradient or to add to it; it tells the copy.
void append(Graph* graph, NodeEntry from, Node* consumer) {
  const int index = static_cast<int>(consumer->inputs.size());
  if (from.node->op == "null") {
    Node* const copy = graph->addNode(consumer->name + "_input" + std::to_string(index), "_copy");
    copy->inputs.push_back({});
    connect(from, copy, 0);
    from = {copy, 0};
  }
  consumer->inputs.push_back({});
  connect(from, consumer, index);
}

// Make a weight an input of our operator as it is, since a copy would take time; see
// reads_weight_twice.
void append_weight(const NodeEntry& weight, Node* consumer) {
  consumer->inputs.push_back({});
  connect(weight, consumer, static_cast<int>(consumer->inputs.size()) - 1);
}

void disconnect(Node* producer, const Node* consumer) {
  auto& outputs = producer->outputs;
  outputs.erase(std::remove_if(outputs.begin(), outputs.end(),
                               [&](const NodeEntry& to) { return to.node == consumer; }),
                outputs.end());
}

void fuse(Graph* graph, Node* rectifier) {
  const bool prelu = is_prelu(*rectifier);
  if (rectifier->inputs.size() != (prelu ? 2 : 1) || !(prelu || is_relu(*rectifier))) return;
  Node* const before = rectifier->inputs[0].node;
  // In nets that were built for training, copies stand between the two.
  Node* last = before;
  const auto ends_here = [&](Node* node) {
    return node->outputs.size() == 1 && !is_head(*graph, node);
  };
  while (last->op == "_copy" && !last->inputs.empty() && ends_here(last)) {
    last = last->inputs[0].node;
  }
  const int pad = fusable_pad(*last);
  const NodeEntry alpha = rectifier->inputs.back();
  if (pad < 0 || !ends_here(last) || (prelu && !takes(alpha, 1))) return;
  disconnect(before, rectifier);
  if (prelu) disconnect(alpha.node, rectifier);
  rectifier->op = "deeprect_conv_prelu";
  rectifier->attrs = {{"pad", std::to_string(pad)},
                      {"activation", prelu ? "prelu" : "relu"},
                      {"weight_twice", "True"}};
  rectifier->inputs.clear();
  append(graph, last->inputs[0], rectifier);
  append_weight(last->inputs[1], rectifier);
  append(graph, last->inputs[2], rectifier);
  if (prelu) append(graph, alpha, rectifier);
  append_weight(last->inputs[1], rectifier);
}

void leave_out(Graph* graph, Node* node) {
  if (node->op != "Dropout" || node->inputs.size() != 1) return;
  if (has(*node, "mode", "always", false)) return;
  const NodeEntry input = node->inputs[0];
  for (const NodeEntry& to : node->outputs) connect(input, to.node, to.entry);
  node->outputs.clear();
  for (NodeEntry& head : graph->outputs) {
    if (head.node == node) head = input;
  }
}

void replace_dense(Graph* graph, Node* node) {
  const bool plain = node->op == "FullyConnected" && node->inputs.size() == 3 &&
                     has(*node, "no_bias", "False", true) && has(*node, "flatten", "True", true);
  if (!plain || !takes(node->inputs[1], 2) || !takes(node->inputs[2], 1)) return;
  node->op = "deeprect_dense";
  node->attrs = {{"weight_twice", "True"}};
  const std::vector<NodeEntry> inputs = node->inputs;
  for (const NodeEntry& input : inputs) disconnect(input.node, node);
  node->inputs.clear();
  append(graph, inputs[0], node);
  append_weight(inputs[1], node);
  append(graph, inputs[2], node);
  append_weight(inputs[1], node);
}

MXReturnValue optimize(Graph* graph, const std::unordered_map<std::string, std::string>&) {
  for (size_t i = 0; i < graph->size(); ++i) leave_out(graph, graph->getNode(i));
  for (size_t i = 0; i < graph->size(); ++i) fuse(graph, graph->getNode(i));
  for (size_t i = 0; i < graph->size(); ++i) replace_dense(graph, graph->getNode(i));
  return mxnet::ext::MX_SUCCESS;
}

}  // namespace

REGISTER_PASS(deeprect).setBody(optimize);
