#include "partitioner/paper/layer_time.h"

#include <algorithm>
#include <array>
#include <vector>

namespace millrace {
namespace {

struct Product {
  int64_t rows, columns, inner;
};

int64_t Share(int64_t whole, int64_t parts) { return (whole + parts - 1) / parts; }

double Seconds(const PaperDevice& device, const Product& p, int64_t batch = 1) {
  return MatmulSeconds(device, p.rows, p.columns, p.inner, batch);
}

// Of y = x w: the gradient of x and that of w.
Product OfInput(const Product& p) { return {p.rows, p.inner, p.columns}; }
Product OfWeight(const Product& p) { return {p.inner, p.columns, p.rows}; }

// Element-wise kernels of F, in bytes. Whole on every rank: two layer norms (read, write: 4 each) and two times bias,
// dropout and residual (6 and a mask: 7 each), 22 b s h. Divided: bias of QKV (12) and bias with GeLU (16), 28 b s h /
// t; scaled masked softmax with dropout, 9 b a s^2 / t. B moves twice as much. A Llama has no biases and no dropout: 20
// b s h whole; rotation of queries and keys (4 each) and SwiGLU (6 b s f) divided; a softmax of 4 b a s^2 / t.
struct Traffic {
  double layer, softmax;
  static constexpr int kForwardKernels = 8, kBackwardKernels = 10, kSoftmaxKernels = 2;
};

Traffic TrafficOf(const Transformer& m, double b, double t) {
  const double rows = b * static_cast<double>(m.sequence), h = static_cast<double>(m.hidden);
  const double scores = rows * static_cast<double>(m.heads * m.sequence) / t;
  if (m.family == TransformerFamily::kLlama) {
    const double k = static_cast<double>(m.key_width()), f = static_cast<double>(m.mlp);
    return {.layer = rows * (20 * h + (4 * (h + k) + 6 * f) / t), .softmax = 4 * scores};
  }
  return {.layer = rows * h * (22 + 28 / t), .softmax = 9 * scores};
}

// The weights of a layer on one rank: columns of what reads the layer's input, rows of what adds to it.
std::vector<Product> WeightsOf(const Transformer& m, int64_t rows, int64_t t) {
  const int64_t h = m.hidden;
  if (m.family == TransformerFamily::kGpt) {
    return {{rows, Share(3 * h, t), h}, {rows, h, Share(h, t)}, {rows, Share(4 * h, t), h}, {rows, h, Share(4 * h, t)}};
  }
  return {{rows, Share(h + 2 * m.key_width(), t), h},
          {rows, h, Share(h, t)},
          {rows, Share(2 * m.mlp, t), h},
          {rows, h, Share(m.mlp, t)}};
}

}  // namespace

PhaseSeconds LayerSeconds(const Transformer& m, const PaperMachine& machine, int64_t micro_batch,
                          int64_t tensor_parallel, ActivationRecompute recompute) {
  const PaperDevice& device = machine.device;
  const int64_t t = tensor_parallel, rows = micro_batch * m.sequence, h = m.hidden, width = h / m.heads;
  const std::vector<Product> weights = WeightsOf(m, rows, t);
  const std::array<Product, 2> attention = {{{m.sequence, m.sequence, width}, {m.sequence, width, m.sequence}}};
  const int64_t heads = Share(micro_batch * m.heads, t);
  const Traffic traffic = TrafficOf(m, static_cast<double>(micro_batch), static_cast<double>(t));

  PhaseSeconds seconds;
  for (const Product& product : weights) {
    seconds.forward += Seconds(device, product);
    seconds.backward_input += Seconds(device, OfInput(product));
    seconds.backward_weight += Seconds(device, OfWeight(product));
  }
  double attention_forward = 0;
  for (const Product& product : attention) {
    attention_forward += Seconds(device, product, heads);
    seconds.backward_input += Seconds(device, OfInput(product), heads) + Seconds(device, OfWeight(product), heads);
  }
  attention_forward += TrafficSeconds(device, traffic.softmax, Traffic::kSoftmaxKernels);
  seconds.forward +=
      attention_forward + TrafficSeconds(device, traffic.layer, Traffic::kForwardKernels - Traffic::kSoftmaxKernels);
  seconds.backward_input += TrafficSeconds(device, 2 * (traffic.layer + traffic.softmax), Traffic::kBackwardKernels);

  const double all_reduces = 2 * AllReduceSeconds(machine, 2.0 * static_cast<double>(rows) * static_cast<double>(h),
                                                  {.ranks = t, .in_host = std::min(t, machine.devices_per_host)});
  seconds.forward += all_reduces;
  seconds.backward_input += all_reduces;
  seconds.tensor_parallel = 2 * all_reduces;
  if (recompute == ActivationRecompute::kFull) {
    seconds.backward_input += seconds.forward;
    seconds.tensor_parallel += all_reduces;
  } else if (recompute == ActivationRecompute::kSelective) {
    seconds.backward_input += attention_forward;
  }
  return seconds;
}

PhaseSeconds OutputSeconds(const Transformer& m, const PaperMachine& machine, int64_t micro_batch,
                           int64_t tensor_parallel) {
  const Product logits = {micro_batch * m.sequence, Share(m.vocabulary, tensor_parallel), m.hidden};
  // float32 logits read and written by softmax with the loss and by its gradient: 8 bytes each.
  const double bytes = 8.0 * static_cast<double>(logits.rows) * static_cast<double>(logits.columns);
  PhaseSeconds seconds;
  seconds.forward = Seconds(machine.device, logits) + TrafficSeconds(machine.device, bytes, 3);
  seconds.backward_input = Seconds(machine.device, OfInput(logits)) + TrafficSeconds(machine.device, bytes, 3);
  seconds.backward_weight = Seconds(machine.device, OfWeight(logits));
  return seconds;
}

}  // namespace millrace
