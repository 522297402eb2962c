// Every way a submitted model can be wrong, and what the message must name.
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "kernels/random.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/builder.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// features [-1,4] -> up (MatMul) -> act -> head (MatMul) -> loss.
proto::Model Small() {
  GraphBuilder b("small");
  const std::string x = b.Input("features", {-1, 4}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  const std::string h = b.Named("act").Relu(b.Named("up").MatMul(x, b.Parameter("w1", {4, 8}, Normal(0.1))));
  b.SoftmaxCrossEntropy(b.Named("head").MatMul(h, b.Parameter("w2", {8, 3}, Normal(0.1))), labels);
  return b.Finish().value();
}

proto::Node& Find(proto::Model& model, const std::string& name) {
  for (proto::Node& node : *model.mutable_nodes()) {
    if (node.name() == name) return node;
  }
  return *model.add_nodes();
}

std::string Refusal(const proto::Model& model, int64_t micro_batch = 2) {
  const absl::StatusOr<Graph> graph = BuildGraph(model, micro_batch);
  if (graph.ok()) return "(accepted)";
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(graph.status().message());
}

TEST(CheckModel, AcceptsAndShapes) {
  const Graph graph = BuildGraph(Small(), 5).value();
  ASSERT_EQ(graph.nodes.size(), 4);
  EXPECT_EQ(graph.Desc(graph.nodes[0]).Key(), "MatMul(f32[5,4],f32[4,8])->(f32[5,8]){}");
  EXPECT_EQ(graph.values[graph.loss].spec, (TensorSpec{proto::F64, {}}));
  EXPECT_EQ(graph.model_hash.size(), 64);
  EXPECT_TRUE(graph.parameters[0].decay);
}

TEST(CheckModel, SortsButKeepsTheSubmittedOrderWhereFree) {
  proto::Model model = Small();
  model.mutable_nodes()->SwapElements(0, 3);
  const Graph graph = BuildGraph(model, 1).value();
  EXPECT_EQ(graph.nodes[0].name, "up");
  EXPECT_EQ(graph.nodes[3].name, "loss");
}

TEST(CheckModel, Empty) { EXPECT_THAT(Refusal(proto::Model()), HasSubstr("no nodes")); }

TEST(CheckModel, MicroBatch) {
  EXPECT_THAT(Refusal(Small(), 0), HasSubstr("micro-batch"));
  EXPECT_THAT(Refusal(Small(), -3), HasSubstr("micro-batch"));
}

TEST(CheckModel, Cycle) {
  proto::Model model = Small();
  Find(model, "up").set_inputs(0, "head");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("cycle"), HasSubstr("\"up\" -> \"act\" -> \"head\" -> \"up\"")));
}

TEST(CheckModel, SelfLoop) {
  proto::Model model = Small();
  Find(model, "act").set_inputs(0, "act");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"act\""), HasSubstr("own output")));
}

TEST(CheckModel, DanglingInput) {
  proto::Model model = Small();
  Find(model, "head").set_inputs(1, "nowhere");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"head\""), HasSubstr("input 1"), HasSubstr("\"nowhere\"")));
}

TEST(CheckModel, DuplicateNames) {
  proto::Model model = Small();
  Find(model, "act").set_name("up");
  EXPECT_THAT(Refusal(model), HasSubstr("another node has this name"));
  model = Small();
  Find(model, "act").set_outputs(0, "up");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"up\""), HasSubstr("taken")));
  model = Small();
  model.mutable_parameters(0)->set_name("w2");
  EXPECT_THAT(Refusal(model), HasSubstr("taken"));
}

TEST(CheckModel, UnknownOpSuggestsTheNearest) {
  proto::Model model = Small();
  Find(model, "up").set_op("Matmull");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"up\""), HasSubstr("did you mean MatMul?")));
  Find(model, "up").set_op("FusedMatMul");  // a kernel's name, not a user's
  EXPECT_THAT(Refusal(model), HasSubstr("unknown operator"));
  Find(model, "up").set_op(std::string(100000, 'M'));
  EXPECT_THAT(Refusal(model), HasSubstr("unknown operator"));
}

TEST(CheckModel, Arity) {
  proto::Model model = Small();
  Find(model, "up").mutable_inputs()->RemoveLast();
  EXPECT_THAT(Refusal(model), HasSubstr("input 1 is required"));
  model = Small();
  Find(model, "act").add_inputs("features");
  EXPECT_THAT(Refusal(model), HasSubstr("at most 1"));
  model = Small();
  Find(model, "act").clear_outputs();
  EXPECT_THAT(Refusal(model), HasSubstr("output 0 is required"));
}

TEST(CheckModel, Attributes) {
  proto::Model model = Small();
  proto::Attribute* attribute = Find(model, "act").add_attributes();
  attribute->set_name("alpha");
  attribute->set_f(1);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"act\""), HasSubstr("\"alpha\"")));
  model = Small();
  attribute = Find(model, "loss").add_attributes();
  attribute->set_name("ignore_index");
  attribute->set_s("x");
  EXPECT_THAT(Refusal(model), HasSubstr("must be an integer"));
}

TEST(CheckModel, ShapeMismatch) {
  proto::Model model = Small();
  model.mutable_parameters(1)->mutable_type()->set_dims(0, 9);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"head\""), HasSubstr("input 1"), HasSubstr("f32[9,3]")));
}

TEST(CheckModel, TypeMismatch) {
  proto::Model model = Small();
  model.mutable_parameters(1)->mutable_type()->set_dtype(proto::F64);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"head\""), HasSubstr("type of input 0")));
  model = Small();
  model.mutable_inputs(0)->mutable_type()->set_dtype(static_cast<proto::DataType>(77));
  EXPECT_THAT(Refusal(model), HasSubstr("\"features\""));
}

TEST(CheckModel, Overflow) {
  proto::Model model = Small();
  model.mutable_parameters(0)->mutable_type()->set_dims(1, int64_t{1} << 62);
  EXPECT_THAT(Refusal(model), HasSubstr("2^40"));
  model = Small();  // inputs fit, the result does not
  model.mutable_parameters(0)->mutable_type()->set_dims(1, int64_t{1} << 37);
  EXPECT_THAT(Refusal(model, 1 << 20), AllOf(HasSubstr("\"up\""), HasSubstr("2^40")));
}

TEST(CheckModel, RankAndSizes) {
  proto::Model model = Small();
  for (int i = 0; i < 7; ++i) model.mutable_inputs(0)->mutable_type()->add_dims(1);
  EXPECT_THAT(Refusal(model), HasSubstr("at most 8"));
  model = Small();
  model.mutable_inputs(0)->mutable_type()->set_dims(1, 0);
  EXPECT_THAT(Refusal(model), HasSubstr("positive"));
  model.mutable_inputs(0)->mutable_type()->set_dims(1, -2);
  EXPECT_THAT(Refusal(model), HasSubstr("positive"));
}

TEST(CheckModel, Parameters) {
  proto::Model model = Small();
  model.mutable_parameters(0)->mutable_type()->set_dims(0, -1);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"w1\""), HasSubstr("concrete")));
  model = Small();
  model.mutable_parameters(0)->clear_initializer();
  EXPECT_THAT(Refusal(model), HasSubstr("initializer"));
  model = Small();
  model.mutable_parameters(0)->mutable_initializer()->set_scale(-1);
  EXPECT_THAT(Refusal(model), HasSubstr("scale"));
  model = Small();
  proto::Initializer* initializer = model.mutable_parameters(0)->mutable_initializer();
  initializer->set_kind(proto::Initializer::DATA);
  initializer->set_data("twelve bytes");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("12 bytes"), HasSubstr("128")));
  model = Small();
  model.mutable_parameters(0)->set_constant(true);
  model.mutable_parameters(0)->set_trainable(true);
  EXPECT_THAT(Refusal(model), HasSubstr("both"));
}

TEST(CheckModel, UnusedParameter) {
  proto::Model model = Small();
  *model.add_parameters() = model.parameters(0);
  model.mutable_parameters(2)->set_name("spare");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"spare\""), HasSubstr("no node reads it")));
}

TEST(CheckModel, Loss) {
  proto::Model model = Small();
  model.clear_loss();
  EXPECT_THAT(Refusal(model), HasSubstr("loss.value"));
  model = Small();
  model.mutable_loss()->set_value("head");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("loss.value"), HasSubstr("\"head\"")));
  model = Small();
  std::swap(*model.mutable_loss()->mutable_value(), *model.mutable_loss()->mutable_count());
  EXPECT_THAT(Refusal(model), HasSubstr("must be output 0"));
  model = Small();
  model.set_logits("features");
  EXPECT_THAT(Refusal(model), HasSubstr("logits"));
}

TEST(CheckModel, Labels) {
  proto::Model model = Small();
  model.mutable_inputs(1)->mutable_type()->set_dtype(proto::I32);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"labels\""), HasSubstr("i64")));
  model = Small();
  model.mutable_inputs(1)->mutable_type()->add_dims(2);
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("\"loss\""), HasSubstr("dimensions of the rows")));
}

TEST(CheckModel, Names) {
  proto::Model model = Small();
  Find(model, "up").set_name("");
  EXPECT_THAT(Refusal(model), HasSubstr("has no name"));
  model = Small();
  Find(model, "up").set_name("evil\x1b[31m");
  EXPECT_THAT(Refusal(model), AllOf(HasSubstr("control character"), HasSubstr("\\x1b")));
  model = Small();
  Find(model, "up").set_name(std::string(5000, 'n'));
  EXPECT_THAT(Refusal(model), HasSubstr("longer"));
  model = Small();
  model.mutable_inputs(0)->set_name("d/features");
  EXPECT_THAT(Refusal(model), HasSubstr("gradient"));
}

TEST(CheckModel, TooManyNodes) {
  proto::Model model = Small();
  while (model.nodes_size() <= kMaxNodes) model.add_nodes();
  EXPECT_THAT(Refusal(model), HasSubstr("1000000"));
}

TEST(CheckModel, NewerSchema) {
  proto::Model model = Small();
  model.set_schema_version(2);
  EXPECT_THAT(Refusal(model), HasSubstr("newer"));
}

// Flipping any single byte of a model gives a graph or a refusal, never a crash.
TEST(CheckModel, SurvivesMutations) {
  google::protobuf::LogSilencer quiet;  // of complaints about bytes that are not UTF-8
  const std::string bytes = Small().SerializeAsString();
  int parsed = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string mutated = bytes;
      mutated[i] = static_cast<char>(mutated[i] ^ (1 << bit));
      proto::Model model;
      if (!model.ParseFromString(mutated)) continue;
      ++parsed;
      (void)BuildGraph(model, 2);
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(CheckModel, DropoutIsKeyedByTheNameOfItsOutput) {
  GraphBuilder b("drop");
  const std::string x = b.Input("x", {-1, 4}, proto::F32);
  const std::string labels = b.Input("labels", {-1}, proto::I64);
  const std::string y = b.Named("h").Dropout(b.MatMul(x, b.Parameter("w", {4, 3}, Ones())), 0.1);
  b.SoftmaxCrossEntropy(y, labels);
  const Graph graph = BuildGraph(b.Finish().value(), 2).value();
  EXPECT_EQ(graph.nodes[1].attributes.Bits("random_key", 0), RandomKey("h"));
}

}  // namespace
}  // namespace millrace
